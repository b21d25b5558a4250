//! Deploying an agent: packages, program, credentials, start. Every step may be done again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cairn_types::{Fault, Result, code};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::client::{Client, Login, Output, Root};
use crate::agents::Credentials;

/// Where the agent lives on its machine.
const AGENT_DIR: &str = "/var/lib/cairn-agent";
/// The service as it is shipped, and what stands in it for the agent's program and folder.
const UNIT: &str = include_str!("../../../../packaging/systemd/cairn-agent.service");
const UNIT_START: &str = "ExecStart=/usr/bin/cairn-agent --dir /var/lib/cairn-agent";
const SHORT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(1800);

/// What the machine will do, which decides what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Run VMs.
    Host,
    /// Keep images, and nothing else.
    ImageStore,
}

impl Role {
    /// Packages that it needs, by the names of the Debian family.
    fn packages(self) -> Vec<&'static str> {
        let list = match self {
            Self::Host => include_str!("packages/host"),
            Self::ImageStore => include_str!("packages/image-store"),
        };
        list.lines().collect()
    }
}

/// What is to be deployed where.
pub struct Deployment<'a> {
    /// Data folder of the server.
    pub data_dir: &'a Path,
    /// What the machine will do.
    pub role: Role,
    /// The resource (host or image store) that the agent will serve.
    pub resource: String,
    /// The agent's uuid.
    pub agent: &'a str,
    /// Where the agent finds the server, `host:port`.
    pub server: String,
    /// What proves who the agent is.
    pub credentials: &'a Credentials,
    /// Told how far it is.
    pub progress: &'a (dyn Fn(u8, &str) + Send + Sync),
}

/// The agent's folder on its machine.
fn agent_dir() -> Result<String> {
    let dir = std::env::var("CAIRN_REMOTE_AGENT_DIR").unwrap_or_else(|_| AGENT_DIR.into());
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if dir.starts_with('/') && dir.len() > 1 && dir.chars().all(ok) && !dir.contains("..") {
        return Ok(dir);
    }
    Err(Fault::internal("CAIRN_REMOTE_AGENT_DIR must be an absolute folder of letters, digits and . - _"))
}

/// The program that is deployed: beside the server's own, or where `CAIRN_AGENT_PROGRAM` says.
fn program() -> Result<PathBuf> {
    let file = match std::env::var_os("CAIRN_AGENT_PROGRAM") {
        Some(file) => PathBuf::from(file),
        None => std::env::current_exe().unwrap_or_default().with_file_name("cairn-agent"),
    };
    if file.is_file() {
        return Ok(file);
    }
    let text = "the program cairn-agent is not beside cairn-server; install it there, then try again";
    Err(Fault::operation(text).for_operator(file.display()))
}

/// Logs in and proves that it becomes root: nothing is changed there.
pub async fn verify(data_dir: &Path, resource: &str, login: Login) -> Result<()> {
    log_in(data_dir, resource, login).await.map(|_| ())
}

async fn log_in(data_dir: &Path, resource: &str, login: Login) -> Result<(Client, Output)> {
    let mut client = Client::new(data_dir, resource, login)?;
    let probe = client.run(include_str!("scripts/probe.sh"), b"", SHORT).await?;
    client.root = match probe.value("root") {
        "yes" => Root::Is,
        "sudo" => Root::Sudo,
        "password" => Root::SudoPassword,
        _ => Root::No,
    };
    let who = client.run_as_root(include_str!("scripts/whoami.sh"), b"", SHORT).await?;
    if who.out.trim() != "0" {
        return Err(client.not_root().for_operator(who.tail()));
    }
    Ok((client, probe))
}

/// Deploys an agent. It dials in by itself afterwards.
pub async fn deploy(to: &Deployment<'_>, login: Login) -> Result<()> {
    let dir = agent_dir()?;
    // Said before anything is touched there.
    program()?;
    let address = login.host.clone();
    (to.progress)(5, &format!("logging in to {address}"));
    let (client, probe) = log_in(to.data_dir, &to.resource, login).await?;
    check_system(&probe, &address)?;

    (to.progress)(10, "looking what is missing");
    let input = format!("{dir}\n{}\n", to.role.packages().join("\n"));
    let examined = client.run_as_root(include_str!("scripts/examine.sh"), input.as_bytes(), SHORT).await?;
    install(to, &client, &examined, &address).await?;

    if to.role == Role::Host {
        check_qemu(&client, &address).await?;
    }
    copy_program(to, &client, &examined, &address).await?;
    (to.progress)(75, "writing the agent's certificate");
    let done =
        client.run_as_root(include_str!("scripts/credentials.sh"), &enrolment(to, &dir)?, SHORT).await?;
    must(done, &format!("the agent's certificate could not be written on {address}; check its disk"))?;

    (to.progress)(80, "starting the agent");
    let input = format!("{dir}\n{}\n", STANDARD.encode(unit(&dir)));
    let done = client.run_as_root(include_str!("scripts/start.sh"), input.as_bytes(), SHORT).await?;
    must(done, &format!("the agent could not be started on {address}; its log there says why"))
}

fn must(done: Output, text: &str) -> Result<()> {
    if done.code == 0 {
        return Ok(());
    }
    Err(Fault::new(code::HOST_CONNECTION, text).for_operator(done.tail()))
}

/// Only the Debian family, on the architecture of the agent's program.
fn check_system(probe: &Output, address: &str) -> Result<()> {
    let (id, like, arch) = (probe.value("id"), probe.value("like"), probe.value("arch"));
    let debian = [id].into_iter().chain(like.split_whitespace()).any(|d| d == "debian" || d == "ubuntu");
    if !debian {
        let what = if id.is_empty() { "an unknown system" } else { id };
        let text = format!(
            "{address} runs {what} {}, which is not supported; use Debian or one of its family",
            probe.value("version")
        );
        return Err(Fault::new(code::HOST_UNSUPPORTED, text).with("distribution", id));
    }
    if arch != std::env::consts::ARCH {
        let text = format!(
            "{address} is a machine of type {arch}; the agent is built for {}",
            std::env::consts::ARCH
        );
        return Err(Fault::new(code::HOST_UNSUPPORTED, text).with("architecture", arch));
    }
    Ok(())
}

async fn install(to: &Deployment<'_>, client: &Client, examined: &Output, address: &str) -> Result<()> {
    // Only names of our own list go back, whatever the far side said.
    let said: Vec<&str> = examined.value("missing").split_whitespace().collect();
    let missing: Vec<&str> = to.role.packages().into_iter().filter(|p| said.contains(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    (to.progress)(15, &format!("installing {} packages: {}", missing.len(), missing.join(", ")));
    let input = format!("{}\n", missing.join("\n"));
    let done = client.run_as_root(include_str!("scripts/packages.sh"), input.as_bytes(), LONG).await?;
    if done.code == 0 {
        return Ok(());
    }
    let text = format!(
        "packages could not be installed on {address} ({}); check its package sources and network, or install them by hand",
        missing.join(", ")
    );
    Err(Fault::new(code::HOST_PACKAGES, text).with("packages", missing.join(" ")).for_operator(done.tail()))
}

async fn check_qemu(client: &Client, address: &str) -> Result<()> {
    let qemu = client.run_as_root(include_str!("scripts/virtualisation.sh"), b"", SHORT).await?;
    if qemu.code == 0 {
        return Ok(());
    }
    let text = format!(
        "QEMU does not run on {address}, so no VM can; repair its packages or choose another machine"
    );
    Err(Fault::new(code::HOST_NO_VIRTUALISATION, text).for_operator(qemu.tail()))
}

/// Copies the agent, unless the same one is there.
async fn copy_program(to: &Deployment<'_>, client: &Client, examined: &Output, address: &str) -> Result<()> {
    let (dir, program) = (agent_dir()?, program()?);
    let bytes = std::fs::read(&program)
        .map_err(|e| Fault::internal("the agent's program can't be read").for_operator(e))?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    if examined.value("sha256") == sha256 {
        return Ok(());
    }
    (to.progress)(60, "copying the agent");
    let input = [format!("{dir}\n").as_bytes(), &bytes].concat();
    let done = client.run_as_root(include_str!("scripts/program.sh"), &input, LONG).await?;
    must(done, &format!("the agent could not be copied to {address}; check its disk and architecture"))
}

/// The input of `credentials.sh`: `agent.json` last, because the agent begins when it is there.
fn enrolment(to: &Deployment<'_>, dir: &str) -> Result<Vec<u8>> {
    let mut input = format!("{dir}\n");
    for (name, content) in files(to.agent, &to.server, to.credentials)? {
        input += &format!("{name}\n{}\n", STANDARD.encode(content));
    }
    Ok(input.into_bytes())
}

/// The files by which an agent knows who it is and where its server is, in the order in which they are written.
pub(in crate::hardware) fn files(
    agent: &str,
    server: &str,
    credentials: &Credentials,
) -> Result<Vec<(&'static str, String)>> {
    let server_name = crate::agents::SERVER_NAME;
    let enrolment = json!({ "agent": agent, "server": server, "serverName": server_name });
    Ok(vec![
        ("ca.pem", credentials.ca.clone()),
        ("cert.pem", credentials.certificate.clone()),
        ("key.pem", credentials.key.clone()),
        ("agent.json", enrolment.to_string()),
    ])
}

/// The shipped service, for an agent in this folder.
fn unit(dir: &str) -> String {
    UNIT.replace(UNIT_START, &format!("ExecStart={dir}/cairn-agent --dir {dir}"))
}

/// Reads the end of the agent's log, for operators; empty if that can't be had.
pub(in crate::hardware) async fn log(data_dir: &Path, resource: &str, login: Login) -> String {
    let read = async {
        let (client, _) = log_in(data_dir, resource, login).await?;
        let input = format!("{}\n", agent_dir()?);
        client.run_as_root(include_str!("scripts/log.sh"), input.as_bytes(), SHORT).await
    };
    let read: Result<Output> = read.await;
    read.map(|o| o.tail()).unwrap_or_default()
}

/// Ends the agent and removes what was deployed, but for packages.
pub async fn remove(data_dir: &Path, resource: &str, login: Login) -> Result<()> {
    let (client, _) = log_in(data_dir, resource, login).await?;
    let input = format!("{}\n", agent_dir()?);
    let done = client.run_as_root(include_str!("scripts/remove.sh"), input.as_bytes(), SHORT).await?;
    must(done, "the agent could not be removed")
}

/// Forgets the host key of a machine.
pub fn forget(data_dir: &Path, resource: &str) {
    let _ = std::fs::remove_file(super::client::known_hosts(data_dir, resource));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_02_the_deployed_service_is_the_shipped_one() {
        assert_eq!(UNIT.matches(UNIT_START).count(), 1);
        let deployed = unit("/srv/agent");
        assert!(deployed.contains("\nExecStart=/srv/agent/cairn-agent --dir /srv/agent\n"), "{deployed}");
        assert!(deployed.contains("\nRestart=always\n") && deployed.contains("\nWantedBy=multi-user.target"));
    }

    #[test]
    fn bs_01_a_machine_for_images_gets_no_hypervisor() {
        let (host, store) = (Role::Host.packages(), Role::ImageStore.packages());
        assert!(host.contains(&"libvirt-daemon-system") && host.contains(&"qemu-system-x86"));
        assert!(!store.contains(&"libvirt-daemon-system") && !store.contains(&"qemu-system-x86"));
        let is_name = |p: &&str| p.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        assert!(host.iter().chain(&store).all(|p| !p.is_empty() && is_name(p)));
    }
}
