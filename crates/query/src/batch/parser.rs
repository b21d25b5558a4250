//! From tokens to a program.

use cairn_types::{Fault, Result};

use super::lexer::{Kind, Part, Token, at_line, tokens};

/// Deepest nesting of expressions and blocks.
const MAX_DEPTH: usize = 40;

/// A statement and its line.
#[derive(Debug)]
pub(super) struct Statement {
    pub line: usize,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Define(String, Option<Expr>),
    Assign(Target, Option<&'static str>, Expr),
    If(Expr, Vec<Statement>, Vec<Statement>),
    For(String, Expr, Vec<Statement>),
    Return(Option<Expr>),
    Value(Expr),
}

/// What can be assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(String),
    Item(Expr, Expr),
}

#[derive(Debug)]
pub(super) enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    /// A text put together from values.
    Join(Vec<Expr>),
    Name(String),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    /// `a.b`, and with `true` `a?.b`.
    Field(Box<Expr>, String, bool),
    Index(Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// `a.f(x) { … }`, and with `true` `a?.f(x)`.
    Method(Box<Expr>, String, Vec<Expr>, Option<Closure>, bool),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    Elvis(Box<Expr>, Box<Expr>),
}

#[derive(Debug)]
pub(super) struct Closure {
    /// Names of the parameters; without any there is `it`.
    pub params: Vec<String>,
    pub body: Vec<Statement>,
}

/// Operators by how tightly they bind, loosest first.
const LEVELS: &[&[&str]] =
    &[&["||"], &["&&"], &["==", "!="], &[">=", "<=", ">", "<", "in"], &["<<"], &["+", "-"], &["*", "/", "%"]];

pub(super) fn parse(source: &str) -> Result<Vec<Statement>> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0 };
    let program = parser.statements(|k| *k == Kind::End)?;
    Ok(program)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn kind(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |t| &t.kind)
    }

    fn kind_at(&self, ahead: usize) -> &Kind {
        self.tokens.get(self.at + ahead).map_or(&Kind::End, |t| &t.kind)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.line)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.kind(), Kind::Sign(s) if *s == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Word(w) if w == word)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(self.wanted(&format!("{sign:?}"))) }
    }

    fn word(&mut self) -> Result<String> {
        let Kind::Word(word) = self.kind() else { return Err(self.wanted("a name")) };
        let word = word.clone();
        self.at += 1;
        Ok(word)
    }

    fn wanted(&self, what: &str) -> Fault {
        let found = match self.kind() {
            Kind::Word(w) => format!("{w:?}"),
            Kind::Sign(s) => format!("{s:?}"),
            Kind::Int(_) | Kind::Real(_) => "a number".to_owned(),
            Kind::Text(_) => "a text".to_owned(),
            Kind::NewLine => "the end of the line".to_owned(),
            Kind::End => "the end".to_owned(),
        };
        at_line(self.line(), format!("{found} stands where {what} is due"))
    }

    fn skip_lines(&mut self) {
        while *self.kind() == Kind::NewLine {
            self.at += 1;
        }
    }

    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(at_line(self.line(), "expressions are nested too deeply"));
        }
        let result = f(self);
        self.depth -= 1;
        result
    }

    fn statements(&mut self, ends: fn(&Kind) -> bool) -> Result<Vec<Statement>> {
        let mut list = Vec::new();
        loop {
            while *self.kind() == Kind::NewLine || self.is(";") {
                self.at += 1;
            }
            if ends(self.kind()) {
                self.at += 1;
                return Ok(list);
            }
            let line = self.line();
            let what = self.deeper(Self::statement)?;
            list.push(Statement { line, what });
            if !(*self.kind() == Kind::NewLine || self.is(";") || ends(self.kind())) {
                return Err(self.wanted("the end of the statement"));
            }
        }
    }

    fn block(&mut self) -> Result<Vec<Statement>> {
        self.skip_lines();
        if self.take("{") {
            return self.statements(|k| *k == Kind::Sign("}"));
        }
        let line = self.line();
        let what = self.deeper(Self::statement)?;
        Ok(vec![Statement { line, what }])
    }

    fn statement(&mut self) -> Result<What> {
        match self.kind() {
            Kind::Word(w) if w == "if" => self.condition(),
            Kind::Word(w) if w == "for" => self.each(),
            Kind::Word(w) if w == "return" => {
                self.at += 1;
                let bare = matches!(self.kind(), Kind::NewLine | Kind::End) || self.is(";") || self.is("}");
                Ok(What::Return(if bare { None } else { Some(self.expression()?) }))
            }
            Kind::Word(w)
                if matches!(w.as_str(), "while" | "import" | "class" | "try" | "switch" | "new") =>
            {
                Err(at_line(self.line(), format!("{w:?} is not supported in scripts")))
            }
            // `def x`, `String x`: a type is read and means nothing.
            Kind::Word(_) if matches!(self.kind_at(1), Kind::Word(w) if w != "in") => {
                self.at += 1;
                let name = self.word()?;
                let value = if self.take("=") { Some(self.right_side()?) } else { None };
                Ok(What::Define(name, value))
            }
            _ => self.assignment(),
        }
    }

    fn right_side(&mut self) -> Result<Expr> {
        self.skip_lines();
        self.expression()
    }

    fn assignment(&mut self) -> Result<What> {
        let left = self.expression()?;
        let Some(sign) = ["=", "+=", "-="].into_iter().find(|s| self.take(s)) else {
            return Ok(What::Value(left));
        };
        let op = match sign {
            "+=" => Some("+"),
            "-=" => Some("-"),
            _ => None,
        };
        let target = match left {
            Expr::Name(name) => Target::Name(name),
            Expr::Field(of, name, false) => Target::Item(*of, Expr::Text(name)),
            Expr::Index(of, key) => Target::Item(*of, *key),
            _ => return Err(at_line(self.line(), "nothing can be assigned to this")),
        };
        Ok(What::Assign(target, op, self.right_side()?))
    }

    fn condition(&mut self) -> Result<What> {
        self.at += 1;
        self.need("(")?;
        let test = self.inside()?;
        self.need(")")?;
        let then = self.block()?;
        let before = self.at;
        self.skip_lines();
        let otherwise = if self.is_word("else") {
            self.at += 1;
            self.block()?
        } else {
            self.at = before;
            Vec::new()
        };
        Ok(What::If(test, then, otherwise))
    }

    fn each(&mut self) -> Result<What> {
        self.at += 1;
        self.need("(")?;
        let mut name = self.word()?;
        if !self.is_word("in") {
            name = self.word()?;
        }
        if !self.is_word("in") && !self.is(":") {
            return Err(self.wanted("\"in\""));
        }
        self.at += 1;
        let list = self.inside()?;
        self.need(")")?;
        Ok(What::For(name, list, self.block()?))
    }

    /// An expression within brackets, where lines do not matter.
    fn inside(&mut self) -> Result<Expr> {
        self.skip_lines();
        let value = self.expression()?;
        self.skip_lines();
        Ok(value)
    }

    fn expression(&mut self) -> Result<Expr> {
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
