//! What a guest is told about itself, by config drive and metadata service (VM-14, FLAT-03): read from system tags.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_api::agent::vm::ConfigDrive;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};

use crate::platform::tags;

/// Host name, SSH keys and user data of a VM.
pub fn of_vm(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<ConfigDrive> {
    let sql = "SELECT v.name, v.image_uuid, o.name AS offering FROM vm_instance v
               LEFT JOIN instance_offering o ON o.uuid = v.instance_offering_uuid WHERE v.uuid = ?";
    let row = tx.query_opt(sql, params![vm])?.ok_or_else(|| Fault::not_found("VmInstanceVO", vm))?;
    let given = tags::get(tx, vm, "userdata::")?.map(|d| decode(&d)).unwrap_or_default();
    let password = tags::get(tx, vm, "rootPassword::")?;
    let mut drive = ConfigDrive {
        hostname: hostname(tx, vm)?.unwrap_or_else(|| format!("vm-{}", &vm.to_string()[..12])),
        ssh_keys: keys(tags::get(tx, vm, "sshkey::")?.as_deref().unwrap_or_default()),
        user_data: match password {
            Some(password) => with_password(&given, &password),
            None => given,
        },
        meta: [("name".to_owned(), row.text("name")?)].into(),
    };
    for (key, column) in [("image", "image_uuid"), ("offering", "offering")] {
        if let Some(value) = row.opt_text(column)? {
            drive.meta.insert(key.into(), value);
        }
    }
    Ok(drive)
}

/// The name from its tag, or else made from its address on the default network: `10-0-0-5`.
pub fn hostname(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Option<String>> {
    if let Some(name) = tags::get(tx, vm, "hostname::")? {
        return Ok(Some(name));
    }
    let sql = "SELECT n.ip FROM vm_nic n JOIN vm_instance v ON v.uuid = n.vm_instance_uuid
               WHERE n.vm_instance_uuid = ? AND n.ip IS NOT NULL
               ORDER BY CASE WHEN n.l3_network_uuid = v.default_l3_network_uuid THEN 0 ELSE 1 END, n.device_id LIMIT 1";
    let row = tx.query_opt(sql, params![vm])?;
    row.map(|r| Ok(r.text("ip")?.replace(['.', ':'], "-"))).transpose()
}

/// One key per line.
fn keys(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

/// User data comes in base64; text that is none is taken as it is.
fn decode(data: &str) -> String {
    let compact: String = data.split_whitespace().collect();
    let text = STANDARD.decode(&compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_text = |t: &String| t.chars().all(|c| !c.is_control() || c.is_whitespace());
    text.filter(is_text).unwrap_or_else(|| data.to_owned())
}

/// Adds the password of root to user data of cloud-init. User data of another kind stays as it is.
fn with_password(given: &str, password: &str) -> String {
    // JSON is YAML, so whatever the password holds stays one value.
    let entry = serde_json::json!({ "expire": false, "list": format!("root:{password}\n") });
    match given.trim() {
        "" => format!("#cloud-config\nssh_pwauth: true\ndisable_root: false\nchpasswd: {entry}\n"),
        text if text.starts_with("#cloud-config") && !text.contains("chpasswd") => {
            format!("{}\nchpasswd: {entry}\n", text.trim_end())
        }
        _ => given.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vm_14_user_data_in_base64_and_plain() {
        for (given, read) in [
            ("I2Nsb3VkLWNvbmZpZwpydW5jbWQ6IFtdCg==", "#cloud-config\nruncmd: []\n"),
            ("#cloud-config\nruncmd: []\n", "#cloud-config\nruncmd: []\n"),
            ("#!/bin/sh\ntrue", "#!/bin/sh\ntrue"),
            ("hello", "hello"),
        ] {
            assert_eq!(decode(given), read);
        }
    }

    #[test]
    fn vm_14_one_key_per_line() {
        assert_eq!(
            keys("ssh-rsa AAAA a\n\n ssh-ed25519 BBBB b \n"),
            ["ssh-rsa AAAA a", "ssh-ed25519 BBBB b"]
        );
        assert!(keys("").is_empty());
    }

    #[test]
    fn a_password_can_not_break_out_of_its_value() {
        let data = with_password("", "a\"\nruncmd: [reboot]\n#");
        assert_eq!(data.lines().count(), 4, "{data}");
        assert!(with_password("#cloud-config\nusers: []", "x").contains("users: []\nchpasswd: "));
        assert_eq!(with_password("#!/bin/sh", "x"), "#!/bin/sh");
    }
}
