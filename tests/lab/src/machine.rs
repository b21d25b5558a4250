//! Machines beside this one, which scripts of this folder start and which end with their standard input.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::installation::{root, sh};

/// A machine.
pub struct Machine {
    script: Child,
    _hold: ChildStdin,
    said: BufReader<ChildStdout>,
    pid: String,
    /// Its address at the end of the cable.
    pub address: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SIGTERM lets its trap take the cable away.
        let _ = Command::new("kill").arg(self.script.id().to_string()).status();
        let _ = self.script.wait();
    }
}

impl Machine {
    /// Namespaces on the packages of this machine, without systemd: `second-host.sh`.
    pub fn second_host(net: &str, key: &Path) -> Result<Self> {
        Self::start("second-host.sh", &[net, &key.to_string_lossy()], format!("{net}.2"))
    }

    /// A bare Debian with systemd: `bare-machine.sh`. Machines of different numbers may run at once.
    pub fn bare(number: u8, key: &Path) -> Result<Self> {
        let said = sh(&root().join("scripts/bare-machine.sh").to_string_lossy(), &[])?;
        let folder = said.lines().last().unwrap_or_default();
        let address = format!("172.30.96.{}", 4 * number + 2);
        Self::start("bare-machine.sh", &[folder, &number.to_string(), &key.to_string_lossy()], address)
    }

    fn start(script: &str, args: &[&str], address: String) -> Result<Self> {
        let path = root().join("tests/lab").join(script);
        let mut child = Command::new(path).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let hold = child.stdin.take().context("no pipe")?;
        let said = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut machine = Self { script: child, _hold: hold, said, pid: String::new(), address };
        machine.booted().with_context(|| script.to_owned())?;
        Ok(machine)
    }

    /// Waits until it has booted, or has booted again.
    fn booted(&mut self) -> Result<()> {
        let mut pid = String::new();
        self.said.read_line(&mut pid)?;
        ensure!(!pid.trim().is_empty(), "the machine at {} did not start", self.address);
        self.pid = pid.trim().to_owned();
        Ok(())
    }

    /// Boots it again.
    pub fn reboot(&mut self) -> Result<()> {
        self.run("systemctl reboot");
        self.booted()
    }

    /// Runs a shell command there; gives what it wrote.
    pub fn run(&self, command: &str) -> String {
        let out = Command::new("nsenter")
            .args(["-t", &self.pid, "-m", "-n", "-p", "-u", "-i", "-C", "sh", "-c", command])
            .stdin(Stdio::null())
            .output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    }

    /// Runs a shell command there until it writes this.
    pub fn wait(&self, command: &str, wanted: &str, how_long: Duration) -> Result<()> {
        let end = Instant::now() + how_long;
        loop {
            let said = self.run(command);
            if said == wanted {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("{command} says {said:?} and not {wanted:?} after {how_long:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
