//! What a simulated host does with commands.

use cairn_api::agent::host::ReadHostFacts;
use cairn_api::agent::network::{RemoveBridge, RemoveL3};
use cairn_api::agent::storage::{DeleteVolume, ListStorage, ReadVolume, UncacheImage};
use cairn_api::agent::vm::{ListVms, PauseVm, PowerState, ReadConsole, RebootVm, RemoveVm, ResumeVm, StopVm};
use cairn_types::code;

use super::*;
use crate::HostShape;

async fn one_host() -> (SimCloud, Server, Listener) {
    let cloud = SimCloud::new(1);
    let agent =
        cloud.agent().shape(HostShape { disk_bytes: GIB, ..HostShape::default() }).host(H1).host(H2).build();
    let mut listener = start(&agent);
    let mut server = listener.accept().await;
    server.prepare(H1).await;
    (cloud, server, listener)
}

fn off(event: (String, AgentEvent)) -> bool {
    matches!(event.1, AgentEvent::Vm { state: PowerState::Off, .. })
}

#[tokio::test(start_paused = true)]
async fn facts_name_the_host_its_address_and_its_vms() {
    let (_cloud, mut server, _l) = one_host().await;
    server.boot(H1, "vm1", 1).await.unwrap();
    let facts = server.call(H1, ReadHostFacts {}).await.unwrap();
    assert_eq!((facts.cpu_num, facts.accelerator.as_str()), (64, "kvm"));
    assert_eq!(facts.vms[0].state, PowerState::Running);
    let other = server.call(H2, ReadHostFacts {}).await.unwrap();
    assert_ne!(facts.addresses, other.addresses);
    assert_eq!(other.vms, []);
}

#[tokio::test(start_paused = true)]
async fn a_vm_lives_from_start_to_removal_and_every_change_is_told() {
    let (cloud, mut server, _l) = one_host().await;
    let started = server.boot(H1, "vm1", 1).await.unwrap();
    assert_eq!((started.state, started.vnc_port), (PowerState::Running, 5900));
    assert_eq!(server.boot(H1, "vm2", 2).await.unwrap().vnc_port, 5901);
    assert_eq!(server.boot(H1, "vm1", 1).await.unwrap(), started, "a running VM is left alone");
    assert_eq!(cloud.host(H1).vms()["vm1"].starts, 1);
    assert_eq!(server.call(H1, ReadConsole { vm: "vm2".into() }).await.unwrap().port, 5901);

    server.call(H1, PauseVm { vm: "vm1".into() }).await.unwrap();
    server.call(H1, ResumeVm { vm: "vm1".into() }).await.unwrap();
    assert!(!server.call(H1, StopVm { vm: "vm1".into(), grace_ms: 1000 }).await.unwrap().forced);
    assert!(
        !server.call(H1, StopVm { vm: "vm1".into(), grace_ms: 0 }).await.unwrap().forced,
        "it was off already"
    );
    assert!(server.call(H1, PauseVm { vm: "vm1".into() }).await.is_err());
    server.call(H1, RebootVm { spec: spec("vm1", 1), grace_ms: 10 }).await.unwrap();
    assert_eq!(cloud.host(H1).vms()["vm1"].starts, 2);
    for _ in 0..2 {
        server.call(H1, RemoveVm { vm: "vm1".into() }).await.unwrap();
    }
    let vms = server.call(H1, ListVms {}).await.unwrap();
    assert_eq!(vms.iter().map(|v| v.vm.as_str()).collect::<Vec<_>>(), ["vm2"]);
    let states: Vec<PowerState> = server
        .events
        .iter()
        .filter_map(|(_, e)| match e {
            AgentEvent::Vm { vm, state, .. } if vm == "vm1" => Some(*state),
            _ => None,
        })
        .collect();
    use PowerState::*;
    assert_eq!(states, [Running, Paused, Running, Off, Running, Off]);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_guest_is_powered_off_after_its_grace() {
    let (cloud, mut server, _l) = one_host().await;
    server.boot(H1, "vm1", 1).await.unwrap();
    cloud.host(H1).make_stubborn("vm1", true);
    let begun = tokio::time::Instant::now();
    assert!(server.call(H1, StopVm { vm: "vm1".into(), grace_ms: 30_000 }).await.unwrap().forced);
    assert!(begun.elapsed() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_start_needs_its_disks_and_bridge_and_no_other_holder() {
    let (_cloud, mut server, _l) = one_host().await;
    let missing = server.call(H1, StartVm { spec: spec("vm1", 1) }).await.unwrap_err();
    assert_eq!(missing.code, code::AGENT_HYPERVISOR);
    server.boot(H1, "vm1", 1).await.unwrap();

    let mut thief = spec("vm2", 2);
    thief.disks = spec("vm1", 1).disks;
    let held = server.call(H1, StartVm { spec: thief }).await.unwrap_err();
    assert!(held.code == code::AGENT_HYPERVISOR && held.details.contains("held open by VM vm1"), "{held}");

    let mut twin = spec("vm3", 1);
    twin.disks.clear();
    assert_eq!(server.call(H1, StartVm { spec: twin.clone() }).await.unwrap_err().code, code::AGENT_NETWORK);
    twin.nics[0].bridge = "nowhere".into();
    assert_eq!(server.call(H1, StartVm { spec: twin }).await.unwrap_err().code, code::AGENT_NETWORK);

    // The same VM on a second host: its disk is open on the first.
    server.prepare(H2).await;
    let twice = server.boot(H2, "vm1", 1).await.unwrap_err();
    assert!(twice.details.contains(H1), "{twice}");
    server.call(H1, StopVm { vm: "vm1".into(), grace_ms: 0 }).await.unwrap();
    server.boot(H2, "vm1", 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn volumes_need_their_image_and_room_and_are_made_once() {
    let (cloud, mut server, _l) = one_host().await;
    let made = server.call(H1, volume("v1", GIB)).await.unwrap();
    assert_eq!(
        server.call(H1, volume("v1", 2 * GIB)).await.unwrap(),
        made,
        "one that is there is left alone"
    );
    let mut orphan = volume("v2", GIB);
    orphan.image = Some("unknown".into());
    assert_eq!(server.call(H1, orphan).await.unwrap_err().code, code::AGENT_STORAGE);
    let uncache = UncacheImage { storage_path: "/ps".into(), image: "img".into() };
    assert_eq!(server.call(H1, uncache.clone()).await.unwrap_err().code, code::IN_USE);
    // Another host has not connected the storage at all.
    assert_eq!(server.call(H2, volume("v1", GIB)).await.unwrap_err().code, code::AGENT_STORAGE);

    let host = cloud.host(H1);
    host.fill_disk(host.capacity().unwrap().available_bytes - 1000);
    assert_eq!(server.call(H1, volume("v3", GIB)).await.unwrap_err().code, code::AGENT_NO_SPACE);
    assert_eq!(server.call(H1, cache("img2")).await.unwrap_err().code, code::AGENT_NO_SPACE);
    host.fill_disk(0);
    host.grow_volume("v1", 500 * MIB);
    assert_eq!(host.capacity().unwrap().available_bytes, GIB - 600 * MIB);

    let root = "Root".to_owned();
    let read = ReadVolume { storage_path: "/ps".into(), volume: "v1".into(), r#type: root.clone() };
    assert_eq!(server.call(H1, read).await.unwrap().actual_bytes, 500 * MIB);
    let delete = DeleteVolume { storage_path: "/ps".into(), volume: "v1".into(), r#type: root };
    for _ in 0..2 {
        server.call(H1, delete.clone()).await.unwrap();
    }
    server.call(H1, uncache).await.unwrap();
    let list = server.call(H1, ListStorage { storage_path: "/ps".into() }).await.unwrap();
    assert_eq!(list, cairn_api::agent::storage::StorageContent::default());
}

#[tokio::test(start_paused = true)]
async fn the_volume_of_a_running_vm_stays() {
    let (_cloud, mut server, _l) = one_host().await;
    server.boot(H1, "vm1", 1).await.unwrap();
    let delete =
        DeleteVolume { storage_path: "/ps".into(), volume: "vm1-root".into(), r#type: "Root".into() };
    assert_eq!(server.call(H1, delete.clone()).await.unwrap_err().code, code::AGENT_STORAGE);
    server.call(H1, StopVm { vm: "vm1".into(), grace_ms: 0 }).await.unwrap();
    server.call(H1, delete).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_volume_in_a_shared_folder_is_there_on_every_host_that_has_the_folder() {
    let (cloud, mut server, _l) = one_host().await;
    for host in [H1, H2] {
        server.call(host, ConnectLocalStorage { path: "/shared".into(), shared: true }).await.unwrap();
        server.call(host, CacheImage { storage_path: "/shared".into(), ..cache("img") }).await.unwrap();
        server.call(host, bridge("br0", "eth1")).await.unwrap();
    }
    let create = CreateVolume { storage_path: "/shared".into(), ..volume("vm1-root", GIB) };
    let made = server.call(H1, create).await.unwrap();
    let read =
        ReadVolume { storage_path: "/shared".into(), volume: "vm1-root".into(), r#type: "Root".into() };
    assert_eq!(server.call(H2, read.clone()).await.unwrap(), made);
    let list = || ListStorage { storage_path: "/shared".into() };
    assert_eq!(server.call(H2, list()).await.unwrap().volumes, ["vm1-root"]);

    let mut spec = spec("vm1", 1);
    spec.disks[0].path = made.path;
    server.call(H1, StartVm { spec: spec.clone() }).await.unwrap();
    let twice = server.call(H2, StartVm { spec: spec.clone() }).await.unwrap_err();
    assert_eq!(twice.code, code::AGENT_HYPERVISOR, "the file is held open on the other host: {twice}");
    server.call(H1, StopVm { vm: "vm1".into(), grace_ms: 0 }).await.unwrap();
    server.call(H2, StartVm { spec }).await.unwrap();
    assert_eq!(cloud.snapshot().violations(), Vec::<String>::new());
    // Nobody takes the image away below the volume.
    let uncache = UncacheImage { storage_path: "/shared".into(), image: "img".into() };
    assert_eq!(server.call(H1, uncache.clone()).await.unwrap_err().code, code::IN_USE);

    server.call(H2, StopVm { vm: "vm1".into(), grace_ms: 0 }).await.unwrap();
    let delete =
        DeleteVolume { storage_path: "/shared".into(), volume: "vm1-root".into(), r#type: "Root".into() };
    server.call(H1, delete).await.unwrap();
    assert_eq!(server.call(H2, read).await.unwrap_err().code, code::AGENT_STORAGE);
    server.call(H1, uncache).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_folder_of_the_same_name_that_is_not_shared_is_each_hosts_own() {
    let (cloud, mut server, _l) = one_host().await;
    server.prepare(H2).await;
    server.call(H1, volume("v1", GIB)).await.unwrap();
    assert!(cloud.host(H1).volumes().contains_key("v1"));
    assert!(cloud.host(H2).volumes().is_empty());
    let list = server.call(H2, ListStorage { storage_path: "/ps".into() }).await.unwrap();
    assert_eq!(list.volumes, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn networks_are_applied_whole_and_their_hash_tells_what_holds() {
    let (cloud, mut server, _l) = one_host().await;
    assert_eq!(server.call(H1, bridge("br9", "eth7")).await.unwrap_err().code, code::AGENT_NETWORK);
    assert_eq!(server.call(H1, bridge("br9", "eth1")).await.unwrap_err().code, code::AGENT_NETWORK);
    assert_eq!(
        server.call(H1, bridge("bridge-too-long-", "eth0")).await.unwrap_err().code,
        code::AGENT_NETWORK
    );

    let first = server.call(H1, l3(vec![lease("vm1", 1)])).await.unwrap();
    assert_eq!(server.call(H1, l3(vec![lease("vm1", 1)])).await.unwrap(), first);
    let second = server.call(H1, l3(vec![lease("vm1", 1), lease("vm2", 2)])).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(cloud.host(H1).leases("l3").unwrap().len(), 2);
    let twice = server.call(H1, l3(vec![lease("vm1", 1), lease("vm2", 1)])).await.unwrap_err();
    assert_eq!(twice.code, code::AGENT_NETWORK);

    server.boot(H1, "vm1", 1).await.unwrap();
    let remove = RemoveBridge { l2_network: "l2-br0".into(), bridge: "br0".into() };
    assert_eq!(server.call(H1, remove.clone()).await.unwrap_err().code, code::AGENT_NETWORK);
    server.call(H1, RemoveVm { vm: "vm1".into() }).await.unwrap();
    for _ in 0..2 {
        server.call(H1, RemoveL3 { l3_network: "l3".into() }).await.unwrap();
        server.call(H1, remove.clone()).await.unwrap();
    }
    assert_eq!(cloud.host(H1).leases("l3"), None);
    let left = cloud.snapshot().leftovers();
    assert_eq!(
        left,
        [format!("host {H1}: volume vm1-root"), format!("host {H1}: cached image /ps/imageCache/img")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_goes_off_by_itself_is_told() {
    let (cloud, mut server, _l) = one_host().await;
    server.boot(H1, "vm1", 1).await.unwrap();
    server.event().await;
    cloud.host(H1).power_off("vm1");
    assert!(off(server.event().await));
    assert_eq!(cloud.host(H1).vm_state("vm1"), PowerState::Off);
    assert_eq!(cloud.snapshot().violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_shows_what_must_never_be() {
    let (cloud, mut server, _l) = one_host().await;
    server.boot(H1, "vm1", 1).await.unwrap();
    server.prepare(H2).await;
    server.boot(H2, "vm2", 1).await.unwrap();
    let violations = cloud.snapshot().violations();
    assert!(violations.iter().any(|v| v.starts_with("address 10.0.0.1 in l3 is held by")), "{violations:?}");
    assert!(violations.iter().any(|v| v.starts_with("MAC fa:00:00:00:00:01")), "{violations:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_scrapped_takes_everything_along() {
    let (cloud, mut server, _l) = one_host().await;
    server.boot(H1, "vm1", 1).await.unwrap();
    cloud.remove(H1);
    assert_eq!(cloud.snapshot().leftovers(), Vec::<String>::new());
    assert_eq!(server.call(H1, ListVms {}).await.unwrap_err().code, code::AGENT_WRONG_TARGET);
    server.prepare(H2).await;
    server.boot(H2, "vm1", 1).await.unwrap();
}
