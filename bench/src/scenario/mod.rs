//! What can be measured.

mod allocate;
mod broken;
mod cargo_check;
mod cloud_1m;
mod create_vms;
mod hosts;
mod idle;
mod query;
mod start;
mod vm_create;
mod zones;

use anyhow::Result;
use cairn_lab::Lab;

use crate::report::Report;

/// One thing to measure.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What it needs.
    pub kind: Kind,
}

/// What a scenario needs, and its code.
pub enum Kind {
    /// At most a server of its own.
    Alone(fn(&mut Report) -> Result<()>),
    /// An installation with an agent, libvirt and QEMU. Needs root.
    Lab(fn(&mut Lab, &mut Report) -> Result<()>),
}

/// All of them, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "server-start",
        about: "from the start of the process to the first answer",
        kind: Kind::Alone(start::measure),
    },
    Scenario {
        name: "zone-create",
        about: "zones by 50 clients at once, each on disk before it is answered",
        kind: Kind::Alone(zones::measure),
    },
    Scenario {
        name: "query-uuid",
        about: "one VM by uuid among thousands",
        kind: Kind::Alone(query::measure),
    },
    Scenario {
        name: "create-vms",
        about: "1 to 10,000 VMs by up to 100 clients over 1,000 simulated hosts",
        kind: Kind::Alone(create_vms::measure),
    },
    Scenario {
        name: "hosts-1m",
        about: "a million simulated hosts: to register them, to have them, and their heartbeats",
        kind: Kind::Alone(hosts::million),
    },
    Scenario {
        name: "agents-5000",
        about: "five thousand agents with a connection each",
        kind: Kind::Alone(hosts::separate),
    },
    Scenario {
        name: "allocate",
        about: "a host for a VM out of 1,000,000: roomy, nearly full, nobody fits, in tiny clusters",
        kind: Kind::Alone(allocate::measure),
    },
    Scenario {
        name: "cloud-1m",
        about: "restart, queries and creations with 1,000,000 hosts and VMs in the database",
        kind: Kind::Alone(cloud_1m::measure),
    },
    Scenario {
        name: "crash-sweep",
        about: "the server is killed in every step of every workflow; what is wrong afterwards (CAIRN_BENCH_LONG=1: at every moment)",
        kind: Kind::Alone(broken::crash_sweep),
    },
    Scenario {
        name: "robots",
        about: "random operations with faults and kills; what is wrong afterwards (CAIRN_BENCH_LONG=1: 20 seeds of 10,000)",
        kind: Kind::Alone(broken::robots),
    },
    Scenario {
        name: "idle-memory",
        about: "memory of server and agent after ten quiet seconds",
        kind: Kind::Lab(idle::measure),
    },
    Scenario {
        name: "vm-create",
        about: "a VM through the API less the same by qemu-img and virsh",
        kind: Kind::Lab(vm_create::measure),
    },
    Scenario {
        name: "cargo-check",
        about: "cargo check after a new line in the server (with --with-cargo, or by name)",
        kind: Kind::Alone(cargo_check::measure),
    },
];
