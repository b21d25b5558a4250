//! JSON as scripts write it by hand: `{"uuid": abc}` without quotes around the value is read as the text `abc`.

use cairn_types::{Fault, Result};
use serde_json::{Map, Value};

const MAX_DEPTH: usize = 30;

pub(super) fn parse(text: &str) -> Result<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.rest = reader.rest.trim_start();
    if reader.rest.is_empty() { Ok(value) } else { Err(wrong("there is more behind its end")) }
}

fn wrong(text: &str) -> Fault {
    Fault::argument(format!("the parameters of a call are no JSON: {text}"))
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn take(&mut self, sign: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(wrong("it is nested too deeply"));
        }
        if self.take('{') {
            let mut map = Map::new();
            while !self.take('}') {
                let Value::String(key) = self.word()? else { return Err(wrong("a key is no text")) };
                if !self.take(':') {
                    return Err(wrong("a colon is missing"));
                }
                map.insert(key, self.value(depth + 1)?);
                self.separator('}')?;
            }
            return Ok(Value::Object(map));
        }
        if self.take('[') {
            let mut list = Vec::new();
            while !self.take(']') {
                list.push(self.value(depth + 1)?);
                self.separator(']')?;
            }
            return Ok(Value::Array(list));
        }
        self.word()
    }

    fn separator(&mut self, end: char) -> Result<()> {
        if self.take(',') || self.rest.starts_with(end) { Ok(()) } else { Err(wrong("a comma is missing")) }
    }

    fn word(&mut self) -> Result<Value> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            let value = stream.next().and_then(Result::ok).ok_or_else(|| wrong("a text is not closed"))?;
            self.rest = &self.rest[stream.byte_offset()..];
            return Ok(value);
        }
        let end = self.rest.find([',', '}', ']', ':']).unwrap_or(self.rest.len());
        let word = self.rest[..end].trim();
        self.rest = &self.rest[end..];
        if word.is_empty() {
            return Err(wrong("a value is missing"));
        }
        Ok(serde_json::from_str(word).unwrap_or_else(|_| Value::from(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_without_quotes_are_texts() {
        for (text, value) in [
            (r#"{"uuid": abc}"#, json!({"uuid": "abc"})),
            (r#"{"uuids": [a, "b"], "n": 1, all: true}"#, json!({"uuids": ["a", "b"], "n": 1, "all": true})),
            ("{}", json!({})),
        ] {
            assert_eq!(parse(text).unwrap(), value, "{text}");
        }
        for text in ["", "{", "[1", r#"{"a" 1}"#, "{} x", &"[".repeat(100)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
