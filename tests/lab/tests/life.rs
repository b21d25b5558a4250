//! The life of a VM (VM-01, VM-04, VM-14, VM-21, VM-35) on a real guest.

use anyhow::{Result, ensure};
use cairn_lab::guest::text;
use cairn_lab::{Case, Lab};
use serde_json::json;

pub const CASES: &[Case] = &[
    Case { name: "vm_01_a_created_vm_runs_and_answers_ssh", run: created_vm_answers },
    Case { name: "vm_04_stop_start_reboot_pause_resume", run: life },
    Case { name: "vm_21_destroyed_vm_is_recovered_with_its_data", run: recovered_with_data },
    Case { name: "vm_35_unknown_while_the_agent_is_away_and_back_by_itself", run: unknown_and_back },
];

fn created_vm_answers(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("answers", json!({}), &["hostname::web-1"])?;
    ensure!(text(&vm, "state") == "Running", "{vm}");
    let name = lab.ssh(&vm, "hostname", 180)?;
    ensure!(name.trim() == "web-1", "host name in the guest: {name}");
    let address = lab.ssh(&vm, "ip -4 -o addr show dev eth0", 10)?;
    ensure!(address.contains(text(&vm["vmNics"][0], "ip")), "{address}");
    lab.remove_vm(&vm)
}

fn life(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("life", json!({}), &[])?;
    lab.ssh(&vm, "true", 180)?;
    ensure!(text(&lab.vm_act(&vm, "pauseVmInstance", json!({}))?, "state") == "Paused");
    ensure!(text(&lab.vm_act(&vm, "resumeVmInstance", json!({}))?, "state") == "Running");
    lab.ssh(&vm, "touch /root/kept; sync", 30)?;
    ensure!(text(&lab.vm_act(&vm, "stopVmInstance", json!({ "type": "grace" }))?, "state") == "Stopped");
    ensure!(text(&lab.vm_act(&vm, "startVmInstance", json!({}))?, "state") == "Running");
    lab.ssh(&vm, "test -e /root/kept", 180)?;
    let before = lab.ssh(&vm, "cat /proc/sys/kernel/random/boot_id", 10)?;
    ensure!(text(&lab.vm_act(&vm, "rebootVmInstance", json!({}))?, "state") == "Running");
    let after = lab.ssh(&vm, "cat /proc/sys/kernel/random/boot_id", 180)?;
    ensure!(before != after, "the guest did not restart");
    ensure!(text(&lab.vm_act(&vm, "stopVmInstance", json!({ "type": "cold" }))?, "state") == "Stopped");
    lab.remove_vm(&vm)
}

fn recovered_with_data(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("recover", json!({}), &[])?;
    lab.ssh(&vm, "touch /root/kept; sync", 60)?;
    lab.api.delete(&format!("/vm-instances/{}", text(&vm, "uuid")))?;
    ensure!(text(&lab.vm(&vm)?, "state") == "Destroyed");
    ensure!(text(&lab.vm_act(&vm, "recoverVmInstance", json!({}))?, "state") == "Stopped");
    lab.vm_act(&vm, "startVmInstance", json!({}))?;
    lab.ssh(&lab.vm(&vm)?, "test -e /root/kept", 180)?;
    lab.remove_vm(&vm)
}

fn unknown_and_back(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("unknown", json!({}), &[])?;
    lab.ssh(&vm, "true", 180)?;
    lab.kill_agent()?;
    lab.wait_vm(&vm, "Unknown", 30)?;
    // The guest does not care.
    lab.ssh(&vm, "true", 10)?;
    lab.start_agent()?;
    lab.wait_vm(&vm, "Running", 30)?;
    lab.remove_vm(&vm)
}
