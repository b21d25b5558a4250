//! Text tables. Everything that comes from the server is made harmless first: a name may contain terminal codes.

use std::fmt::Write as _;

use serde_json::Value;

/// Control characters written out, so that a hostile name cannot steer the terminal.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() || is_direction(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Characters that reorder the text around them.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value in one line.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => plain(s).replace('\n', "\\n"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(_) => plain(&value.to_string()),
    }
}

/// Columns that the text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

const fn char_width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Head and rows in aligned columns, two blanks between them, `indent` in front.
pub fn render(head: &[String], rows: &[Vec<String>], indent: &str) -> String {
    let widths: Vec<usize> = (0..head.len())
        .map(|i| rows.iter().filter_map(|r| r.get(i)).chain(head.get(i)).map(|c| width(c)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in std::iter::once(head).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = indent.to_owned();
        for (text, target) in row.iter().zip(&widths) {
            let _ = write!(line, "{text}{}", " ".repeat(target.saturating_sub(width(text)) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cli_01_tables_are_aligned_and_harmless() {
        let rows = vec![
            vec![cell(&json!("网络")), cell(&json!(5))],
            vec![cell(&json!("a\u{1b}[2J\u{202e}b\nc")), cell(&json!(["x", "y"]))],
        ];
        let text = render(&["NAME".to_owned(), "N".to_owned()], &rows, "");
        assert_eq!(
            text,
            "NAME                    N\n网络                    5\na\\u{1b}[2J\\u{202e}b\\nc  x, y\n"
        );
    }
}
