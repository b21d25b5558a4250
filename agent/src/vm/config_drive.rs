//! The config drive: a small ISO with label `config-2`, as OpenStack makes it and first-boot programs read it.

use std::io;
use std::path::{Path, PathBuf};

use cairn_api::agent::vm::ConfigDrive;
use cairn_types::{Result, code};
use serde_json::{Map, Value, json};

use crate::process::{Tool, io_fault};
use crate::state::remove_any;
use crate::vm::xml::dashed;

/// `meta_data.json` of a VM.
pub fn meta_data(vm: &str, drive: &ConfigDrive) -> Value {
    let keys: Map<String, Value> =
        drive.ssh_keys.iter().enumerate().map(|(i, k)| (format!("key-{i}"), json!(k.trim_end()))).collect();
    json!({
        "uuid": dashed(vm),
        "name": drive.hostname,
        "hostname": drive.hostname,
        "local-hostname": drive.hostname,
        "public_keys": keys,
        "meta": drive.meta,
        "launch_index": 0,
    })
}

/// Writes the ISO `config.iso` into `folder` and returns its path. The contents are secret (user data), so only QEMU
/// and root may read it: libvirt hands the file to QEMU's user.
pub async fn write(folder: &Path, vm: &str, drive: &ConfigDrive) -> Result<PathBuf> {
    let failed = |e: &io::Error| io_fault(code::AGENT_STORAGE, "the config drive could not be written", e);
    let tree = folder.join("config");
    let (iso, tmp) = (folder.join("config.iso"), folder.join("config.iso.tmp"));
    write_tree(&tree, vm, drive).map_err(|e| failed(&e))?;
    let (tmp_text, tree_text) = (tmp.to_string_lossy(), tree.to_string_lossy());
    let args = ["-quiet", "-V", "config-2", "-J", "-R", "-l", "-o", &tmp_text, &tree_text];
    let made = Tool::new("genisoimage", &args).run().await;
    let _ = remove_any(&tree);
    if let Err(e) = made {
        let _ = remove_any(&tmp);
        return Err(e.fault(code::AGENT_STORAGE, "the config drive could not be written"));
    }
    crate::config::set_mode(&tmp, 0o600)
        .and_then(|()| std::fs::rename(&tmp, &iso))
        .map_err(|e| failed(&e))?;
    Ok(iso)
}

fn write_tree(tree: &Path, vm: &str, drive: &ConfigDrive) -> io::Result<()> {
    remove_any(tree)?;
    let latest = tree.join("openstack/latest");
    std::fs::create_dir_all(&latest)?;
    crate::config::set_mode(tree, 0o700)?;
    std::fs::write(latest.join("meta_data.json"), serde_json::to_vec_pretty(&meta_data(vm, drive))?)?;
    if !drive.user_data.is_empty() {
        std::fs::write(latest.join("user_data"), &drive.user_data)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hostile_names_and_user_data_arrive_unchanged() {
        let tmp = tempfile::tempdir().unwrap();
        let drive = ConfigDrive {
            hostname: "$(reboot)\"'".into(),
            ssh_keys: vec!["ssh-ed25519 AAAA me\n".into()],
            user_data: "#!/bin/sh\necho '😀' \"$x\"\n".into(),
            meta: [("k".to_owned(), "v".to_owned())].into(),
        };
        let iso = write(tmp.path(), "0189b2c3d4e57f60a1b2c3d4e5f60718", &drive).await.unwrap();
        let path = iso.to_string_lossy().into_owned();
        let read = |name: &'static str| {
            let path = path.clone();
            async move { crate::process::run("isoinfo", &["-i", &path, "-R", "-x", name]).await.unwrap() }
        };
        assert_eq!(read("/openstack/latest/user_data").await, drive.user_data);
        let meta: Value = serde_json::from_str(&read("/openstack/latest/meta_data.json").await).unwrap();
        assert_eq!(meta["hostname"], "$(reboot)\"'");
        assert_eq!(meta["public_keys"]["key-0"], "ssh-ed25519 AAAA me");
        assert_eq!(meta["uuid"], "0189b2c3-d4e5-7f60-a1b2-c3d4e5f60718");
        assert!(!tmp.path().join("config").exists());
    }
}
