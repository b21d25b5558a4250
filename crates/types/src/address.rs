//! Which addresses lie inside: what tenants may not have this cloud reach for them.

use std::net::{IpAddr, Ipv4Addr};

/// Whether an address lies in a network in CIDR form. Nothing lies in what is no network.
pub fn lies_in(network: &str, ip: IpAddr) -> bool {
    let (address, length) = network.split_once('/').unwrap_or((network, ""));
    let Ok(address) = address.trim().parse::<IpAddr>() else { return false };
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length: u32 = if length.is_empty() { full } else { length.trim().parse().unwrap_or(full) };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    if address.is_ipv4() != ip.is_ipv4() || length > full {
        return false;
    }
    length == 0 || (bits(address) ^ bits(ip)) >> (128 - length) == 0
}

/// An IPv4 address in other clothes: mapped, NAT64 and 6to4 addresses lead to it.
pub fn undress(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let s = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => ip,
    }
}

/// Whether an address belongs to this machine, this site or nobody.
pub fn is_internal(ip: IpAddr) -> bool {
    match undress(ip) {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                // Site-local of old, and IPv4-compatible addresses.
                || v6.segments()[0] & 0xffc0 == 0xfec0
                || v6.segments()[..6] == [0; 6]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_addresses_are_seen_in_every_form() {
        for (ip, inside) in [
            ("127.8.8.8", true),
            ("10.1.2.3", true),
            ("172.31.255.255", true),
            ("172.32.0.1", false),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("::ffff:10.0.0.1", true),
            ("64:ff9b::7f00:1", true),
            ("2002:7f00:1::", true),
            ("2606:4700::1", false),
            ("8.8.8.8", false),
        ] {
            assert_eq!(is_internal(ip.parse().unwrap()), inside, "{ip}");
        }
    }

    #[test]
    fn addresses_lie_in_networks_of_their_family() {
        for (network, ip, inside) in [
            ("8.8.8.0/24", "8.8.8.8", true),
            ("8.8.8.0/24", "8.8.9.8", false),
            ("9.9.9.9", "9.9.9.9", true),
            ("::/0", "9.9.9.9", false),
            ("2606:4700::/32", "2606:4700::1", true),
            ("nonsense", "9.9.9.9", false),
        ] {
            assert_eq!(lies_in(network, ip.parse().unwrap()), inside, "{network} {ip}");
        }
    }
}
