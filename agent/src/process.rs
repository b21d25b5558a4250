//! Runs tools of the system as processes: an argument vector, never a shell; a time limit; bounded output.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use cairn_types::{Fault, code};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Most output that is kept of a tool, in bytes.
const MAX_OUTPUT: u64 = 8 << 20;

/// How a tool failed. Its text is for operators; [`ToolError::fault`] makes the part for users.
#[derive(Debug)]
pub struct ToolError {
    /// Program and arguments.
    pub command: String,
    /// Exit status; none when it did not start, was killed or took too long.
    pub status: Option<i32>,
    /// What it wrote to standard error, or why it did not run.
    pub text: String,
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.command, self.text.trim())
    }
}

impl std::error::Error for ToolError {}

impl ToolError {
    /// The fault for users; a full disk has its own code whatever the tool was about.
    pub fn fault(self, code: &str, details: impl Into<String>) -> Fault {
        if is_no_space(&self.text) {
            return no_space(details).for_operator(self);
        }
        Fault::new(code, details).for_operator(self)
    }
}

/// Whether a tool's or libvirt's message says that a disk is full.
pub fn is_no_space(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// `AGENT.8005`: the host has no room left.
pub fn no_space(details: impl Into<String>) -> Fault {
    Fault::new(
        code::AGENT_NO_SPACE,
        format!("{}: no room is left on the storage of the host", details.into()),
    )
}

/// The fault for a failed file operation: `AGENT.8005` when the disk is full, else `code`.
pub fn io_fault(code: &str, details: impl Into<String>, error: &std::io::Error) -> Fault {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => no_space(details).for_operator(error),
        _ => Fault::new(code, details).for_operator(error),
    }
}

/// A tool to run.
pub struct Tool {
    command: Command,
    shown: String,
    input: Option<Vec<u8>>,
    limit: Duration,
}

impl Tool {
    /// `program` with these arguments, 30 seconds, without input.
    pub fn new<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) -> Self {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("LC_ALL", "C")
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let words: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
        Self {
            command,
            shown: format!("{program} {}", words.join(" ")),
            input: None,
            limit: Duration::from_secs(30),
        }
    }

    /// Text for its standard input.
    #[must_use]
    pub fn input(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.input = Some(text.into());
        self.command.stdin(Stdio::piped());
        self
    }

    /// Kill it after this time.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Bound its address space and processor time: for tools that read files of strangers.
    #[must_use]
    pub fn confined(mut self, memory_bytes: u64, cpu_seconds: u64) -> Self {
        // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe.
        unsafe {
            self.command.pre_exec(move || {
                for (what, most) in [(libc::RLIMIT_AS, memory_bytes), (libc::RLIMIT_CPU, cpu_seconds)] {
                    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
                    if libc::setrlimit(what, &limit) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        self
    }

    /// Runs it to its end; its standard output when it exits with 0.
    pub async fn run(self) -> Result<String, ToolError> {
        let shown = self.shown.clone();
        let (status, out, err) = self.run_any().await?;
        if status == Some(0) {
            return Ok(out);
        }
        let text = if err.trim().is_empty() { format!("ended with {status:?} {}", out.trim()) } else { err };
        Err(ToolError { command: shown, status, text })
    }

    /// Runs it to its end, whatever its status: status, standard output, standard error.
    pub async fn run_any(mut self) -> Result<(Option<i32>, String, String), ToolError> {
        let failed = |text: String| ToolError { command: self.shown.clone(), status: None, text };
        let mut child = self.command.spawn().map_err(|e| failed(format!("did not start: {e}")))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = self.input.take();
        let feed = async move {
            if let (Some(mut pipe), Some(text)) = (stdin, input) {
                // A tool that stops reading early says why by its status.
                let _ = pipe.write_all(&text).await;
            }
        };
        let work = async {
            let ((), out, err, status) = tokio::join!(feed, read_all(stdout), read_all(stderr), child.wait());
            (out, err, status)
        };
        match tokio::time::timeout(self.limit, work).await {
            Ok((out, err, Ok(status))) => Ok((status.code(), out, err)),
            Ok((_, _, Err(e))) => Err(failed(e.to_string())),
            Err(_) => Err(failed(format!("killed after {} s", self.limit.as_secs()))),
        }
    }
}

/// Runs a tool with the default limits.
pub async fn run(program: &str, args: &[&str]) -> Result<String, ToolError> {
    Tool::new(program, args).run().await
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn arguments_reach_the_tool_as_they_are() {
        let out = run("printf", &["%s|", "$(reboot)", "a b", "'"]).await.unwrap();
        assert_eq!(out, "$(reboot)|a b|'|");
    }

    #[tokio::test]
    async fn a_failing_tool_keeps_its_message_for_operators() {
        let error = run("ls", &["/nonexistent-folder"]).await.unwrap_err();
        let fault = error.fault(code::AGENT_STORAGE, "the folder could not be read");
        assert_eq!(fault.code, "AGENT.8003");
        assert!(!fault.details.contains("nonexistent"));
        assert!(fault.operator.unwrap().contains("nonexistent-folder"));
    }

    #[tokio::test]
    async fn a_slow_tool_is_killed() {
        let error = Tool::new("sleep", &["10"]).limit(Duration::from_millis(50)).run().await.unwrap_err();
        assert!(error.text.starts_with("killed"), "{error}");
        assert!(run("no-such-program", &[]).await.unwrap_err().text.starts_with("did not start"));
    }

    #[test]
    fn a_full_disk_has_its_own_code() {
        let error =
            ToolError { command: "x".into(), status: Some(1), text: "write: No space left on device".into() };
        assert_eq!(error.fault(code::AGENT_NETWORK, "it failed").code, "AGENT.8005");
    }
}
