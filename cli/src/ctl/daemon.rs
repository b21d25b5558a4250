//! Starting and stopping the server.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use super::home::{Home, local};
use super::status::{Api, api};
use super::{cannot, process, say, systemd};
use crate::{Failure, Result};

/// Starts the server and waits until it takes calls.
pub fn start(home: &Home, timeout: Duration) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&home.dir)
        .map_err(|e| cannot("make", &home.dir, &e))?;
    let _lock = lock(home)?;
    begin(home, timeout)
}

/// Stops the server.
pub fn stop(home: &Home, timeout: Duration) -> Result<()> {
    if !home.dir.is_dir() {
        return say("The server does not run.");
    }
    let _lock = lock(home)?;
    end(home, timeout)
}

/// Stops and starts the server.
pub fn restart(home: &Home, timeout: Duration) -> Result<()> {
    let _lock = lock(home)?;
    end(home, timeout)?;
    begin(home, timeout)
}

/// Two of us at the same time would start two servers.
fn lock(home: &Home) -> Result<Flock<File>> {
    let path = home.lock();
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| cannot("open", &path, &e))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| Failure::Failed("another cairn-ctl is starting or stopping the server".to_owned()))
}

fn begin(home: &Home, timeout: Duration) -> Result<()> {
    if let Some(pid) = process::find(home) {
        return say(&format!("The server runs already, PID {pid}."));
    }
    if api(home) != Api::Stopped {
        let text = format!(
            "another program answers on {}; stop it or set apiAddress in {}",
            local(home.api),
            home.config().display()
        );
        return Err(Failure::Failed(text));
    }
    let begin = Instant::now();
    let log_length = std::fs::metadata(home.log()).map_or(0, |m| m.len());
    let mut child = None;
    if systemd::has_unit(home) {
        systemd::control("start")?;
    } else {
        let spawned = spawn(home)?;
        let noted = std::fs::write(home.pid(), format!("{}\n", spawned.id()));
        child = Some(spawned);
        noted.map_err(|e| cannot("write", &home.pid(), &e))?;
    }
    wait_ready(home, child.as_mut(), begin, timeout, log_length)?;
    let pid = process::find(home).map_or_else(String::new, |pid| format!(", PID {pid}"));
    say(&format!("The server runs{pid}, after {:.1} s.", begin.elapsed().as_secs_f64()))
}

fn spawn(home: &Home) -> Result<Child> {
    let program = program()?;
    let log = home.log();
    let open = || {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(&log)
            .map_err(|e| cannot("open", &log, &e))
    };
    let mut command = Command::new(&program);
    command
        .arg("--data-dir")
        .arg(&home.dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?);
    if let Some(page) = page_folder(home, &program) {
        command.arg("--page-dir").arg(page);
    }
    // SAFETY: umask and setsid are async-signal-safe and touch no memory of the parent; nothing else runs before exec.
    unsafe {
        command.pre_exec(|| {
            umask(Mode::from_bits_truncate(0o077));
            nix::unistd::setsid().map(|_| ()).map_err(std::io::Error::from)
        });
    }
    command.spawn().map_err(|e| cannot("start", &program, &e))
}

/// The server's program: named by CAIRN_SERVER_PROGRAM, beside this one, or on the path.
fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CAIRN_SERVER_PROGRAM").filter(|v| !v.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(process::PROGRAM));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let candidates =
        beside.into_iter().chain(std::env::split_paths(&on_path).map(|f| f.join(process::PROGRAM)));
    candidates.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Failure::Failed("cairn-server is neither beside cairn-ctl nor on the path; install it or set CAIRN_SERVER_PROGRAM".into())
    })
}

/// The page as it is installed, unless `server.json` names a folder of its own.
fn page_folder(home: &Home, program: &std::path::Path) -> Option<PathBuf> {
    let settings = std::fs::read_to_string(home.config()).unwrap_or_default();
    if settings.contains("\"pageDir\"") {
        return None;
    }
    let near = program.parent()?.join("../share/cairn/page");
    [near, PathBuf::from("/usr/share/cairn/page")].into_iter().find(|p| p.join("index.html").is_file())
}

fn wait_ready(
    home: &Home,
    mut child: Option<&mut Child>,
    begin: Instant,
    timeout: Duration,
    log_from: u64,
) -> Result<()> {
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(Ok(Some(status))) = child.as_mut().map(|c| c.try_wait()) {
            let _ = std::fs::remove_file(home.pid());
            return Err(Failure::Failed(format!(
                "the server ended at once ({status}):\n{}",
                log_tail(home, log_from)
            )));
        }
        if api(home) == Api::Running {
            return Ok(());
        }
        if begin.elapsed() >= timeout {
            let text = format!(
                "the server does not take calls after {} s:\n{}",
                timeout.as_secs(),
                log_tail(home, log_from)
            );
            return Err(Failure::Failed(text));
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(500));
    }
}

/// The last lines that the server wrote since it was started.
fn log_tail(home: &Home, from: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(home.log()) {
        let end = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(from.max(end.saturating_sub(16_384))));
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    if tail.is_empty() { format!("nothing in {}", home.log().display()) } else { tail }
}

fn end(home: &Home, timeout: Duration) -> Result<()> {
    let Some(pid) = process::find(home) else {
        let _ = std::fs::remove_file(home.pid());
        return say("The server does not run.");
    };
    if systemd::has_unit(home) {
        systemd::control("stop")?;
    }
    let asked = Instant::now();
    signal(home, pid, Signal::SIGTERM)?;
    while process::is_server_of(pid, home) {
        if asked.elapsed() >= timeout {
            // Safe at any moment: what was under way stands in the journal.
            signal(home, pid, Signal::SIGKILL)?;
            std::thread::sleep(Duration::from_millis(200));
            if process::is_server_of(pid, home) {
                return Err(Failure::Failed(format!("the server, PID {pid}, does not end")));
            }
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = std::fs::remove_file(home.pid());
    say("The server has stopped.")
}

fn signal(home: &Home, pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => Ok(()),
        Err(_) if !process::is_server_of(pid, home) => Ok(()),
        Err(e) => Err(Failure::Failed(format!("cannot stop PID {pid}: {e}; run cairn-ctl as root"))),
    }
}
