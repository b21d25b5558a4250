//! Frames of the agent protocol over any byte stream: a big-endian `u32` length and that many bytes of JSON.
//!
//! Both ends may be used inside `tokio::select!`: what was read or written in part is kept, so a dropped future loses
//! nothing.

pub mod limits;
pub mod networks;

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use cairn_api::agent::{HEARTBEAT_S, MAX_FRAME};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

const HEADER: usize = 4;
/// Buffers that grew beyond this for one large frame are given back.
const KEEP: usize = 256 << 10;

/// An agent gives a connection up on which the server acknowledges nothing for this long, in milliseconds.
pub const DIAL_SEND_LIMIT_MS: u32 = 30_000;

/// How often an agent beats: the interval that a welcome names less up to a tenth, so that thousands of agents that came together
/// do not beat together for ever. `fraction` is a random one, 0 to 1.
pub fn heartbeat_interval(welcome_s: u64, fraction: f64) -> Duration {
    let seconds = if welcome_s == 0 { HEARTBEAT_S } else { welcome_s };
    Duration::from_secs(seconds).mul_f64(0.9 + fraction.clamp(0.0, 1.0) / 10.0)
}

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The other side closed the stream within a frame.
    #[error("the connection ended within a frame")]
    Truncated,
    /// A frame is larger than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is larger than the {MAX_FRAME} bytes allowed")]
    TooLarge(usize),
    /// A frame is no JSON of the expected form.
    #[error("a frame can't be read")]
    Json(#[from] serde_json::Error),
}

/// The reading end.
pub struct FrameReader<R> {
    inner: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames from a stream.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: BytesMut::new() }
    }

    /// The next frame; `None` when the other side closed the stream between two frames. Safe to drop and call again.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        loop {
            if let Some(frame) = self.take()? {
                let value = serde_json::from_slice(&frame);
                if self.buffer.is_empty() && frame.len() > KEEP {
                    self.buffer = BytesMut::new();
                }
                return Ok(Some(value?));
            }
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(LinkError::Truncated) };
            }
        }
    }

    /// Cuts a whole frame out of what has come so far.
    fn take(&mut self) -> Result<Option<BytesMut>, LinkError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(LinkError::TooLarge(length));
        }
        if self.buffer.len() < HEADER + length {
            self.buffer.reserve(HEADER + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        Ok(Some(self.buffer.split_to(length)))
    }
}

/// The writing end.
pub struct FrameWriter<W> {
    inner: W,
    buffer: BytesMut,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames to a stream.
    pub fn new(inner: W) -> Self {
        Self { inner, buffer: BytesMut::new() }
    }

    /// Puts a frame behind those that wait for [`FrameWriter::flush`]. A frame that is too large is not queued.
    pub fn push<T: Serialize>(&mut self, frame: &T) -> Result<(), LinkError> {
        let start = self.buffer.len();
        self.buffer.put_u32(0);
        let result = serde_json::to_writer((&mut self.buffer).writer(), frame);
        let length = self.buffer.len() - start - HEADER;
        let checked = result.map_err(LinkError::from).and_then(|()| {
            u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(LinkError::TooLarge(length))
        });
        match checked {
            Ok(length) => {
                self.buffer[start..start + HEADER].copy_from_slice(&length.to_be_bytes());
                Ok(())
            }
            Err(e) => {
                self.buffer.truncate(start);
                Err(e)
            }
        }
    }

    /// Bytes that wait to be written.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what waits. Safe to drop and call again.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        while self.buffer.has_remaining() {
            if self.inner.write_buf(&mut self.buffer).await? == 0 {
                return Err(LinkError::Io(io::ErrorKind::WriteZero.into()));
            }
        }
        if self.buffer.capacity() > KEEP {
            self.buffer = BytesMut::new();
        }
        self.inner.flush().await?;
        Ok(())
    }

    /// Writes one frame at once.
    pub async fn send<T: Serialize>(&mut self, frame: &T) -> Result<(), LinkError> {
        self.push(frame)?;
        self.flush().await
    }

    /// Writes what waits and closes the stream.
    pub async fn close(mut self) -> Result<(), LinkError> {
        self.flush().await?;
        self.inner.shutdown().await?;
        Ok(())
    }
}

/// Both ends of a stream.
pub fn split<S: AsyncRead + AsyncWrite>(stream: S) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>) {
    let (reader, writer) = tokio::io::split(stream);
    (FrameReader::new(reader), FrameWriter::new(writer))
}

#[cfg(test)]
mod tests;
