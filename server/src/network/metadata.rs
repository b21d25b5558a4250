//! What a guest is told about itself, by config drive and metadata service (VM-14, FLAT-03): read from system tags.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_api::agent::vm::ConfigDrive;
use cairn_api::resource::HOLDING_STATES;
use cairn_store::{Row, Tx, params};
use cairn_types::{Fault, Id, Result, kind};

/// Tags that make up the metadata.
const TAGS: [&str; 4] = ["userdata::", "rootPassword::", "hostname::", "sshkey::"];

/// Columns of [`Facts`] that are no tags, for a VM `v`. The name of its host is made from its address on the default network.
const COLUMNS: &str = "v.uuid, v.name, v.image_uuid,
    (SELECT o.name FROM instance_offering o WHERE o.uuid = v.instance_offering_uuid) AS offering,
    coalesce((SELECT n.ip FROM vm_nic n WHERE n.vm_instance_uuid = v.uuid AND n.ip IS NOT NULL
              AND n.l3_network_uuid = v.default_l3_network_uuid ORDER BY n.device_id LIMIT 1),
             (SELECT n.ip FROM vm_nic n WHERE n.vm_instance_uuid = v.uuid AND n.ip IS NOT NULL
              ORDER BY n.device_id LIMIT 1)) AS address";

/// What rows say about a VM.
struct Facts {
    name: String,
    image: Option<String>,
    offering: Option<String>,
    address: Option<String>,
    /// In the order of [`TAGS`]; of several the oldest.
    tags: [Option<String>; 4],
}

/// Host name, SSH keys and user data of a VM.
pub fn of_vm(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<ConfigDrive> {
    let sql = format!("SELECT {COLUMNS} FROM vm_instance v WHERE v.uuid = ?");
    let row = tx.query_opt(&sql, params![vm])?.ok_or_else(|| Fault::not_found("VmInstanceVO", vm))?;
    let mut facts = Facts::read(&row)?;
    for tag in tx.query("SELECT tag FROM system_tag WHERE resource_uuid = ? ORDER BY uuid", params![vm])? {
        facts.add(&tag.text("tag")?);
    }
    Ok(facts.into_drive(vm))
}

/// The same for every VM that runs on a host or may be running there, with two statements however many there are.
pub fn on_host(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<HashMap<Id<kind::Vm>, ConfigDrive>> {
    let there = format!("v.host_uuid = ? AND v.state IN {HOLDING_STATES}");
    let sql = format!("SELECT {COLUMNS} FROM vm_instance v WHERE {there}");
    let mut all: HashMap<Id<kind::Vm>, Facts> = HashMap::new();
    for row in tx.query(&sql, params![host])? {
        all.insert(row.id("uuid")?, Facts::read(&row)?);
    }
    let sql = format!(
        "SELECT t.resource_uuid, t.tag FROM vm_instance v JOIN system_tag t ON t.resource_uuid = v.uuid
         WHERE {there} ORDER BY t.uuid"
    );
    for row in tx.query(&sql, params![host])? {
        if let Some(facts) = all.get_mut(&row.id("resource_uuid")?) {
            facts.add(&row.text("tag")?);
        }
    }
    Ok(all.into_iter().map(|(vm, facts)| (vm, facts.into_drive(vm))).collect())
}

impl Facts {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            name: row.text("name")?,
            image: row.opt_text("image_uuid")?,
            offering: row.opt_text("offering")?,
            address: row.opt_text("address")?,
            tags: Default::default(),
        })
    }

    fn add(&mut self, tag: &str) {
        for (prefix, kept) in TAGS.iter().zip(&mut self.tags) {
            if let (Some(value), None) = (tag.strip_prefix(prefix), &kept) {
                *kept = Some(value.to_owned());
            }
        }
    }

    fn into_drive(self, vm: Id<kind::Vm>) -> ConfigDrive {
        let [user_data, password, hostname, ssh_keys] = self.tags;
        let given = user_data.map(|d| decode(&d)).unwrap_or_default();
        // The name from its tag, or else made from its address: `10-0-0-5`.
        let hostname = hostname.or_else(|| self.address.map(|ip| ip.replace(['.', ':'], "-")));
        let mut meta = BTreeMap::from([("name".to_owned(), self.name)]);
        meta.extend(self.image.map(|v| ("image".to_owned(), v)));
        meta.extend(self.offering.map(|v| ("offering".to_owned(), v)));
        ConfigDrive {
            hostname: hostname.unwrap_or_else(|| format!("vm-{}", &vm.to_string()[..12])),
            ssh_keys: keys(ssh_keys.as_deref().unwrap_or_default()),
            user_data: match password {
                Some(password) => with_password(&given, &password),
                None => given,
            },
            meta,
        }
    }
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
