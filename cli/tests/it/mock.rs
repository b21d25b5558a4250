//! A small HTTP server whose answers a test gives, and programs run against it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and target, `GET /zstack/v1/zones`.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body as it came.
    pub body: Vec<u8>,
}

impl Seen {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Status, content type and body.
pub type Reply = (u16, &'static str, String);

/// A JSON answer.
pub fn answer(status: u16, body: Value) -> Reply {
    (status, "application/json", body.to_string())
}

/// An answer that starts a job.
pub fn accepted(id: &str) -> Reply {
    answer(202, json!({"location": format!("http://other:8080/zstack/v1/api-jobs/{id}")}))
}

/// An error answer.
pub fn refused(error: Value) -> Reply {
    answer(503, json!({"error": error}))
}

/// No answer: the connection is closed.
pub fn hang_up() -> Reply {
    (0, "", String::new())
}

/// The server.
pub struct Mock {
    /// `127.0.0.1:PORT`.
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Mock {
    /// Serves until the process ends. The handler is told the request and how many came before it.
    pub fn start(handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, handler) = (seen.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handler) = (log.clone(), handler.clone());
                std::thread::spawn(move || serve(stream, &log, &*handler));
            }
        });
        Self { address, seen }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Method and target of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|s| s.line).collect()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Seen>>, handler: &dyn Fn(&Seen, usize) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(seen) = receive(&mut reader) {
        let before = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        let (status, kind, body) = handler(&seen, before);
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

fn receive(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length =
        headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Seen { line, headers, body })
}

/// What a program did.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// `cairn` with a home folder of its own and nothing of this environment.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

/// Runs `cairn` against a server with a session.
pub fn cairn(mock: &Mock, args: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .env("CAIRN_SERVER", &mock.address)
        .env("CAIRN_SESSION", "sess")
        .args(args)
        .output()
        .unwrap()
        .into()
}
