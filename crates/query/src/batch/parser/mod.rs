//! From tokens to a program: its statements. What stands in them is in [`expression`].

mod expression;

use cairn_types::{Fault, Result};

use super::lexer::{Kind, Token, at_line, tokens};

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
}
