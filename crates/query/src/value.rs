//! One comparison: an expression, an operator and a value that is checked against the field's type and bound.

use cairn_api::resource::FieldType;
use cairn_store::Value;
use cairn_types::{Result, time};

use crate::Options;
use crate::dialect::Words as _;
use crate::fault::{too_much, wrong_value};
use crate::query::Op;
use crate::sql::Fragment;

/// Longest pattern that is matched; longer ones cost more than they can be worth.
const MAX_PATTERN: usize = 4096;
/// Longest list of values.
const MAX_LIST: usize = 100_000;

/// What is compared: a name for messages, a type, an expression.
pub(crate) struct Operand<'a> {
    pub name: &'a str,
    pub ty: FieldType,
    pub expression: &'a str,
}

/// The comparison as SQL.
pub(crate) fn compare(operand: &Operand, op: Op, value: &str, options: &Options) -> Result<Fragment> {
    let e = operand.expression;
    match op {
        Op::IsNull => Ok(Fragment::new(format!("{e} IS NULL"))),
        Op::NotNull => Ok(Fragment::new(format!("{e} IS NOT NULL"))),
        Op::Like => pattern(operand, value, options),
        Op::NotLike => Ok(pattern(operand, value, options)?.wrapped("NOT (", ")")),
        Op::In | Op::NotIn => list(operand, op, value, options),
        Op::Eq | Op::NotEq | Op::Gt | Op::Ge | Op::Lt | Op::Le if operand.ty == FieldType::Date => {
            let from = moment(operand, value, options)?;
            Ok(whole_second(e, op, from))
        }
        Op::Eq | Op::NotEq | Op::Gt | Op::Ge | Op::Lt | Op::Le => {
            Ok(Fragment::with(format!("{e} {} ?", sign(op)), typed(operand, value)?))
        }
    }
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::NotEq => "<>",
        _ => op.as_str(),
    }
}

fn typed(operand: &Operand, value: &str) -> Result<Value> {
    match operand.ty {
        FieldType::Str | FieldType::Json => Ok(Value::Text(value.to_owned())),
        FieldType::Bool => Ok(Value::Int(value.trim().eq_ignore_ascii_case("true").into())),
        FieldType::Int | FieldType::Long | FieldType::Date => {
            let number =
                value.trim().parse().map_err(|_| wrong_value(operand.name, value, "a whole number"))?;
            Ok(Value::Int(number))
        }
    }
}

/// Stored times have milliseconds, those of conditions stand for a whole second.
fn whole_second(e: &str, op: Op, from: i64) -> Fragment {
    let next = from.saturating_add(1000);
    let (text, params) = match op {
        Op::NotEq => (format!("({e} < ? OR {e} >= ?)"), vec![from, next]),
        Op::Gt => (format!("{e} >= ?"), vec![next]),
        Op::Ge => (format!("{e} >= ?"), vec![from]),
        Op::Lt => (format!("{e} < ?"), vec![from]),
        Op::Le => (format!("{e} < ?"), vec![next]),
        _ => (format!("({e} >= ? AND {e} < ?)"), vec![from, next]),
    };
    Fragment { text, params: params.into_iter().map(Value::Int).collect() }
}

fn moment(operand: &Operand, value: &str, options: &Options) -> Result<i64> {
    time::parse_condition(value, options.dates.offset())
        .ok_or_else(|| wrong_value(operand.name, value, "a date like 2018-01-02 15:04:05"))
}

fn pattern(operand: &Operand, value: &str, options: &Options) -> Result<Fragment> {
    if value.len() > MAX_PATTERN {
        return Err(too_much(format!("the pattern for {} is longer than {MAX_PATTERN} bytes", operand.name)));
    }
    let mut text = match operand.ty {
        FieldType::Str | FieldType::Json => Fragment::new(operand.expression),
        FieldType::Int | FieldType::Long | FieldType::Bool => {
            Fragment::new(format!("CAST({} AS TEXT)", operand.expression))
        }
        FieldType::Date => options.dialect.date_text(operand.expression, options.dates.offset()),
    };
    text.text = options.dialect.like(&text.text);
    text.params.push(Value::Text(closed(value)));
    Ok(text)
}

/// A pattern that does not end in an open escape, which one of the databases refuses.
fn closed(value: &str) -> String {
    let open = value.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
    if open { format!("{value}\\") } else { value.to_owned() }
}

fn list(operand: &Operand, op: Op, value: &str, options: &Options) -> Result<Fragment> {
    // Nothing that is stored holds the character NUL, which one of the databases can't read in a list.
    let elements = value.split(',').map(str::trim).filter(|s| !s.is_empty() && !s.contains('\0'));
    let elements: Vec<&str> = elements.collect();
    if elements.len() > MAX_LIST {
        return Err(too_much(format!("the list for {} has more than {MAX_LIST} elements", operand.name)));
    }
    let e = operand.expression;
    if operand.ty == FieldType::Date {
        let seconds = elements.iter().map(|s| Ok(whole_second(e, Op::Eq, moment(operand, s, options)?)));
        let any = Fragment::all(seconds.collect::<Result<_>>()?, " OR ");
        return Ok(match (elements.is_empty(), op) {
            (true, Op::NotIn) => Fragment::new("1 = 1"),
            (true, _) => Fragment::new("1 = 0"),
            (false, Op::NotIn) => any.wrapped("NOT (", ")"),
            (false, _) => any,
        });
    }
    let values = elements.iter().map(|s| Ok(json(typed(operand, s)?))).collect::<Result<Vec<_>>>()?;
    let numbers = !matches!(operand.ty, FieldType::Str | FieldType::Json);
    let word = if op == Op::NotIn { "NOT IN" } else { "IN" };
    let bound = Value::Text(serde_json::Value::Array(values).to_string());
    Ok(Fragment::with(format!("{e} {word} {}", options.dialect.listed(numbers)), bound))
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(n) => n.into(),
        Value::Real(n) => n.into(),
        Value::Text(s) => s.into(),
    }
}
