//! The event stream (BEY-05): in the order of commits, resumed at any cursor, and only what its reader may see.

use std::time::Duration;

use cairn_testkit::{Api, Cloud};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One event as it came.
#[derive(Debug, Clone, Default)]
struct Seen {
    kind: String,
    id: i64,
    data: Value,
}

/// Reads the stream until nothing more comes for a moment.
async fn follow(api: &Api, query: &str) -> Vec<Seen> {
    let address = api.base().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /v1/cairn/events{query} HTTP/1.1\r\nhost: {address}\r\nauthorization: OAuth {}\r\n\r\n",
        api.session()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut all, mut part) = (Vec::new(), [0u8; 16 << 10]);
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_millis(600), stream.read(&mut part)).await {
        if n == 0 {
            break;
        }
        all.extend_from_slice(&part[..n]);
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    let (mut seen, mut next) = (Vec::new(), Seen::default());
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("event: ") {
            next.kind = kind.to_owned();
        } else if let Some(id) = line.strip_prefix("id: ") {
            next.id = id.parse().unwrap();
        } else if let Some(data) = line.strip_prefix("data: ") {
            next.data = serde_json::from_str(data).unwrap();
        } else if line.is_empty() && !next.kind.is_empty() {
            seen.push(std::mem::take(&mut next));
        }
    }
    seen
}

fn changes(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|s| s.kind == "change").collect()
}

#[tokio::test]
async fn bey_05_events_come_in_order_and_are_resumed_without_gap_or_repeat() {
    let cloud = Cloud::start().await;
    for n in 0..10 {
        cloud.admin.ok("CreateZone", json!({ "name": format!("zone-{n}") })).await;
    }
    let all = follow(&cloud.admin, "?since=0&type=ZoneVO").await;
    let all = changes(&all);
    assert!(all.len() >= 10, "{all:?}");
    assert!(all.windows(2).all(|w| w[0].id < w[1].id), "in the order of commits");
    let middle = all[all.len() / 2];
    let rest = follow(&cloud.admin, &format!("?since={}&type=ZoneVO", middle.id)).await;
    let rest: Vec<i64> = changes(&rest).iter().map(|s| s.id).collect();
    let wanted: Vec<i64> = all.iter().map(|s| s.id).filter(|id| *id > middle.id).collect();
    assert_eq!(rest, wanted);
}

#[tokio::test]
async fn bey_05_cursors_outlive_the_server() {
    let mut cloud = Cloud::start().await;
    cloud.admin.ok("CreateZone", json!({ "name": "before" })).await;
    let seen = follow(&cloud.admin, "?since=0").await;
    let cursor = changes(&seen).last().unwrap().id;
    cloud.restart().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "after" })).await;
    let seen = follow(&cloud.admin, &format!("?since={cursor}&type=ZoneVO")).await;
    assert!(
        changes(&seen).iter().any(|s| s.data.to_string().contains(zone["uuid"].as_str().unwrap())),
        "{seen:?}"
    );
    assert!(changes(&seen).iter().all(|s| s.id > cursor));
}

#[tokio::test]
async fn bey_05_an_account_sees_events_of_what_is_its_own() {
    let cloud = Cloud::start().await;
    let (one, two) = (cloud.account("one").await, cloud.account("two").await);
    let offering = json!({ "name": "mine", "cpuNum": 1, "memorySize": 64 << 20 });
    let mine = one.make("CreateInstanceOffering", offering).await;
    let uuid = mine["uuid"].as_str().unwrap();
    let names = |seen: &[Seen]| changes(seen).iter().filter(|s| s.data.to_string().contains(uuid)).count();
    assert!(names(&follow(&one, "?since=0").await) > 0);
    assert!(names(&follow(&cloud.admin, "?since=0").await) > 0);
    assert_eq!(names(&follow(&two, "?since=0").await), 0);
}

#[tokio::test]
async fn bey_05_a_cursor_that_is_too_old_is_told_so() {
    let cloud = Cloud::start().await;
    for n in 0..3 {
        cloud.admin.ok("CreateZone", json!({ "name": format!("zone-{n}") })).await;
    }
    let prune = |tx: &mut dyn cairn_store::Tx| {
        tx.execute("DELETE FROM event WHERE seq < (SELECT max(seq) FROM event)", &[])
    };
    cloud.app().store.write(prune).await.unwrap();
    let seen = follow(&cloud.admin, "?since=0").await;
    assert_eq!(seen[0].kind, "gap", "{seen:?}");
    assert!(seen[0].data["oldest"].as_i64() > Some(1));
}

#[tokio::test]
async fn bey_05_log_02_a_stream_ends_with_its_session() {
    let cloud = Cloud::start().await;
    let other = cloud.log_in("admin", "password").await;
    let address = other.base().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /v1/cairn/events HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: OAuth {}\r\n\r\n",
        other.session()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut part = [0u8; 4096];
    assert!(stream.read(&mut part).await.unwrap() > 0);
    cloud.nobody().ok("LogOut", json!({ "sessionUuid": other.session() })).await;
    cloud.admin.ok("CreateZone", json!({ "name": "secret" })).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the stream goes on");
    assert!(!String::from_utf8_lossy(&rest).contains("ZoneVO"), "an event after the end of the session");
}
