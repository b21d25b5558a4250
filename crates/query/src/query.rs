//! What was asked, before it is checked against any resource.

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

/// Field, operator, value.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Own or nested field: `vmNics.ip`.
    pub field: String,
    /// Operator.
    pub op: Op,
    /// What to compare with; empty for `is null` and `not null`.
    pub value: String,
}

/// Order by an own field.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// Own field.
    pub field: String,
    /// Largest first.
    pub descending: bool,
}

/// Operator of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Eq,
    /// `!=`
    Ne,
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

/// A query that cannot be read: the answer is 400 with this text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadQuery(pub String);

/// Longest first where one is the beginning of another at the same place.
const SIGNS: &[(&str, Op)] = &[
    ("!?=", Op::NotIn),
    ("!~=", Op::NotLike),
    ("!=", Op::Ne),
    (">=", Op::Ge),
    ("<=", Op::Le),
    ("~=", Op::Like),
    ("?=", Op::In),
    ("=", Op::Eq),
    (">", Op::Gt),
    ("<", Op::Lt),
];
const WORDS: &[(&str, Op)] =
    &[(" is not null", Op::NotNull), (" is null", Op::IsNull), (" not null", Op::NotNull)];

impl Op {
    /// The operator that holds exactly when a negative one does not.
    pub(crate) fn positive(self) -> Option<Op> {
        match self {
            Self::Ne => Some(Self::Eq),
            Self::NotIn => Some(Self::In),
            Self::NotLike => Some(Self::Like),
            Self::IsNull => Some(Self::NotNull),
            Self::Eq | Self::Gt | Self::Ge | Self::Lt | Self::Le | Self::In | Self::Like | Self::NotNull => None,
        }
    }

    /// How it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::IsNull => "is null",
            Self::NotNull => "not null",
            _ => SIGNS.iter().find(|(_, op)| *op == self).map_or("", |(sign, _)| sign),
        }
    }
}

impl Condition {
    /// A condition from its parts.
    pub fn new(field: &str, op: Op, value: &str) -> Self {
        Self { field: field.to_owned(), op, value: value.to_owned() }
    }

    /// Reads `field operator value` at the leftmost operator. `None` if there is no operator.
    pub fn parse(text: &str) -> Option<Self> {
        let sign = text.char_indices().find_map(|(at, _)| {
            SIGNS.iter().find(|(sign, _)| text[at..].starts_with(sign)).map(|(sign, op)| (at, sign.len(), *op))
        });
        if let Some((at, length, op)) = sign {
            return Some(Self { field: text[..at].trim().to_owned(), op, value: text[at + length..].to_owned() });
        }
        let lower = text.trim_end().to_ascii_lowercase();
        let (word, op) = WORDS.iter().find(|(word, _)| lower.ends_with(word))?;
        Some(Self { field: text[..lower.len() - word.len()].trim().to_owned(), op: *op, value: String::new() })
    }
}

impl Query {
    /// The resource with this uuid.
    pub fn by_uuid(uuid: &str) -> Self {
        Self::default().and(Condition::new("uuid", Op::Eq, uuid))
    }

    /// Adds a condition.
    #[must_use]
    pub fn and(mut self, condition: Condition) -> Self {
        self.filters.push(Filter::Is(condition));
        self
    }

    /// Reads the query string of a request: names and values, already decoded. Names it does not know are ignored.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        let mut fields_seen = false;
        for (name, value) in pairs {
            match name {
                "q" => query.filters.push(Filter::Is(condition(value)?)),
                "limit" if !value.is_empty() => query.limit = Some(number(name, value)?),
                "start" if !value.is_empty() => query.start = number(name, value)?,
                "count" => query.count = truth(value),
                "replyWithCount" => query.with_total = truth(value),
                "sort" => query.sort = Sort::parse(value).into_iter().collect(),
                "groupBy" if !value.trim().is_empty() => query.group_by = Some(value.trim().to_owned()),
                // Repeating the parameter uses only the first.
                "fields" if !fields_seen => {
                    fields_seen = true;
                    query.fields = split_list(value);
                }
                _ => {}
            }
        }
        Ok(query)
    }
}

impl Sort {
    /// Reads `+name`, `name` or `-name`. A blank is a `+` that was not escaped. The defect of an old client, `+null`,
    /// means no order.
    pub fn parse(text: &str) -> Option<Self> {
        let descending = text.starts_with('-');
        let field = text.trim_start_matches(['+', '-', ' ']).trim();
        let none = field.is_empty() || field == "null";
        (!none).then(|| Self { field: field.to_owned(), descending })
    }
}

fn condition(text: &str) -> Result<Condition, BadQuery> {
    Condition::parse(text).ok_or_else(|| BadQuery(format!("the condition {text:?} has no operator; write field=value")))
}

fn number(name: &str, value: &str) -> Result<i64, BadQuery> {
    let number = value.trim().parse().ok().filter(|n: &i64| *n >= 0);
    number.ok_or_else(|| BadQuery(format!("{name} must be a whole number that is not negative, not {value:?}")))
}

fn truth(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}

fn split_list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_split_at_the_leftmost_operator() {
        for (text, field, op, value) in [
            ("name=vm-1", "name", Op::Eq, "vm-1"),
            ("name!=vm-1", "name", Op::Ne, "vm-1"),
            ("cpuNum>=4", "cpuNum", Op::Ge, "4"),
            ("cpuNum<4", "cpuNum", Op::Lt, "4"),
            ("name?=a,b", "name", Op::In, "a,b"),
            ("name!?=a,b", "name", Op::NotIn, "a,b"),
            ("name~=web%", "name", Op::Like, "web%"),
            ("name!~=web%", "name", Op::NotLike, "web%"),
            ("hostUuid is null", "hostUuid", Op::IsNull, ""),
            ("hostUuid not null", "hostUuid", Op::NotNull, ""),
            ("hostUuid is not null", "hostUuid", Op::NotNull, ""),
            ("description=a>=b", "description", Op::Eq, "a>=b"),
            ("description=this is null", "description", Op::Eq, "this is null"),
            ("name= x ", "name", Op::Eq, " x "),
            ("name=", "name", Op::Eq, ""),
            ("näme=ü", "näme", Op::Eq, "ü"),
        ] {
            assert_eq!(Condition::parse(text), Some(Condition::new(field, op, value)), "{text}");
        }
        assert_eq!(Condition::parse("name"), None);
        assert_eq!(Condition::parse(""), None);
    }

    #[test]
    fn query_strings_are_read_as_clients_write_them() {
        let pairs = [
            ("q", "name=a"),
            ("q", "cpuNum>1"),
            ("limit", "20"),
            ("start", "5"),
            ("sort", " name"),
            ("fields", "uuid, name"),
            ("fields", "zoneUuid"),
            ("replyWithCount", "True"),
            ("deleteMode", ""),
        ];
        let query = Query::from_pairs(pairs).unwrap();
        assert_eq!((query.filters.len(), query.limit, query.start, query.with_total), (2, Some(20), 5, true));
        assert_eq!(query.sort, [Sort { field: "name".into(), descending: false }]);
        assert_eq!(query.fields, ["uuid", "name"]);
        for bad in [("limit", "ten"), ("start", "1.5"), ("limit", "-1"), ("q", "name")] {
            assert!(Query::from_pairs([bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sort_directions() {
        assert_eq!(Sort::parse("-createDate"), Some(Sort { field: "createDate".into(), descending: true }));
        assert_eq!(Sort::parse("+createDate"), Some(Sort { field: "createDate".into(), descending: false }));
        assert_eq!(Sort::parse("+null"), None);
        assert_eq!(Sort::parse("-null"), None);
        assert_eq!(Sort::parse(""), None);
    }
}
