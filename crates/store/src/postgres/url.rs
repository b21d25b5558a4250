//! Where a PostgreSQL database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cairn_types::{Fault, Result};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long sent data may stay unconfirmed before the connection counts as lost.
const UNCONFIRMED: Duration = Duration::from_secs(8);

/// `postgres://user:password@host:port/database`, with the parameters of libpq behind `?`. A socket is named by its folder:
/// `postgres:///cairn?host=/run/postgresql&user=cairn`. `password_file=/path` names a file that holds the password, so that
/// it stands in no list of processes. Never shows a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    password_file: Option<PathBuf>,
}

impl PostgresUrl {
    /// What to connect with. Reads the password file.
    pub(crate) fn config(&self) -> Result<Config> {
        let mut config: Config = self.text.parse().map_err(|e| wrong(&e))?;
        if let Some(path) = &self.password_file {
            let password = std::fs::read_to_string(path).map_err(|e| {
                Fault::operation("the file with the password of the database can't be read")
                    .for_operator(format!("{}: {e}", path.display()))
            })?;
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        config.application_name("cairn").connect_timeout(CONNECT).tcp_user_timeout(UNCONFIRMED);
        config.keepalives(true).keepalives_idle(UNCONFIRMED);
        Ok(config)
    }

    /// The same server, another database.
    #[cfg(any(test, feature = "scratch"))]
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let (before, after) = self.text.split_once("://").unwrap_or(("postgres", &self.text));
        let (place, parameters) = after.split_once('?').map_or((after, None), |(p, q)| (p, Some(q)));
        let host = place.split_once('/').map_or(place, |(host, _)| host);
        let parameters = parameters.map_or_else(String::new, |q| format!("?{q}"));
        Self {
            text: format!("{before}://{host}/{name}{parameters}"),
            password_file: self.password_file.clone(),
        }
    }

    /// As it can be parsed again: with its password.
    #[cfg(any(test, feature = "scratch"))]
    pub fn secret_text(&self) -> String {
        let Some(path) = &self.password_file else { return self.text.clone() };
        let sign = if self.text.contains('?') { '&' } else { '?' };
        format!("{}{sign}password_file={}", self.text, path.display())
    }
}

impl FromStr for PostgresUrl {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(wrong(&"it does not begin with postgres://"));
        }
        let (place, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (files, others): (Vec<&str>, Vec<&str>) =
            parameters.split('&').filter(|p| !p.is_empty()).partition(|p| p.starts_with("password_file="));
        let password_file = files.last().and_then(|f| f.split_once('=')).map(|(_, path)| path.into());
        let sign = if others.is_empty() { "" } else { "?" };
        let url = Self { text: format!("{place}{sign}{}", others.join("&")), password_file };
        let config: Config = url.text.parse().map_err(|e| wrong(&e))?;
        if matches!(config.get_ssl_mode(), SslMode::Require) {
            return Err(wrong(
                &"sslmode=require is not supported: connect over a socket, a private network or a tunnel",
            ));
        }
        if config.get_dbname().is_none() {
            return Err(wrong(&"it names no database"));
        }
        Ok(url)
    }
}

fn wrong(reason: &dyn fmt::Display) -> Fault {
    // The reason may quote the text, which may hold a password.
    Fault::argument("the address of the database can't be used; it looks like postgres://cairn@host/cairn?password_file=/path")
        .for_operator(reason)
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(config) = self.text.parse::<Config>() else { return f.write_str("postgres://?") };
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".into(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().unwrap_or_default();
        write!(f, "postgres://{}@{host}:{port}/{database}", config.get_user().unwrap_or("?"))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
