//! Values and rows as both databases give them.

use std::str::FromStr;
use std::sync::Arc;

use cairn_types::{Fault, Id, Result, state};

/// One value of a row or parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A number; booleans are 0 and 1.
    Int(i64),
    /// A fraction.
    Real(f64),
    /// Text.
    Text(String),
}

impl Value {
    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Null | Self::Real(_) | Self::Text(_) => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(s) => Some(s),
            Self::Null | Self::Int(_) | Self::Real(_) => None,
        }
    }
}

macro_rules! from_display {
    ($($ty:ty),* $(,)?) => { $(impl From<$ty> for Value {
        fn from(v: $ty) -> Self { Self::Text(v.as_str().to_owned()) }
    })* };
}
from_display!(
    state::EnabledState,
    state::HostState,
    state::Status,
    state::ImageStatus,
    state::VolumeStatus,
    state::VmState,
);

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}
impl From<&String> for Value {
    fn from(v: &String) -> Self {
        Self::Text(v.clone())
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Self::Int(v.into())
    }
}
impl From<u16> for Value {
    fn from(v: u16) -> Self {
        Self::Int(v.into())
    }
}
impl From<u64> for Value {
    /// Amounts of bytes; what does not fit becomes the largest number there is.
    fn from(v: u64) -> Self {
        Self::Int(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Self::Int(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Int(v.into())
    }
}
impl<T> From<Id<T>> for Value {
    fn from(v: Id<T>) -> Self {
        Self::Text(v.to_string())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}
impl From<&Value> for Value {
    fn from(v: &Value) -> Self {
        v.clone()
    }
}

/// Refuses what one of the databases can't keep: text with the character NUL.
pub(crate) fn without_nul(params: &[Value]) -> Result<()> {
    if params.iter().any(|value| value.as_text().is_some_and(|text| text.contains('\0'))) {
        return Err(Fault::argument("a text holds the character NUL, which can't be kept"));
    }
    Ok(())
}

/// One row of an answer. Columns are found by name; a missing or mistyped one is our own mistake (`SYS.1000`).
#[derive(Debug, Clone)]
pub struct Row {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// A row with these columns.
    pub fn new(names: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { names, values }
    }

    /// The column names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// All values in column order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value at a position; `Null` beyond the end.
    pub fn value_at(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    /// The value of a column.
    pub fn value(&self, name: &str) -> Result<&Value> {
        let at = self.names.iter().position(|n| n == name);
        at.and_then(|i| self.values.get(i))
            .ok_or_else(|| Fault::internal(format!("no column {name} in the row")))
    }

    /// A text that must be there.
    pub fn text(&self, name: &str) -> Result<String> {
        self.opt_text(name)?.ok_or_else(|| Fault::internal(format!("column {name} is empty")))
    }

    /// A text or nothing.
    pub fn opt_text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.value(name)?.as_text().map(str::to_owned))
    }

    /// A number that must be there.
    pub fn int(&self, name: &str) -> Result<i64> {
        self.opt_int(name)?.ok_or_else(|| Fault::internal(format!("column {name} is no number")))
    }

    /// A number or nothing.
    pub fn opt_int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.value(name)?.as_int())
    }

    /// An amount of bytes: a number that is not negative.
    pub fn bytes(&self, name: &str) -> Result<u64> {
        Ok(u64::try_from(self.int(name)?).unwrap_or(0))
    }

    /// A truth value.
    pub fn bool(&self, name: &str) -> Result<bool> {
        Ok(self.opt_int(name)?.unwrap_or(0) != 0)
    }

    /// An id that must be there.
    pub fn id<T>(&self, name: &str) -> Result<Id<T>> {
        self.parse(name)
    }

    /// An id or nothing.
    pub fn opt_id<T>(&self, name: &str) -> Result<Option<Id<T>>> {
        match self.value(name)?.as_text() {
            Some(s) => {
                s.parse().map(Some).map_err(|_| Fault::internal(format!("column {name} holds no uuid: {s}")))
            }
            None => Ok(None),
        }
    }

    /// A state or another parsed text that must be there.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Fault::internal(format!("column {name} holds an unknown value: {text}")))
    }
}
