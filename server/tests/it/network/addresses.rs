//! Addresses: taking, listing, counting (L3-05).

use std::collections::BTreeSet;

use cairn_testkit::Cloud;
use cairn_types::code;
use serde_json::{Value, json};

use super::{l3, l3_of, uuid};

fn ips(free: &Value) -> Vec<&str> {
    free["inventories"].as_array().unwrap().iter().map(|f| f["ip"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn l3_05_free_addresses_capacity_and_availability() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let net = l3_of(api, &world.l2, "10.8.0.0/29").await;
    let of_net = json!({ "l3NetworkUuid": net });
    let capacity = |uuid: &str| json!({ "l3NetworkUuids": [uuid] });
    let free = api.ok("GetFreeIpOfL3Network", of_net.clone()).await;
    assert_eq!(ips(&free), ["10.8.0.2", "10.8.0.3", "10.8.0.4", "10.8.0.5", "10.8.0.6"]);
    assert_eq!(
        (&free["inventories"][0]["gateway"], &free["inventories"][0]["netmask"]),
        (&json!("10.8.0.1"), &json!("255.255.255.248"))
    );
    let got = api.ok("GetIpAddressCapacity", capacity(&net)).await;
    assert_eq!((got["totalCapacity"].as_i64(), got["availableCapacity"].as_i64()), (Some(5), Some(5)));

    let mut vm = world.vm("static");
    vm["l3NetworkUuids"] = json!([net]);
    vm["systemTags"] = json!([format!("staticIp::{net}::10.8.0.4")]);
    let vm = api.make("CreateVmInstance", vm).await;
    assert_eq!(vm["vmNics"][0]["ip"], "10.8.0.4");
    let from = json!({ "l3NetworkUuid": net, "start": "10.8.0.4", "limit": 1 });
    assert_eq!(ips(&api.ok("GetFreeIpOfL3Network", from).await), ["10.8.0.5"]);
    let got = api.ok("GetIpAddressCapacity", capacity(&net)).await;
    assert_eq!((got["totalCapacity"].as_i64(), got["availableCapacity"].as_i64()), (Some(5), Some(4)));
    for (ip, is_free) in [
        ("10.8.0.4", false),
        ("10.8.0.5", true),
        ("10.8.0.1", false),
        ("10.8.0.0", false),
        ("10.9.0.5", false),
    ] {
        let got = api.ok("CheckIpAvailability", json!({ "l3NetworkUuid": net, "ip": ip })).await;
        assert_eq!(got["available"], is_free, "{ip}");
    }
    let bad = json!({ "l3NetworkUuid": net, "ip": "nonsense" });
    assert_eq!(api.fails("CheckIpAvailability", bad).await.code(), code::INVALID_ARGUMENT);

    let range = uuid(&api.list("QueryIpRange", &[&format!("l3NetworkUuid={net}")]).await[0]);
    assert_eq!(ips(&api.ok("GetFreeIpOfIpRange", json!({ "ipRangeUuid": range })).await).len(), 4);
    let of_range = api.ok("GetIpAddressCapacity", json!({ "ipRangeUuids": [range] })).await;
    let of_zone = api.ok("GetIpAddressCapacity", json!({ "zoneUuids": [world.zone] })).await;
    let of_all = api.ok("GetIpAddressCapacity", json!({ "all": true })).await;
    assert_eq!(
        (of_range["totalCapacity"].as_i64(), of_zone["totalCapacity"].as_i64()),
        (Some(5), Some(5 + 241))
    );
    assert_eq!(of_all, of_zone);
    assert_eq!(api.fails("GetIpAddressCapacity", json!({})).await.code(), code::INVALID_ARGUMENT);

    api.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
    assert_eq!(
        ips(&api.ok("GetFreeIpOfL3Network", of_net).await).len(),
        5,
        "destroying gives the address back"
    );
    cloud.assert_sane("an address given back").await;
}

#[tokio::test]
async fn l3_05_a_full_network_says_how_full_it_is() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let net = l3_of(api, &world.l2, "10.8.0.0/30").await;
    let vm = |name: &str| {
        let mut vm = world.vm(name);
        vm["l3NetworkUuids"] = json!([net]);
        vm
    };
    let first = api.make("CreateVmInstance", vm("first")).await;
    assert_eq!(first["vmNics"][0]["ip"], "10.8.0.2");
    let before = cloud.tables().await;
    let refused = api.fails("CreateVmInstance", vm("second")).await;
    assert!(refused.has_code(code::L3_ALLOCATE_IP), "{refused}");
    assert!(refused.to_string().contains("10.8.0.2 to 10.8.0.2: 1 of 1 in use"), "{refused}");
    cloud.assert_nothing_left(&before).await;
    api.ok("DestroyVmInstance", json!({ "uuid": first["uuid"] })).await;
    let second = api.make("CreateVmInstance", vm("second")).await;
    assert_eq!(second["vmNics"][0]["ip"], "10.8.0.2");
    // The first one's address is taken now; there is none left for it.
    let refused = api.fails("RecoverVmInstance", json!({ "uuid": first["uuid"] })).await;
    assert!(refused.has_code(code::L3_ALLOCATE_IP), "{refused}");
    cloud.assert_sane("full").await;
}

#[tokio::test]
async fn l3_05_concurrent_vms_never_share_an_address() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let net = l3_of(&cloud.admin, &world.l2, "10.8.0.0/28").await;
    let create = |n: usize| {
        let (api, mut vm) = (cloud.admin.clone(), world.vm(&format!("vm-{n}")));
        vm["l3NetworkUuids"] = json!([net]);
        vm["strategy"] = json!("CreateStopped");
        async move { api.call("CreateVmInstance", vm).await }
    };
    let all: Vec<_> = (0..20).map(|n| tokio::spawn(create(n))).collect();
    let (mut taken, mut refused) = (BTreeSet::new(), 0);
    for one in all {
        match one.await.unwrap() {
            Ok(answer) => {
                let ip = answer["inventory"]["vmNics"][0]["ip"].as_str().unwrap().to_owned();
                assert!(taken.insert(ip.clone()), "{ip} twice");
            }
            Err(f) => {
                assert!(f.has_code(code::L3_ALLOCATE_IP), "{f}");
                refused += 1;
            }
        }
    }
    assert_eq!((taken.len(), refused), (13, 7));
    assert!(!taken.contains("10.8.0.0") && !taken.contains("10.8.0.1") && !taken.contains("10.8.0.15"));
    cloud.assert_sane("13 VMs").await;
}

#[tokio::test]
async fn vm_21_recovery_prefers_the_static_address_and_takes_another_if_it_is_gone() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let with_ip = |name: &str, ip: &str| {
        let mut vm = world.vm(name);
        vm["systemTags"] = json!([format!("staticIp::{}::{ip}", world.l3)]);
        vm
    };
    let ip_of = |vm: &Value| vm["vmNics"][0]["ip"].as_str().unwrap().to_owned();
    let a = uuid(&api.make("CreateVmInstance", with_ip("a", "10.7.0.77")).await);
    api.ok("DestroyVmInstance", json!({ "uuid": a })).await;
    let back = api.make("RecoverVmInstance", json!({ "uuid": a })).await;
    assert_eq!(ip_of(&back), "10.7.0.77");
    api.ok("DestroyVmInstance", json!({ "uuid": a })).await;
    let b = api.make("CreateVmInstance", with_ip("b", "10.7.0.77")).await;
    assert_eq!(ip_of(&b), "10.7.0.77");
    let back = api.make("RecoverVmInstance", json!({ "uuid": a })).await;
    assert_ne!(ip_of(&back), "10.7.0.77");
    let taken = api.fails("CreateVmInstance", with_ip("c", "10.7.0.77")).await;
    assert!(taken.has_code(code::L3_ALLOCATE_IP) && taken.to_string().contains("in use"), "{taken}");
    cloud.assert_sane("recovered").await;
}

#[tokio::test]
async fn l3_05_static_addresses_of_stopped_vms() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let other = uuid(&world.create_vm(api, "other").await);
    let other_ip = api.one("QueryVmInstance", &other).await["vmNics"][0]["ip"].clone();
    let vm = uuid(&world.create_vm(api, "vm").await);
    let set = |ip: &Value| json!({ "vmInstanceUuid": vm, "l3NetworkUuid": world.l3, "ip": ip });
    let free = api.ok("GetFreeIpOfL3Network", json!({ "l3NetworkUuid": world.l3, "limit": 1 })).await;
    let free = ips(&free)[0].to_owned();
    assert!(api.call("SetVmStaticIp", set(&json!(free))).await.is_err(), "it runs");
    api.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    let before = api.one("QueryVmInstance", &vm).await;
    assert_eq!(api.fails("SetVmStaticIp", set(&other_ip)).await.code(), code::L3_ALLOCATE_IP);
    assert_eq!(api.one("QueryVmInstance", &vm).await["vmNics"][0]["ip"], before["vmNics"][0]["ip"]);
    api.ok("SetVmStaticIp", set(&json!(free))).await;
    assert_eq!(api.one("QueryVmInstance", &vm).await["vmNics"][0]["ip"], json!(free));
    api.ok("StartVmInstance", json!({ "uuid": vm })).await;
    let leases = cloud.machines.host(&world.hosts[0]).leases(&world.l3).unwrap();
    assert!(leases.iter().any(|l| l.vm == vm && l.ip == free));
    cloud.assert_sane("static address").await;
}

#[tokio::test]
async fn l3_05_a_network_without_ranges_has_no_addresses_to_give() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let net = l3(&cloud.admin, &world.l2).await;
    let of_net = json!({ "l3NetworkUuid": net });
    assert_eq!(ips(&cloud.admin.ok("GetFreeIpOfL3Network", of_net).await), Vec::<&str>::new());
    let got = cloud.admin.ok("GetIpAddressCapacity", json!({ "l3NetworkUuids": [net] })).await;
    assert_eq!((got["totalCapacity"].as_i64(), got["availableCapacity"].as_i64()), (Some(0), Some(0)));
    let mut vm = world.vm("x");
    vm["l3NetworkUuids"] = json!([net]);
    vm["systemTags"] = json!([format!("staticIp::{net}::10.8.0.4")]);
    assert!(cloud.admin.fails("CreateVmInstance", vm).await.has_code(code::L3_ALLOCATE_IP));
}
