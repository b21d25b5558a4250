//! JSON values as YAML.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as a YAML document without a leading marker.
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(&mut out, map, 0, false),
        Value::Array(list) if !list.is_empty() => array(&mut out, list, 0),
        scalar => out.push_str(&text(scalar)),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// `inline_first`: the first key stands behind a dash that is written already.
fn object(out: &mut String, map: &serde_json::Map<String, Value>, depth: usize, inline_first: bool) {
    for (i, (key, value)) in map.iter().enumerate() {
        if !(inline_first && i == 0) {
            out.push_str(&"  ".repeat(depth));
        }
        let _ = write!(out, "{}:", scalar(key));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                object(out, inner, depth + 1, false);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                array(out, list, depth);
            }
            other => {
                let _ = writeln!(out, " {}", text(other));
            }
        }
    }
}

fn array(out: &mut String, list: &[Value], depth: usize) {
    for value in list {
        let _ = write!(out, "{}- ", "  ".repeat(depth));
        match value {
            Value::Object(map) if !map.is_empty() => object(out, map, depth + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                out.truncate(out.len() - 1);
                out.push('\n');
                array(out, inner, depth + 1);
            }
            other => {
                let _ = writeln!(out, "{}", text(other));
            }
        }
    }
}

/// A value without structure.
fn text(value: &Value) -> String {
    match value {
        Value::String(s) => scalar(s),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// Text as it is where YAML reads it as text, in double quotes where not.
fn scalar(text: &str) -> String {
    let safe_char = |c: char| {
        c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@' | '%' | ' ' | '(' | ')')
    };
    let starts_well = text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '/'));
    let reads_as_other = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    let is_uuid_like = text.len() == 32 && text.chars().any(|c| matches!(c, 'a' | 'b' | 'c' | 'd' | 'f'));
    if text.chars().all(safe_char) && (starts_well || is_uuid_like) && !reads_as_other && !text.ends_with(' ')
    {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cli_01_yaml_quotes_what_would_be_read_as_something_else() {
        let value = json!({
            "a": "web-1", "b": "true", "c": "12", "d": "x: y", "e": "", "f": [], "g": {}, "h": 7, "i": null,
            "l": [{"x": 1, "y": [1, 2]}, "t", [["z"]]], "m": {"n": "- no"}, "o": "12345678901234567890123456789012",
        });
        let expected = "a: web-1\nb: \"true\"\nc: \"12\"\nd: \"x: y\"\ne: \"\"\nf: []\ng: {}\nh: 7\ni: null\n\
            l:\n- x: 1\n  \"y\":\n  - 1\n  - 2\n- t\n-\n  -\n    - z\nm:\n  \"n\": \"- no\"\no: \"12345678901234567890123456789012\"\n";
        assert_eq!(render(&value), expected);
    }
}
