use super::*;
use cairn_api::agent::vm::ConfigDrive;

fn nic(n: u32, strict: bool, addresses: &[&str]) -> Nic {
    Nic {
        nic: format!("{n:032x}"),
        tap: format!("vnic{n}.0"),
        mac: format!("fa:16:3e:00:00:{n:02x}"),
        bridge: "br_eth1".into(),
        l3_network: "0".repeat(32),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        anti_spoofing: strict,
        mtu: 1500,
    }
}

fn lease(n: u8, ip: &str, is_default: bool) -> Lease {
    let metadata =
        ConfigDrive { hostname: String::new(), ssh_keys: vec![], user_data: String::new(), meta: [].into() };
    Lease {
        vm: format!("{n:032x}"),
        mac: format!("fa:16:3e:00:00:{n:02x}"),
        ip: ip.into(),
        prefix: 24,
        gateway: None,
        hostname: Some(format!("web-{n}")),
        is_default,
        metadata,
    }
}

fn network() -> ApplyL3 {
    ApplyL3 {
        l3_network: "0189b2c3d4e57f60a1b2c3d4e5f60718".into(),
        bridge: "br_eth1".into(),
        service_address: "10.0.0.2/24".into(),
        dhcp: true,
        metadata: true,
        gateway: Some("10.0.0.1".into()),
        dns: vec!["10.0.0.53".into(), "2001:db8::53".into()],
        domain: Some("example.org".into()),
        mtu: 1450,
        leases: vec![lease(1, "10.0.0.5", true), lease(2, "10.0.0.6", false), lease(3, "10.7.0.9", true)],
    }
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("CAIRN_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == text, "{name} differs; run with CAIRN_BLESS=1 and read the difference\n{text}");
}

#[test]
fn sg_03_rulesets_are_as_they_were() {
    let nics = [
        nic(1, true, &["10.0.0.5"]),
        nic(2, true, &["10.0.0.6", "2001:db8::6"]),
        nic(3, false, &["10.0.0.7"]),
    ];
    let services = [
        nft::Service {
            bridge: "br_eth1".into(),
            port: "cv0000000001".into(),
            uplink: Some("eth1".into()),
            address: [10, 0, 0, 2].into(),
            dhcp: true,
        },
        nft::Service {
            bridge: "br_eth2".into(),
            port: "cv0000000002".into(),
            uplink: Some("eth2".into()),
            address: [10, 1, 0, 2].into(),
            dhcp: false,
        },
    ];
    golden("guard.nft", &nft::ruleset(&nics, &services));
    golden("guard-empty.nft", &nft::ruleset(&[], &[]));
}

#[test]
fn flat_01_dnsmasq_files_are_as_they_were() {
    let wanted = network();
    let service = Subnet::parse(&wanted.service_address).unwrap();
    let files = dnsmasq::files(&wanted, service, Path::new("/run/cairn/l3/x"));
    golden("dnsmasq.conf", &files.conf);
    golden("dnsmasq.hosts", &files.hosts);
    golden("dnsmasq.options", &files.options);
}

#[test]
fn hostile_names_never_reach_dnsmasq() {
    let mut wanted = network();
    wanted.domain = Some("x\ndhcp-script=/bin/sh".into());
    wanted.leases[0].hostname = Some("a,set:b\n".into());
    wanted.leases[0].gateway = Some("$(reboot)".into());
    wanted.dns = vec!["1.1.1.1,evil".into()];
    let files = dnsmasq::files(&wanted, Subnet::parse("10.0.0.2/24").unwrap(), Path::new("/x"));
    for bad in ["script", "a,set", "reboot", "evil"] {
        assert!(!format!("{files:?}").contains(bad), "{bad}");
    }
}

#[test]
fn wrong_leases_are_refused_whole() {
    assert!(l3::check(&network()).is_ok());
    let mut wanted = network();
    wanted.leases[1].mac = "fa:16:3e:00:00:02,set:x".into();
    assert!(l3::check(&wanted).is_err());
    let mut wanted = network();
    wanted.service_address = "10.0.0.2".into();
    assert!(l3::check(&wanted).is_err());
}

#[test]
fn names_and_addresses_are_read_strictly() {
    for (name, ok) in [
        ("eth1", true),
        ("br_eth1.100", true),
        ("-x", false),
        ("a b", false),
        ("..", false),
        ("1234567890123456", false),
        ("", false),
    ] {
        assert_eq!(is_device_name(name), ok, "{name}");
    }
    for (mac, ok) in [
        ("fa:16:3e:00:00:01", true),
        ("01:00:5e:00:00:01", false),
        ("FA:16:3e:00:00:01", false),
        ("fa:16:3e:00:00", false),
    ] {
        assert_eq!(is_mac(mac), ok, "{mac}");
    }
    let subnet = Subnet::parse("10.1.2.3/20").unwrap();
    assert_eq!(
        (subnet.network().to_string(), subnet.mask().to_string()),
        ("10.1.0.0/20".into(), "255.255.240.0".into())
    );
    assert_eq!(Subnet::parse("10.0.0.1/32").unwrap().mask().to_string(), "255.255.255.255");
    assert_eq!(Subnet::parse("10.0.0.1/0"), None);
}
