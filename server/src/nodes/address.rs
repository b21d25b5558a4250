//! Where the other servers and the agents find this one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::config::Config;

/// `host:port` by which others dial a port that is bound at `at`: the configured host, the address that it is bound to, or this
/// machine's address on its way to others.
pub fn advertised(config: &Config, at: SocketAddr) -> String {
    match &config.advertised_host {
        Some(host) => format!("{host}:{}", at.port()),
        None if !at.ip().is_unspecified() => at.to_string(),
        None => SocketAddr::new(outward(), at.port()).to_string(),
    }
}

/// The address from which this machine reaches others. Nothing is sent: 192.0.2.1 is an address that nobody has.
fn outward() -> IpAddr {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|s| {
        s.connect("192.0.2.1:9")?;
        s.local_addr()
    });
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |a| a.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_14_an_address_is_one_that_others_can_dial() {
        let mut config = Config::ephemeral(std::path::Path::new("/nowhere"));
        let (bound, any) = ("10.1.2.3:80".parse().unwrap(), "0.0.0.0:80".parse().unwrap());
        assert_eq!(advertised(&config, bound), "10.1.2.3:80");
        let found: SocketAddr = advertised(&config, any).parse().unwrap();
        assert!(!found.ip().is_unspecified() && found.port() == 80);
        config.advertised_host = Some("node-1.example.org".into());
        assert_eq!(advertised(&config, bound), "node-1.example.org:80");
    }
}
