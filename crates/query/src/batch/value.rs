//! Values of a script, and the memory they may take.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use cairn_types::{Fault, Result};
use serde_json::Value as Json;

/// Deepest nesting of lists and maps in an answer.
const MAX_DEPTH: usize = 60;

/// Lists and maps are shared, as in the original: two names may mean one list.
#[derive(Clone)]
pub(super) enum Val {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(Rc<str>),
    List(Rc<RefCell<Vec<Val>>>),
    Map(Rc<RefCell<BTreeMap<Rc<str>, Val>>>),
}

impl Val {
    /// Whether it counts as true: nothing, zero and what is empty do not.
    pub fn truth(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Real(n) => *n != 0.0,
            Self::Text(s) => !s.is_empty(),
            Self::List(l) => !l.borrow().is_empty(),
            Self::Map(m) => !m.borrow().is_empty(),
        }
    }

    /// As text, in the way a list prints its elements. Every visited value takes from `left`.
    pub fn show(&self, left: &mut usize) -> Result<String> {
        let mut out = String::new();
        self.show_into(&mut out, left, 0)?;
        Ok(out)
    }

    fn show_into(&self, out: &mut String, left: &mut usize, depth: usize) -> Result<()> {
        visit(left, depth)?;
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Int(n) => out.push_str(&n.to_string()),
            Self::Real(n) => out.push_str(&n.to_string()),
            Self::Text(s) => {
                take(left, s.len())?;
                out.push_str(s);
            }
            Self::List(list) => {
                out.push('[');
                for (n, item) in list.borrow().iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    item.show_into(out, left, depth + 1)?;
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('[');
                for (n, (key, item)) in map.borrow().iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    out.push_str(key);
                    out.push(':');
                    item.show_into(out, left, depth + 1)?;
                }
                out.push_str(if map.borrow().is_empty() { ":]" } else { "]" });
            }
        }
        Ok(())
    }

    /// As JSON for the answer.
    pub fn to_json(&self, left: &mut usize, depth: usize) -> Result<Json> {
        visit(left, depth)?;
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => (*n).into(),
            Self::Real(n) => (*n).into(),
            Self::Text(s) => {
                take(left, s.len())?;
                s.to_string().into()
            }
            Self::List(list) => {
                list.borrow().iter().map(|v| v.to_json(left, depth + 1)).collect::<Result<_>>()?
            }
            Self::Map(map) => {
                let map = map.borrow();
                // What has no value is left out, as everywhere in the API.
                let some = map.iter().filter(|(_, v)| !matches!(v, Self::Null));
                let pairs = some.map(|(k, v)| Ok((k.to_string(), v.to_json(left, depth + 1)?)));
                Json::Object(pairs.collect::<Result<_>>()?)
            }
        })
    }

    /// Order of two values; `None` if they have none.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Null, Self::Null) => Some(Ordering::Equal),
            (Self::Null, _) => Some(Ordering::Less),
            (_, Self::Null) => Some(Ordering::Greater),
            _ => self.real()?.partial_cmp(&other.real()?),
        }
    }

    /// Whether two values are equal; lists and maps by what they hold.
    pub fn same(&self, other: &Self, left: &mut usize, depth: usize) -> Result<bool> {
        visit(left, depth)?;
        Ok(match (self, other) {
            (Self::List(a), Self::List(b)) => {
                let (a, b) = (a.borrow(), b.borrow());
                a.len() == b.len() && all(a.iter().zip(b.iter()).map(|(x, y)| x.same(y, left, depth + 1)))?
            }
            (Self::Map(a), Self::Map(b)) => {
                let (a, b) = (a.borrow(), b.borrow());
                a.len() == b.len()
                    && all(a
                        .iter()
                        .zip(b.iter())
                        .map(|(x, y)| Ok(x.0 == y.0 && x.1.same(y.1, left, depth + 1)?)))?
            }
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            _ => self.order(other) == Some(Ordering::Equal),
        })
    }

    /// As a number with a fraction.
    #[expect(clippy::cast_precision_loss, reason = "scripts divide sizes for display")]
    pub fn real(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Real(n) => Some(*n),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

fn all(tests: impl Iterator<Item = Result<bool>>) -> Result<bool> {
    for test in tests {
        if !test? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Counts a visited value: a list may hold one list many times, so that a small script describes a huge value.
fn visit(left: &mut usize, depth: usize) -> Result<()> {
    take(left, 1)?;
    if depth > MAX_DEPTH { Err(Fault::argument("a list of the script contains itself")) } else { Ok(()) }
}

fn take(left: &mut usize, amount: usize) -> Result<()> {
    *left =
        left.checked_sub(amount).ok_or_else(|| crate::fault::too_much("the script needs too much memory"))?;
    Ok(())
}

/// Makes values and counts what they take. Lists and maps are emptied at the end, so that one that contains itself is freed.
pub(super) struct Heap {
    made: Vec<Val>,
    pub left: usize,
}

impl Heap {
    pub fn new(memory: usize) -> Self {
        Self { made: Vec::new(), left: memory }
    }

    /// Takes this much of the memory.
    pub fn charge(&mut self, amount: usize) -> Result<()> {
        take(&mut self.left, amount)
    }

    pub fn text(&mut self, text: impl Into<Rc<str>>) -> Result<Val> {
        let text = text.into();
        self.charge(text.len() + 16)?;
        Ok(Val::Text(text))
    }

    pub fn list(&mut self, items: Vec<Val>) -> Result<Val> {
        self.charge(items.len() * 16 + 64)?;
        let list = Val::List(Rc::new(RefCell::new(items)));
        self.made.push(list.clone());
        Ok(list)
    }

    pub fn map(&mut self, items: BTreeMap<Rc<str>, Val>) -> Result<Val> {
        self.charge(items.len() * 32 + 64)?;
        let map = Val::Map(Rc::new(RefCell::new(items)));
        self.made.push(map.clone());
        Ok(map)
    }

    /// A value of an answer.
    pub fn json(&mut self, json: &Json) -> Result<Val> {
        match json {
            Json::Null => Ok(Val::Null),
            Json::Bool(b) => Ok(Val::Bool(*b)),
            Json::Number(n) => Ok(n.as_i64().map_or_else(|| Val::Real(n.as_f64().unwrap_or(0.0)), Val::Int)),
            Json::String(s) => self.text(s.as_str()),
            Json::Array(list) => {
                let items = list.iter().map(|v| self.json(v)).collect::<Result<_>>()?;
                self.list(items)
            }
            Json::Object(map) => {
                let items = map
                    .iter()
                    .map(|(k, v)| Ok((Rc::from(k.as_str()), self.json(v)?)))
                    .collect::<Result<_>>()?;
                self.map(items)
            }
        }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for value in &self.made {
            match value {
                Val::List(list) => drop(list.take()),
                Val::Map(map) => drop(map.take()),
                Val::Null | Val::Bool(_) | Val::Int(_) | Val::Real(_) | Val::Text(_) => {}
            }
        }
    }
}
