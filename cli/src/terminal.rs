//! The person at the terminal: is there one, and secrets typed without echo.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::{Failure, Result};

/// Whether progress and remarks have a reader.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Columns of the terminal that progress is drawn on; 80 if it does not say.
pub fn columns() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0)).max(20)
}

/// Asks for a secret without showing it. `None` if nobody can be asked.
pub fn ask_secret(prompt: &str) -> Option<Result<String>> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let mut tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    Some(read_hidden(&mut tty, prompt).map_err(|e| Failure::Failed(format!("cannot read the answer: {e}"))))
}

fn read_hidden(tty: &mut std::fs::File, prompt: &str) -> std::io::Result<String> {
    tty.write_all(prompt.as_bytes())?;
    let before = tcgetattr(&*tty)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&*tty, SetArg::TCSAFLUSH, &hidden)?;
    let mut line = String::new();
    let read = BufReader::new(&*tty).read_line(&mut line);
    tcsetattr(&*tty, SetArg::TCSAFLUSH, &before)?;
    tty.write_all(b"\n")?;
    read.map(|_| line.trim_end_matches(['\r', '\n']).to_owned())
}
