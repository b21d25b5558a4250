//! Expressions: values, operators, calls and closures.

use cairn_types::Result;

use super::super::lexer::{Kind, Part, at_line, tokens};
use super::{Closure, Expr, Parser};

/// Operators by how tightly they bind, loosest first.
const LEVELS: &[&[&str]] =
    &[&["||"], &["&&"], &["==", "!="], &[">=", "<=", ">", "<", "in"], &["<<"], &["+", "-"], &["*", "/", "%"]];

impl Parser {
    pub(super) fn right_side(&mut self) -> Result<Expr> {
        self.skip_lines();
        self.expression()
    }

    /// An expression within brackets, where lines do not matter.
    pub(super) fn inside(&mut self) -> Result<Expr> {
        self.skip_lines();
        let value = self.expression()?;
        self.skip_lines();
        Ok(value)
    }

    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.deeper(|p| {
            let test = p.binary(0)?;
            if p.take("?:") {
                p.skip_lines();
                return Ok(Expr::Elvis(Box::new(test), Box::new(p.expression()?)));
            }
            if !p.take("?") {
                return Ok(test);
            }
            let yes = p.inside()?;
            p.need(":")?;
            let no = p.right_side()?;
            Ok(Expr::Choice(Box::new(test), Box::new(yes), Box::new(no)))
        })
    }

    /// Operators that bind at least as tightly as this level.
    fn binary(&mut self, loosest: usize) -> Result<Expr> {
        let mut left = self.unary()?;
        for _ in 0..200 {
            let Some((level, sign)) = self.operator().filter(|(level, _)| *level >= loosest) else {
                return Ok(left);
            };
            self.at += 1;
            self.skip_lines();
            let right = self.binary(level + 1)?;
            left = Expr::Binary(sign, Box::new(left), Box::new(right));
        }
        Err(at_line(self.line(), "the expression is too long"))
    }

    fn operator(&self) -> Option<(usize, &'static str)> {
        let word = match self.kind() {
            Kind::Sign(sign) => sign,
            Kind::Word(word) if word == "in" => "in",
            _ => return None,
        };
        LEVELS
            .iter()
            .enumerate()
            .find_map(|(level, signs)| Some((level, *signs.iter().find(|s| **s == word)?)))
    }

    fn unary(&mut self) -> Result<Expr> {
        if self.take("!") {
            return self.deeper(|p| Ok(Expr::Not(Box::new(p.unary()?))));
        }
        if self.take("-") {
            return self.deeper(|p| Ok(Expr::Minus(Box::new(p.unary()?))));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Expr> {
        let mut value = self.primary()?;
        for _ in 0..200 {
            // A chain of calls may go on in the next line.
            let lines = (0..).take_while(|n| *self.kind_at(*n) == Kind::NewLine).count();
            if matches!(self.kind_at(lines), Kind::Sign("." | "?.")) {
                self.at += lines;
            }
            let safe = self.is("?.");
            if safe || self.is(".") {
                self.at += 1;
                value = self.member(value, safe)?;
            } else if self.take("[") {
                let key = self.inside()?;
                self.need("]")?;
                value = Expr::Index(Box::new(value), Box::new(key));
            } else {
                return Ok(value);
            }
        }
        Err(at_line(self.line(), "the expression is too long"))
    }

    fn member(&mut self, of: Expr, safe: bool) -> Result<Expr> {
        let name = match self.kind() {
            Kind::Text(parts) if matches!(parts.as_slice(), [Part::Plain(_)]) => {
                let Kind::Text(parts) = self.kind().clone() else { return Err(self.wanted("a name")) };
                self.at += 1;
                return Ok(Expr::Field(Box::new(of), plain(&parts), safe));
            }
            _ => self.word()?,
        };
        if !self.is("(") && !self.is("{") {
            return Ok(Expr::Field(Box::new(of), name, safe));
        }
        let (args, mut closure) = self.arguments()?;
        if self.is("{") && closure.is_none() {
            closure = Some(self.closure()?);
        }
        Ok(Expr::Method(Box::new(of), name, args, closure, safe))
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, Option<Closure>)> {
        let (mut args, mut closure) = (Vec::new(), None);
        if !self.take("(") {
            return Ok((args, closure));
        }
        self.skip_lines();
        while !self.take(")") {
            if self.is("{") {
                closure = Some(self.closure()?);
                self.skip_lines();
            } else {
                args.push(self.inside()?);
            }
            if !self.take(",") && !self.is(")") {
                return Err(self.wanted("\",\" or \")\""));
            }
            self.skip_lines();
        }
        Ok((args, closure))
    }

    fn closure(&mut self) -> Result<Closure> {
        self.need("{")?;
        let before = self.at;
        let params = self.parameters().unwrap_or_else(|| {
            self.at = before;
            Vec::new()
        });
        let body = self.deeper(|p| p.statements(|k| *k == Kind::Sign("}")))?;
        Ok(Closure { params, body })
    }

    /// `a, b ->`; nothing if this is not how the closure begins.
    fn parameters(&mut self) -> Option<Vec<String>> {
        self.skip_lines();
        let mut params = Vec::new();
        loop {
            if self.take("->") {
                return Some(params);
            }
            let mut name = self.word().ok()?;
            if let Kind::Word(typed) = self.kind() {
                name = typed.clone();
                self.at += 1;
            }
            params.push(name);
            if !self.take(",") && !self.is("->") {
                return None;
            }
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let token = self.kind().clone();
        self.at += 1;
        Ok(match token {
            Kind::Int(n) => Expr::Int(n),
            Kind::Real(n) => Expr::Real(n),
            Kind::Text(parts) => self.text(&parts)?,
            Kind::Word(word) => match word.as_str() {
                "null" => Expr::Null,
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                _ if self.is("(") => {
                    let (args, closure) = self.arguments()?;
                    if closure.is_some() {
                        return Err(at_line(self.line(), format!("{word} takes no closure")));
                    }
                    Expr::Call(word, args)
                }
                _ => Expr::Name(word),
            },
            Kind::Sign("(") => {
                let value = self.inside()?;
                self.need(")")?;
                value
            }
            Kind::Sign("[") => self.collection()?,
            _ => {
                self.at -= 1;
                return Err(self.wanted("a value"));
            }
        })
    }

    fn text(&mut self, parts: &[Part]) -> Result<Expr> {
        if let [Part::Plain(text)] = parts {
            return Ok(Expr::Text(text.clone()));
        }
        let mut joined = Vec::new();
        for part in parts {
            joined.push(match part {
                Part::Plain(text) => Expr::Text(text.clone()),
                Part::Code(code) => {
                    let mut inner = Parser { tokens: tokens(code)?, at: 0, depth: self.depth + 1 };
                    let value = inner.inside()?;
                    if *inner.kind() != Kind::End {
                        return Err(at_line(self.line(), "${…} holds more than one value"));
                    }
                    value
                }
            });
        }
        Ok(Expr::Join(joined))
    }

    /// After `[`: a list or a map.
    fn collection(&mut self) -> Result<Expr> {
        self.skip_lines();
        if self.take(":") {
            self.skip_lines();
            self.need("]")?;
            return Ok(Expr::Map(Vec::new()));
        }
        let (mut list, mut map) = (Vec::new(), Vec::new());
        while !self.take("]") {
            if let Kind::Word(word) = self.kind().clone()
                && *self.kind_at(1) == Kind::Sign(":")
            {
                self.at += 2;
                map.push((Expr::Text(word), self.inside()?));
            } else {
                let value = self.inside()?;
                if self.take(":") {
                    map.push((value, self.inside()?));
                } else {
                    list.push(value);
                }
            }
            if !self.take(",") && !self.is("]") {
                return Err(self.wanted("\",\" or \"]\""));
            }
            self.skip_lines();
        }
        match (list.is_empty(), map.is_empty()) {
            (_, true) => Ok(Expr::List(list)),
            (true, false) => Ok(Expr::Map(map)),
            (false, false) => Err(at_line(self.line(), "a list and a map are mixed")),
        }
    }
}

fn plain(parts: &[Part]) -> String {
    match parts {
        [Part::Plain(text)] => text.clone(),
        _ => String::new(),
    }
}
