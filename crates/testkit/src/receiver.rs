//! A small web server that takes what web hooks post.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// One post.
#[derive(Debug, Clone)]
pub struct Received {
    /// Address below the server's.
    pub path: String,
    /// Headers with small names.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

/// Listens on a free port of the loopback address and answers 200, or something else as often as it is told.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    refuse: usize,
    redirect: Option<String>,
}

impl Receiver {
    /// Starts to listen.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Self {
            address: listener.local_addr().expect("an address"),
            state: Arc::new(Mutex::new(State::default())),
        };
        let served = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                served.serve(stream);
            }
        });
        receiver
    }

    /// Its address with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next posts with 500.
    pub fn refuse(&self, posts: usize) {
        self.lock().refuse = posts;
    }

    /// Sends whoever comes on to another address.
    pub fn redirect(&self, to: &str) {
        self.lock().redirect = Some(to.to_owned());
    }

    /// Everything that came, also what was refused.
    pub fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let Some((first, rest)) = lines.split_first() else { return };
        let headers: BTreeMap<String, String> = rest
            .iter()
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let mut state = self.lock();
        state.received.push(Received { path, headers, body });
        let status = if state.refuse > 0 { "500 No" } else { "200 OK" };
        state.refuse = state.refuse.saturating_sub(1);
        let (status, location) = match &state.redirect {
            Some(to) => ("307 Elsewhere", format!("location: {to}\r\n")),
            None => (status, String::new()),
        };
        drop(state);
        let answer = format!("HTTP/1.1 {status}\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n");
        let _ = reader.get_mut().write_all(answer.as_bytes());
    }
}
