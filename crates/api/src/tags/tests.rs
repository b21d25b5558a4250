use super::*;

const L3: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

fn format_of(entity: &str, tag: &str) -> Option<&'static str> {
    match_format(entity, tag).map(|f| f.format)
}

#[test]
fn tag_01_tags_fit_the_format_of_their_entity() {
    for (entity, tag, format) in [
        ("VmInstanceVO", "hostname::web-1", Some("hostname::{hostname}")),
        ("VmInstanceVO", "qemuga", Some("qemuga")),
        ("VmInstanceVO", "userdata::a::b::c", Some("userdata::{userdata}")),
        ("VmInstanceVO", "hostname::", None),
        ("VmInstanceVO", "hostname", None),
        ("VmInstanceVO", "nothing::at all", None),
        ("HostVO", "hostname::web-1", None),
        ("HostVO", "reservedMemory::1G", Some("reservedMemory::{capacity}")),
        ("ZoneVO", "host::reservedMemory::1G", Some("host::reservedMemory::{capacity}")),
        (
            "PrimaryStorageVO",
            "primaryStorage::allocator::userTag::fast",
            Some("primaryStorage::allocator::userTag::{tag}"),
        ),
        (
            "DiskOfferingVO",
            "primaryStorage::allocator::userTag::fast::required",
            Some("primaryStorage::allocator::userTag::{tag}::required"),
        ),
    ] {
        assert_eq!(format_of(entity, tag), format, "{entity} {tag}");
    }
    assert!(match_any("ephemeral::validationOnly").is_some_and(|f| f.is_ephemeral()));
    assert!(match_any("hostname::x").is_some_and(|f| !f.is_ephemeral()));
    assert!(match_any("unknown::x").is_none());
}

#[test]
fn tag_01_tokens_end_where_the_format_goes_on() {
    let cut = |format, tag| capture(format, tag);
    assert_eq!(cut("a::{x}::b::{y}", "a::1::b::2::3"), Some(vec![("x", "1"), ("y", "2::3")]));
    assert_eq!(cut("t::{x}::required", "t::a::required::required"), Some(vec![("x", "a::required")]));
    assert_eq!(cut("plain", "plain"), Some(vec![]));
    assert_eq!(cut("plain", "plainer"), None);
    assert_eq!(cut("a::{x}::b::{y}", "a::1::b::"), None);
    let tag = "l2NetworkUuid::p::clusterUuid::c::cidr::10.0.0.0/8";
    let values = match_format("L2NetworkVO", tag).and_then(|f| capture(f.format, tag)).unwrap();
    assert_eq!(values, [("poolUuid", "p"), ("clusterUuid", "c"), ("vtepCidr", "10.0.0.0/8")]);
}

#[test]
fn tag_01_values_are_checked() {
    for (entity, tag, good) in [
        ("VmInstanceVO", "hostname::web-1.example.org", true),
        ("VmInstanceVO", "hostname::$(reboot)", false),
        ("VmInstanceVO", "hostname::-a", false),
        ("VmInstanceVO", "bootOrder::CdRom,HardDisk", true),
        ("VmInstanceVO", "bootOrder::Floppy", false),
        ("VmInstanceVO", "RDPEnable::maybe", false),
        ("HostVO", "reservedMemory::1G", true),
        ("HostVO", "reservedMemory::lots", false),
        ("L3NetworkVO", "l3NetworkUuid::x::mtu::1500", true),
        ("L3NetworkVO", "l3NetworkUuid::x::mtu::big", false),
        ("PrimaryStorageVO", "primaryStorage::gateway::cidr::10.0.0.0/33", false),
    ] {
        let checked = match_format(entity, tag).unwrap().check(tag);
        assert_eq!(checked.is_ok(), good, "{tag}: {checked:?}");
        assert!(checked.err().is_none_or(|f| f.code == "SYS.1007"));
    }
}

#[test]
fn tag_01_the_tags_that_the_server_acts_on_are_read() {
    assert_eq!(static_ip(&format!("staticIp::{L3}::10.0.0.5")), Some((L3, "10.0.0.5")));
    assert_eq!(static_ip(&format!("staticIp::{L3}::fe80::1")), Some((L3, "fe80::1")));
    assert_eq!(static_ip("staticIp::x"), None);
    assert_eq!(hostname("hostname::a"), Some("a"));
    assert_eq!(user_data("userdata::#cloud-config\na: b::c"), Some("#cloud-config\na: b::c"));
    assert_eq!(ssh_key("sshkey::ssh-ed25519 AAAA me@host"), Some("ssh-ed25519 AAAA me@host"));
    assert_eq!(boot_order("bootOrder::CdRom, HardDisk"), Some(vec!["CdRom", "HardDisk"]));
}

#[test]
fn tag_01_secret_values_are_masked() {
    assert_eq!(mask("rootPassword::hunter2"), "rootPassword::*****");
    assert_eq!(mask("consolePassword::a::b"), "consolePassword::*****");
    assert_eq!(mask("hostname::a"), "hostname::a");
    let refused = match_any("RDPEnable::perhaps").unwrap().check("RDPEnable::perhaps").unwrap_err();
    assert!(refused.details.contains("RDPEnable::perhaps"));
}

#[test]
fn tag_01_every_format_is_well_formed() {
    for format in FORMATS {
        assert!(!format.meaning.is_empty());
        assert_eq!(format.format.matches('{').count(), format.tokens().count(), "{}", format.format);
        assert!(!(format.inherent && format.by == By::Client), "{}", format.format);
    }
    assert_eq!(FORMATS.len(), 100);
}
