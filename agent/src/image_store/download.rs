//! One download by curl: bytes run through us, are counted and hashed, and end in a file.
//!
//! curl gets its address through standard input, so that no token or password stands in the list of processes. It never
//! follows a redirect by itself: each hop is resolved and checked here, and curl is pinned to what was checked.

use std::fs::File;
use std::future::Future;
use std::io::{BufRead, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_api::agent::image_store::UrlPolicy;
use cairn_types::{Fault, Result, code};
use md5::Md5;
use sha2::{Digest, Sha256};

use super::policy::{Url, resolve};
use crate::drivers::cancelled;
use crate::process::io_fault;
use crate::state::hex;

/// Redirects that are followed.
const MAX_HOPS: usize = 5;

/// Where to download from.
#[derive(Debug, Clone)]
pub struct Source {
    url: Url,
    policy: Option<UrlPolicy>,
}

impl Source {
    /// An address of our own making: reached as it is, no redirects.
    pub fn trusted(url: &str) -> Result<Self> {
        Ok(Self { url: Url::parse(url)?, policy: None })
    }

    /// An address from outside.
    pub fn checked(url: &str, policy: &UrlPolicy) -> Result<Self> {
        Ok(Self { url: Url::parse(url)?, policy: Some(policy.clone()) })
    }
}

/// A download to do.
pub struct Download {
    /// From where.
    pub source: Source,
    /// The file; replaced.
    pub to: PathBuf,
    /// Refuse more than this, in bytes.
    pub max_bytes: u64,
    /// The thing, for messages: `image <uuid>`.
    pub what: String,
    /// Size if known before, in bytes.
    pub expected: Option<u64>,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Bytes of the file.
    pub bytes: u64,
    /// Hex MD5.
    pub md5: String,
    /// Hex SHA-256.
    pub sha256: String,
}

/// Counts and hashes bytes on their way into a file.
pub struct Sink {
    file: File,
    bytes: u64,
    max_bytes: u64,
    md5: Md5,
    sha256: Sha256,
}

impl Sink {
    /// Into a new file, at most so many bytes.
    pub fn create(path: &std::path::Path, max_bytes: u64) -> std::io::Result<Self> {
        let file = File::create(path)?;
        Ok(Self { file, bytes: 0, max_bytes, md5: Md5::new(), sha256: Sha256::new() })
    }

    /// Takes some bytes; the fault names `what`.
    pub fn take(&mut self, chunk: &[u8], what: &str) -> Result<()> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.max_bytes {
            let text = format!("{what} is larger than the {} bytes allowed", self.max_bytes);
            return Err(Fault::new(code::IMAGE_TOO_LARGE, text).with("maxBytes", self.max_bytes));
        }
        self.md5.update(chunk);
        self.sha256.update(chunk);
        self.file
            .write_all(chunk)
            .map_err(|e| io_fault(code::AGENT_STORAGE, format!("{what} could not be written"), &e))
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file durable and tells what it holds.
    pub fn finish(self, what: &str) -> Result<Received> {
        let synced = self.file.sync_all();
        synced.map_err(|e| io_fault(code::AGENT_STORAGE, format!("{what} could not be written"), &e))?;
        Ok(Received {
            bytes: self.bytes,
            md5: hex(&self.md5.finalize()),
            sha256: hex(&self.sha256.finalize()),
        })
    }
}

/// What the reading thread and the waiting task share.
#[derive(Default)]
struct Progress {
    bytes: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
    /// The program at work, to be ended at once: a server that trickles may keep it waiting for minutes.
    curl: Mutex<Option<Child>>,
}

impl Progress {
    fn curl(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.curl.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.kill();
    }

    fn kill(&self) {
        if let Some(curl) = self.curl().as_mut() {
            let _ = curl.kill();
        }
    }
}

/// How one request ended.
enum Hop {
    Done(Received),
    Redirect(String),
}

impl Download {
    /// Downloads. `stop` ends it early with `RUN.8000`; `progress` hears percentages when the size is known.
    pub async fn run(
        mut self,
        progress: &(dyn Fn(u8) + Send + Sync),
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Received> {
        let shared = Arc::new(Progress::default());
        let mut stop = std::pin::pin!(stop);
        for _ in 0..=MAX_HOPS {
            shared.total.store(self.expected.unwrap_or(0), Ordering::Relaxed);
            let ips = match &self.source.policy {
                Some(policy) => resolve(policy, &self.source.url).await?,
                None => Vec::new(),
            };
            let config = curl_config(&self.source.url, &ips);
            let (to, max, what, thread) =
                (self.to.clone(), self.max_bytes, self.what.clone(), shared.clone());
            let mut work = tokio::task::spawn_blocking(move || request(&config, &to, max, &what, &thread));
            let hop = loop {
                tokio::select! {
                    hop = &mut work => break hop.map_err(|e| Fault::internal("a download ended by a panic").for_operator(e))??,
                    () = &mut stop, if !shared.stop.load(Ordering::Relaxed) => shared.stop(),
                    () = tokio::time::sleep(Duration::from_millis(500)) => progress(shared.percent()),
                }
            };
            match hop {
                Hop::Done(received) => return Ok(received),
                Hop::Redirect(to) if self.source.policy.is_some() => self.source.url = Url::redirect(&to)?,
                Hop::Redirect(_) => {
                    return Err(Fault::new(
                        code::IMAGE_SERVER,
                        format!("{}: the image store redirects", self.what),
                    ));
                }
            }
        }
        Err(Fault::new(
            code::IMAGE_SERVER,
            format!("{}: the image server redirects more than {MAX_HOPS} times", self.what),
        ))
    }
}

impl Progress {
    fn percent(&self) -> u8 {
        let (bytes, total) = (self.bytes.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or(0);
        // 100 is said by the result.
        u8::try_from(percent.min(99)).unwrap_or(99)
    }
}

/// The configuration that curl reads. The address has no quotes or control characters: [`Url`] sees to that.
pub fn curl_config(url: &Url, ips: &[IpAddr]) -> String {
    let mut config = format!("url = \"{}\"\n", url.text());
    if !ips.is_empty() {
        let list: Vec<String> =
            ips.iter().map(|ip| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }).collect();
        let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        config.push_str(&format!("resolve = \"{host}:{}:{}\"\n", url.port, list.join(",")));
    }
    config
}

/// Arguments of curl. `-q` first: no configuration of the host counts. Answers go to standard output, what they were to
/// standard error.
pub const CURL_ARGS: &[&str] = &[
    "-q",
    "--silent",
    "--show-error",
    "--no-buffer",
    "--globoff",
    "--fail",
    "--proto",
    "=http,https,ftp",
    "--max-redirs",
    "0",
    "--noproxy",
    "*",
    "--connect-timeout",
    "15",
    "--speed-limit",
    "1",
    "--speed-time",
    "60",
    "--dump-header",
    "/dev/stderr",
    "--write-out",
    "%{stderr}\ncairn-end %{http_code} %{redirect_url}\n",
    "--config",
    "-",
];

fn request(config: &str, to: &std::path::Path, max: u64, what: &str, shared: &Arc<Progress>) -> Result<Hop> {
    let start =
        |e: std::io::Error| Fault::new(code::BS_DOWNLOAD, "curl does not run on the host").for_operator(e);
    let mut command = Command::new("curl");
    command.args(CURL_ARGS).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(config.as_bytes());
    }
    let errors = child.stderr.take().map(|pipe| {
        let shared = shared.clone();
        std::thread::spawn(move || read_headers(pipe, &shared))
    });
    let output = child.stdout.take();
    *shared.curl() = Some(child);
    let received = receive(output, to, max, what, shared);
    if received.is_err() {
        shared.kill();
    }
    // It has closed its output, so it ends now; from here on nobody kills a process that may be another one.
    let curl = shared.curl().take();
    let status = curl.ok_or_else(|| Fault::internal("curl is gone"))?.wait().map_err(start)?;
    let headers = errors.and_then(|t| t.join().ok()).unwrap_or_default();
    if let (true, Some(location)) = ((300..400).contains(&headers.status), headers.redirect) {
        return Ok(Hop::Redirect(location));
    }
    let received = received?;
    if status.success() && !(300..400).contains(&headers.status) {
        return received.map(Hop::Done);
    }
    Err(server_fault(what, headers.status, status.code(), &headers.errors))
}

/// The outer error stops curl (too large, disk full, cancelled); the inner one comes after its end.
fn receive(
    output: Option<ChildStdout>,
    to: &std::path::Path,
    max: u64,
    what: &str,
    shared: &Progress,
) -> Result<Result<Received>> {
    let failed =
        |e: &std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be written"), e);
    let mut sink = Sink::create(to, max).map_err(|e| failed(&e))?;
    let Some(mut pipe) = output else { return Ok(Err(Fault::internal("curl has no output"))) };
    let mut buffer = vec![0; 128 << 10];
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        let n = pipe.read(&mut buffer).map_err(|e| failed(&e))?;
        if shared.stop.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        if n == 0 {
            return Ok(sink.finish(what));
        }
        let total = shared.total.load(Ordering::Relaxed);
        if total > max {
            let text = format!("{what} has {total} bytes, more than the {max} bytes allowed");
            return Err(Fault::new(code::IMAGE_TOO_LARGE, text).with("maxBytes", max).with("bytes", total));
        }
        sink.take(&buffer[..n], what)?;
        shared.bytes.store(sink.bytes(), Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Headers {
    status: u16,
    redirect: Option<String>,
    errors: String,
}

fn read_headers(pipe: impl Read, shared: &Progress) -> Headers {
    let mut headers = Headers::default();
    for line in std::io::BufReader::new(pipe.take(1 << 20)).lines().map_while(std::result::Result::ok) {
        let lower = line.to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("cairn-end ") {
            let mut words = rest.split_whitespace();
            headers.status = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
            headers.redirect = words.next().map(str::to_owned);
        } else if let Some(length) = lower.strip_prefix("content-length:") {
            shared.total.store(length.trim().parse().unwrap_or(0), Ordering::Relaxed);
        } else if line.starts_with("curl:") {
            headers.errors.push_str(&line);
            headers.errors.push('\n');
        }
    }
    headers
}

fn server_fault(what: &str, http: u16, exit: Option<i32>, errors: &str) -> Fault {
    let why = match (http, exit) {
        (401 | 403, _) => "the image server does not let us have it".to_owned(),
        (404 | 410, _) => "the image server does not have it".to_owned(),
        (400.., _) => format!("the image server answered {http}"),
        (_, Some(6)) => "the image server is not known by that name".to_owned(),
        (_, Some(7 | 28)) => "the image server does not answer".to_owned(),
        (_, Some(18)) => "the image server broke off in the middle".to_owned(),
        (_, Some(9 | 67 | 78)) => "the image server does not have it or does not let us in".to_owned(),
        (_, Some(35 | 51 | 60)) => "the certificate of the image server is not trusted".to_owned(),
        _ => "the download failed".to_owned(),
    };
    let fault = Fault::new(code::IMAGE_SERVER, format!("{what}: {why}")).with("httpStatus", http);
    fault.for_operator(format!("curl ended with {exit:?}: {}", errors.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_is_pinned_to_what_was_checked() {
        let url = Url::parse("https://example.org/a.qcow2").unwrap();
        let ips = ["9.9.9.9".parse().unwrap(), "2606::1".parse().unwrap()];
        let golden =
            "url = \"https://example.org:443/a.qcow2\"\nresolve = \"example.org:443:9.9.9.9,[2606::1]\"\n";
        assert_eq!(curl_config(&url, &ips), golden);
    }
}
