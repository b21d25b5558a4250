//! Storage, images and networks of a host, without guests.

use std::time::Duration;

use cairn_api::agent::image_store::{ConnectImageStore, FetchImage, ListImages};
use cairn_api::agent::network::{ApplyL3, RemoveBridge, RemoveL3};
use cairn_api::agent::storage::{CacheImage, ConnectLocalStorage, CreateVolume, ListStorage};
use cairn_api::agent::vm::ListVms;
use cairn_api::agent::{AgentOp, ServerFrame};
use cairn_types::{new_uuid, random_uuid};

use crate::guest::{BRIDGE, OUTSIDE, SERVICE, UPLINK, bridge, make_uplink, open_policy};
use crate::server::{Lab, attempt, run};

fn network(l3: &str) -> ApplyL3 {
    ApplyL3 {
        l3_network: l3.to_owned(),
        bridge: BRIDGE.into(),
        service_address: format!("{SERVICE}/24"),
        dhcp: true,
        metadata: true,
        gateway: None,
        dns: vec![],
        domain: None,
        mtu: 1500,
        leases: vec![],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_01_bridges_are_made_once_and_wrong_uplinks_are_refused_by_name() {
    make_uplink();
    let lab = Lab::start().await;
    let l2 = new_uuid();
    let first = lab.host(bridge(&l2)).await.unwrap();
    assert_eq!(lab.host(bridge(&l2)).await.unwrap(), first);
    assert!(run("ip", &["link", "show", "master", BRIDGE]).contains(UPLINK));

    let mut missing = bridge(&new_uuid());
    missing.uplink = "eth9".into();
    missing.bridge = "br_eth9".into();
    let fault = lab.host(missing).await.unwrap_err();
    assert_eq!(fault.code, "AGENT.8004");
    assert!(fault.details.contains("eth9") && fault.details.contains(UPLINK), "{fault}");

    // The way by which the host itself is reached stays as it is.
    run("ip", &["link", "add", "mgmt0", "type", "veth", "peer", "name", "mgmt0p"]);
    run("ip", &["link", "set", "mgmt0", "up"]);
    run("ip", &["link", "set", "mgmt0p", "up"]);
    run("ip", &["address", "add", "10.78.0.1/24", "dev", "mgmt0"]);
    let mut own = bridge(&new_uuid());
    own.uplink = "mgmt0".into();
    own.bridge = "br_mgmt0".into();
    for reason in ["addresses", "default route"] {
        let fault = lab.host(own.clone()).await.unwrap_err();
        assert!(fault.code == "AGENT.8004" && fault.details.contains(reason), "{fault}");
        assert!(!std::path::Path::new("/sys/class/net/br_mgmt0").exists());
        run("ip", &["route", "replace", "default", "via", "10.78.0.2"]);
    }
    run("ip", &["link", "delete", "mgmt0"]);
    // Another network cannot take the uplink away.
    let mut second = bridge(&new_uuid());
    second.bridge = "br_second".into();
    assert_eq!(lab.host(second).await.unwrap_err().code, "AGENT.8004");

    // A service that the agent did not finish is removed by name.
    let l3 = new_uuid();
    lab.host(network(&l3)).await.unwrap();
    lab.host(network(&l3)).await.unwrap();
    // Every MTU that a network can have: guests are told it, and the devices stay large enough for DHCP and without addresses
    // of their own.
    let veth = format!("cv{}", &l3[l3.len() - 10..]);
    let told = format!("/run/cairn/l3/{l3}/options");
    for mtu in [1279, 576, 68, 9216, 1500] {
        lab.host(ApplyL3 { mtu, ..network(&l3) }).await.unwrap_or_else(|f| panic!("MTU {mtu}: {f}"));
        let size = std::fs::read_to_string(format!("/sys/class/net/{veth}/mtu")).unwrap();
        assert_eq!(size.trim().parse(), Ok(mtu.max(1280)), "MTU {mtu}");
        assert!(!run("ip", &["-6", "address", "show", "dev", &veth]).contains("inet6"), "MTU {mtu}");
        let options = std::fs::read_to_string(&told).unwrap_or_else(|e| panic!("{told}: {e}"));
        assert!(options.contains(&format!("option:mtu,{mtu}")), "{options}");
    }
    let wrong = lab.host(ApplyL3 { mtu: 67, ..network(&l3) }).await.unwrap_err();
    assert!(wrong.details.contains("68 to 65535"), "{wrong}");
    lab.host(RemoveL3 { l3_network: l3 }).await.unwrap();
    lab.host(RemoveL3 { l3_network: new_uuid() }).await.unwrap();
    lab.host(RemoveBridge { l2_network: l2, bridge: BRIDGE.into() }).await.unwrap();
    assert!(attempt("ip", &["link", "show", OUTSIDE]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ps_01_a_full_disk_is_told_and_leaves_nothing() {
    let lab = Lab::start().await;
    let small = lab.path("small");
    std::fs::create_dir_all(&small).unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs", &small]);
    let (ps, bs) = (format!("{small}/ps"), format!("{small}/bs"));
    let room = lab.host(ConnectLocalStorage { path: ps.clone(), shared: false }).await.unwrap();
    assert_eq!(room.total_bytes, 8 << 20);
    lab.store(ConnectImageStore { path: bs.clone() }).await.unwrap();
    let big = lab.path("big.raw");
    std::fs::write(&big, vec![1u8; 20 << 20]).unwrap();
    let fetch = FetchImage {
        store_path: bs.clone(),
        image: new_uuid(),
        url: format!("file://{big}"),
        policy: open_policy(&lab.path("")),
        media_type: "RootVolumeTemplate".into(),
        max_bytes: 1 << 30,
    };
    let fault = lab.store(fetch).await.unwrap_err();
    assert_eq!(fault.code, "AGENT.8005", "{fault}");
    assert!(!fault.details.contains(&small));
    assert_eq!(std::fs::read_dir(format!("{bs}/tmp")).unwrap().count(), 0);
    assert!(lab.store(ListImages { store_path: bs }).await.unwrap().is_empty());
    let cache = CacheImage {
        storage_path: ps.clone(),
        image: new_uuid(),
        url: "http://127.0.0.1:1/".into(),
        format: "raw".into(),
        file_bytes: 20 << 20,
        sha256: "0".repeat(64),
    };
    assert_eq!(lab.host(cache).await.unwrap_err().code, "AGENT.8005");
    std::fs::write(format!("{ps}/filler"), vec![1u8; (8 << 20) - (100 << 10)]).unwrap();
    let volume = CreateVolume {
        storage_path: ps.clone(),
        volume: new_uuid(),
        r#type: "Root".into(),
        size_bytes: 1 << 30,
        image: None,
    };
    assert_eq!(lab.host(volume).await.unwrap_err().code, "AGENT.8005");
    assert!(lab.host(ListStorage { storage_path: ps }).await.unwrap().volumes.is_empty());
    run("umount", &["-l", &small]);
}

/// A server that never finishes its answer.
async fn endless() -> String {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
                while stream.write_all(&[0; 1000]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn img_01_an_agent_killed_in_a_download_leaves_nothing_and_the_command_runs_again() {
    let lab = Lab::start().await;
    let bs = lab.path("bs");
    lab.store(ConnectImageStore { path: bs.clone() }).await.unwrap();
    let fetch = FetchImage {
        store_path: bs.clone(),
        image: new_uuid(),
        url: endless().await,
        policy: open_policy("/nowhere"),
        media_type: "RootVolumeTemplate".into(),
        max_bytes: 1 << 40,
    };
    let id = random_uuid();
    drop(lab.post(&lab.store, &id, 1, fetch.clone()));
    let tmp = format!("{bs}/tmp");
    let unfinished = || std::fs::read_dir(&tmp).unwrap().count();
    lab.until("the download has begun", || unfinished() == 1).await;
    lab.kill_agent();
    assert_eq!(unfinished(), 1);
    lab.start_agent().await;
    // The agent opens its stores by itself; the server connects them again as well.
    lab.store(ConnectImageStore { path: bs.clone() }).await.unwrap();
    assert_eq!(unfinished(), 0);
    assert!(!attempt("pgrep", &["-x", "curl"]).0, "the download ended with the agent");
    let answer = lab.post(&lab.store, &id, 1, fetch);
    lab.until("the same command runs again", || unfinished() == 1).await;
    lab.say(ServerFrame::Cancel { id });
    assert_eq!(answer.await.unwrap().unwrap_err().code, "RUN.8000");
    assert_eq!(unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_kept_and_a_clean_stop_leaves_networks_until_they_are_purged() {
    make_uplink();
    let lab = Lab::start().await;
    let (l2, l3) = (new_uuid(), new_uuid());
    lab.host(bridge(&l2)).await.unwrap();
    let id = random_uuid();
    lab.send(&lab.host, &id, network(&l3)).await.unwrap();
    lab.stop_agent();
    assert!(attempt("pgrep", &["-x", "dnsmasq"]).0, "DHCP goes on without the agent");
    assert!(run("ip", &["netns", "list"]).contains("cairn-"));
    lab.start_agent().await;
    let answered = lab.send(&lab.host, &id, network(&l3)).await.unwrap();
    lab.say(ServerFrame::Acknowledge { ids: vec![id.clone()] });
    assert!(!answered.hash.is_empty());
    let old = lab.post(&lab.host, &random_uuid(), 0, ListVms {}).await.unwrap().unwrap_err();
    assert_eq!(old.code, "AGENT.8000", "{}", ListVms::NAME);
    lab.stop_agent();
    run(env!("CARGO_BIN_EXE_cairn-agent"), &["--dir", &lab.path("agent"), "--purge"]);
    run(env!("CARGO_BIN_EXE_cairn-agent"), &["--dir", &lab.path("agent"), "--purge"]);
    assert!(!attempt("pgrep", &["-x", "dnsmasq"]).0);
    assert!(!run("ip", &["netns", "list"]).contains("cairn-"));
    assert!(!std::path::Path::new("/sys/class/net").join(BRIDGE).exists());
    assert!(!run("nft", &["list", "tables"]).contains("cairn_guard"));
}
