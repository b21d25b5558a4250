//! The progress bar on standard error.

use std::io::Write as _;

use crate::output::table::{plain, width};
use crate::terminal;

/// One line that is drawn over itself. Draws nothing when nobody looks.
pub struct Bar {
    enabled: bool,
    label: String,
    shown: String,
}

impl Bar {
    /// A bar with this label in front.
    pub fn new(label: &str, quiet: bool) -> Self {
        Self { enabled: !quiet && terminal::stderr_is_terminal(), label: plain(label), shown: String::new() }
    }

    /// Whether it is worth asking for progress.
    pub const fn is_shown(&self) -> bool {
        self.enabled
    }

    /// Draws the state: percent from 0 to 100 if it is known, and what is being done.
    pub fn update(&mut self, percent: Option<f64>, text: &str) {
        let line = draw(&self.label, percent, &plain(text), terminal::columns());
        if self.enabled && line != self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K{line}");
            self.shown = line;
        }
    }

    /// Takes the bar away, so that the answer stands alone.
    pub fn clear(&mut self) {
        if !std::mem::take(&mut self.shown).is_empty() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn draw(label: &str, percent: Option<f64>, text: &str, columns: usize) -> String {
    const CELLS: usize = 24;
    let text = text.replace('\n', " ");
    let mut line = match percent {
        Some(percent) => {
            let percent = percent.clamp(0.0, 100.0);
            let filled =
                (0..CELLS).filter(|cell| (*cell as f64 + 0.5) * 100.0 / CELLS as f64 <= percent).count();
            format!("{label} [{}{}] {percent:3.0} % {text}", "#".repeat(filled), "-".repeat(CELLS - filled))
        }
        None => format!("{label} … {text}"),
    };
    line.truncate(line.trim_end().len());
    while width(&line) >= columns {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_01_the_bar_shows_percent_and_text_within_the_line() {
        assert_eq!(
            draw("vm create", Some(50.0), "PlugNics", 80),
            "vm create [############------------]  50 % PlugNics"
        );
        assert_eq!(draw("x", Some(100.0), "", 80), "x [########################] 100 %");
        assert_eq!(draw("x", None, "waiting", 80), "x … waiting");
        assert_eq!(draw("x", Some(0.0), "a very long text that does not fit", 40).chars().count(), 39);
    }
}
