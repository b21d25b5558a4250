//! What a guest gets from its networks and its platform: addresses, metadata, console, limits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::guest::text;
use cairn_lab::installation::sh;
use cairn_lab::{Case, Lab};
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    Case {
        name: "flat_01_flat_03_vm_14_a_guest_gets_its_address_metadata_key_and_user_data",
        run: guest_services,
    },
    Case { name: "con_01_vm_06_console_speaks_vnc_with_a_token_that_works_once", run: console },
    Case {
        name: "con_01_a_token_leads_to_its_vm_only_and_a_console_ends_when_the_vm_is_given_away",
        run: console_stays_with_its_vm,
    },
    Case { name: "off_01_disk_bandwidth_of_the_offering_is_applied", run: disk_limit },
    Case { name: "sg_03_a_guest_can_not_use_an_address_of_another", run: no_spoofing },
    Case { name: "vm_04_stop_grace_powers_off_after_timeout", run: grace_ends },
    Case { name: "l3_05_static_address_is_taken_and_never_twice", run: static_address },
];

fn guest_services(lab: &mut Lab) -> Result<()> {
    // printf 'IyEv…' is "#!/bin/sh\necho from-user-data > /root/ran" in base64, as the API wants user data.
    let user_data = "userdata::IyEvYmluL3NoCmVjaG8gZnJvbS11c2VyLWRhdGEgPiAvcm9vdC9yYW4K";
    let vm = lab.create_vm("services", json!({}), &["hostname::metal", user_data])?;
    let ip = text(&vm["vmNics"][0], "ip").to_owned();
    ensure!(lab.ssh(&vm, "hostname", 180)?.trim() == "metal");
    ensure!(lab.ssh(&vm, "ip -4 -o addr show dev eth0", 10)?.contains(&format!(" {ip}/24")));
    let end = Instant::now() + Duration::from_secs(30);
    while lab.ssh(&vm, "cat /root/ran 2>/dev/null || true", 10)?.trim() != "from-user-data" {
        ensure!(Instant::now() < end, "the user data did not run");
        std::thread::sleep(Duration::from_millis(500));
    }
    let ask = "wget -q -O - http://169.254.169.254/latest/meta-data";
    ensure!(lab.ssh(&vm, &format!("{ask}/hostname"), 10)?.trim() == "metal");
    ensure!(lab.ssh(&vm, &format!("{ask}/local-ipv4"), 10)?.trim() == ip);
    ensure!(lab.ssh(&vm, &format!("{ask}/public-keys/0/openssh-key"), 10)?.starts_with("ssh-ed25519"));
    lab.remove_vm(&vm)
}

fn console(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("console", json!({}), &[])?;
    let access = lab.api.post("/consoles", json!({ "vmInstanceUuid": text(&vm, "uuid") }))?;
    let token = text(&access, "token").to_owned();
    let mut socket = open_websocket(&lab.page(), &token)?;
    let mut frame = [0u8; 14];
    socket.read_exact(&mut frame).context("no frame from the console")?;
    // A binary frame of 12 bytes: the greeting of RFB.
    ensure!(frame[0] == 0x82 && frame[1] == 12 && &frame[2..6] == b"RFB ", "{frame:?}");
    ensure!(open_websocket(&lab.page(), &token).is_err(), "the token worked twice");
    ensure!(open_websocket(&lab.page(), "0123456789abcdef0123456789abcdef").is_err(), "any token works");
    lab.remove_vm(&vm)
}

/// Ports of consoles are used again: what a stopped VM listened on may be another account's VM a moment later.
fn console_stays_with_its_vm(lab: &mut Lab) -> Result<()> {
    let token = |vm: &Value| -> Result<String> {
        let access = lab.api.post("/consoles", json!({ "vmInstanceUuid": text(vm, "uuid") }))?;
        Ok(text(&access, "token").to_owned())
    };
    let first = lab.create_vm("first", json!({}), &[])?;
    let of_first = token(&first)?;
    lab.vm_act(&first, "stopVmInstance", json!({ "type": "cold" }))?;
    let second = lab.create_vm("second", json!({}), &[])?;
    ensure!(open_websocket(&lab.page(), &of_first).is_err(), "the token of a stopped VM opened a console");

    let mut socket = open_websocket(&lab.page(), &token(&second)?)?;
    let account = json!({ "name": "receiver", "password": "a".repeat(128) });
    let account = lab.api.post("/accounts", account)?;
    let path = format!("/account/{}/resources", text(&account, "uuid"));
    lab.api.post(&path, json!({ "resourceUuid": text(&second, "uuid") }))?;
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).context("the console of a VM that was given away stayed open")?;
    lab.remove_vm(&second)?;
    lab.remove_vm(&first)?;
    lab.api.delete(&format!("/accounts/{}", text(&account, "uuid"))).map(|_| ())
}

fn open_websocket(page: &str, token: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(page)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!(
        "GET /console/{token} HTTP/1.1\r\nHost: {page}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(socket.read(&mut byte)? == 1, "closed: {}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(socket)
}

fn disk_limit(lab: &mut Lab) -> Result<()> {
    let params = json!({ "name": "slow", "cpuNum": 1, "memorySize": 256 << 20 });
    let body = json!({ "params": params, "systemTags": ["volumeTotalBandwidth::20971520"] });
    let offering = lab.api.call("POST", "/instance-offerings", Some(body))?["inventory"].clone();
    let vm = lab.create_vm("slow", json!({ "instanceOfferingUuid": text(&offering, "uuid") }), &[])?;
    let tune = sh("virsh", &["-c", "qemu:///system", "blkdeviotune", text(&vm, "uuid"), "vda"])?;
    let limit = tune.lines().find(|l| l.trim_start().starts_with("total_bytes_sec"));
    ensure!(limit.is_some_and(|l| l.contains("20971520")), "{tune}");
    lab.remove_vm(&vm)?;
    lab.api.delete(&format!("/instance-offerings/{}", text(&offering, "uuid"))).map(|_| ())
}

fn set(lab: &Lab, category: &str, name: &str, value: &str) -> Result<()> {
    let path = format!("/global-configurations/{category}/{name}/actions");
    lab.api.act(&path, "updateGlobalConfig", json!({ "value": value })).map(|_| ())
}

fn no_spoofing(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("honest", json!({}), &[])?;
    lab.ssh(&vm, "ip addr add 172.30.98.77/24 dev eth0", 180)?;
    becomes(lab, &vm, "passed")?;
    // The setting holds for guests that run, both ways: with its own address it reaches the gateway, with a stolen one not.
    set(lab, "vm", "cleanTraffic", "true")?;
    becomes(lab, &vm, "stopped")?;
    lab.ssh(&vm, "ping -c 1 -W 2 172.30.98.1", 20)?;
    set(lab, "vm", "cleanTraffic", "false")?;
    becomes(lab, &vm, "passed")?;
    lab.remove_vm(&vm)
}

/// Waits until packets from a stolen address fare so.
fn becomes(lab: &Lab, vm: &Value, wanted: &str) -> Result<()> {
    let steal = "ping -c 1 -W 2 -I 172.30.98.77 172.30.98.1 >/dev/null 2>&1 && echo passed || echo stopped";
    let end = Instant::now() + Duration::from_secs(20);
    while lab.ssh(vm, steal, 20)?.trim() != wanted {
        ensure!(Instant::now() < end, "packets from a stolen address are not {wanted}");
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

fn grace_ends(lab: &mut Lab) -> Result<()> {
    set(lab, "cairn", "vm.stopTimeout", "3")?;
    let vm = lab.create_vm("deaf", json!({}), &[])?;
    // Halted CPUs hear no power button: at once after the start the guest has no ear for it either.
    let began = Instant::now();
    let stopped = lab.vm_act(&vm, "stopVmInstance", json!({ "type": "grace" }))?;
    set(lab, "cairn", "vm.stopTimeout", "60")?;
    ensure!(text(&stopped, "state") == "Stopped", "{stopped}");
    ensure!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    lab.remove_vm(&vm)
}

fn static_address(lab: &mut Lab) -> Result<()> {
    let tag = format!("staticIp::{}::172.30.98.66", lab.world.l3);
    let vm = lab.create_vm("fixed", json!({}), &[&tag])?;
    ensure!(text(&vm["vmNics"][0], "ip") == "172.30.98.66", "{vm}");
    let second = lab.create_vm("second", json!({}), &[&tag]);
    ensure!(second.is_err(), "the same address was given twice");
    ensure!(lab.ssh(&vm, "ip -4 -o addr show dev eth0", 180)?.contains(" 172.30.98.66/24"));
    lab.remove_vm(&vm)
}
