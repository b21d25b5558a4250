//! The agent's folder: who it is and where its server listens.
//!
//! `agent.json`, `ca.pem`, `cert.pem` and `key.pem` are written when the host is added. Until they are there the agent
//! waits, and it reads them again before each connection, so a new certificate needs no restart.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Contents of `agent.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// The agent's uuid: the common name of its certificate.
    pub agent: String,
    /// Where the server listens for agents: `host:7443`; of several servers all, with commas.
    pub server: String,
    /// The name in the server's certificate.
    pub server_name: String,
    /// There are others to dial when this one is gone.
    #[serde(skip)]
    pub is_one_of_several: bool,
}

/// The agent's folder.
#[derive(Debug, Clone)]
pub struct AgentDir(PathBuf);

impl AgentDir {
    /// The folder with its subfolders made. Others may pass through it (QEMU reads config drives); keys are files of
    /// mode 0600.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = Self(std::path::absolute(path)?);
        for folder in [dir.path(), &dir.state(), &dir.vms()] {
            std::fs::create_dir_all(folder)?;
        }
        set_mode(dir.path(), 0o711)?;
        set_mode(&dir.vms(), 0o711)?;
        set_mode(&dir.state(), 0o700)?;
        Ok(dir)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where state is kept that outlives the process.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Where files of running VMs lie, such as config drives.
    pub fn vms(&self) -> PathBuf {
        self.0.join("vms")
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads `agent.json`; none while it, or a certificate, is not there yet.
    pub fn enrolment(&self) -> io::Result<Option<Enrolment>> {
        if ["ca.pem", "cert.pem", "key.pem"].iter().any(|f| !self.file(f).exists()) {
            return Ok(None);
        }
        match std::fs::read(self.file("agent.json")) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Keeps where the servers are, for the time when the one that told is gone.
    pub fn keep_servers(&self, addresses: &[String]) -> io::Result<()> {
        let (file, text) = (self.state().join("servers"), addresses.join(","));
        if std::fs::read_to_string(&file).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let part = file.with_extension("part");
        std::fs::write(&part, text)?;
        std::fs::rename(part, file)
    }

    /// The enrolment with one server of those that are known: at each attempt the next one.
    pub fn one_of_several(&self, mut enrolment: Enrolment, attempt: usize) -> Enrolment {
        let kept = std::fs::read_to_string(self.state().join("servers")).unwrap_or_default();
        let mut known: Vec<&str> = Vec::new();
        // What the last server told comes first; what was written when the host was added may be out of date.
        for address in kept.split(',').chain(enrolment.server.split(',')).map(str::trim) {
            if !address.is_empty() && !known.contains(&address) {
                known.push(address);
            }
        }
        let (count, chosen) = (known.len(), known.get(attempt % known.len().max(1)).map(|a| (*a).to_owned()));
        enrolment.is_one_of_several = count > 1;
        enrolment.server = chosen.unwrap_or(enrolment.server);
        enrolment
    }

    /// Takes the folder for this process until it ends; fails if another agent has it.
    pub fn lock(&self) -> io::Result<Lock> {
        lock(&self.file("agent.lock"), &format!("another agent runs in {}", self.0.display()))
    }

    /// Takes the machine for this process until it ends: guard, bridges and libvirt are the machine's, and two agents would
    /// undo each other's work. `folder` is `/run/cairn`, which a machine of namespaces has for itself.
    pub fn lock_machine(&self, folder: &Path) -> io::Result<Lock> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("agent.lock");
        let other = std::fs::read_to_string(&file).unwrap_or_default();
        let taken = format!("this machine has an agent already ({}); stop that one first", other.trim());
        let mut held = lock(&file, &taken)?;
        let text = format!("process {}, folder {}", std::process::id(), self.0.display());
        held.set_len(0)?;
        io::Write::write_all(&mut *held, text.as_bytes())?;
        Ok(held)
    }
}

/// Something that one process has to itself.
pub type Lock = nix::fcntl::Flock<std::fs::File>;

fn lock(file: &Path, taken: &str) -> io::Result<Lock> {
    let file = std::fs::File::options().create(true).write(true).truncate(false).open(file)?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|(_, e)| io::Error::new(io::ErrorKind::WouldBlock, format!("{taken}: {e}")))
}

/// Sets the permission bits of a path.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_waits_until_all_files_are_there() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = AgentDir::open(tmp.path()).unwrap();
        std::fs::write(
            dir.file("agent.json"),
            r#"{"agent":"a","server":"h:7443","serverName":"cairn-server"}"#,
        )
        .unwrap();
        assert_eq!(dir.enrolment().unwrap(), None);
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::write(dir.file(file), "x").unwrap();
        }
        assert_eq!(dir.enrolment().unwrap().unwrap().server, "h:7443");
    }

    #[test]
    fn ops_14_the_agent_dials_all_servers_in_turn_and_first_those_it_heard_of_last() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = AgentDir::open(tmp.path()).unwrap();
        let told = |server: &str| Enrolment {
            agent: "a".into(),
            server: server.into(),
            server_name: "s".into(),
            is_one_of_several: false,
        };
        let alone = dir.one_of_several(told("h:1"), 3);
        assert_eq!((alone.server.as_str(), alone.is_one_of_several), ("h:1", false));
        dir.keep_servers(&["n:1".into(), "n:2".into()]).unwrap();
        let order: Vec<String> = (0..4).map(|n| dir.one_of_several(told("h:1, n:2"), n).server).collect();
        assert_eq!(order, ["n:1", "n:2", "h:1", "n:1"]);
        assert!(dir.one_of_several(told("h:1"), 0).is_one_of_several);
        dir.keep_servers(&[]).unwrap();
        assert_eq!(dir.one_of_several(told("h:1"), 1).server, "h:1");
    }

    #[test]
    fn two_agents_never_share_a_machine_and_the_second_is_told_of_the_first() {
        let tmp = tempfile::tempdir().unwrap();
        let (run, one, two) = (tmp.path().join("run"), tmp.path().join("one"), tmp.path().join("two"));
        let (one, two) = (AgentDir::open(&one).unwrap(), AgentDir::open(&two).unwrap());
        let held = one.lock_machine(&run).unwrap();
        let refused = two.lock_machine(&run).unwrap_err().to_string();
        assert!(refused.contains(&one.path().display().to_string()), "{refused}");
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        assert!(two.lock_machine(&run).is_ok());
    }

    #[test]
    fn two_agents_never_share_a_folder() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = AgentDir::open(tmp.path()).unwrap();
        let held = dir.lock().unwrap();
        assert!(dir.lock().is_err());
        drop(held);
        assert!(dir.lock().is_ok());
    }
}
