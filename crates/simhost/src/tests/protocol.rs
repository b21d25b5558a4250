//! What the protocol promises.

use cairn_api::agent::vm::ListVms;
use cairn_api::agent::{HEARTBEAT_S, TargetKind};
use cairn_types::code;
use serde_json::json;

use super::*;
use crate::{Ended, OPERATIONS};

async fn one_host() -> (SimCloud, Server, Listener) {
    let cloud = SimCloud::new(1);
    let mut listener = start(&cloud.agent().host(H1).build());
    let mut server = listener.accept().await;
    server.prepare(H1).await;
    (cloud, server, listener)
}

#[tokio::test(start_paused = true)]
async fn a_command_id_is_carried_out_once_until_it_is_acknowledged() {
    let (cloud, mut server, _l) = one_host().await;
    server.call(H1, volume("vm1-root", GIB)).await.unwrap();
    let before = cloud.host(H1).commands();
    server.send("same", H1, &StartVm { spec: spec("vm1", 1) }).await;
    let first = server.result("same").await.unwrap();
    cloud.host(H1).power_off("vm1");
    server.send("same", H1, &StartVm { spec: spec("vm1", 1) }).await;
    assert_eq!(server.result("same").await.unwrap(), first);
    assert_eq!(cloud.host(H1).commands(), before + 1);
    assert_eq!(cloud.host(H1).kept_commands(), 1);

    server.writer.send(&ServerFrame::Acknowledge { ids: vec!["same".into()] }).await.unwrap();
    server.send("same", H1, &StartVm { spec: spec("vm1", 1) }).await;
    server.result("same").await.unwrap();
    assert_eq!(cloud.host(H1).vms()["vm1"].starts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_command_under_way_is_waited_for_when_it_comes_again() {
    let (cloud, mut server, _l) = one_host().await;
    cloud.host(H1).delay("vm.list", Duration::from_secs(3));
    let before = cloud.host(H1).commands();
    for _ in 0..3 {
        server.send("same", H1, &ListVms {}).await;
    }
    server.result("same").await.unwrap();
    assert!(server.is_quiet().await);
    assert_eq!(cloud.host(H1).commands(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_older_epoch_is_refused_and_its_id_stays_free() {
    let (_cloud, mut server, _l) = one_host().await;
    server.epoch = 7;
    server.call(H1, ListVms {}).await.unwrap();
    server.epoch = 6;
    server.send("x", H1, &ListVms {}).await;
    assert_eq!(server.result("x").await.unwrap_err().code, code::AGENT_OLD_EPOCH);
    server.epoch = 8;
    server.send("x", H1, &ListVms {}).await;
    assert!(server.result("x").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn results_wait_for_the_next_connection_in_their_order() {
    let (cloud, mut server, mut listener) = one_host().await;
    cloud.host(H1).delay("*", Duration::from_secs(1));
    for id in ["a", "b", "c"] {
        server.send(id, H1, &ListVms {}).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    cloud.host(H1).drop_connection();
    server.wait_for_end().await;
    drop(server);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut server = listener.accept().await;
    server.result("c").await.unwrap();
    let order: Vec<&str> = server.results.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(order, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn unknown_targets_commands_and_arguments_are_refused() {
    let (_cloud, mut server, _l) = one_host().await;
    assert_eq!(server.call(H2, ListVms {}).await.unwrap_err().code, code::AGENT_WRONG_TARGET);
    for (op, args, code) in [
        ("vm.fly", json!({}), code::AGENT_UNKNOWN_COMMAND),
        ("imageStore.list", json!({"storePath": "/"}), code::AGENT_UNKNOWN_COMMAND),
        ("vm.stop", json!({"vm": 7}), code::INVALID_ARGUMENT),
    ] {
        let command = Command {
            id: op.into(),
            target: H1.into(),
            run: String::new(),
            epoch: 1,
            op: op.into(),
            args,
            timeout_ms: 1,
            receive_by_ms: 0,
            begin_by_ms: 0,
        };
        server.writer.send(&ServerFrame::Command(command)).await.unwrap();
        assert_eq!(server.result(op).await.unwrap_err().code, code, "{op}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_assigns_and_takes_targets() {
    let (cloud, mut server, _l) = one_host().await;
    let target = |uuid: &str, kind| Target { uuid: uuid.into(), kind };
    let targets = vec![target(H2, TargetKind::Host), target(BS, TargetKind::ImageStore)];
    server.writer.send(&ServerFrame::Targets { targets }).await.unwrap();
    assert!(server.call(H2, ListVms {}).await.is_ok());
    assert_eq!(server.call(H1, ListVms {}).await.unwrap_err().code, code::AGENT_WRONG_TARGET);
    assert_eq!(cloud.host_uuids(), [H1, H2]);
}

#[tokio::test(start_paused = true)]
async fn one_connection_and_one_heartbeat_serve_a_thousand_hosts() {
    let cloud = SimCloud::new(1);
    let uuids: Vec<String> = (0..1000u32).map(|n| format!("{n:032x}")).collect();
    let mut listener = start(&cloud.agent().hosts(uuids.clone()).build());
    let mut server = listener.accept().await;
    assert_eq!(server.targets.len(), 1000);
    for uuid in &uuids {
        server.send(uuid, uuid, &ListVms {}).await;
    }
    for uuid in &uuids {
        server.result(uuid).await.unwrap();
    }
    server.heartbeats.clear();
    let _ =
        tokio::time::timeout(Duration::from_secs(HEARTBEAT_S * 10), async { while server.read().await {} })
            .await;
    assert!((10..=12).contains(&server.heartbeats.len()), "{}", server.heartbeats.len());
    assert_eq!(cloud.snapshot().leftovers(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_protocol_that_is_unknown_end_the_connection() {
    let agent = SimAgent::builder().host(H1).build();
    for (answer, refused) in [
        (ServerFrame::Refuse { fault: Fault::operation("no") }, true),
        (
            ServerFrame::Welcome {
                protocol: 999,
                server: "s".into(),
                targets: vec![],
                now_ms: 0,
                heartbeat_s: 0,
            },
            false,
        ),
    ] {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (mut reader, mut writer) = cairn_link::split(theirs);
        let server = async {
            reader.next::<AgentFrame>().await.unwrap();
            writer.send(&answer).await.unwrap();
        };
        let (ended, ()) = tokio::join!(agent.serve(ours), server);
        assert_eq!(matches!(ended, Ok(Ended::Refused(_))), refused);
        assert_eq!(ended.is_err(), !refused);
    }
}

#[test]
fn every_operation_of_the_protocol_is_simulated() {
    let source = concat!(
        include_str!("../../../api/src/agent/host.rs"),
        include_str!("../../../api/src/agent/image_store.rs"),
        include_str!("../../../api/src/agent/network.rs"),
        include_str!("../../../api/src/agent/storage.rs"),
        include_str!("../../../api/src/agent/vm.rs"),
    );
    let declared = source.lines().filter(|l| l.starts_with("agent_op!("));
    let names: Vec<&str> = declared.filter_map(|l| l.split('"').nth(1)).collect();
    assert!(names.len() >= 28);
    for name in &names {
        assert!(OPERATIONS.iter().any(|ops| ops.contains(name)), "{name} is not simulated");
    }
}
