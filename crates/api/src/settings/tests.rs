//! SET-01: which values settings take.

use std::collections::HashSet;

use super::*;

/// What the original takes at least and at most, where it looks: `min`, `max`, and the settings with these limits.
const ORIGINAL: &[(i64, Option<i64>, &[&str])] = &[
    (
        -1,
        None,
        &["kvm/reservedCpu", "managementServer/node.joinDelay", "securityGroup/refresh.delayInterval"],
    ),
    (
        0,
        None,
        &[
            "applianceVm/connect.timeout",
            "applianceVm/ssh.timeout",
            "backupStorage/ping.interval",
            "backupStorage/ping.parallelismDegree",
            "ceph/backupStorage.mon.reconnectDelay",
            "ceph/imageCache.cleanup.interval",
            "ceph/primaryStorage.mon.reconnectDelay",
            "console/agent.ping.interval",
            "console/proxy.idleTimeout",
            "fusionstor/backupStorage.mon.reconnectDelay",
            "fusionstor/imageCache.cleanup.interval",
            "fusionstor/primaryStorage.mon.reconnectDelay",
            "host/load.parallelismDegree",
            "host/ping.interval",
            "host/ping.maxFailure",
            "host/ping.parallelismDegree",
            "identity/session.cleanup.interval",
            "identity/session.maxConcurrent",
            "image/deletion.gcInterval",
            "image/expungeInterval",
            "image/expungePeriod",
            "kvm/vm.migrationQuantity",
            "managementServer/node.heartbeatInterval",
            "primaryStorage/imageCache.garbageCollector.interval",
            "primaryStorage/ping.interval",
            "primaryStorage/ping.parallelismDegree",
            "progress/progress.cleanupThreadInterval",
            "progress/progress.ttl",
            "quota/eip.num",
            "quota/image.num",
            "quota/image.size",
            "quota/l3.num",
            "quota/loadBalancer.num",
            "quota/portForwarding.num",
            "quota/securityGroup.num",
            "quota/snapshot.volume.num",
            "quota/vip.num",
            "quota/vm.cpuNum",
            "quota/vm.memorySize",
            "quota/vm.num",
            "quota/vm.totalNum",
            "quota/volume.capacity",
            "quota/volume.data.num",
            "quota/vxlan.num",
            "securityGroup/host.failureResolvePerTime",
            "securityGroup/host.failureWorkerInterval",
            "vm/expungeInterval",
            "vm/expungePeriod",
            "volume/expungeInterval",
            "volume/expungePeriod",
            "volumeSnapshot/backup.parallelismDegree",
            "volumeSnapshot/delete.parallelismDegree",
            "volumeSnapshot/incrementalSnapshot.maxNum",
        ],
    ),
    (0, Some(24), &["kvm/dataVolume.maxNum"]),
    (0, Some(31536000), &["identity/session.timeout"]),
    (0, Some(2147483647), &["host/cpu.overProvisioning.ratio"]),
    (2, None, &["kvm/host.syncLevel"]),
];

#[test]
fn set_01_every_default_is_a_value_that_the_setting_takes() {
    let mut seen = HashSet::new();
    for setting in all() {
        assert!(seen.insert((setting.category, setting.name)), "{}/{} twice", setting.category, setting.name);
        assert!(!setting.description.is_empty());
        if let Some(default) = setting.default {
            assert_eq!(
                setting.accept(default).as_deref(),
                Ok(default),
                "{}/{}",
                setting.category,
                setting.name
            );
        }
    }
    let original = all().iter().filter(|s| !s.is_ours()).count();
    assert_eq!(original, 140, "143 of the original, less three that it never registered");
}

#[test]
fn set_01_values_are_checked_and_normalised() {
    for (category, name, value, stored) in [
        ("vm", "deletionPolicy", "Direct", Some("Direct")),
        ("vm", "deletionPolicy", "direct", None),
        ("vm", "deletionPolicy", "", None),
        ("vm", "expungePeriod", "0", Some("0")),
        ("vm", "expungePeriod", " 5 ", Some("5")),
        ("vm", "expungePeriod", "-1", None),
        ("vm", "expungePeriod", "1.5", None),
        ("vm", "expungePeriod", "99999999999999999999", None),
        ("vm", "numa", "TRUE", Some("true")),
        ("vm", "numa", "yes", None),
        ("kvm", "reservedMemory", "2g", Some("2g")),
        ("kvm", "reservedMemory", "2X", None),
        ("kvm", "reservedMemory", "2T", None),
        ("kvm", "reservedMemory", "1T", Some("1T")),
        ("kvm", "reservedCpu", "-1", Some("-1")),
        ("kvm", "host.syncLevel", "1", None),
        ("kvm", "dataVolume.maxNum", "24", Some("24")),
        ("kvm", "dataVolume.maxNum", "25", None),
        ("identity", "session.timeout", "31536000", Some("31536000")),
        ("identity", "session.timeout", "31536001", None),
        ("identity", "account.api.control", "", Some("")),
        ("identity", "account.api.control", "APIQueryHostMsg, rm -rf", None),
        ("nfsPrimaryStorage", "mount.base", "relative", None),
        ("notification", "webhook.url", "http://a/b", Some("http://a/b")),
        ("notification", "webhook.url", "null", Some("null")),
        ("notification", "webhook.url", "file:///etc", None),
        ("virtualRouter", "vrouter.password", "a-b_c#1", Some("a-b_c#1")),
        ("virtualRouter", "vrouter.password", "$(reboot)", None),
        ("cairn", "api.timeZone", "480", Some("480")),
        ("cairn", "api.timeZone", "1000", None),
        ("cairn", "image.fileFolder", "", Some("")),
        ("cairn", "image.fileFolder", "/srv/../etc", None),
        ("cairn", "image.fileFolder", "/srv/images", Some("/srv/images")),
        ("mevoco", "overProvisioning.memory", "1.5", Some("1.5")),
        ("mevoco", "overProvisioning.memory", "0", None),
        ("mevoco", "overProvisioning.memory", "NaN", None),
        ("host", "cpu.overProvisioning.ratio", "2147483648", None),
    ] {
        assert_eq!(validate(category, name, value).ok().as_deref(), stored, "{category}/{name} = {value:?}");
    }
}

#[test]
fn set_01_unknown_settings_and_those_never_registered_are_refused() {
    for (category, name) in [("vm", "nothing"), ("nothing", "deletionPolicy"), ("salt", "minion.setupInJob")]
    {
        assert_eq!(validate(category, name, "1").unwrap_err().code, "SYS.1007");
    }
}

#[test]
fn set_01_the_limits_of_the_original_are_still_taken() {
    for (min, max, settings) in ORIGINAL {
        for setting in *settings {
            let (category, name) = setting.split_once('/').unwrap();
            for edge in [Some(*min), *max].into_iter().flatten() {
                assert_eq!(validate(category, name, &edge.to_string()), Ok(edge.to_string()), "{setting}");
            }
            assert!(validate(category, name, &(min - 1).to_string()).is_err(), "{setting}");
        }
    }
}

#[test]
fn set_01_every_number_has_limits_and_a_refusal_names_them() {
    for setting in all() {
        let Form::Int { min, max } = setting.form else { continue };
        assert!(min >= -1 || setting.name == "api.timeZone", "{}/{}", setting.category, setting.name);
        assert!(max < i64::MAX || setting.category == "quota", "{}/{}", setting.category, setting.name);
        for bad in ["-2000", "9223372036854775808", "many", ""] {
            let text = setting.accept(bad).unwrap_err().details;
            assert!(text.contains(&format!("from {min}")), "{text}");
            assert!(max == i64::MAX || text.contains(&format!("to {max}")), "{text}");
        }
    }
    let text = validate("primaryStorage", "reservedCapacity", "9000T").unwrap_err().details;
    assert!(text.contains("from 0 to 1 PiB"), "{text}");
}

#[test]
fn set_01_no_setting_takes_a_text_without_end() {
    let huge = "a".repeat(1 << 20);
    for setting in all() {
        assert!(setting.accept(&huge).is_err(), "{}/{}", setting.category, setting.name);
    }
}
