//! What the value in a tag must look like, and readers for the tags that the server acts on.

use std::net::IpAddr;

use cairn_types::id::is_uuid;
use cairn_types::size::parse_size;

use super::capture;

/// What the last value of a tag must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Anything but nothing.
    Any,
    /// Digits.
    Integer,
    /// Digits with an optional B, K, M, G or T.
    Size,
    /// true or false.
    Bool,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// These, separated by commas.
    ListOf(&'static [&'static str]),
    /// A uuid.
    Uuid,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An address with prefix length.
    Cidr,
    /// A host name, with or without domain.
    Hostname,
    /// Base64.
    Base64,
    /// `false`: what `true` would ask for is not there yet.
    OnlyFalse,
    /// Nothing is taken: whoever sets it would rely on what is not there yet.
    NotYet,
}

impl Value {
    /// What was wanted, if the value is not it.
    pub(super) fn refuse(self, value: &str) -> Option<String> {
        let (good, wanted) = match self {
            Self::Any => (!value.contains('\0'), "a text without NUL".to_owned()),
            Self::Integer => (value.parse::<u32>().is_ok(), "a number".to_owned()),
            Self::Size => (parse_size(value).is_some(), "digits with an optional B, K, M, G or T".to_owned()),
            Self::Bool => (matches!(value, "true" | "false"), "true or false".to_owned()),
            Self::OneOf(known) => (known.contains(&value), format!("one of: {}", known.join(", "))),
            Self::ListOf(known) => {
                let all = value.split(',').all(|v| known.contains(&v.trim()));
                (all, format!("a list, separated by commas, of: {}", known.join(", ")))
            }
            Self::Uuid => (is_uuid(value), "a uuid".to_owned()),
            Self::Ip => (value.parse::<IpAddr>().is_ok(), "an address".to_owned()),
            Self::Cidr => (is_cidr(value), "a network such as 192.168.7.0/24".to_owned()),
            Self::Hostname => (is_hostname(value), "a host name".to_owned()),
            Self::Base64 => (is_base64(value), "base64".to_owned()),
            Self::OnlyFalse => (value == "false", "false; this version can't do more".to_owned()),
            Self::NotYet => (false, "nothing: this version does not act on it, so leave it out".to_owned()),
        };
        (!good).then_some(wanted)
    }
}

fn is_base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '\n' | '\r');
    !bare.is_empty() && text.len() - bare.len() <= 2 && bare.chars().all(fits)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

/// Labels of letters, digits and inner hyphens, at most 63 characters each and 253 together.
pub(crate) fn is_hostname(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn only<'t>(format: &'static str, tag: &'t str) -> Option<&'t str> {
    capture(format, tag)?.first().map(|(_, value)| *value)
}

/// L3 network and address of `staticIp::<l3 uuid>::<ip>`.
pub fn static_ip(tag: &str) -> Option<(&str, &str)> {
    let values = capture("staticIp::{l3NetworkUuid}::{staticIp}", tag)?;
    Some((values.first()?.1, values.get(1)?.1))
}

/// Name in `hostname::<name>`.
pub fn hostname(tag: &str) -> Option<&str> {
    only("hostname::{hostname}", tag)
}

/// Data in `userdata::<data>`.
pub fn user_data(tag: &str) -> Option<&str> {
    only("userdata::{userdata}", tag)
}

/// Key in `sshkey::<key>`.
pub fn ssh_key(tag: &str) -> Option<&str> {
    only("sshkey::{sshkey}", tag)
}

/// Password in `rootPassword::<password>`.
pub fn root_password(tag: &str) -> Option<&str> {
    only("rootPassword::{rootPassword}", tag)
}

/// Devices in `bootOrder::<device>,<device>`.
pub fn boot_order(tag: &str) -> Option<Vec<&str>> {
    Some(only("bootOrder::{bootOrder}", tag)?.split(',').map(str::trim).collect())
}
