//! Addresses as numbers and as text that sorts. IPv4 lives inside IPv6 as `::ffff:a.b.c.d`, so that rows and searches know
//! one kind of address only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_types::{Fault, Result};

/// Addresses that no network of guests may have, first and last.
pub const RESERVED: [(&str, &str, &str); 5] = [
    ("0.0.0.0", "0.255.255.255", "addresses of this network"),
    ("127.0.0.0", "127.255.255.255", "addresses of the machine itself"),
    ("169.254.0.0", "169.254.255.255", LINK_LOCAL),
    ("224.0.0.0", "239.255.255.255", "multicast addresses"),
    ("240.0.0.0", "255.255.255.255", "reserved addresses"),
];
const LINK_LOCAL: &str = "link-local addresses";

/// An address of either family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u128);

impl Address {
    /// The address in a text.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(|ip: IpAddr| ip.into())
    }

    /// The address in a parameter; `SYS.1007` if there is none. Only IPv4 for now.
    pub fn v4(parameter: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Fault::argument(format!("parameter {parameter} is {text:?}, which is no IPv4 address{why}"))
                .with("parameter", parameter)
        };
        match Self::parse(text) {
            Some(address) if address.is_v4() => Ok(address),
            Some(_) => Err(wrong("; IPv6 is not supported yet")),
            None => Err(wrong("")),
        }
    }

    /// The address of some other machine in a parameter, such as a server's; `SYS.1007` if no machine can have it.
    pub fn of_machine(parameter: &str, text: &str) -> Result<Self> {
        let address = Self::v4(parameter, text)?;
        for (first, last, what) in RESERVED.iter().filter(|r| r.2 != LINK_LOCAL) {
            let (Some(low), Some(high)) = (Self::parse(first), Self::parse(last)) else { continue };
            if (low..=high).contains(&address) {
                let text = format!(
                    "parameter {parameter} is {address}; {first} to {last} are {what}, which no server has"
                );
                return Err(Fault::argument(text).with("parameter", parameter));
            }
        }
        Ok(address)
    }

    /// Whether it is an IPv4 address.
    pub fn is_v4(self) -> bool {
        self.0 >> 32 == 0xffff
    }

    /// 32 hexadecimal digits, whose order as text is the order of addresses.
    pub fn sort(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The reverse of [`Address::sort`].
    pub fn from_sort(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().map(Self)
    }

    /// The address so many places further; the highest one where there are not as many.
    pub fn plus(self, n: u128) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The address so many places before; the lowest one where there are not as many.
    pub fn minus(self, n: u128) -> Self {
        Self(self.0.saturating_sub(n))
    }

    /// How many addresses lie between `first` and this one, both counted; 0 if this one is below.
    pub fn count_from(self, first: Self) -> u128 {
        self.0.checked_sub(first.0).map_or(0, |n| n.saturating_add(1))
    }

    fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self(u128::from(v4.to_ipv6_mapped())),
            IpAddr::V6(v6) => Self(u128::from(v6)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    network: Address,
    prefix: u8,
}

impl Subnet {
    /// The network that an address lies in.
    pub fn of(address: Address, prefix: u8) -> Self {
        let host_bits = u32::from(32 - prefix.min(32));
        Self { network: Address(address.0 >> host_bits << host_bits), prefix }
    }

    /// The network in a parameter such as `192.168.7.0/24`. Bits below the prefix are dropped. At least four addresses.
    pub fn parse_cidr(parameter: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Fault::argument(format!("parameter {parameter} is {text:?}; {why}")).with("parameter", parameter)
        };
        let (address, bits) =
            text.trim().split_once('/').ok_or_else(|| wrong("it must look like 192.168.7.0/24"))?;
        let address = Address::v4(parameter, address)?;
        let bits: u8 = bits.parse().map_err(|_| wrong("it must look like 192.168.7.0/24"))?;
        if !(1..=30).contains(&bits) {
            return Err(wrong(
                "its prefix length must be from 1 to 30, so that there is room for a gateway and guests",
            ));
        }
        Ok(Self::of(address, bits))
    }

    /// The prefix length of a netmask in a parameter.
    pub fn prefix_of_netmask(parameter: &str, netmask: &str) -> Result<u8> {
        let wrong = || {
            let text =
                format!("parameter {parameter} is {netmask:?}, which is no netmask such as 255.255.255.0");
            Fault::argument(text).with("parameter", parameter)
        };
        let mask: Ipv4Addr = netmask.trim().parse().map_err(|_| wrong())?;
        let bits = u32::from(mask);
        let prefix = bits.leading_ones();
        let is_mask = bits.checked_shl(prefix).unwrap_or(0) == 0 && (1..=30).contains(&prefix);
        if is_mask { u8::try_from(prefix).map_err(|_| wrong()) } else { Err(wrong()) }
    }

    /// Prefix length.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Such as `255.255.255.0`.
    pub fn netmask(self) -> String {
        let host_bits = u32::from(32 - self.prefix.min(32));
        Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0)).to_string()
    }

    /// The network's own address.
    pub fn network(self) -> Address {
        self.network
    }

    /// The address of everybody.
    pub fn broadcast(self) -> Address {
        self.network.plus((1u128 << (32 - self.prefix.min(32))) - 1)
    }

    /// The first address that a guest or gateway may have.
    pub fn first(self) -> Address {
        self.network.plus(1)
    }

    /// The last address that a guest or gateway may have.
    pub fn last(self) -> Address {
        self.broadcast().minus(1)
    }

    /// Whether a guest or gateway may have this address: neither the network's own nor that of everybody.
    pub fn is_usable(self, address: Address) -> bool {
        (self.first()..=self.last()).contains(&address)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l3_05_order_of_sort_texts_is_the_order_of_addresses() {
        let list =
            ["0.0.0.0", "9.255.255.255", "10.0.0.1", "10.0.0.10", "10.0.1.0", "255.255.255.255", "fd00::1"];
        let sorts: Vec<String> = list.iter().map(|t| Address::parse(t).unwrap().sort()).collect();
        assert!(sorts.windows(2).all(|w| w[0] < w[1]), "{sorts:?}");
        assert!(sorts.iter().all(|s| s.len() == 32));
        for (text, sort) in list.iter().zip(&sorts) {
            assert_eq!(Address::from_sort(sort).unwrap().to_string(), *text);
        }
    }

    #[test]
    fn l3_01_netmasks_and_networks() {
        for (mask, prefix) in
            [("255.255.255.0", 24), ("255.0.0.0", 8), ("255.255.255.252", 30), ("128.0.0.0", 1)]
        {
            assert_eq!(Subnet::prefix_of_netmask("netmask", mask).unwrap(), prefix);
            assert_eq!(Subnet::of(Address::parse("10.1.2.3").unwrap(), prefix).netmask(), mask);
        }
        for bad in ["255.0.255.0", "0.0.0.0", "255.255.255.255", "255.255.255.254", "24", "", "ffff::"] {
            assert!(Subnet::prefix_of_netmask("netmask", bad).is_err(), "{bad}");
        }
        let net = Subnet::parse_cidr("networkCidr", "192.168.7.77/24").unwrap();
        assert_eq!(net.to_string(), "192.168.7.0/24");
        let ends = [net.first(), net.last(), net.broadcast()].map(|a| a.to_string());
        assert_eq!(ends, ["192.168.7.1", "192.168.7.254", "192.168.7.255"]);
        assert!(
            !net.is_usable(net.network()) && !net.is_usable(net.broadcast()) && net.is_usable(net.last())
        );
        for bad in ["10.0.0.0", "10.0.0.0/31", "10.0.0.0/0", "10.0.0.0/x", "fd00::/64", "a/8"] {
            assert!(Subnet::parse_cidr("networkCidr", bad).is_err(), "{bad}");
        }
    }
}
