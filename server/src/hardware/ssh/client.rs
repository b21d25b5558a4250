//! One log-in: the `ssh` program with a password from a helper or a key from a file, and what its failures mean.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cairn_types::{Fault, Result, code, random_uuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::platform::secrets::write_private;

/// The helper that gives `ssh` the password. It holds nothing itself.
const ASKPASS: &str = "#!/bin/sh\nprintf '%s\\n' \"$CAIRN_SSH_SECRET\"\n";
/// Seconds for a connection to come about.
const CONNECT_S: u32 = 10;

/// How to log in to a machine.
#[derive(Clone)]
pub struct Login {
    /// Address or name.
    pub host: String,
    /// SSH port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password for the log-in, and for sudo.
    pub password: Option<String>,
    /// Private key for the log-in, instead of the password.
    pub private_key: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

/// Refuses what is no address or host name.
pub fn check_address(parameter: &str, address: &str) -> Result<()> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
    if !address.is_empty() && address.len() <= 255 && address.chars().all(ok) && !address.starts_with('-') {
        return Ok(());
    }
    let text = format!("parameter {parameter} must be an IP address or a host name");
    Err(Fault::argument(text).with("parameter", parameter))
}

/// Refuses what can't be the name of a user.
pub fn check_user(user: &str) -> Result<()> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '\\');
    if !user.is_empty() && user.chars().all(ok) && !user.starts_with('-') {
        return Ok(());
    }
    Err(Fault::argument("parameter username is no user name of a Linux machine")
        .with("parameter", "username"))
}

/// How it becomes root there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// Not at all.
    No,
    /// It is root.
    Is,
    /// `sudo` asks for nothing.
    Sudo,
    /// `sudo` asks for the password.
    SudoPassword,
}

/// What a program on the far side left.
pub(super) struct Output {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Output {
    /// The value of `name=value` in the output.
    pub(super) fn value(&self, name: &str) -> &str {
        let line = self.out.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        line.map(str::trim).unwrap_or_default()
    }

    /// The end of both outputs, for operators.
    pub(super) fn tail(&self) -> String {
        let text = format!("{}\n{}", self.out.trim(), self.err.trim());
        let from = text.char_indices().rev().nth(1500).map_or(0, |(i, _)| i);
        text[from..].to_owned()
    }
}

/// Log-ins to one machine.
pub(super) struct Client {
    login: Login,
    folder: PathBuf,
    known_hosts: PathBuf,
    key: Option<PathBuf>,
    pub(super) root: Root,
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            let _ = std::fs::remove_file(key);
        }
    }
}

fn io(what: &str) -> impl Fn(std::io::Error) -> Fault + '_ {
    move |e| Fault::internal(format!("{what} can't be made on the server")).for_operator(e)
}

impl Client {
    /// Prepares log-ins. `name` is the resource's uuid: its machine keeps one host key as long as it lives.
    pub(super) fn new(data_dir: &Path, name: &str, login: Login) -> Result<Self> {
        check_address("managementIp", &login.host)?;
        check_user(&login.user)?;
        let folder = data_dir.join("ssh");
        std::fs::create_dir_all(&folder).map_err(io("the folder for SSH"))?;
        let askpass = folder.join("askpass");
        if std::fs::read(&askpass).ok().as_deref() != Some(ASKPASS.as_bytes()) {
            write_program(&askpass)?;
        }
        let key = match &login.private_key {
            None => None,
            Some(key) => {
                let file = folder.join(format!("key-{}", random_uuid()));
                // Keys that were pasted may lack the end of the last line, without which OpenSSH does not read them.
                write_private(&file, format!("{}\n", key.trim_end().replace("\r\n", "\n")).as_bytes())?;
                Some(file)
            }
        };
        Ok(Self { login, known_hosts: known_hosts(data_dir, name), folder, key, root: Root::No })
    }

    fn command(&self, far: &str) -> Command {
        let mut c = Command::new("ssh");
        c.env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY");
        c.args([
            "-F",
            "none",
            "-T",
            "-x",
            "-a",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "StrictHostKeyChecking=accept-new",
        ]);
        c.arg("-o").arg(format!("UserKnownHostsFile=\"{}\"", self.known_hosts.display()));
        c.args([
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "ConnectionAttempts=1",
            "-o",
            "ServerAliveInterval=15",
        ]);
        c.arg("-o").arg(format!("ConnectTimeout={CONNECT_S}"));
        match &self.key {
            Some(key) => {
                c.args([
                    "-o",
                    "BatchMode=yes",
                    "-o",
                    "IdentitiesOnly=yes",
                    "-o",
                    "PreferredAuthentications=publickey",
                ]);
                c.arg("-i").arg(key);
            }
            None => {
                c.args(["-o", "NumberOfPasswordPrompts=1", "-o", "PubkeyAuthentication=no"]);
                c.args(["-o", "PreferredAuthentications=password,keyboard-interactive"]);
                c.env("SSH_ASKPASS", self.folder.join("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
                c.env("CAIRN_SSH_SECRET", self.login.password.as_deref().unwrap_or_default());
            }
        }
        c.arg("-p").arg(self.login.port.to_string()).arg("-l").arg(&self.login.user);
        c.args(["--", &self.login.host, far]);
        c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        c
    }

    /// Runs a fixed text as the user that logs in.
    pub(super) async fn run(&self, script: &'static str, input: &[u8], limit: Duration) -> Result<Output> {
        self.carry(&format!("sh -c {}", quoted(script)), &[input], limit).await
    }

    /// Runs a fixed text as root.
    pub(super) async fn run_as_root(
        &self,
        script: &'static str,
        input: &[u8],
        limit: Duration,
    ) -> Result<Output> {
        let script = quoted(script);
        match self.root {
            Root::Is => self.carry(&format!("sh -c {script}"), &[input], limit).await,
            Root::Sudo => self.carry(&format!("sudo -n sh -c {script}"), &[input], limit).await,
            Root::SudoPassword => {
                // `-k`: asks in any case, so that the first line of the input is always the password.
                let far = format!("sudo -k -S -p '' sh -c {script}");
                let password = format!("{}\n", self.login.password.as_deref().unwrap_or_default());
                self.carry(&far, &[password.as_bytes(), input], limit).await
            }
            Root::No => Err(self.not_root()),
        }
    }

    /// `HOST.8002`.
    pub(super) fn not_root(&self) -> Fault {
        let text = format!(
            "user {} of {} can't become root; use root, or a user whom sudo lets run everything with the same password",
            self.login.user, self.login.host
        );
        Fault::new(code::HOST_SSH_NOT_ROOT, text).with("username", self.login.user.as_str())
    }

    async fn carry(&self, far: &str, input: &[&[u8]], limit: Duration) -> Result<Output> {
        let late = || {
            let text = format!("a command on {} did not end within {} s", self.login.host, limit.as_secs());
            Fault::new(code::TIMEOUT, text).retry()
        };
        tokio::time::timeout(limit, self.carry_for_ever(far, input)).await.map_err(|_| late())?
    }

    async fn carry_for_ever(&self, far: &str, input: &[&[u8]]) -> Result<Output> {
        let mut child = self.command(far).spawn().map_err(|e| {
            Fault::internal("the program ssh can't be started; install openssh-client on the server")
                .for_operator(e)
        })?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut pipe) = stdin.take() {
                for part in input {
                    // A far side that reads no more has its reasons; its exit says which.
                    if pipe.write_all(part).await.is_err() {
                        break;
                    }
                }
                let _ = pipe.shutdown().await;
            }
        };
        let ((), out, err) = tokio::join!(write, read_all(stdout), read_all(stderr));
        let status = child.wait().await.map_err(io("a process"))?;
        let output = Output { code: status.code().unwrap_or(-1), out, err };
        if output.code == 255 {
            return Err(self.meaning(&output.err));
        }
        Ok(output)
    }

    /// What ssh's own complaint means.
    fn meaning(&self, err: &str) -> Fault {
        let (host, port, user) = (&self.login.host, self.login.port, &self.login.user);
        let has = |texts: &[&str]| texts.iter().any(|t| err.contains(t));
        let fault = if has(&["IDENTIFICATION HAS CHANGED", "Host key verification failed"]) {
            let text = format!(
                "{host} shows another SSH host key than before; if it was installed anew, delete the host and add it again"
            );
            Fault::new(code::HOST_SSH_UNREACHABLE, text)
        } else if has(&["Load key", "invalid format", "error in libcrypto"]) {
            Fault::new(
                code::HOST_SSH_LOGIN,
                "the private key can't be read; give an OpenSSH key without a passphrase",
            )
        } else if has(&[
            "Permission denied",
            "Too many authentication failures",
            "No supported authentication",
        ]) {
            let what = if self.key.is_some() { "private key" } else { "password" };
            let text = format!(
                "{host} refused the log-in of {user} by SSH; check user and {what}, and that sshd allows it"
            );
            Fault::new(code::HOST_SSH_LOGIN, text)
        } else {
            let text = format!(
                "{host} can't be reached by SSH at port {port}; check address, port, firewall, and that sshd runs"
            );
            Fault::new(code::HOST_SSH_UNREACHABLE, text)
        };
        fault
            .with("managementIp", host.as_str())
            .with("sshPort", port)
            .with("username", user.as_str())
            .for_operator(err.trim())
    }
}

/// Where the host key of a machine is kept.
pub(super) fn known_hosts(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join("ssh").join(format!("known-{name}"))
}

async fn read_all(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A talkative installation is cut off, so that it does not fill the memory, and read on, so that it does not hang.
        let _ = (&mut pipe).take(4 << 20).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One of our own texts as a single word of a POSIX shell.
fn quoted(script: &'static str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}

fn write_program(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Written aside and renamed, because another log-in may be using the old one.
    let part = path.with_extension(random_uuid());
    write_private(&part, ASKPASS.as_bytes())?;
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o700))
        .map_err(io("the helper of ssh"))?;
    std::fs::rename(&part, path).map_err(io("the helper of ssh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_addresses_and_users_are_refused() {
        for bad in
            ["", "-oProxyCommand=reboot", "a b", "$(reboot)", "h;reboot", "h\nreboot", "../x", "名", "a'b"]
        {
            assert!(check_address("managementIp", bad).is_err(), "{bad:?}");
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
        for good in ["10.0.0.1", "fe80::1", "host-1.example.org"] {
            assert!(check_address("managementIp", good).is_ok(), "{good}");
        }
        for good in ["root", "debian", "first.last", "user@realm"] {
            assert!(check_user(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn our_texts_stay_one_word() {
        assert_eq!(quoted("echo 'a b'"), r"'echo '\''a b'\'''");
    }

    #[test]
    fn logins_are_never_shown_with_their_secret() {
        let login = Login {
            host: "h".into(),
            port: 22,
            user: "root".into(),
            password: Some("s3cret".into()),
            private_key: Some("KEY".into()),
        };
        let shown = format!("{login:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("KEY"));
    }
}
