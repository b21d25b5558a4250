//! What was asked, before it is checked against any resource.

use cairn_api::request::QueryText;
pub use cairn_api::request::{Condition, QueryOp as Op, Sort};

/// One query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// Most rows to return.
    pub limit: Option<i64>,
    /// Rows to skip.
    pub start: i64,
    /// Only the number of matches.
    pub count: bool,
    /// Rows and the number of matches.
    pub with_total: bool,
    /// Orders, the first one first.
    pub sort: Vec<Sort>,
    /// Own fields to return; all if empty.
    pub fields: Vec<String>,
    /// One row per value of this own field.
    pub group_by: Option<String>,
}

/// A condition, or conditions of which one or all must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// One condition.
    Is(Condition),
    /// All of them.
    All(Vec<Filter>),
    /// At least one.
    Any(Vec<Filter>),
}

impl Query {
    /// The resource with this uuid.
    pub fn by_uuid(uuid: &str) -> Self {
        Self::default().and("uuid", Op::Eq, uuid)
    }

    /// Adds a condition.
    #[must_use]
    pub fn and(mut self, field: &str, op: Op, value: &str) -> Self {
        self.filters.push(Filter::is(field, op, value));
        self
    }
}

impl Filter {
    /// A condition from its parts.
    pub fn is(field: &str, op: Op, value: &str) -> Self {
        Self::Is(Condition { field: field.to_owned(), op, value: value.to_owned() })
    }
}

impl From<QueryText> for Query {
    fn from(text: QueryText) -> Self {
        Self {
            filters: text.conditions.into_iter().map(Filter::Is).collect(),
            limit: text.limit.map(i64::from),
            start: text.start.unwrap_or(0).into(),
            count: text.count,
            with_total: text.reply_with_count,
            sort: text.sort.into_iter().collect(),
            fields: text.fields,
            group_by: text.group_by,
        }
    }
}

/// The operator that holds exactly when a negative one does not.
pub(crate) fn positive(op: Op) -> Option<Op> {
    match op {
        Op::NotEq => Some(Op::Eq),
        Op::NotIn => Some(Op::In),
        Op::NotLike => Some(Op::Like),
        Op::IsNull => Some(Op::NotNull),
        Op::Eq | Op::Gt | Op::Ge | Op::Lt | Op::Le | Op::In | Op::Like | Op::NotNull => None,
    }
}
