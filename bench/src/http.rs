//! The cheapest HTTP/1.1 client there is: one connection kept open, one request at a time, bodies with a length. The
//! processors that it spares belong to the server, which runs on the same machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client on one connection.
pub struct Client {
    stream: TcpStream,
    /// Headers that every request carries, with the empty line's predecessor.
    common: String,
    out: String,
    buffer: Vec<u8>,
}

/// Status and body of an answer; the body lives until the next request.
pub struct Answer<'c> {
    /// HTTP status.
    pub status: u16,
    /// The body as sent.
    pub body: &'c [u8],
}

impl Answer<'_> {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(self.body)
            .with_context(|| format!("no JSON: {}", String::from_utf8_lossy(self.body)))
    }
}

impl Client {
    /// Connects with a session.
    pub async fn connect(address: SocketAddr, session: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let common = format!("host: {address}\r\nauthorization: OAuth {session}\r\n");
        Ok(Self { stream, common, out: String::new(), buffer: Vec::with_capacity(16 << 10) })
    }

    /// One request and its answer.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer<'_>> {
        self.send_with(method, path, "", body).await
    }

    /// The same with more headers, each with the end of its line.
    async fn send_with(&mut self, method: &str, path: &str, more: &str, body: &str) -> Result<Answer<'_>> {
        use std::fmt::Write;
        self.out.clear();
        write!(self.out, "{method} {path} HTTP/1.1\r\n{}{more}", self.common)?;
        if !body.is_empty() {
            write!(self.out, "content-type: application/json\r\ncontent-length: {}\r\n", body.len())?;
        }
        write!(self.out, "\r\n{body}")?;
        self.stream.write_all(self.out.as_bytes()).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
        };
        let (status, length) = parse_head(&self.buffer[..head])?;
        while self.buffer.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
        }
        Ok(Answer { status, body: &self.buffer[head..head + length] })
    }

    /// A call to its end: polls the job until it is done. Pauses between polls, but not before the first.
    pub async fn finish(&mut self, method: &str, path: &str, body: &str, pause: Duration) -> Result<Value> {
        self.finish_with(method, path, body, "", pause).await
    }

    /// The same by polls that ask the server to answer when the job ends.
    pub async fn finish_waiting(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        self.finish_with(method, path, body, "prefer: wait=30\r\n", Duration::from_millis(1)).await
    }

    async fn finish_with(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        of_polls: &str,
        pause: Duration,
    ) -> Result<Value> {
        let answer = self.send(method, path, body).await?;
        if answer.status == 200 {
            return answer.json();
        }
        ensure!(
            answer.status == 202,
            "{method} {path}: {} {}",
            answer.status,
            String::from_utf8_lossy(answer.body)
        );
        let poll = job_path(answer.body)?;
        let end = Instant::now() + Duration::from_secs(300);
        loop {
            let answer = self.send_with("GET", &poll, of_polls, "").await?;
            match answer.status {
                200 => return answer.json(),
                202 => {}
                status => bail!("{method} {path}: {status} {}", String::from_utf8_lossy(answer.body)),
            }
            ensure!(Instant::now() < end, "{method} {path} does not end");
            tokio::time::sleep(pause).await;
        }
    }
}

/// The address of the job within an answer `{"location":"http://host/path"}`.
pub fn job_path(body: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(body)?;
    let at = text.find("/zstack/v1/api-jobs/").with_context(|| format!("no job in {text}"))?;
    Ok(text[at..].trim_end_matches(['"', '}', ' ', '\n']).to_owned())
}

fn parse_head(head: &[u8]) -> Result<(u16, usize)> {
    let text = std::str::from_utf8(head)?;
    let status =
        text.get(9..12).and_then(|s| s.parse().ok()).with_context(|| format!("no status in {text}"))?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status, length.with_context(|| format!("no length in {text}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_job_of_an_answer() {
        let head = b"HTTP/1.1 202 Accepted\r\nContent-Type: a/b\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(parse_head(head).unwrap(), (202, 12));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        let body = br#"{"location":"http://h:1/zstack/v1/api-jobs/abc"}"#;
        assert_eq!(job_path(body).unwrap(), "/zstack/v1/api-jobs/abc");
    }
}
