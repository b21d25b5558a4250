//! How one server hands a connection to another: a sealed word first, then everything that the client sends.
//!
//! The word is sealed with the key that all servers of an installation have, so only they can say for whom they pass something
//! on. It holds the time and the epoch of the leader that is meant; one that does not lead in that epoch closes the connection.
//! The leader answers with a sealed word too, so nothing of a client's goes to a stranger that has the address meanwhile, or to a
//! leader that does not serve yet or was stopped.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_types::{Fault, Result, time};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::platform::secrets::Secrets;

/// How old a word may be, and how far two servers' clocks may be apart, in milliseconds.
const FRESH_MS: i64 = 60_000;
/// Longest word, in bytes.
const LONGEST: usize = 1024;
/// How long the word may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which port a client dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Port {
    /// API.
    Api,
    /// Page, with the API again and consoles.
    Page,
    /// Agents.
    Agents,
}

/// What is said before a connection is passed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The port that the client dialled.
    pub port: Port,
    /// The client.
    pub client: SocketAddr,
    /// Epoch of the leader that is meant.
    pub epoch: i64,
    /// When it was said, UTC milliseconds.
    pub said_ms: i64,
    /// Chosen at random; the answer repeats it.
    pub nonce: String,
}

fn broken(e: &dyn std::fmt::Display) -> Fault {
    Fault::operation("a connection from another server can't be read").for_operator(e)
}

/// Says the word.
pub async fn say<W: AsyncWrite + Unpin>(stream: &mut W, secrets: &Secrets, word: &Word) -> Result<()> {
    send(stream, secrets, &serde_json::to_string(word).map_err(|e| broken(&e))?).await
}

/// The leader's answer: what was passed on is served.
pub async fn take<W: AsyncWrite + Unpin>(stream: &mut W, secrets: &Secrets, word: &Word) -> Result<()> {
    send(stream, secrets, &taken(word)).await
}

/// Hears that answer, however long it takes.
pub async fn hear_taken<R: AsyncRead + Unpin>(stream: &mut R, secrets: &Secrets, word: &Word) -> Result<()> {
    if receive(stream, secrets).await? == taken(word) {
        Ok(())
    } else {
        Err(broken(&"the answer is another one's"))
    }
}

fn taken(word: &Word) -> String {
    format!("taken {} {}", word.epoch, word.nonce)
}

async fn send<W: AsyncWrite + Unpin>(stream: &mut W, secrets: &Secrets, text: &str) -> Result<()> {
    let sealed = secrets.seal(text)?;
    let length = u16::try_from(sealed.len()).map_err(|e| broken(&e))?;
    let bytes = [length.to_be_bytes().as_slice(), sealed.as_bytes()].concat();
    stream.write_all(&bytes).await.map_err(|e| broken(&e))
}

async fn receive<R: AsyncRead + Unpin>(stream: &mut R, secrets: &Secrets) -> Result<String> {
    let read = async {
        let length = usize::from(stream.read_u16().await?);
        if length > LONGEST {
            return Err(std::io::Error::other("the word is too long"));
        }
        let mut sealed = vec![0u8; length];
        stream.read_exact(&mut sealed).await?;
        Ok(sealed)
    };
    let sealed: Vec<u8> = read.await.map_err(|e: std::io::Error| broken(&e))?;
    secrets.open_sealed(&String::from_utf8(sealed).map_err(|e| broken(&e))?)
}

/// Hears the word; takes nothing of what follows.
pub async fn hear<R: AsyncRead + Unpin>(stream: &mut R, secrets: &Secrets) -> Result<Word> {
    let text = timeout(PATIENCE, receive(stream, secrets)).await.map_err(|e| broken(&e))??;
    let word: Word = serde_json::from_str(&text).map_err(|e| broken(&e))?;
    if (time::now_ms() - word.said_ms).abs() > FRESH_MS {
        return Err(Fault::denied(
            "another server's word is too old; compare the clocks of the two machines",
        ));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(said_ms: i64) -> Word {
        Word {
            port: Port::Page,
            client: "10.1.2.3:4567".parse().unwrap(),
            epoch: 9,
            said_ms,
            nonce: "n".into(),
        }
    }

    #[tokio::test]
    async fn ops_14_a_word_is_heard_and_what_follows_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&folder.path().join("secret.key")).unwrap();
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let said = word(time::now_ms());
        say(&mut ours, &secrets, &said).await.unwrap();
        ours.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(hear(&mut theirs, &secrets).await.unwrap(), said);
        let mut rest = [0u8; 16];
        theirs.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET / HTTP/1.1\r\n");
    }

    #[tokio::test]
    async fn ops_14_only_the_answer_to_this_word_counts() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&folder.path().join("secret.key")).unwrap();
        let strangers = Secrets::open(&folder.path().join("other")).unwrap();
        let said = word(time::now_ms());
        let other = Word { nonce: "another".into(), ..said.clone() };
        for (key, answered, is_good) in
            [(&secrets, &said, true), (&secrets, &other, false), (&strangers, &said, false)]
        {
            let (mut ours, mut theirs) = tokio::io::duplex(4096);
            take(&mut theirs, key, answered).await.unwrap();
            assert_eq!(hear_taken(&mut ours, &secrets, &said).await.is_ok(), is_good);
        }
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        drop(theirs);
        assert!(hear_taken(&mut ours, &secrets, &said).await.is_err(), "a server of HTTP is none of ours");
    }

    #[tokio::test]
    async fn ops_14_a_word_of_a_stranger_or_of_long_ago_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Secrets::open(&folder.path().join("a")).unwrap();
        let strangers = Secrets::open(&folder.path().join("b")).unwrap();
        for (secrets, said_ms) in [(&strangers, time::now_ms()), (&ours, time::now_ms() - FRESH_MS - 1000)] {
            let (mut one, mut other) = tokio::io::duplex(4096);
            say(&mut one, secrets, &word(said_ms)).await.unwrap();
            assert!(hear(&mut other, &ours).await.is_err());
        }
        let (mut one, mut other) = tokio::io::duplex(4096);
        one.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        drop(one);
        assert!(hear(&mut other, &ours).await.is_err(), "a client of HTTP is no server");
    }
}
