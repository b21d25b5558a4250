//! The networks at both ends of the agent protocol. What listens there trusts its neighbours, so tenants are kept away from
//! them, whatever their range.

use nix::ifaddrs::InterfaceAddress;

/// The networks that this machine has a leg in, in CIDR form; empty if the kernel does not tell.
pub fn own() -> Vec<String> {
    nix::ifaddrs::getifaddrs().map(|all| all.filter_map(|i| network(&i)).collect()).unwrap_or_default()
}

fn network(i: &InterfaceAddress) -> Option<String> {
    let (address, mask) = (i.address.as_ref()?, i.netmask.as_ref()?);
    if let (Some(ip), Some(mask)) = (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
        return Some(format!("{}/{}", ip.ip(), u32::from(mask.ip()).leading_ones()));
    }
    let (ip, mask) = (address.as_sockaddr_in6()?, mask.as_sockaddr_in6()?);
    Some(format!("{}/{}", ip.ip(), u128::from(mask.ip()).leading_ones()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_loopback_network() {
        assert!(super::own().iter().any(|n| n == "127.0.0.1/8"), "{:?}", super::own());
    }
}
