//! The leader is stopped for longer than its lease and wakes up.

use std::time::Duration;

use serde_json::json;

use super::cluster::{SERVERS, lease_ms};
use super::kill::Stage;
use super::load::Load;

/// One that was stopped within a transaction holds the turn to write until PostgreSQL ends that, after five seconds; the lease and
/// the start of the next leader come on top.
const TAKE_OVER: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_14_a_leader_that_was_stopped_neither_writes_nor_commands_when_it_wakes_up() {
    let stage = Stage::set().await;
    let old = stage.cluster.leader();
    let others: Vec<usize> = (0..SERVERS).filter(|n| *n != old).collect();
    let apis: Vec<_> = others.iter().map(|n| stage.admin[*n].clone()).collect();
    let load = Load::begin(&apis, &stage.world, 6);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let epoch = stage.cluster.sql("SELECT epoch FROM leadership");
    stage.cluster.freeze(old);
    // Its kernel takes the connection and the request; the process finds them when it wakes up.
    let late = stage.admin[old].patient(Duration::from_secs(60));
    let late = tokio::spawn(async move { late.send("CreateZone", json!({ "name": "ghost" })).await });
    let took = stage.until_changed(others[0]).await;
    eprintln!("server {old} was stopped; first change through another one after {} ms", took.as_millis());
    assert!(took < TAKE_OVER, "{took:?}");
    tokio::time::sleep(Duration::from_millis(2 * lease_ms())).await;
    assert_ne!(stage.cluster.leader(), old);
    let newer = stage.cluster.sql("SELECT epoch FROM leadership");
    assert!(newer.parse::<i64>().unwrap() > epoch.parse().unwrap());
    stage.cluster.thaw(old);
    let refused = late.await.unwrap();
    assert!(refused.status == 0 || refused.code() == "SYS.1010", "{} {}", refused.status, refused.text);
    stage.cluster.until_answered(old).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let report = load.end().await;
    assert_eq!(stage.cluster.sql("SELECT count(*) FROM zone WHERE name = 'ghost'"), "0");
    let written = stage
        .cluster
        .sql(&format!("SELECT count(*) FROM run WHERE epoch <= {epoch} AND state IN ('Running', 'Undoing')"));
    assert_eq!(written, "0", "runs that still belong to the old leader");
    assert!(stage.cluster.log(old).contains("lost the lead; it starts again"), "{}", stage.cluster.log(old));
    // The hosts keep the epoch: whatever of the old leader's had reached them later would have been refused.
    stage.until_connected(12).await;
    stage.judge(report, TAKE_OVER).await;
}
