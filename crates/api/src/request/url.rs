//! Percent-encoding.

use super::Problem;

/// Decodes `%41`; `+` becomes a blank in query strings (`plus`) and stays in paths.
pub fn decode(text: &str, plus: bool) -> Result<String, Problem> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                let byte = hex(bytes.get(i + 1)).zip(hex(bytes.get(i + 2))).map(|(a, b)| a << 4 | b);
                out.push(byte.ok_or_else(|| bad_encoding(text))?);
                i += 2;
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8(out).map_err(|_| bad_encoding(text))
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    match *byte? {
        b @ b'0'..=b'9' => Some(b - b'0'),
        b @ b'a'..=b'f' => Some(b - b'a' + 10),
        b @ b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

fn bad_encoding(text: &str) -> Problem {
    let shown: String = text.chars().take(60).collect();
    Problem::bad(format!("bad percent-encoding in '{shown}': write % as %25"))
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Names and values of a query string, decoded, in order.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        })
        .collect()
}
