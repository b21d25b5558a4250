//! Which values a setting takes.

use cairn_types::size::{parse_size, show_size};

/// A year in seconds.
pub(super) const YEAR: i64 = 31_536_000;
/// Characters of the longest value.
const LONGEST: usize = 16_384;

/// Which values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A whole number, both ends included.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number with a fraction, at least a tenth and at most a thousand.
    Factor,
    /// true or false.
    Bool,
    /// One of these, exactly.
    OneOf(&'static [&'static str]),
    /// Any text but the empty one.
    Text,
    /// Digits with an optional B, K, M, G or T, at most this many bytes.
    Size {
        /// Largest.
        max: u64,
    },
    /// An absolute path.
    Path,
    /// An absolute path or nothing.
    PathOrEmpty,
    /// An http or https address, or the word null.
    UrlOrNull,
    /// Message names separated by commas, or nothing.
    MessageNames,
    /// A letter or digit, then letters, digits, `-`, `_` and `#`.
    Password,
}

impl Form {
    /// A whole number from `min`: a quota, which may be as good as none.
    pub(super) const fn from(min: i64) -> Self {
        Self::Int { min, max: i64::MAX }
    }

    /// Seconds of something that comes round, or that is waited for: a year at most.
    pub(super) const fn seconds(min: i64) -> Self {
        Self::Int { min, max: YEAR }
    }

    /// Seconds that something is kept: ten years at most.
    pub(super) const fn period() -> Self {
        Self::Int { min: 0, max: 10 * YEAR }
    }

    /// So many of something: a million at most.
    pub(super) const fn count(min: i64) -> Self {
        Self::Int { min, max: 1_000_000 }
    }

    /// A whole number from `min` to `max`.
    pub(super) const fn between(min: i64, max: i64) -> Self {
        Self::Int { min, max }
    }

    /// The value as it is stored, or what it should have been.
    pub(super) fn accept(self, value: &str) -> Result<String, String> {
        let trimmed = value.trim();
        let ok = |good: bool, what: &str| {
            if good { Ok(trimmed.to_owned()) } else { Err(format!("must be {what}")) }
        };
        if value.len() > LONGEST {
            return Err(format!("must not be longer than {LONGEST} characters"));
        }
        if value.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        match self {
            Self::Int { min, max } => integer(trimmed, min, max),
            Self::Factor => ok(is_factor(trimmed), "a number between 0.1 and 1000"),
            Self::Bool => {
                let lower = trimmed.to_ascii_lowercase();
                ok(matches!(lower.as_str(), "true" | "false"), "true or false").map(|_| lower)
            }
            Self::OneOf(values) => ok(values.contains(&trimmed), &format!("one of: {}", values.join(", "))),
            Self::Text => ok(!trimmed.is_empty(), "a text that is not empty"),
            Self::Size { max } => match parse_size(trimmed) {
                Some(bytes) => ok(bytes <= max, &format!("from 0 to {}", show_size(max))),
                None => Err(format!(
                    "must be digits with an optional B, K, M, G or T, from 0 to {}",
                    show_size(max)
                )),
            },
            Self::Path => ok(is_path(trimmed), "an absolute path without '..'"),
            Self::PathOrEmpty => {
                ok(trimmed.is_empty() || is_path(trimmed), "an absolute path without '..', or empty")
            }
            Self::UrlOrNull => {
                ok(trimmed == "null" || is_web(trimmed), "an http or https address, or the word null")
            }
            Self::MessageNames => {
                ok(are_messages(trimmed), "message names such as APIQueryHostMsg, separated by commas")
            }
            Self::Password => ok(is_password(trimmed), "a letter or digit, then letters, digits, -, _ and #"),
        }
    }
}

fn integer(text: &str, min: i64, max: i64) -> Result<String, String> {
    let range = || match max {
        i64::MAX => format!("must be a whole number from {min}"),
        _ => format!("must be a whole number from {min} to {max}"),
    };
    let number: i64 = text.parse().map_err(|_| range())?;
    if (min..=max).contains(&number) { Ok(number.to_string()) } else { Err(range()) }
}

fn is_factor(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain && text.parse::<f64>().is_ok_and(|f| (0.1..=1000.0).contains(&f))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.split('/').all(|part| part != "..")
}

fn is_web(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|r| !r.is_empty() && !r.contains(char::is_whitespace))
}

fn are_messages(text: &str) -> bool {
    text.is_empty()
        || text.split(',').map(|name| name.trim().rsplit('.').next().unwrap_or_default()).all(|name| {
            name.starts_with("API")
                && name.ends_with("Msg")
                && name.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

fn is_password(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'#'))
}
