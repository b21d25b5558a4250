//! Times are UTC milliseconds since 1970 inside; text only at the edge.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Now, in milliseconds since 1970 UTC.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// A moment split into calendar parts, in the zone `offset_minutes` east of UTC.
struct Parts {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

fn parts(ms: i64, offset_minutes: i64) -> Parts {
    let seconds = ms.div_euclid(1000) + offset_minutes * 60;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    Parts { year, month, day, hour: rest / 3600, minute: rest % 3600 / 60, second: rest % 60 }
}

/// Days since 1970-01-01 to year, month (1..=12), day, by counting in eras of 400 years that start in March.
fn civil_from_days(days: i64) -> (i64, usize, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date text of the ZStack 2.2 API, `Jan 2, 2018 3:04:05 PM` (rest-conventions section 7).
pub fn legacy(ms: i64, offset_minutes: i64) -> String {
    let p = parts(ms, offset_minutes);
    let hour = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
    let half = if p.hour < 12 { "AM" } else { "PM" };
    format!("{} {}, {} {}:{:02}:{:02} {half}", MONTHS[p.month - 1], p.day, p.year, hour, p.minute, p.second)
}

/// RFC 3339 in UTC with milliseconds, `2018-01-02T15:04:05.000Z`.
pub fn rfc3339(ms: i64) -> String {
    let p = parts(ms, 0);
    let (y, mo, d, h, mi, s) = (p.year, p.month, p.day, p.hour, p.minute, p.second);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:03}Z", ms.rem_euclid(1000))
}

/// Reads the date of a query condition, `2018-01-02 15:04:05`, in the zone `offset_minutes` east of UTC.
pub fn parse_condition(text: &str, offset_minutes: i64) -> Option<i64> {
    let (date, clock) = text.trim().split_once([' ', 'T']).unwrap_or((text.trim(), "00:00:00"));
    let numbers = |s: &str, sep: char| -> Option<Vec<i64>> { s.split(sep).map(|p| p.parse().ok()).collect() };
    let (date, clock) = (numbers(date, '-')?, numbers(clock.trim_end_matches('Z'), ':')?);
    let ([y, mo, d], [h, mi, s]) = (date.as_slice(), clock.as_slice()) else { return None };
    let valid = (1..=12).contains(mo)
        && (1..=31).contains(d)
        && (0..24).contains(h)
        && (0..60).contains(mi)
        && (0..61).contains(s);
    let seconds =
        days_from_civil(*y, *mo, *d).checked_mul(86_400)? + h * 3600 + mi * 60 + s - offset_minutes * 60;
    valid.then_some(seconds * 1000)
}

/// Reads the wall clock of an HTTP `Date` header, `Tue, 02 Jan 2018 08:00:00 UTC`, as if it were UTC. The zone is not
/// looked at: clients send names that no table knows (rest-conventions section 11).
pub fn parse_http_date(text: &str) -> Option<i64> {
    let rest = text.split_once(", ").map_or(text, |(_, r)| r);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [day, month, year, clock, ..] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))? + 1;
    let year: i64 = year.parse().ok()?;
    let day: i64 = day.parse().ok()?;
    parse_condition(&format!("{year:04}-{month:02}-{day:02} {clock}"), 0)
}

/// Whether the date of a request says its zone without doubt: GMT, UTC, or an offset, which [`parse_http_date`] leaves out.
pub fn http_date_offset_minutes(text: &str) -> Option<i64> {
    let zone = text.split_whitespace().next_back()?;
    if ["GMT", "UTC", "Z"].iter().any(|z| z.eq_ignore_ascii_case(zone)) {
        return Some(0);
    }
    let (sign, digits) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(d), _) => (1, d),
        (_, Some(d)) => (-1, d),
        _ => return None,
    };
    let number = |s: Option<&str>| s.and_then(|s| s.parse::<i64>().ok());
    let plain = digits.replace(':', "");
    (plain.len() == 4).then_some(())?;
    Some(sign * (number(plain.get(..2))? * 60 + number(plain.get(2..))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_clients_expect() {
        let ms = parse_condition("2018-01-02 15:04:05", 0).unwrap();
        assert_eq!(legacy(ms, 0), "Jan 2, 2018 3:04:05 PM");
        assert_eq!(legacy(ms, 8 * 60), "Jan 2, 2018 11:04:05 PM");
        assert_eq!(rfc3339(ms), "2018-01-02T15:04:05.000Z");
        assert_eq!(legacy(parse_condition("2018-01-02 00:00:00", 0).unwrap(), 0), "Jan 2, 2018 12:00:00 AM");
        assert_eq!(legacy(0, 0), "Jan 1, 1970 12:00:00 AM");
    }

    #[test]
    fn every_day_of_two_centuries_survives_the_round_trip() {
        for day in -40_000..40_000 {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, i64::try_from(m).unwrap(), d), day);
        }
    }

    #[test]
    fn a_zone_without_doubt_is_told_from_a_name() {
        for (date, offset) in [
            ("Tue, 02 Jan 2018 08:00:00 GMT", Some(0)),
            ("Tue, 02 Jan 2018 08:00:00 utc", Some(0)),
            ("Tue, 02 Jan 2018 08:00:00 +0800", Some(480)),
            ("Tue, 02 Jan 2018 08:00:00 -03:30", Some(-210)),
            ("Tue, 02 Jan 2018 08:00:00 CST", None),
            ("Tue, 02 Jan 2018 08:00:00 Asia/Shanghai", None),
            ("Tue, 02 Jan 2018 08:00:00", None),
        ] {
            assert_eq!(http_date_offset_minutes(date), offset, "{date}");
        }
    }

    #[test]
    fn http_dates_are_read_whatever_their_zone() {
        let utc = parse_http_date("Tue, 02 Jan 2018 08:00:00 UTC").unwrap();
        assert_eq!(parse_http_date("Tue, 02 Jan 2018 08:00:00 Asia/Shanghai"), Some(utc));
        assert_eq!(rfc3339(utc), "2018-01-02T08:00:00.000Z");
        assert_eq!(parse_http_date("yesterday"), None);
    }
}
