//! The checks of rest-conventions section 3, in its order, parameter by parameter. Existence comes last and is left to
//! the server; [`refs`] says what to look for.

use cairn_types::{Fault, Result};
use serde_json::{Number, Value};

use crate::Params;
use crate::decl::{Kind, Operation, Param, Type};

/// Brings parameters into their declared types, fills in defaults and checks everything but existence. Every failure
/// is `SYS.1007` and names the field.
pub fn check(op: &Operation, params: &mut Params) -> Result<()> {
    for param in op.params {
        let value = params.0.remove(param.name).filter(|v| !v.is_null());
        if let Some(value) = checked(op, param, value)? {
            params.0.insert(param.name.to_owned(), value);
        }
    }
    Ok(())
}

fn checked(op: &Operation, param: &Param, value: Option<Value>) -> Result<Option<Value>> {
    let value = value.map(|v| typed(param, v)).transpose()?.filter(|v| !says_nothing(op, param, v));
    if let Some(value) = &value {
        each_text(value, &mut |text| check_text(param, text))?;
    }
    let Some(mut value) = value.or_else(|| default(param)) else {
        return if param.must_be_given() {
            Err(wrong(param, format!("is required by {}", op.name)))
        } else {
            Ok(None)
        };
    };
    if param.ignored {
        return Ok(Some(value));
    }
    check_values(param, &mut value)?;
    check_pattern(param, &value)?;
    check_elements(param, &mut value)?;
    check_range(param, &value)?;
    Ok(Some(value))
}

fn wrong(param: &Param, what: impl std::fmt::Display) -> Fault {
    Fault::argument(format!("'{}' {what}", param.name)).with("field", param.name)
}

fn wrong_type(param: &Param) -> Fault {
    wrong(param, format!("must be {}", param.ty.describe())).with("expected", param.ty.describe())
}

/// The value in the declared type, texts trimmed.
fn typed(param: &Param, value: Value) -> Result<Value> {
    Ok(match (param.ty, value) {
        (Type::Str, Value::String(text)) => Value::String(trimmed(param, text)),
        (Type::Bool, Value::Bool(b)) => Value::Bool(b),
        (Type::Int | Type::Long | Type::Bool, Value::String(text)) if text.trim().is_empty() => Value::Null,
        (Type::Int | Type::Long, value) => Value::from(integer(param, &value)?),
        (Type::StrList, Value::Array(list)) => {
            Value::Array(list.into_iter().map(|v| text_element(param, v)).collect::<Result<_>>()?)
        }
        (Type::LongList, Value::Array(list)) => {
            Value::Array(list.iter().map(|v| integer(param, v).map(Value::from)).collect::<Result<_>>()?)
        }
        (Type::StrListMap, Value::Object(map)) => {
            Value::Object(map.into_iter().map(|(k, v)| Ok((k, text_list(param, v)?))).collect::<Result<_>>()?)
        }
        (Type::Any, value) => value,
        (Type::Str | Type::Bool | Type::StrList | Type::LongList | Type::StrListMap, _) => {
            return Err(wrong_type(param));
        }
    })
}

fn trimmed(param: &Param, text: String) -> String {
    if param.no_trim { text } else { text.trim().to_owned() }
}

/// An element of a list of texts; null stays, for its own check.
fn text_element(param: &Param, value: Value) -> Result<Value> {
    match value {
        Value::String(text) => Ok(Value::String(trimmed(param, text))),
        Value::Null => Ok(Value::Null),
        _ => Err(wrong_type(param)),
    }
}

fn text_list(param: &Param, value: Value) -> Result<Value> {
    match value {
        Value::Array(list) => {
            Ok(Value::Array(list.into_iter().map(|v| text_element(param, v)).collect::<Result<_>>()?))
        }
        Value::String(text) => Ok(Value::Array(vec![Value::String(trimmed(param, text))])),
        _ => Err(wrong_type(param)),
    }
}

/// Whole numbers, also as text or with a fraction of zero, that fit the type.
fn integer(param: &Param, value: &Value) -> Result<i64> {
    let number = match value {
        Value::Number(n) => n.as_i64().or_else(|| whole(n)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let fits = |n: &i64| param.ty != Type::Int || i32::try_from(*n).is_ok();
    number.filter(fits).ok_or_else(|| wrong_type(param))
}

/// 4.0 is 4. Beyond 2^53 a float no longer says which integer was meant.
fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9_007_199_254_740_992.0)?;
    format!("{float:.0}").parse().ok()
}

/// Clients send empty texts and zeros for what they have no value for. Operations that are not of the original API have no such
/// clients: where they have a default, a zero is taken as it stands.
fn says_nothing(op: &Operation, param: &Param, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) if text.is_empty() => {
            let named = param.name == "name" && !param.required;
            named
                || !param.values.is_empty()
                || param.pattern.is_some()
                || param.refers.is_some()
                || param.in_path
        }
        Value::Number(n) if n.as_i64() == Some(0) => {
            let is_meant = op.ours && param.default.is_some();
            !is_meant && !param.required && param.min.is_some_and(|min| min >= 1)
        }
        _ => false,
    }
}

/// Runs a check over a text, or over every text of a list or of a map of lists.
fn each_text(value: &Value, check: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    match value {
        Value::String(text) => check(text),
        Value::Array(list) => list.iter().try_for_each(|v| each_text(v, check)),
        Value::Object(map) => {
            map.iter().try_for_each(|(key, v)| check(key).and_then(|()| each_text(v, check)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Length in characters, and characters that no text may have.
fn check_text(param: &Param, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(wrong(param, "must not contain NUL"));
    }
    if param.is_name && text.chars().any(char::is_control) {
        return Err(wrong(param, "must not contain control characters"));
    }
    let length = text.chars().count();
    if let Some(max) = param.max_len.filter(|max| length > *max) {
        return Err(wrong(param, format!("has {length} characters; {max} are allowed")));
    }
    if let Some(min) = param.min_len.filter(|min| length < *min) {
        return Err(wrong(param, format!("has {length} characters; at least {min} are needed")));
    }
    if param.name == "name" && param.required && text.is_empty() {
        return Err(wrong(param, "must not be empty"));
    }
    Ok(())
}

fn default(param: &Param) -> Option<Value> {
    let text = param.default?;
    Some(match param.ty {
        Type::Int | Type::Long => Value::from(text.parse::<i64>().ok()?),
        Type::Bool => Value::from(text == "true"),
        Type::Str | Type::Any | Type::StrList | Type::LongList | Type::StrListMap => Value::from(text),
    })
}

/// Allowed values are compared without regard to case and kept as they are declared.
fn check_values(param: &Param, value: &mut Value) -> Result<()> {
    if param.values.is_empty() {
        return Ok(());
    }
    let given = match &*value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Some(known) = param.values.iter().find(|v| v.eq_ignore_ascii_case(&given)) else {
        let shown: String = given.chars().take(60).collect();
        return Err(wrong(param, format!("is '{shown}'; allowed are: {}", param.values.join(", "))));
    };
    if value.is_string() {
        *value = Value::from(*known);
    }
    Ok(())
}

fn check_pattern(param: &Param, value: &Value) -> Result<()> {
    let Some(pattern) = param.pattern else { return Ok(()) };
    each_text(value, &mut |text| {
        if (pattern.matches)(text) {
            Ok(())
        } else {
            Err(wrong(param, format!("must have the form {}", pattern.regex)))
        }
    })
}

/// Empty lists, null elements and empty texts. Null elements that are allowed are dropped.
fn check_elements(param: &Param, value: &mut Value) -> Result<()> {
    if let Value::Array(list) = value {
        if param.non_empty && list.is_empty() {
            return Err(wrong(param, "must not be an empty list"));
        }
        if param.no_null_elements && list.iter().any(Value::is_null) {
            return Err(wrong(param, "must not contain null"));
        }
        list.retain(|v| !v.is_null());
    }
    if !param.no_empty_strings {
        return Ok(());
    }
    each_text(value, &mut |text| {
        if text.is_empty() { Err(wrong(param, "must not contain empty strings")) } else { Ok(()) }
    })
}

fn check_range(param: &Param, value: &Value) -> Result<()> {
    let outside = |n: &i64| param.min.is_some_and(|min| *n < min) || param.max.is_some_and(|max| *n > max);
    let bad = match value {
        Value::Number(n) => n.as_i64().filter(outside),
        Value::Array(list) => list.iter().filter_map(Value::as_i64).find(outside),
        _ => None,
    };
    let Some(bad) = bad else { return Ok(()) };
    let range = match (param.min, param.max) {
        (Some(min), None | Some(i64::MAX)) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (min, max) => format!("between {} and {}", min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX)),
    };
    Err(wrong(param, format!("is {bad}; it must be {range}")))
}

/// A resource that a call refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Name of the parameter.
    pub param: &'static str,
    /// Entity that the resource must be, such as `ZoneVO`.
    pub entity: &'static str,
    /// Its uuid as given; it may have any form.
    pub uuid: String,
    /// It must belong to the calling account.
    pub owned: bool,
    /// The operation works on it.
    pub target: bool,
    /// `SYS.1003` if there is none. False for what a call deletes that may be gone.
    pub must_exist: bool,
}

/// The resources that checked parameters refer to, in the order of the parameters.
pub fn refs(op: &Operation, params: &Params) -> Vec<Ref> {
    let mut refs = Vec::new();
    for param in op.params {
        let Some(entity) = param.refers else { continue };
        let uuids = match params.get(param.name) {
            Some(Value::String(uuid)) => vec![uuid.clone()],
            Some(Value::Array(_)) => params.list(param.name),
            _ => continue,
        };
        let deleted = op.kind == Kind::Delete && op.succeeds_if_missing && param.in_path;
        refs.extend(uuids.into_iter().map(|uuid| Ref {
            param: param.name,
            entity,
            uuid,
            owned: param.owned,
            target: param.target,
            must_exist: !deleted,
        }));
    }
    refs
}
