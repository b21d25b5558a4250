//! Operations on a host as a whole.

use serde::{Deserialize, Serialize};

use super::agent_op;
use super::vm::VmOnHost;

/// Read what the host is and can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadHostFacts {}
agent_op!(ReadHostFacts => "host.facts", HostFacts);

/// What the host is and can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// Logical processors.
    pub cpu_num: u32,
    /// Processor sockets.
    pub cpu_sockets: u32,
    /// Speed of one processor in MHz; 0 if unknown.
    pub cpu_mhz: u32,
    /// Model name of the processors.
    pub cpu_model: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// `vmx`, `svm` or empty.
    pub hvm_flag: String,
    /// `kvm` when a probe proved that guests run on it, else `qemu` (emulation).
    pub accelerator: String,
    /// Such as `9.0.0`.
    pub libvirt_version: String,
    /// Such as `7.2.9`.
    pub qemu_version: String,
    /// Such as `7.2.9`.
    pub qemu_img_version: String,
    /// `debian`, from os-release.
    pub os_distribution: String,
    /// `12`.
    pub os_version: String,
    /// `bookworm`.
    pub os_release: String,
    /// Name the host gives itself.
    pub hostname: String,
    /// All IPv4 and IPv6 addresses of the host without loopback and link-local.
    pub addresses: Vec<String>,
    /// Network interfaces that can carry an L2 network.
    pub interfaces: Vec<String>,
    /// VMs of ours that the host has, running or not.
    pub vms: Vec<VmOnHost>,
}
