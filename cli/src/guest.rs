//! What a new VM hands to its guest: flags for the system tags that carry it.

use cairn_api::Operation;
use clap::{Arg, ArgAction, ArgMatches};
use serde_json::Value;

use crate::arguments::{self, Params};
use crate::client::Client;
use crate::{Failure, Result, names};

/// The flags, for the operation that makes a VM.
pub fn flags(op: &Operation) -> Vec<Arg> {
    if op.name != "CreateVmInstance" {
        return Vec::new();
    }
    let flag = |id: &'static str, value: &'static str, help: &'static str| {
        Arg::new(format!("@{id}")).long(id).value_name(value).help(help).help_heading("Options of the guest")
    };
    vec![
        flag(
            "ssh-key-file",
            "FILE",
            "Public SSH key that may log in to the guest, such as ~/.ssh/id_ed25519.pub",
        ),
        flag("hostname", "NAME", "Host name of the guest"),
        flag("user-data-file", "FILE", "cloud-init configuration or script for the guest"),
        flag(
            "ip",
            "NETWORK=ADDRESS",
            "Address on one of the L3 networks; the server chooses a free one if absent",
        )
        .action(ArgAction::Append),
    ]
}

/// Adds the system tags of the flags that were given.
pub fn add_tags(client: &Client, matches: &ArgMatches, params: &mut Params) -> Result<()> {
    let one = |id: &str| arguments::texts(matches, id).and_then(|mut all| all.pop());
    let mut tags = Vec::new();
    if let Some(path) = one("@ssh-key-file") {
        tags.push(format!("sshkey::{}", arguments::file(&path)?.trim()));
    }
    tags.extend(one("@hostname").map(|name| format!("hostname::{name}")));
    if let Some(path) = one("@user-data-file") {
        tags.push(format!("userdata::{}", arguments::file(&path)?));
    }
    for pair in arguments::texts(matches, "@ip").unwrap_or_default() {
        let Some((network, address)) = pair.split_once('=') else {
            return Err(Failure::Usage(format!("--ip takes NETWORK=ADDRESS, not {pair:?}")));
        };
        let network = match names::is_uuid(network) {
            true => network.to_owned(),
            false => names::uuid_of(client, "L3NetworkVO", network)?,
        };
        tags.push(format!("staticIp::{network}::{address}"));
    }
    if tags.is_empty() {
        return Ok(());
    }
    let all = params.entry("systemTags").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(all) = all {
        all.extend(tags.into_iter().map(Value::String));
    }
    Ok(())
}
