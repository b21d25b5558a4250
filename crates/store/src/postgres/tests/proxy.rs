//! A connection to PostgreSQL that can be broken at the moments that matter.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use tokio_postgres::config::Host;

use crate::postgres::PostgresUrl;

/// What happens to what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It goes through.
    Pass,
    /// Once, the client's side is cut before the answer to a COMMIT that wrote.
    LoseAnswer,
    /// The same, and nothing can be reached from then on.
    LoseAnswerAndAll,
    /// Once, both sides are cut instead of passing a COMMIT on.
    LoseCommit,
    /// Once, a COMMIT is not passed on and only the client's side is cut: the server waits for it.
    KeepCommit,
    /// Nothing can be reached.
    Closed,
}

#[derive(Default)]
struct Ends {
    /// Client's sides.
    clients: Vec<TcpStream>,
    /// Server's sides that are left open.
    kept: Vec<Server>,
}

/// Passes connections on until it is told otherwise.
#[derive(Clone)]
pub struct Proxy {
    mode: Arc<Mutex<Mode>>,
    ends: Arc<Mutex<Ends>>,
    port: u16,
}

enum Server {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Server {
    fn connect(url: &PostgresUrl) -> Self {
        let config = url.config().unwrap();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first().unwrap() {
            Host::Tcp(name) => Self::Tcp(TcpStream::connect((name.as_str(), port)).unwrap()),
            Host::Unix(folder) => {
                Self::Unix(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).unwrap())
            }
        }
    }

    fn another(&self) -> Self {
        match self {
            Self::Tcp(s) => Self::Tcp(s.try_clone().unwrap()),
            Self::Unix(s) => Self::Unix(s.try_clone().unwrap()),
        }
    }

    fn cut(&self) {
        let _ = match self {
            Self::Tcp(s) => s.shutdown(Shutdown::Both),
            Self::Unix(s) => s.shutdown(Shutdown::Both),
        };
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            Self::Tcp(s) => s.read(buffer).unwrap_or(0),
            Self::Unix(s) => s.read(buffer).unwrap_or(0),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let _ = match self {
            Self::Tcp(s) => s.write_all(bytes),
            Self::Unix(s) => s.write_all(bytes),
        };
    }
}

impl Proxy {
    /// Listens on the loopback address, for as long as the test process lives.
    pub fn start(url: &PostgresUrl) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { mode: Arc::new(Mutex::new(Mode::Pass)), ends: Arc::default(), port };
        let (serving, url) = (proxy.clone(), url.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if *serving.mode.lock().unwrap() == Mode::Closed {
                    continue;
                }
                let _ = client.set_nodelay(true);
                serving.ends.lock().unwrap().clients.push(client.try_clone().unwrap());
                serving.pass(client, Server::connect(&url));
            }
        });
        proxy
    }

    /// Where it is reached; the database is the one of the url.
    pub fn url(&self, url: &PostgresUrl) -> PostgresUrl {
        let config = url.config().unwrap();
        let (user, name) = (config.get_user().unwrap(), config.get_dbname().unwrap());
        let password = config.get_password().map(|p| format!(":{}", String::from_utf8_lossy(p)));
        let password = password.unwrap_or_default();
        format!("postgres://{user}{password}@127.0.0.1:{}/{name}", self.port).parse().unwrap()
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        if mode == Mode::Closed {
            self.ends.lock().unwrap().clients.drain(..).for_each(|c| drop(c.shutdown(Shutdown::Both)));
        }
    }

    fn pass(&self, mut client: TcpStream, server: Server) {
        let (mut answers, mut towards, to_client) = (server.another(), server, client.try_clone().unwrap());
        std::thread::spawn(move || {
            let (mut buffer, mut to_client) = ([0; 65536], to_client);
            loop {
                let length = answers.read(&mut buffer);
                if length == 0 || to_client.write_all(&buffer[..length]).is_err() {
                    let _ = to_client.shutdown(Shutdown::Both);
                    return;
                }
            }
        });
        let proxy = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            loop {
                let length = client.read(&mut buffer).unwrap_or(0);
                if length == 0 {
                    return towards.cut();
                }
                // The end of a batch that wrote is one message.
                let is_commit = buffer[..length].windows(8).any(|w| w == b"; COMMIT")
                    && buffer[..length].windows(12).any(|w| w == b"store_writer");
                if is_commit && proxy.breaks(&client, &mut towards, &buffer[..length]) {
                    return;
                }
                towards.write(&buffer[..length]);
            }
        });
    }

    /// Whether this COMMIT is where the connection breaks.
    fn breaks(&self, client: &TcpStream, server: &mut Server, commit: &[u8]) -> bool {
        let mut mode = self.mode.lock().unwrap();
        let next = match *mode {
            Mode::Pass | Mode::Closed => return false,
            Mode::LoseAnswerAndAll => Mode::Closed,
            Mode::LoseAnswer | Mode::LoseCommit | Mode::KeepCommit => Mode::Pass,
        };
        let _ = client.shutdown(Shutdown::Both);
        match *mode {
            Mode::LoseCommit => server.cut(),
            Mode::KeepCommit => self.ends.lock().unwrap().kept.push(server.another()),
            _ => server.write(commit),
        }
        *mode = next;
        drop(mode);
        if next == Mode::Closed {
            self.set(Mode::Closed);
        }
        true
    }
}
