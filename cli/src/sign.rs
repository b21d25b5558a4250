//! Signed requests: access keys instead of a session (section 11 of the conventions).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cairn_types::time;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

/// `Authorization` of a request that is signed with an access key.
pub fn authorization(id: &str, secret: &str, method: &str, date: &str, path: &str) -> String {
    format!("ZStack {id}:{}", signature(secret, method, date, path))
}

fn signature(secret: &str, method: &str, date: &str, path: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else {
        return String::new(); // HMAC takes keys of every length
    };
    mac.update(format!("{method}\n{date}\n{path}").as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// The `Date` header: `Tue, 02 Jan 2018 08:00:00 UTC`.
pub fn http_date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time::rfc3339(ms);
    let weekday = usize::try_from(ms.div_euclid(86_400_000).rem_euclid(7)).unwrap_or_default();
    let month = text[5..7].parse::<usize>().unwrap_or(1);
    format!("{}, {} {} {} {} UTC", DAYS[weekday], &text[8..10], MONTHS[month - 1], &text[..4], &text[11..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_01_signatures_are_those_of_the_conventions() {
        let date = http_date(1_514_880_000_000);
        assert_eq!(date, "Tue, 02 Jan 2018 08:00:00 UTC");
        assert_eq!(
            authorization("id", "example-secret", "GET", &date, "/v1/zones"),
            "ZStack id:exJaJceOsfqJ+esLkMfdYKeQHbk="
        );
    }
}
