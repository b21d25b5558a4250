//! A server of its own for a scenario: a new data folder, free ports, gone when dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cairn_lab::Api;
use cairn_store::PostgresUrl;
use cairn_types::Fault;

/// Unit of processor times in `/proc`, the same on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A program of the build that is measured: in `$CAIRN_BIN`, else beside this one.
pub fn program(name: &str) -> PathBuf {
    let beside = || std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf));
    std::env::var_os("CAIRN_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default().join(name)
}

/// A folder for a scenario's servers, whose database on a PostgreSQL server belongs to it. Both are gone when it is dropped;
/// the servers must have ended by then.
pub struct DataDir {
    folder: tempfile::TempDir,
}

/// A folder on a real disk: `/tmp` may be memory, and then nothing would be durable.
pub fn data_dir() -> Result<DataDir> {
    let folder = tempfile::Builder::new().prefix("cairn-bench-").tempdir_in("/var/tmp");
    Ok(DataDir { folder: folder.context("a data folder in /var/tmp")? })
}

impl DataDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let dropped = postgres().and_then(|server| match server {
            Some(server) => {
                cairn_store::scratch::drop_database(&server, &database_name(self.path())).map_err(plain)
            }
            None => Ok(()),
        });
        if let Err(error) = dropped {
            eprintln!("a database was left behind: {error:#}");
        }
    }
}

/// A running server.
pub struct Server {
    child: Child,
    dir: PathBuf,
    /// Address of its API.
    pub address: SocketAddr,
    /// From the start of the process to its first answer.
    pub took: Duration,
}

impl Server {
    /// Starts it on a data folder and waits for its first answer.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::start_at(dir, free_address()?, Duration::from_secs(30))
    }

    /// The same with an address for agents, and for a database that may take its time.
    pub fn start_at(dir: &Path, agents: SocketAddr, patience: Duration) -> Result<Self> {
        let address = free_address()?;
        let log = File::options().create(true).append(true).open(dir.join("log"))?;
        let mut command = Command::new(program("cairn-server"));
        command.arg("--data-dir").arg(dir.join("data"));
        command.args([
            "--api",
            &address.to_string(),
            "--page",
            "127.0.0.1:0",
            "--agents",
            &agents.to_string(),
        ]);
        if let Some(url) = database(dir)? {
            command.env("CAIRN_STORE", url);
        }
        // A group of its own: Ctrl-C is for the bench, which then ends the server.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{:?} can't be started; build it first", command.get_program()))?;
        let mut server = Self { child, dir: dir.to_owned(), address, took: Duration::ZERO };
        while !server.answers() {
            if server.child.try_wait()?.is_some() || began.elapsed() > patience {
                bail!("the server does not answer: {}", server.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.took = began.elapsed();
        Ok(server)
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let request =
                b"GET /zstack/v1/management-nodes/ready HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
            stream.write_all(request)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer.starts_with(b"HTTP/1.1 200"))
        };
        ask().unwrap_or(false)
    }

    /// Processor time that it has used so far, in seconds.
    pub fn processor_s(&self) -> Result<f64> {
        processor_s(self.child.id())
    }

    /// Memory that it has in use, and the most that it ever had, in MiB.
    pub fn memory_mib(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> Result<f64> {
            let line =
                status.lines().find_map(|l| l.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
            Ok(kib / 1024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// A client of the admin account.
    pub fn admin(&self) -> Result<Api> {
        Api::new(&format!("http://{}", self.address)).login("admin", "password")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time that a process has used so far, in seconds.
pub fn processor_s(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold spaces; user and system time are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(") ").context("the processor time of a process")?;
    let ticks: f64 = fields.split(' ').skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_S)
}

/// The database that belongs to a folder, on the PostgreSQL server that `CAIRN_TEST_STORE` names; none: a file in the folder.
fn database(dir: &Path) -> Result<Option<String>> {
    let Some(server) = postgres()? else { return Ok(None) };
    let url = cairn_store::scratch::database(&server, &database_name(dir)).map_err(plain)?;
    Ok(Some(url.secret_text()))
}

fn postgres() -> Result<Option<PostgresUrl>> {
    let text = std::env::var("CAIRN_TEST_STORE").ok().filter(|text| !text.is_empty());
    text.map(|text| text.parse()).transpose().map_err(plain).context("CAIRN_TEST_STORE")
}

fn database_name(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().to_lowercase().replace(['-', '.'], "_")
}

fn plain(fault: Fault) -> anyhow::Error {
    anyhow::anyhow!("{fault} ({})", fault.operator.as_deref().unwrap_or_default())
}

/// An address of this machine that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
