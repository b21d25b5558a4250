//! One goes, another goes on.

use std::time::{Duration, Instant};

use cairn_server::bus::connect;
use cairn_store::params;
use cairn_testkit::{Api, NatsServer, World};
use serde_json::{Value, json};

use super::{LEASE, Stage};

/// Calls until it is answered; how long that took.
async fn until_answered(api: &Api) -> Duration {
    let begun = Instant::now();
    loop {
        let reply = api.send("QueryZone", json!({})).await;
        if reply.status == 200 {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no answer: {}", reply.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ops_14_when_the_leader_is_killed_another_one_finishes_what_it_had_begun() {
    let mut stage = Stage::set(3).await;
    let leader = stage.servers.leader().await;
    let world = World::make(&stage.admin, 3).await;
    world.create_vm(&stage.admin, "first").await;
    stage.servers.machines.all().hang("vm.start");
    let job = "9d2f4b6a8c0e41f3a5b7c9d1e3f50718";
    let accepted = stage.admin.with("x-job-uuid", job).send("CreateVmInstance", world.vm("second")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let others: Vec<usize> = (0..3).filter(|n| *n != leader).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.servers.kill(leader).await;
    stage.servers.machines.all().release();
    let took = until_answered(&stage.at(others[0])).await;
    assert!(took < Duration::from_secs(10), "the other server answered after {took:?}");
    let location = format!("/zstack/v1/api-jobs/{job}");
    let made = stage.at(others[1]).poll(&location).await;
    assert_eq!(
        (made.status, made.json()["inventory"]["state"].as_str()),
        (200, Some("Running")),
        "{}",
        made.text
    );
    let names: Vec<String> = stage
        .at(others[0])
        .list("QueryVmInstance", &[])
        .await
        .iter()
        .map(|v| v["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    stage.assert_sane().await;
    stage.servers.begin(leader).await;
    assert_ne!(stage.servers.leader().await, leader, "it follows when it is back");
}

#[tokio::test]
async fn ops_14_a_leader_that_stops_is_followed_at_once() {
    let mut stage = Stage::set(2).await;
    let leader = stage.servers.leader().await;
    let other = stage.at(1 - leader);
    stage.admin.ok("CreateZone", json!({ "name": "kept" })).await;
    stage.servers.stop(leader).await;
    let took = until_answered(&other).await;
    assert!(took < LEASE + Duration::from_secs(1), "{took:?}");
    assert_eq!(other.list("QueryZone", &[]).await[0]["name"], "kept");
}

#[tokio::test]
async fn ops_14_one_whose_lease_is_another_ones_writes_nothing_more_and_ends() {
    let mut stage = Stage::set(1).await;
    let leader = stage.servers.leader().await;
    let world = World::make(&stage.admin, 1).await;
    stage.servers.machines.all().hang("vm.start");
    let accepted = stage.admin.send("CreateVmInstance", world.vm("vm")).await;
    assert_eq!(accepted.status, 202);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let take = "UPDATE leadership SET node_uuid = 'another', epoch = epoch + 1, lease_until_ms = lease_until_ms + 60000";
    stage.store.write(move |tx| tx.execute(take, params![])).await.unwrap();
    let refused = stage.admin.fails("CreateZone", json!({ "name": "late" })).await;
    assert!(refused.status == 0 || refused.code() == "SYS.1010", "{refused}");
    stage.servers.machines.all().release();
    stage.servers.lost(leader).await;
    let sql = "SELECT (SELECT count(*) FROM zone WHERE name = 'late') + (SELECT count(*) FROM run WHERE state IN ('Done', 'Failed') AND workflow LIKE 'vm.create%') AS n";
    let written = stage.store.read(move |tx| tx.query_int(sql, params![])).await.unwrap();
    assert_eq!(written, 0, "nothing was written after the lease was gone");
}

#[tokio::test]
async fn ops_14_the_bus_is_answered_by_the_next_leader_and_changes_are_told_on_it() {
    let Some(nats) = NatsServer::start() else { return };
    let mut stage = Stage::on(2, Some(nats)).await;
    let address = stage.nats.as_ref().map(NatsServer::address).unwrap();
    let client = connect(&address, "test").await.unwrap();
    let leader = stage.servers.leader().await;
    let call = json!({ "action": "CreateZone", "params": { "name": "z" }, "session": stage.admin.session(), "wait": 10 });
    let ask = async |call: &Value| -> Option<Value> {
        let answer = client
            .request("cairn.api.call", call.to_string().into_bytes(), Duration::from_secs(10))
            .await
            .ok()?;
        serde_json::from_slice(&answer).ok()
    };
    let mut first = None;
    for _ in 0..100 {
        first = ask(&call).await;
        if first.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(first.unwrap()["status"], 200);
    let begun = Instant::now();
    stage.servers.stop(leader).await;
    let mut second = None;
    while second.is_none() && begun.elapsed() < Duration::from_secs(10) {
        second = ask(&call).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(second.expect("the next leader answers")["status"], 200);
    assert_eq!(stage.at(1 - leader).list("QueryZone", &[]).await.len(), 2);
}
