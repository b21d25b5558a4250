//! System tags: the known formats, which one a tag fits, and the values in it.
//!
//! A format such as `staticIp::{l3NetworkUuid}::{staticIp}` is text with tokens. A token's value may contain anything,
//! also `::`, but where more of the format follows it ends at the first place where that fits.

mod table;
#[cfg(test)]
mod tests;
mod values;

use cairn_types::{Fault, Result};

pub use table::FORMATS;
pub use values::{Value, boot_order, hostname, root_password, ssh_key, static_ip, user_data};

/// A known format of system tags.
#[derive(Debug, Clone, Copy)]
pub struct TagFormat {
    /// Entities that such a tag may be stored on; empty for tags that act on the request only.
    pub entities: &'static [&'static str],
    /// Text with tokens in braces.
    pub format: &'static str,
    /// Who normally writes it.
    pub by: By,
    /// Made by the server; cannot be deleted through the API.
    pub inherent: bool,
    /// What its value must look like.
    pub value: Value,
    /// At most one such tag per resource.
    pub single: bool,
    /// Masked in the audit and never logged.
    pub secret: bool,
    /// For people.
    pub meaning: &'static str,
}

/// Who normally writes a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Callers.
    Client,
    /// The server. A caller may not create such a tag.
    Server,
    /// Both.
    Both,
}

impl TagFormat {
    /// Acts on the request that carries it and is never stored.
    pub const fn is_ephemeral(&self) -> bool {
        self.entities.is_empty()
    }

    /// Whether the tag may be stored on this entity.
    pub fn fits(&self, entity: &str) -> bool {
        self.entities.contains(&entity)
    }

    /// The names of its tokens.
    pub fn tokens(&self) -> impl Iterator<Item = &'static str> {
        pieces(self.format).filter_map(|piece| match piece {
            Piece::Token(name) => Some(name),
            Piece::Text(_) => None,
        })
    }

    /// How much of the format is fixed text; of several formats that fit, the one with the most says most.
    fn fixed(&self) -> usize {
        pieces(self.format).map(|p| if let Piece::Text(text) = p { text.len() } else { 0 }).sum()
    }

    /// Checks the value in a tag of this format. `SYS.1007` if it is wrong.
    pub fn check(&self, tag: &str) -> Result<()> {
        let Some(values) = capture(self.format, tag) else {
            return Err(wrong(tag, &format!("does not have the form {}", self.format)));
        };
        let Some((_, value)) = values.last() else { return Ok(()) };
        match self.value.refuse(value) {
            Some(wanted) => Err(wrong(tag, &format!("must hold {wanted}"))),
            None => Ok(()),
        }
    }
}

fn wrong(tag: &str, why: &str) -> Fault {
    let shown = mask(tag);
    Fault::argument(format!("system tag '{shown}' {why}")).with("tag", shown)
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(&'static str),
    Token(&'static str),
}

/// Fixed texts and tokens of a format, in turn.
fn pieces(format: &'static str) -> impl Iterator<Item = Piece> {
    let mut rest = format;
    std::iter::from_fn(move || {
        if let Some(token) = rest.strip_prefix('{') {
            let (name, after) = token.split_once('}')?;
            rest = after;
            return Some(Piece::Token(name));
        }
        let end = rest.find('{').unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        rest = after;
        (!text.is_empty()).then_some(Piece::Text(text))
    })
}

/// The values in a tag by token name; `None` if the tag does not have the format. Values are never empty.
pub fn capture<'t>(format: &'static str, tag: &'t str) -> Option<Vec<(&'static str, &'t str)>> {
    let mut values = Vec::new();
    let mut pieces = pieces(format).peekable();
    let mut rest = tag;
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(text) => rest = rest.strip_prefix(text)?,
            Piece::Token(name) => {
                let (value, after) = match pieces.next() {
                    None => (rest, ""),
                    Some(Piece::Text(text)) if pieces.peek().is_none() => (rest.strip_suffix(text)?, ""),
                    Some(Piece::Text(text)) => rest.split_once(text)?,
                    Some(Piece::Token(_)) => return None,
                };
                if value.is_empty() {
                    return None;
                }
                values.push((name, value));
                rest = after;
            }
        }
    }
    rest.is_empty().then_some(values)
}

fn best(tag: &str, fits: impl Fn(&TagFormat) -> bool) -> Option<TagFormat> {
    let matching = FORMATS.iter().filter(|f| fits(f) && capture(f.format, tag).is_some());
    matching.max_by_key(|f| f.fixed()).copied()
}

/// The format that a tag of this entity fits.
pub fn match_format(entity: &str, tag: &str) -> Option<TagFormat> {
    best(tag, |f| f.fits(entity))
}

/// The format that a tag fits, of whatever entity or acting on the request only.
pub fn match_any(tag: &str) -> Option<TagFormat> {
    best(tag, |_| true)
}

/// Whether a request carries this tag, such as `ephemeral::validationOnly`.
pub fn has(tags: &[String], tag: &str) -> bool {
    tags.iter().any(|t| t == tag)
}

/// The tag as audit and logs may show it: secret values are stars.
pub fn mask(tag: &str) -> String {
    match match_any(tag) {
        Some(format) if format.secret => {
            let name = tag.split("::").next().unwrap_or_default();
            format!("{name}::*****")
        }
        _ => tag.to_owned(),
    }
}
