//! Queries as clients write them (rest-conventions section 9). Field names are not looked at here.

use cairn_types::Fault;

use super::{Problem, Refusal, pairs};

/// Operator of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryOp {
    /// `=`
    Eq,
    /// `!=`
    NotEq,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `?=`
    In,
    /// `!?=`
    NotIn,
    /// `~=`
    Like,
    /// `!~=`
    NotLike,
    /// `is null`
    IsNull,
    /// `not null`
    NotNull,
}

impl QueryOp {
    /// `!=`, `!?=`, `!~=` and `is null`: on tags and links they mean "has none such".
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NotEq | Self::NotIn | Self::NotLike | Self::IsNull)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "!=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::In => "?=",
            Self::NotIn => "!?=",
            Self::Like => "~=",
            Self::NotLike => "!~=",
            Self::IsNull => "is null",
            Self::NotNull => "not null",
        }
    }
}

/// Operators of signs, longer ones before their beginnings.
const SIGNS: &[QueryOp] = &[
    QueryOp::NotIn,
    QueryOp::NotLike,
    QueryOp::NotEq,
    QueryOp::Ge,
    QueryOp::Le,
    QueryOp::In,
    QueryOp::Like,
    QueryOp::Eq,
    QueryOp::Gt,
    QueryOp::Lt,
];

/// Operators of words, as clients write them; `is not null` is how newer servers spell `not null`.
const WORDS: &[(&str, QueryOp)] =
    &[(" is not null", QueryOp::NotNull), (" is null", QueryOp::IsNull), (" not null", QueryOp::NotNull)];

/// One condition; all of a query must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Own or nested field: `name`, `vmNics.ip`, `__userTag__`.
    pub field: String,
    /// Operator.
    pub op: QueryOp,
    /// Right side as written; empty for the operators about null.
    pub value: String,
}

impl Condition {
    /// The elements of a list value, trimmed.
    pub fn elements(&self) -> Vec<&str> {
        self.value.split(',').map(str::trim).collect()
    }
}

/// Order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Own field.
    pub field: String,
    /// Largest first.
    pub descending: bool,
}

/// A query, read but not yet understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryText {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Most rows to return; 1000 if absent.
    pub limit: Option<u32>,
    /// Rows to skip.
    pub start: Option<u32>,
    /// Only `total`.
    pub count: bool,
    /// Rows and `total`.
    pub reply_with_count: bool,
    /// Order.
    pub sort: Option<Sort>,
    /// Own fields to return; all if empty.
    pub fields: Vec<String>,
    /// One row per value of this own field.
    pub group_by: Option<String>,
    /// Named predefined filter (newer servers).
    pub filter_name: Option<String>,
}

/// Reads the query string of a query; a uuid in the path is one more condition.
pub fn parse_query(query: &str, uuid_from_path: Option<&str>) -> Result<QueryText, Refusal> {
    let pairs = pairs(query)?;
    let given = Given(&pairs);
    let mut conditions = Vec::new();
    if let Some(uuid) = uuid_from_path {
        conditions.push(Condition { field: "uuid".to_owned(), op: QueryOp::Eq, value: uuid.to_owned() });
    }
    for (_, text) in pairs.iter().filter(|(name, text)| name == "q" && !text.trim().is_empty()) {
        conditions.push(parse_condition(text)?);
    }
    let first_fields = pairs.iter().find(|(name, _)| name == "fields").map_or("", |(_, v)| v.as_str());
    Ok(QueryText {
        conditions,
        limit: given.rows("limit")?,
        start: given.rows("start")?,
        count: given.flag("count")?,
        reply_with_count: given.flag("replyWithCount")?,
        sort: given.one("sort")?.and_then(parse_sort),
        fields: first_fields.split(',').map(str::trim).filter(|f| !f.is_empty()).map(str::to_owned).collect(),
        group_by: given.one("groupBy")?.map(|f| f.trim().to_owned()),
        filter_name: given.one("filterName")?.map(str::to_owned),
    })
}

/// Splits `name~=web%` at its leftmost operator.
pub fn parse_condition(text: &str) -> Result<Condition, Problem> {
    let sign = text.char_indices().find_map(|(at, _)| {
        let op = SIGNS.iter().find(|op| text[at..].starts_with(op.as_str()))?;
        Some((at, *op, &text[at + op.as_str().len()..]))
    });
    let word = WORDS.iter().find_map(|(word, op)| {
        let text = text.trim_end();
        let at = text.len().checked_sub(word.len())?;
        text.get(at..)?.eq_ignore_ascii_case(word).then_some((at, *op, ""))
    });
    // A sign before the word wins: in `name=it is null` the words belong to the value.
    let (at, op, value) = match (sign, word) {
        (Some(sign), _) => sign,
        (None, Some(word)) => word,
        (None, None) => return Err(Problem::bad(format!("no operator in the condition '{}'", shown(text)))),
    };
    let field = text[..at].trim();
    if field.is_empty() {
        return Err(Problem::bad(format!("no field in the condition '{}'", shown(text))));
    }
    Ok(Condition { field: field.to_owned(), op, value: value.to_owned() })
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `+name`, ` name` (a plus that was not encoded) and `name` ascend, `-name` descends. The Java SDK sends `+null` where
/// it should send a name.
fn parse_sort(text: &str) -> Option<Sort> {
    let (descending, field) = match text.strip_prefix('-') {
        Some(field) => (true, field),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let field = field.trim();
    (!matches!(field, "" | "null")).then(|| Sort { field: field.to_owned(), descending })
}

struct Given<'p>(&'p [(String, String)]);

impl<'p> Given<'p> {
    /// The value of a parameter that takes one; empty counts as absent.
    fn one(&self, name: &str) -> Result<Option<&'p str>, Problem> {
        let mut given = self.0.iter().filter(|(n, _)| n == name);
        match (given.next(), given.next()) {
            (_, Some(_)) => Err(Problem::bad(format!("'{name}' takes one value and was given several"))),
            (Some((_, value)), None) if !value.is_empty() => Ok(Some(value)),
            (_, None) => Ok(None),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.map(|v| v.trim().to_ascii_lowercase()).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad(format!("'{name}' must be true or false"))),
        }
    }

    /// A number of rows: no integer is no query, a negative one is a wrong query.
    fn rows(&self, name: &str) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let number: i64 =
            text.trim().parse().map_err(|_| Problem::bad(format!("'{name}' must be an integer")))?;
        match u32::try_from(number) {
            Ok(rows) => Ok(Some(rows)),
            Err(_) if number > 0 => Ok(Some(u32::MAX)),
            Err(_) => {
                Err(Fault::argument(format!("'{name}' must not be negative")).with("field", name).into())
            }
        }
    }
}
