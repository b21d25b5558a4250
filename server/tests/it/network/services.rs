//! DHCP and metadata of flat networks on hosts (L3-02, FLAT-01, FLAT-03, VM-14, SG-03).

use base64::Engine as _;
use cairn_testkit::Cloud;
use cairn_types::code;
use serde_json::{Value, json};

use super::{eventually, flat, l3_of, uuid};

#[tokio::test]
async fn l3_02_services_of_a_flat_network() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, flat) = (&cloud.admin, flat(&cloud.admin).await);
    let types = api.ok("GetNetworkServiceTypes", json!({})).await["types"].clone();
    assert_eq!(types["DHCP"], json!([flat]));
    assert!(types["Userdata"].is_array() && types["SecurityGroup"].is_array());
    let net = l3_of(api, &world.l2, "10.8.0.0/24").await;
    let services = |list: Value| json!({ "l3NetworkUuid": net, "networkServices": { &flat: list } });
    let got = api.make("AttachNetworkServiceToL3Network", services(json!(["DHCP", "Userdata"]))).await;
    assert_eq!(got["networkServices"].as_array().unwrap().len(), 2);
    api.ok("AttachNetworkServiceToL3Network", services(json!(["DHCP"]))).await;
    let refs = api.list("QueryNetworkServiceL3NetworkRef", &[&format!("l3NetworkUuid={net}")]).await;
    assert_eq!(refs.len(), 2);
    for bad in [json!(["SNAT"]), json!(["nonsense"]), json!([])] {
        let refused = api.fails("AttachNetworkServiceToL3Network", services(bad)).await;
        assert_eq!(refused.code(), code::INVALID_ARGUMENT);
    }
    let stranger = json!({ "l3NetworkUuid": net, "networkServices": { &world.zone: ["DHCP"] } });
    assert_eq!(api.fails("AttachNetworkServiceToL3Network", stranger).await.code(), code::RESOURCE_NOT_FOUND);
    let got = api.make("DetachNetworkServiceFromL3Network", services(json!(["Userdata"]))).await;
    assert_eq!(got["networkServices"].as_array().unwrap().len(), 1);
    assert_eq!(got["networkServices"][0]["networkServiceType"], "DHCP");
    let provider = api.one("QueryNetworkServiceProvider", &flat).await;
    assert!(provider["attachedL2NetworkUuids"].as_array().unwrap().contains(&json!(world.l2)));
}

#[tokio::test]
async fn flat_01_each_host_serves_its_own_vms_from_one_address() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let of_net = json!({ "l3NetworkUuid": world.l3 });
    assert_eq!(api.fails("GetL3NetworkDhcpIpAddress", of_net.clone()).await.code(), code::OPERATION_ERROR);
    let on = |host: &str, name: &str| {
        let mut vm = world.vm(name);
        vm["hostUuid"] = json!(host);
        vm["systemTags"] = json!([format!("hostname::{name}")]);
        vm
    };
    let mut vms = Vec::new();
    for (n, host) in world.hosts.iter().enumerate() {
        vms.push(api.make("CreateVmInstance", on(host, &format!("web-{n}"))).await);
    }
    let server = api.ok("GetL3NetworkDhcpIpAddress", of_net).await["ip"].as_str().unwrap().to_owned();
    let tags = api.list("QuerySystemTag", &[&format!("resourceUuid={}", world.l3)]).await;
    assert!(
        tags[0]["tag"].as_str().unwrap().starts_with(&format!("flatNetwork::DhcpServer::{server}::ipUuid::"))
    );
    assert_eq!(tags[0]["inherent"], true);
    let free = api.ok("CheckIpAvailability", json!({ "l3NetworkUuid": world.l3, "ip": server })).await;
    assert_eq!(free["available"], false);
    for (host, vm) in world.hosts.iter().zip(&vms) {
        let served = cloud.machines.host(host).snapshot().l3_networks[&world.l3].clone();
        assert_eq!(served.service_address, format!("{server}/24"));
        assert!(served.dhcp && served.metadata && served.mtu == 1500);
        assert_eq!(served.leases.len(), 1, "only the VM of this host");
        let (lease, nic) = (&served.leases[0], &vm["vmNics"][0]);
        assert_eq!(
            (Some(lease.ip.as_str()), Some(lease.mac.as_str())),
            (nic["ip"].as_str(), nic["mac"].as_str())
        );
        assert_eq!((lease.gateway.as_deref(), lease.prefix, lease.is_default), (Some("10.7.0.1"), 24, true));
        assert_eq!(lease.hostname.as_deref(), vm["name"].as_str());
        assert!(lease.mac.starts_with("fa:"));
    }
    cloud.assert_sane("two VMs").await;
    api.ok("StopVmInstance", json!({ "uuid": vms[0]["uuid"], "type": "cold" })).await;
    let first = cloud.machines.host(&world.hosts[0]);
    eventually("no service without VMs", || first.leases(&world.l3).is_none()).await;
    cloud.assert_sane("one VM").await;
}

#[tokio::test]
async fn flat_01_a_vm_start_sends_one_command_for_bridges_and_one_for_services() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    world.create_vm(api, "first").await;
    cloud.assert_sane("the first VM").await;
    let host = cloud.machines.host(&world.hosts[0]);
    // From now on every command to make a bridge would fail.
    let broken = cairn_types::Fault::new(code::AGENT_NETWORK, "asked again");
    host.fail("network.applyBridge", 0, broken);
    world.create_vm(api, "second").await;
    cloud.assert_sane("the second VM").await;
    host.clear();
    assert_eq!(host.leases(&world.l3).unwrap().len(), 2);
}

#[tokio::test]
async fn flat_01_a_vm_whose_deletion_failed_over_its_volume_leaves_no_lease() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let vm = uuid(&world.create_vm(api, "vm").await);
    let host = cloud.machines.host(&world.hosts[0]);
    assert_eq!(host.leases(&world.l3).unwrap().len(), 1);
    api.ok("UpdateGlobalConfig", json!({ "category": "vm", "name": "deletionPolicy", "value": "Direct" }))
        .await;
    host.fail("volume.delete", 1, cairn_types::Fault::new(code::AGENT_STORAGE, "the disk does not answer"));
    assert_eq!(api.fails("DestroyVmInstance", json!({ "uuid": vm })).await.code(), code::VM_DESTROY);
    assert_eq!(api.list("QueryVmInstance", &[&format!("uuid={vm}")]).await[0]["state"], "Destroyed");
    eventually("no lease", || host.leases(&world.l3).is_none()).await;
    api.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
    cloud.assert_sane("a deletion that failed").await;
}

#[tokio::test]
async fn flat_01_services_that_come_and_go_while_vms_run() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, flat) = (&cloud.admin, flat(&cloud.admin).await);
    world.create_vm(api, "vm").await;
    let host = cloud.machines.host(&world.hosts[0]);
    let services = |list: Value| json!({ "l3NetworkUuid": world.l3, "networkServices": { &flat: list } });
    api.ok("DetachNetworkServiceFromL3Network", services(json!(["Userdata"]))).await;
    eventually("DHCP without metadata", || {
        host.snapshot().l3_networks.get(&world.l3).is_some_and(|n| n.dhcp && !n.metadata)
    })
    .await;
    api.ok("DetachNetworkServiceFromL3Network", services(json!(["DHCP"]))).await;
    eventually("no services", || host.leases(&world.l3).is_none()).await;
    let of_net = json!({ "l3NetworkUuid": world.l3 });
    assert!(
        api.call("GetL3NetworkDhcpIpAddress", of_net.clone()).await.is_err(),
        "its address is given back"
    );
    api.ok("AttachNetworkServiceToL3Network", services(json!(["DHCP"]))).await;
    eventually("DHCP again", || host.leases(&world.l3).is_some_and(|l| l.len() == 1)).await;
    api.ok("GetL3NetworkDhcpIpAddress", of_net).await;
    cloud.assert_sane("services changed").await;
}

#[tokio::test]
async fn flat_01_a_host_that_comes_back_serves_again() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let vm = uuid(&world.create_vm(api, "vm").await);
    let host = cloud.machines.host(&world.hosts[0]);
    host.restart_agent();
    cloud.assert_sane("the agent is back").await;
    assert_eq!(host.leases(&world.l3).unwrap().len(), 1);
    // It loses power: bridges and services are gone with it, and come back with it.
    host.crash();
    eventually("the host notices", || host.vms().values().all(|v| !v.is_on())).await;
    cloud.assert_sane("the host is back").await;
    eventually("the bridge", || host.bridges().contains_key(&world.l2)).await;
    eventually("the VM is off", || host.leases(&world.l3).is_none()).await;
    api.ok("StartVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(host.leases(&world.l3).unwrap().len(), 1);
    cloud.assert_sane("it runs again").await;
}

#[tokio::test]
async fn flat_01_a_guest_that_goes_off_by_itself_loses_its_lease() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let vm = uuid(&world.create_vm(&cloud.admin, "vm").await);
    let host = cloud.machines.host(&world.hosts[0]);
    host.power_off(&vm);
    eventually("the lease goes", || host.leases(&world.l3).is_none()).await;
    cloud.assert_sane("off").await;
}

#[tokio::test]
async fn vm_14_flat_03_metadata_and_config_drive_say_the_same() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let script = "#cloud-config\nruncmd: [[touch, /tmp/\"x\"]]\n";
    let mut vm = world.vm("vm");
    vm["systemTags"] = json!([
        format!("userdata::{}", base64::engine::general_purpose::STANDARD.encode(script)),
        "sshkey::ssh-ed25519 AAAA me@home",
        "hostname::web-1",
    ]);
    let vm = uuid(&api.make("CreateVmInstance", vm).await);
    let host = cloud.machines.host(&world.hosts[0]);
    let drive = host.vms()[&vm].spec.config_drive.clone().unwrap();
    assert_eq!((drive.hostname.as_str(), drive.user_data.as_str()), ("web-1", script));
    assert_eq!(drive.ssh_keys, ["ssh-ed25519 AAAA me@home"]);
    assert_eq!(host.leases(&world.l3).unwrap()[0].metadata, drive);
    // A new key and name reach the metadata service while the VM runs.
    let key = "ssh-ed25519 BBBB you@home";
    api.ok("SetVmSshKey", json!({ "uuid": vm, "SshKey": key })).await;
    api.ok("SetVmHostname", json!({ "uuid": vm, "hostname": "web-2" })).await;
    eventually("new metadata", || {
        let leases = host.leases(&world.l3).unwrap();
        leases[0].metadata.ssh_keys == [key] && leases[0].hostname.as_deref() == Some("web-2")
    })
    .await;
    // A VM without a name is named after its address.
    let bare = world.create_vm(api, "bare").await;
    let drive = host.vms()[bare["uuid"].as_str().unwrap()].spec.config_drive.clone().unwrap();
    assert_eq!(drive.hostname, bare["vmNics"][0]["ip"].as_str().unwrap().replace('.', "-"));
    cloud.assert_sane("metadata").await;
}

#[tokio::test]
async fn sg_03_anti_spoofing_follows_the_switch() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let host = cloud.machines.host(&world.hosts[0]);
    let nic = |vm: &Value| host.vms()[vm["uuid"].as_str().unwrap()].spec.nics[0].clone();
    let open = world.create_vm(api, "open").await;
    assert!(!nic(&open).anti_spoofing);
    let on = json!({ "category": "vm", "name": "cleanTraffic", "value": "true" });
    api.ok("UpdateGlobalConfig", on).await;
    let guarded = world.create_vm(api, "guarded").await;
    let spec = nic(&guarded);
    assert!(spec.anti_spoofing);
    assert_eq!(spec.addresses, [guarded["vmNics"][0]["ip"].as_str().unwrap()]);
    assert_eq!((spec.bridge.as_str(), spec.mtu), ("br_eth0", 1500));
    assert!(spec.tap.starts_with("vn") && spec.tap.len() <= 15, "{}", spec.tap);
}

#[tokio::test]
async fn flat_01_several_nics_and_one_default_route() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, flat) = (&cloud.admin, flat(&cloud.admin).await);
    let second = l3_of(api, &world.l2, "10.8.0.0/24").await;
    let dhcp = json!({ "l3NetworkUuid": second, "networkServices": { &flat: ["DHCP"] } });
    api.ok("AttachNetworkServiceToL3Network", dhcp).await;
    let mut vm = world.vm("two");
    vm["l3NetworkUuids"] = json!([world.l3, second]);
    vm["defaultL3NetworkUuid"] = json!(second);
    let vm = api.make("CreateVmInstance", vm).await;
    let devices: Vec<_> =
        vm["vmNics"].as_array().unwrap().iter().map(|n| n["deviceId"].as_i64().unwrap()).collect();
    assert_eq!(devices, [0, 1]);
    let host = cloud.machines.host(&world.hosts[0]);
    let of = |net: &str| host.leases(net).unwrap().remove(0);
    assert!(!of(&world.l3).is_default && of(&second).is_default);
    let spec = host.vms()[vm["uuid"].as_str().unwrap()].spec.clone();
    assert_eq!(spec.nics.len(), 2);
    assert_ne!(spec.nics[0].mac, spec.nics[1].mac);
    cloud.assert_sane("two NICs").await;
}

#[tokio::test]
async fn sg_03_clean_traffic_holds_for_running_guests_at_once_and_both_ways() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let are = |strict: bool| {
        let machines: Vec<_> = world.hosts.iter().map(|h| cloud.machines.host(h)).collect();
        async move {
            for _ in 0..500 {
                if machines.iter().all(|m| m.is_strict() == Some(strict)) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            panic!("not every host guards its guests as the setting says ({strict})");
        }
    };
    let set = |value: &'static str| json!({ "category": "vm", "name": "cleanTraffic", "value": value });
    are(false).await;
    api.ok("UpdateGlobalConfig", set("true")).await;
    are(true).await;
    api.ok("UpdateGlobalConfig", set("false")).await;
    are(false).await;
    // A host that is away hears of it when it comes back.
    let away = cloud.machines.host(&world.hosts[0]);
    away.disconnect();
    while cloud.app().agents.is_connected(&world.hosts[0]) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    api.ok("UpdateGlobalConfig", set("true")).await;
    away.reconnect();
    are(true).await;
    api.ok("ResetGlobalConfig", json!({ "category": "vm", "name": "cleanTraffic" })).await;
    are(false).await;
}
