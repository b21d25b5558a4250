//! The text of a statement as PostgreSQL wants it. This is all that is rewritten; the rest of the SQL is the same for both
//! databases.
//!
//! - The n-th `?` becomes `$n`.
//! - A parameter without a value is written as `NULL`: PostgreSQL can't tell the type of `$1` in `$1 IS NULL`. The other
//!   parameters have the type of their value, `BIGINT`, `DOUBLE PRECISION` or `TEXT`.

use std::fmt::Write as _;

use tokio_postgres::types::Type;

use crate::Value;

/// Tells statements apart that are prepared apart: the text, and which kind of value each parameter has.
pub(super) fn key(sql: &str, params: &[Value]) -> String {
    let mut key = String::with_capacity(sql.len() + params.len() + 1);
    key.push_str(sql);
    key.push('\0');
    key.extend(params.iter().map(|value| match value {
        Value::Null => 'n',
        Value::Int(_) => 'i',
        Value::Real(_) => 'r',
        Value::Text(_) => 't',
    }));
    key
}

/// The types of the parameters that have a value.
pub(super) fn types(params: &[Value]) -> Vec<Type> {
    let ty = |value: &Value| match value {
        Value::Null => None,
        Value::Int(_) => Some(Type::INT8),
        Value::Real(_) => Some(Type::FLOAT8),
        Value::Text(_) => Some(Type::TEXT),
    };
    params.iter().filter_map(ty).collect()
}

/// The statement with its parameters numbered. `None`: it has more or fewer of them than there are values.
pub(super) fn numbered(sql: &str, params: &[Value]) -> Option<String> {
    let mut out = String::with_capacity(sql.len() + 2 * params.len());
    let mut values = params.iter();
    let mut number = 0;
    let mut rest = sql;
    while let Some(at) = rest.find(['?', '\'', '"', '-']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let length = match tail.as_bytes()[0] {
            b'?' => {
                if *values.next()? == Value::Null {
                    out.push_str("NULL");
                } else {
                    number += 1;
                    let _ = write!(out, "${number}");
                }
                rest = &tail[1..];
                continue;
            }
            // A doubled quote inside begins the next literal at once, which comes to the same.
            quote @ (b'\'' | b'"') => tail[1..].find(quote as char).map_or(tail.len(), |end| end + 2),
            _ if tail.starts_with("--") => tail.find('\n').unwrap_or(tail.len()),
            _ => 1,
        };
        out.push_str(&tail[..length]);
        rest = &tail[length..];
    }
    out.push_str(rest);
    values.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    #[test]
    fn parameters_are_numbered_outside_of_literals_and_comments() {
        let sql = "SELECT '?', \"?\", 'it''s ?' -- ?\n FROM t - 1 WHERE a = ? AND b = ?";
        let expected = "SELECT '?', \"?\", 'it''s ?' -- ?\n FROM t - 1 WHERE a = $1 AND b = $2";
        assert_eq!(numbered(sql, params![1, "x"]).unwrap(), expected);
    }

    #[test]
    fn a_parameter_without_a_value_is_written_out() {
        let sql = "UPDATE t SET a = ?, b = ? WHERE ? IS NULL OR c = ?";
        let none = None::<i64>;
        let text = numbered(sql, params![1, none, none, "x"]).unwrap();
        assert_eq!(text, "UPDATE t SET a = $1, b = NULL WHERE NULL IS NULL OR c = $2");
        assert_eq!(types(params![1, none, none, "x"]), [Type::INT8, Type::TEXT]);
    }

    #[test]
    fn a_wrong_number_of_values_is_noticed() {
        assert_eq!(numbered("SELECT ?", params![]), None);
        assert_eq!(numbered("SELECT ?", params![1, 2]), None);
    }

    #[test]
    fn statements_with_other_kinds_of_values_are_others() {
        assert_ne!(key("SELECT ?", params![1]), key("SELECT ?", params!["1"]));
        assert_eq!(key("SELECT ?", params![1]), key("SELECT ?", params![2]));
    }
}
