//! Any server does.

use std::io::{Read, Write};
use std::time::Duration;

use cairn_testkit::{Servers, World};
use serde_json::json;

use super::{LEASE, Stage};

#[tokio::test]
async fn ops_14_every_server_answers_and_takes_changes_and_a_session_holds_at_all() {
    let stage = Stage::set(3).await;
    for n in 0..3 {
        stage.at(n).ok("CreateZone", json!({ "name": format!("z{n}") })).await;
    }
    for n in 0..3 {
        let zones = stage.at(n).list("QueryZone", &[]).await;
        assert_eq!(zones.len(), 3);
        let page = stage.admin.at(&stage.servers.served(n).page.to_string());
        assert_eq!(page.list("QueryZone", &[]).await.len(), 3, "the page's port too");
    }
    let nodes = stage.at(1).list("QueryManagementNode", &[]).await;
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    stage.at(2).ok("LogOut", json!({ "sessionUuid": stage.admin.session() })).await;
    for n in 0..3 {
        assert_eq!(stage.at(n).fails("QueryZone", json!({})).await.code(), "ID.1001");
    }
}

#[tokio::test]
async fn ops_14_the_leader_knows_the_client_behind_another_server() {
    let stage = Stage::set(2).await;
    let leader = stage.servers.leader().await;
    let zone = stage.at(1 - leader).make("CreateZone", json!({ "name": "z" })).await;
    let condition = format!("resourceUuid={}", zone["uuid"].as_str().unwrap());
    let mut audit = Vec::new();
    while audit.is_empty() {
        // Rows are written in batches, shortly after the call.
        audit = stage.at(leader).list("QueryAudit", &[&condition]).await;
    }
    assert!(audit[0].to_string().contains("127.0.0.1"), "{}", audit[0]);
}

#[tokio::test]
async fn ops_14_events_are_followed_through_any_server() {
    let stage = Stage::set(2).await;
    let follower = 1 - stage.servers.leader().await;
    let address = stage.servers.served(follower).api;
    let request = format!(
        "GET /v1/cairn/events HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {}\r\n\r\n",
        stage.admin.session()
    );
    let reader = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let (mut text, mut part) = (String::new(), [0_u8; 4096]);
        let begun = std::time::Instant::now();
        while !text.contains("ZoneVO") {
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0 && begun.elapsed().as_secs() < 20, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&part[..count]));
        }
        text
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let zone = stage.admin.make("CreateZone", json!({ "name": "followed" })).await;
    let text = reader.await.unwrap();
    assert!(text.contains(zone["uuid"].as_str().unwrap()), "{text}");
}

#[tokio::test]
async fn ops_14_a_server_with_another_key_does_not_start() {
    let stage = Stage::set(1).await;
    let folder = stage.servers.folder().join("stranger");
    std::fs::create_dir_all(&folder).unwrap();
    Servers::share(&stage.servers.database(), &folder);
    let mut config = cairn_server::config::Config::ephemeral(&folder);
    config.lease = LEASE;
    let tuning = cairn_server::app::Tuning { fast_hash: true, ..Default::default() };
    let refused =
        cairn_server::nodes::serve(config, tuning, |_| (), std::future::pending()).await.unwrap_err();
    assert!(refused.details.contains("copy secret.key"), "{refused}");
}

#[tokio::test]
async fn ops_14_a_stranger_at_the_port_for_servers_gets_nothing() {
    let stage = Stage::set(1).await;
    let sql = "SELECT peer_address FROM management_node";
    let rows = stage.store.read(move |tx| tx.query(sql, &[])).await.unwrap();
    let peers = rows[0].text("peer_address").unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(peers).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    });
    assert!(heard.await.unwrap().is_empty());
}

#[tokio::test]
async fn ops_14_a_vm_is_made_through_a_server_that_does_not_lead() {
    let stage = Stage::set(2).await;
    let follower = 1 - stage.servers.leader().await;
    let world = World::make(&stage.at(follower), 2).await;
    let vm = world.create_vm(&stage.at(follower), "vm").await;
    assert_eq!(vm["state"], "Running");
    stage.assert_sane().await;
}

#[tokio::test]
async fn ops_14_without_a_leader_a_call_waits_and_is_then_refused_with_a_code() {
    let mut servers = Servers::start(2, Duration::from_secs(60), None).await;
    let leader = servers.leader().await;
    let other = servers.nobody(1 - leader);
    servers.kill(leader).await;
    let begun = std::time::Instant::now();
    let refused = other.send("GetVersion", json!({})).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "SYS.1010"), "{}", refused.text);
    assert!((10..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
