//! The systemd unit of the server, where there is one.

use std::path::Path;
use std::process::Command;

use super::home::Home;
use crate::{Failure, Result};

/// Name of the unit.
pub const UNIT: &str = "cairn-server.service";

/// Whether systemd runs this machine and has a unit for the server of this folder.
pub fn has_unit(home: &Home) -> bool {
    let folders =
        ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let installed = || folders.iter().any(|f| Path::new(f).join(UNIT).exists());
    home.is_default() && Path::new("/run/systemd/system").is_dir() && installed()
}

/// `systemctl start`, `stop` or `restart` of the unit.
pub fn control(verb: &str) -> Result<()> {
    let output = Command::new("systemctl").arg(verb).arg(UNIT).output();
    let output = output.map_err(|e| Failure::Failed(format!("cannot run systemctl: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::Failed(format!("systemctl {verb} {UNIT} failed: {said}; see journalctl -u {UNIT}")))
}
