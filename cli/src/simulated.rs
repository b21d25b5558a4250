//! `cairn host add-simulators`: keeps the credentials that the server tells only once in files for `cairn-agent --simulate`.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cairn_api::Operation;
use clap::{Arg, ArgMatches};
use serde_json::{Value, json};

use crate::output::Format;
use crate::{Failure, Result};

/// The operation whose answer is kept.
const ADDS: &str = "AddSimulatorHosts";

/// The flag, for the operation that adds simulated hosts.
pub fn flags(op: &Operation) -> Vec<Arg> {
    if op.name != ADDS {
        return Vec::new();
    }
    let help = "Folder that gets one file of credentials per agent, for cairn-agent --simulate";
    vec![Arg::new("@save-credentials").long("save-credentials").value_name("FOLDER").help(help)]
}

/// Where credentials are to be kept, if this call brings any. The folder is made before the call, since they are told once.
pub fn folder(
    op: &Operation,
    matches: &ArgMatches,
    planned: bool,
    format: Format,
) -> Result<Option<PathBuf>> {
    if op.name != ADDS || planned {
        return Ok(None);
    }
    let Some(folder) = matches.get_one::<String>("@save-credentials").map(PathBuf::from) else {
        if format == Format::Table {
            let text = "the credentials of the agents are told only once: give --save-credentials FOLDER, or -o json to print them";
            return Err(Failure::Usage(text.to_owned()));
        }
        return Ok(None);
    };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|e| Failure::Failed(format!("cannot make the folder {}: {e}", folder.display())))?;
    Ok(Some(folder))
}

/// Writes one file per agent, readable for nobody else; the answer without what is secret.
pub fn keep(folder: &Path, mut answer: Value) -> Result<Value> {
    let shared = ["server", "serverName", "ca"].map(|name| (name, answer[name].take()));
    let agents = answer["agents"].as_array_mut().map(std::mem::take).unwrap_or_default();
    for agent in &agents {
        let uuid = agent["uuid"].as_str().unwrap_or_default();
        if !crate::names::is_uuid(uuid) {
            return Err(Failure::Failed("the server answered an agent without a uuid".to_owned()));
        }
        let mut file = agent.clone();
        shared.iter().for_each(|(name, value)| file[*name] = value.clone());
        let path = folder.join(format!("{uuid}.json"));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut f| f.write_all(file.to_string().as_bytes()));
        written.map_err(|e| Failure::Failed(format!("cannot write {}: {e}", path.display())))?;
    }
    let hosts = answer["hostUuids"].as_array().map_or(0, Vec::len);
    Ok(json!({ "hosts": hosts, "agents": agents.len(), "credentials": folder.display().to_string() }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn bey_07_credentials_are_kept_in_private_files_and_not_printed() {
        let tmp = tempfile::tempdir().unwrap();
        let uuid = "0".repeat(32);
        let answer = json!({
            "hostUuids": ["a", "b"], "ca": "CA", "server": "h:7443", "serverName": "cairn-server",
            "agents": [{ "uuid": uuid, "hosts": 2, "cpuNum": 4, "memorySize": 1024, "certificate": "C", "key": "SECRET" }],
        });
        let shown = keep(tmp.path(), answer.clone()).unwrap();
        assert!(!shown.to_string().contains("SECRET"), "{shown}");
        assert_eq!((&shown["hosts"], &shown["agents"]), (&json!(2), &json!(1)));
        let path = tmp.path().join(format!("{uuid}.json"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            (&file["key"], &file["ca"], &file["server"]),
            (&json!("SECRET"), &json!("CA"), &json!("h:7443"))
        );
        assert!(keep(tmp.path(), answer).is_err(), "a file that is there is not overwritten");
    }
}
