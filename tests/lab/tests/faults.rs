//! Broken on purpose: killed programs, bad images, a full disk. Each ends in a clear error, with nothing left behind.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cairn_lab::api::has_code;
use cairn_lab::guest::text;
use cairn_lab::installation::sh;
use cairn_lab::{Case, Lab};
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    Case {
        name: "bey_02_a_server_killed_during_a_creation_finishes_it_after_its_restart",
        run: killed_server,
    },
    Case { name: "host_05_an_agent_restart_loses_nothing", run: agent_restart },
    Case { name: "host_05_a_killed_libvirtd_is_noticed_and_guests_go_on", run: killed_libvirtd },
    Case { name: "img_01_formats_are_detected_and_bad_images_refused", run: images },
    Case { name: "img_03_a_damaged_copy_of_an_image_is_not_used", run: damaged_copy },
    Case { name: "vm_21_nothing_is_left_of_an_expunged_vm", run: nothing_left },
    Case { name: "host_01_this_machine_is_added_again_and_its_images_stay", run: added_again },
];

fn killed_server(lab: &mut Lab) -> Result<()> {
    let body = json!({ "params": {
        "name": "survivor", "instanceOfferingUuid": lab.world.offering, "imageUuid": lab.world.image,
        "l3NetworkUuids": [lab.world.l3],
    } });
    let accepted = lab.api.start("POST", "/vm-instances", Some(body))?;
    ensure!(accepted.status == 202, "{}", accepted.body);
    lab.kill_server()?;
    lab.start_server()?;
    let vm = lab.api.wait(&accepted.body, Duration::from_secs(90))?["inventory"].clone();
    ensure!(text(&vm, "state") == "Running", "{vm}");
    let domains = sh("virsh", &["-c", "qemu:///system", "list", "--name"])?;
    ensure!(domains.lines().filter(|l| l.trim() == text(&vm, "uuid")).count() == 1, "{domains}");
    lab.remove_vm(&vm)
}

fn agent_restart(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("kept", json!({}), &[])?;
    lab.kill_agent()?;
    lab.start_agent()?;
    lab.api.wait_field("/hosts", &lab.world.host, "status", "Connected", Duration::from_secs(40))?;
    lab.wait_vm(&vm, "Running", 30)?;
    lab.ssh(&vm, "wget -q -O - http://169.254.169.254/latest/meta-data/instance-id", 180)?;
    ensure!(text(&lab.vm_act(&vm, "stopVmInstance", json!({ "type": "cold" }))?, "state") == "Stopped");
    lab.remove_vm(&vm)
}

fn killed_libvirtd(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("goes-on", json!({}), &[])?;
    lab.ssh(&vm, "true", 180)?;
    lab.restart_libvirtd(|lab| {
        lab.api.wait_field("/hosts", &lab.world.host, "status", "Disconnected", Duration::from_secs(40))?;
        let reason = lab.api.get("/hosts", &lab.world.host)?["statusReason"].clone();
        ensure!(reason.as_str().is_some_and(|r| r.contains("libvirt")), "{reason}");
        lab.ssh(&vm, "true", 10).map(|_| ())
    })?;
    lab.api.wait_field("/hosts", &lab.world.host, "status", "Connected", Duration::from_secs(40))?;
    lab.wait_vm(&vm, "Running", 30)?;
    lab.remove_vm(&vm)
}

fn images(lab: &mut Lab) -> Result<()> {
    let dir = lab.path().join("made");
    std::fs::create_dir_all(&dir)?;
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    sh("qemu-img", &["create", "-q", "-f", "raw", &path("plain.img"), "8M"])?;
    let raw = lab.add_image("plain", &path("plain.img"))?;
    ensure!(text(&raw, "format") == "raw" && text(&raw, "status") == "Ready", "{raw}");
    ensure!(raw["size"] == 8 << 20, "{raw}");
    sh(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", &path("spy.qcow2"), "8M"],
    )?;
    let spy =
        lab.add_image("spy", &path("spy.qcow2")).err().context("an image over /etc/passwd was taken")?;
    ensure!(has_code(&spy, "IMG.8001"), "{spy:#}");
    std::fs::write(path("broken.qcow2"), b"QFI\xfb\x00\x00\x00\x03garbage")?;
    let broken = lab.add_image("broken", &path("broken.qcow2")).err().context("a broken image was taken")?;
    ensure!(has_code(&broken, "IMG.8000"), "{broken:#}");
    let outside = json!({ "name": "outside", "url": "file:///etc/passwd", "format": "raw",
        "backupStorageUuids": [lab.world.store] });
    let outside = lab.api.post("/images", outside).err().context("a file outside the folder was taken")?;
    ensure!(has_code(&outside, "IMG.8002"), "{outside:#}");
    for image in lab.api.list("/images", "q=name?=plain,spy,broken,outside")? {
        let uuid = text(&image, "uuid");
        ensure!(text(&image, "name") == "plain", "a refused image left a row: {image}");
        lab.api.delete(&format!("/images/{uuid}"))?;
        lab.api.act(&format!("/images/{uuid}/actions"), "expungeImage", json!({}))?;
    }
    Ok(())
}

fn damaged_copy(lab: &mut Lab) -> Result<()> {
    let image = lab.add_image("frail", &guest_file(lab)?)?;
    let stored = lab.path().join("images");
    let file = find(&stored, text(&image, "uuid")).context("the stored file of the image")?;
    let bytes = std::fs::read(&file)?;
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    std::fs::write(&file, &damaged)?;
    let refused = lab.create_vm("frail", json!({ "imageUuid": text(&image, "uuid") }), &[]);
    let refused = refused.err().context("a VM was made from a damaged image")?;
    ensure!(has_code(&refused, "IMG.8005"), "{refused:#}");
    ensure!(lab.api.list("/vm-instances", "q=name=frail")?.is_empty(), "a failed creation left a VM");
    std::fs::write(&file, &bytes)?;
    let uuid = text(&image, "uuid");
    lab.api.delete(&format!("/images/{uuid}"))?;
    lab.api.act(&format!("/images/{uuid}/actions"), "expungeImage", json!({})).map(|_| ())
}

fn guest_file(lab: &Lab) -> Result<String> {
    let folder = lab.path().join("import");
    let entry =
        std::fs::read_dir(folder)?.flatten().find(|e| e.file_name().to_string_lossy().contains("guest"));
    Ok(entry.context("the guest image")?.path().to_string_lossy().into_owned())
}

/// The largest file below a folder whose path contains a text.
fn find(folder: &std::path::Path, part: &str) -> Option<std::path::PathBuf> {
    let mut best: Option<(u64, std::path::PathBuf)> = None;
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().contains(part) {
                let size = entry.metadata().map(|m| m.len()).unwrap_or(0);
                if best.as_ref().is_none_or(|(s, _)| size > *s) {
                    best = Some((size, path));
                }
            }
        }
    }
    best.map(|(_, path)| path)
}

fn nothing_left(lab: &mut Lab) -> Result<()> {
    let vm = lab.create_vm("gone", json!({}), &[])?;
    let volume = text(&vm, "rootVolumeUuid").to_owned();
    ensure!(find(&lab.path().join("primary"), &volume).is_some(), "no file of the root volume");
    let tap = lab.api.list("/vm-instances/nics", &format!("q=vmInstanceUuid={}", text(&vm, "uuid")))?;
    ensure!(tap.len() == 1);
    lab.remove_vm(&vm)?;
    ensure!(find(&lab.path().join("primary"), &volume).is_none(), "the root volume's file is still there");
    let domains = sh("virsh", &["-c", "qemu:///system", "list", "--all", "--name"])?;
    ensure!(!domains.contains(text(&vm, "uuid")), "{domains}");
    for path in ["/vm-instances", "/volumes", "/vm-instances/nics"] {
        let left: Vec<Value> = lab.api.list(path, "")?;
        ensure!(!left.iter().any(|r| r.to_string().contains(text(&vm, "uuid"))), "{path}: {left:?}");
    }
    Ok(())
}

fn added_again(lab: &mut Lab) -> Result<()> {
    lab.api.delete(&format!("/hosts/{}?deleteMode=Enforcing", lab.world.host))?;
    let host = json!({ "name": "again", "clusterUuid": lab.world.cluster, "managementIp": "127.0.0.1" });
    lab.world.host = text(&lab.api.post("/cairn/hosts/local", host)?, "uuid").to_owned();
    let store = lab.world.store.clone();
    lab.api.wait_field("/backup-storage", &store, "status", "Connected", Duration::from_secs(10))?;
    let vm = lab.create_vm("again", json!({}), &[])?;
    lab.ssh(&vm, "true", 180)?;
    // The agent is who it was also after it was started anew.
    lab.kill_agent()?;
    lab.api.wait_field("/backup-storage", &store, "status", "Disconnected", Duration::from_secs(40))?;
    lab.start_agent()?;
    lab.api.wait_field("/backup-storage", &store, "status", "Connected", Duration::from_secs(40))?;
    lab.api.wait_field("/hosts", &lab.world.host, "status", "Connected", Duration::from_secs(40))?;
    lab.wait_vm(&vm, "Running", 30)?;
    lab.remove_vm(&vm)
}
