//! Amounts of memory and disk. Always bytes inside.

/// One kibibyte in bytes.
pub const KIB: u64 = 1 << 10;
/// One mebibyte in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte in bytes.
pub const GIB: u64 = 1 << 30;

/// Reads a size-string: digits and an optional B, K, M, G or T in either case. `None` if it has another form or does
/// not fit.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = match text.as_bytes().last()? {
        b'0'..=b'9' => (text, 1),
        b'B' | b'b' => (&text[..text.len() - 1], 1),
        b'K' | b'k' => (&text[..text.len() - 1], KIB),
        b'M' | b'm' => (&text[..text.len() - 1], MIB),
        b'G' | b'g' => (&text[..text.len() - 1], GIB),
        b'T' | b't' => (&text[..text.len() - 1], GIB << 10),
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A size for people: `1.5 GiB`.
pub fn show_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut rest = bytes;
    let mut below = 0;
    while rest >= 1024 && unit + 1 < units.len() {
        below = rest % 1024;
        rest /= 1024;
        unit += 1;
    }
    let tenth = below * 10 / 1024;
    if tenth == 0 { format!("{rest} {}", units[unit]) } else { format!("{rest}.{tenth} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in
            [("0", Some(0)), ("1G", Some(GIB)), ("512m", Some(512 * MIB)), ("7b", Some(7)), ("", None)]
        {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for bad in ["G", "-1G", "1.5G", "1X", "99999999999999999999", "99999999T999", "18446744073709551615T"]
        {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert_eq!(show_size(3 * GIB / 2), "1.5 GiB");
        assert_eq!(show_size(0), "0 B");
    }
}
