//! From the text of a script to tokens.

use cairn_types::{Fault, Result};

/// A token and the line it stands in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Word(String),
    Int(i64),
    Real(f64),
    /// A text; `${…}` in double quotes makes parts of code.
    Text(Vec<Part>),
    Sign(&'static str),
    NewLine,
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Plain(String),
    Code(String),
}

/// Longer ones before their beginnings.
const SIGNS: &[&str] = &[
    "==", "!=", ">=", "<=", "&&", "||", "?.", "?:", "->", "+=", "-=", "<<", "=", ">", "<", "+", "-", "*",
    "/", "%", "!", "?", ":", ".", ",", ";", "(", ")", "[", "]", "{", "}",
];

pub(super) fn at_line(line: usize, text: impl std::fmt::Display) -> Fault {
    Fault::argument(format!("line {line} of the script: {text}")).with("line", line)
}

pub(super) fn tokens(source: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer { rest: source, line: 1, out: Vec::new() };
    while let Some(first) = lexer.rest.chars().next() {
        lexer.token(first)?;
    }
    lexer.push(Kind::End);
    Ok(lexer.out)
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
    out: Vec<Token>,
}

impl<'s> Lexer<'s> {
    fn push(&mut self, kind: Kind) {
        self.out.push(Token { kind, line: self.line });
    }

    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn while_taking(&mut self, fits: impl Fn(char) -> bool) -> &'s str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn token(&mut self, first: char) -> Result<()> {
        if first == '\n' {
            self.push(Kind::NewLine);
            self.line += 1;
            self.take(1);
        } else if first.is_whitespace() {
            self.take(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.while_taking(|c| c != '\n');
        } else if self.rest.starts_with("/*") {
            let end = self.rest.find("*/").ok_or_else(|| at_line(self.line, "a comment is not closed"))?;
            self.line += self.take(end + 2).matches('\n').count();
        } else if first == '"' || first == '\'' {
            self.text(first)?;
        } else if first.is_ascii_digit() {
            self.number()?;
        } else if first.is_alphabetic() || first == '_' {
            let word = self.while_taking(|c| c.is_alphanumeric() || c == '_');
            self.push(Kind::Word(word.to_owned()));
        } else {
            let sign = SIGNS.iter().find(|s| self.rest.starts_with(**s));
            let sign = sign.ok_or_else(|| at_line(self.line, format!("{first:?} is not understood")))?;
            self.take(sign.len());
            self.push(Kind::Sign(sign));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let whole = self.while_taking(|c| c.is_ascii_digit());
        let wrong = |line| at_line(line, "the number is too large");
        let after = self.rest.strip_prefix('.').and_then(|r| r.chars().next());
        let kind = if after.is_some_and(|c| c.is_ascii_digit()) {
            self.take(1);
            let fraction = self.while_taking(|c| c.is_ascii_digit());
            Kind::Real(format!("{whole}.{fraction}").parse().map_err(|_| wrong(self.line))?)
        } else {
            Kind::Int(whole.parse().map_err(|_| wrong(self.line))?)
        };
        if self.rest.starts_with(['L', 'l', 'G', 'g', 'd', 'f']) {
            self.take(1);
        }
        self.push(kind);
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<()> {
        let triple = if quote == '"' { "\"\"\"" } else { "'''" };
        let end = if self.rest.starts_with(triple) { triple } else { &triple[..1] };
        let begin = self.line;
        self.take(end.len());
        let mut parts = Vec::new();
        let mut plain = String::new();
        while !self.rest.starts_with(end) {
            let Some(c) = self.rest.chars().next() else {
                return Err(at_line(begin, "a text is not closed"));
            };
            self.line += usize::from(c == '\n');
            if c == '\\' {
                self.take(1);
                plain.push(self.escaped()?);
            } else if c == '$' && quote == '"' {
                self.take(1);
                match self.code()? {
                    Some(code) => {
                        parts.push(Part::Plain(std::mem::take(&mut plain)));
                        parts.push(Part::Code(code));
                    }
                    None => plain.push('$'),
                }
            } else {
                plain.push(c);
                self.take(c.len_utf8());
            }
        }
        self.take(end.len());
        parts.push(Part::Plain(plain));
        self.push(Kind::Text(parts));
        Ok(())
    }

    fn escaped(&mut self) -> Result<char> {
        let c = self.rest.chars().next().ok_or_else(|| at_line(self.line, "a text is not closed"))?;
        self.take(c.len_utf8());
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            other => other,
        })
    }

    /// After a `$`: the code in braces, or a name with fields.
    fn code(&mut self) -> Result<Option<String>> {
        if self.rest.starts_with('{') {
            let mut depth = 0_usize;
            let end = self.rest.char_indices().find_map(|(at, c)| {
                depth = match c {
                    '{' => depth + 1,
                    '}' => depth - 1,
                    _ => depth,
                };
                (depth == 0).then_some(at)
            });
            let end = end.ok_or_else(|| at_line(self.line, "a ${ in a text is not closed"))?;
            let code = self.take(end + 1);
            return Ok(Some(code[1..end].to_owned()));
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(self.rest.len());
        // Dots that end a sentence belong to the text.
        let used = self.rest[..end].trim_end_matches('.').len();
        let name = self.take(used);
        Ok((!name.is_empty()).then(|| name.to_owned()))
    }
}
