//! Secrets inside addresses: `scheme://user:password@host` and `?token=…`. Whatever is logged, kept in the audit, or told to others
//! than the one who sent it goes through here.

/// What stands in place of a secret.
pub const MASK: &str = "*****";

/// Names of query parameters that carry a secret hold one of these.
const SECRET_PARTS: &[&str] = &[
    "token",
    "secret",
    "passw",
    "pwd",
    "signature",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "auth",
    "session",
    "jwt",
];
/// Or are one of these.
const SECRET_NAMES: &[&str] = &["sig", "sign", "key", "sas", "code", "pass"];

/// Whether a query parameter of this name carries a secret.
fn is_secret_parameter(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// A text with the login and the secret parameters of every address in it masked.
pub fn addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        // Up to where the address ends, or to the next one that stands in it, as in a parameter.
        let end = after.find(ends_address).unwrap_or(after.len());
        let end = after[..end].find("://").unwrap_or(end);
        out.push_str(&address_part(&after[..end]));
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// The same for every text inside a JSON value.
pub fn json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains("://") => *text = addresses(text),
        serde_json::Value::Array(list) => list.iter_mut().for_each(json),
        serde_json::Value::Object(map) => map.values_mut().for_each(json),
        _ => {}
    }
}

/// Whether a character can't be part of an address as people and programs write them into a text.
fn ends_address(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\')
}

/// What follows `scheme://`, up to the end of the address or of the part that was cut out of it.
fn address_part(part: &str) -> String {
    let authority_end = part.find(['/', '?', '#']).unwrap_or(part.len());
    let (authority, path) = part.split_at(authority_end);
    let (mut out, path) = match authority.rfind('@') {
        Some(at) => (format!("{MASK}{}", &authority[at..]), path),
        // A slash or the like that stands in a password as it is: no port is no number.
        None if has_odd_port(authority) => match part.rfind('@') {
            Some(at) => (MASK.to_owned(), &part[at..]),
            None => (MASK.to_owned(), path),
        },
        None => (authority.to_owned(), path),
    };
    let query_at = path.find(['?', '#']).unwrap_or(path.len());
    let (path, query) = path.split_at(query_at);
    out.push_str(path);
    query.split_inclusive(['?', '#', '&', ';']).for_each(|pair| out.push_str(&parameter(pair)));
    out
}

fn has_odd_port(authority: &str) -> bool {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    !authority.ends_with(']') && port.is_some_and(|p| !p.bytes().all(|b| b.is_ascii_digit()))
}

/// One `name=value`, with the separator behind it.
fn parameter(pair: &str) -> String {
    let (bare, separator) = match pair.char_indices().last() {
        Some((at, '?' | '#' | '&' | ';')) => pair.split_at(at),
        _ => (pair, ""),
    };
    match bare.split_once('=') {
        Some((name, value)) if !value.is_empty() && is_secret_parameter(name) => {
            format!("{name}={MASK}{separator}")
        }
        _ => pair.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aud_01_logins_and_tokens_in_addresses_are_masked() {
        for (text, masked) in [
            ("http://u:p@h/a@b", "http://*****@h/a@b"),
            ("https://ghp_abc@h", "https://*****@h"),
            ("ftp://u:p@x@h:21/a", "ftp://*****@h:21/a"),
            ("http://h/a@b?x=1", "http://h/a@b?x=1"),
            ("http://h/i?token=abc&x=1", "http://h/i?token=*****&x=1"),
            ("http://h/i?x=1&X-Amz-Signature=abc", "http://h/i?x=1&X-Amz-Signature=*****"),
            ("http://h/i?sig=a%2Fb;sv=1#access_token=q", "http://h/i?sig=*****;sv=1#access_token=*****"),
            ("http://h/i?token=", "http://h/i?token="),
            ("file:///a", "file:///a"),
            ("no address", "no address"),
            ("", ""),
            (
                "from http://u:p@h/a to \"https://v:q@i/b?sign=1\".",
                "from http://*****@h/a to \"https://*****@i/b?sign=*****\".",
            ),
            ("http://h/?next=http://u:p@i/", "http://h/?next=http://*****@i/"),
            ("http://ü:ö@h/ä", "http://*****@h/ä"),
            ("http://u:p/q@h/i", "http://*****@h/i"),
            ("http://u:p?q@h/i", "http://*****@h/i"),
            ("http://u:secret", "http://*****"),
            ("http://h:80/a@b", "http://h:80/a@b"),
            ("http://[::1]:80/a", "http://[::1]:80/a"),
            ("http://[fe80::a]/a", "http://[fe80::a]/a"),
            ("://", "://"),
            ("a://b://c:d@e", "a://b://*****@e"),
        ] {
            assert_eq!(addresses(text), masked, "{text}");
        }
    }
}
