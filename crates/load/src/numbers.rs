//! Ids and addresses that count up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_types::{Fault, Id, Result, kind};

/// Bits of a UUID of version 7 behind its variant.
const LOW: u128 = (1 << 62) - 1;
/// Odd, so that a multiplication modulo a power of two gives every number once.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15 & LOW;

/// A UUID of version 7 made at this time. `number` tells ids apart, also by their last twelve digits alone; ids of the same
/// time have the order of `place`.
pub(crate) fn id(ms: i64, place: usize, number: u64, salt: u64) -> u128 {
    let (ms, place) = (u128::from(ms.unsigned_abs()) & ((1 << 48) - 1), place as u128 & 0xfff);
    let low = u128::from(number).wrapping_mul(SPREAD).wrapping_add(u128::from(salt)) & LOW;
    ms << 80 | 7 << 76 | place << 64 | 2 << 62 | low
}

/// As rows hold it.
pub(crate) fn text(id: u128) -> String {
    Id::<kind::AnyResource>::from_u128(id).to_string()
}

/// A hardware address of its own for each number below 2^40.
pub(crate) fn mac(number: u64, salt: u64) -> String {
    let n = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt) & ((1 << 40) - 1);
    let [.., a, b, c, d, e] = n.to_be_bytes();
    format!("fa:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

/// The unique local address out of a host's uuid that hosts get which were added without one.
pub(crate) fn own_address(host: u128) -> Ipv6Addr {
    Ipv6Addr::from(0xfd << 120 | host & ((1 << 120) - 1))
}

/// The address so many places further.
pub(crate) fn further(from: IpAddr, by: u64) -> Result<IpAddr> {
    let none = || Fault::argument(format!("there are not {by} addresses behind {from}"));
    match from {
        IpAddr::V4(v4) => {
            let by = u32::try_from(by).map_err(|_| none())?;
            u32::from(v4).checked_add(by).map(|n| Ipv4Addr::from(n).into()).ok_or_else(none)
        }
        IpAddr::V6(v6) => {
            u128::from(v6).checked_add(by.into()).map(|n| Ipv6Addr::from(n).into()).ok_or_else(none)
        }
    }
}

/// An address as 32 digits whose order as text is that of addresses.
pub(crate) fn sort(address: IpAddr) -> String {
    let bits = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    format!("{bits:032x}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn bey_07_ids_are_of_version_7_in_order_of_time_and_differ_by_their_ends() {
        let all: Vec<String> =
            (0..50_000).map(|n| text(id(1_700_000_000_000 + n / 4, 3, n as u64, 99))).collect();
        assert!(all.iter().all(|t| &t[12..13] == "7" && "89ab".contains(&t[16..17])));
        assert_eq!(all.iter().map(|t| &t[20..]).collect::<HashSet<_>>().len(), all.len());
        assert!(all.chunks(4).zip(all.chunks(4).skip(1)).all(|(a, b)| a.iter().max() < b.iter().min()));
    }

    #[test]
    fn bey_07_addresses_count_up() {
        assert_eq!(further("10.0.0.255".parse().unwrap(), 1).unwrap().to_string(), "10.0.1.0");
        assert!(further("255.255.255.255".parse().unwrap(), 1).is_err());
        assert_eq!(sort("10.0.0.1".parse().unwrap()), "00000000000000000000ffff0a000001");
        let macs: HashSet<String> = (0..100_000).map(|n| mac(n, 5)).collect();
        assert_eq!(macs.len(), 100_000);
        assert!(macs.iter().all(|m| m.len() == 17 && m.starts_with("fa:")));
    }
}
