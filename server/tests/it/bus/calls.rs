//! Calls and their answers.

use std::time::Duration;

use cairn_api::request::encode;
use cairn_server::bus::connect;
use cairn_testkit::{TEST_PASSWORD, digest};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::Stage;

const JOB: &str = "9d2f4b6a8c0e41f3a5b7c9d1e3f50718";
const NOBODY: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

#[tokio::test]
async fn api_02_the_bus_answers_what_http_answers() {
    let Some(stage) = Stage::set().await else { return };
    let world = stage.cloud.world().await;
    world.create_vm(&stage.cloud.admin, "vm").await;
    for (action, params) in [
        ("QueryVmInstance", json!({ "q": ["name=vm"], "replyWithCount": true })),
        ("QueryHost", json!({ "q": [format!("uuid={}", world.hosts[0])], "fields": ["name", "state"] })),
        ("CreateCluster", json!({ "name": "c", "zoneUuid": NOBODY, "hypervisorType": "KVM" })),
        ("CreateZone", json!({})),
        ("UpdateGlobalConfig", json!({ "category": "vm", "name": "nothing", "value": "1" })),
    ] {
        let http = stage.cloud.admin.send(action, params.clone()).await;
        let bus = stage
            .send(json!({ "action": action, "params": params, "session": stage.cloud.admin.session() }))
            .await;
        assert_eq!(
            (bus["status"].as_u64(), &bus["body"]),
            (Some(http.status.into()), &http.json()),
            "{action}"
        );
    }
}

#[tokio::test]
async fn api_02_a_call_answers_with_its_job_and_the_end_is_published() {
    let Some(stage) = Stage::set().await else { return };
    let world = stage.cloud.world().await;
    let mut ends = stage.client.subscribe(&format!("cairn.api.job.{JOB}"), None).await.unwrap();
    let session = stage.cloud.admin.session();
    let first = stage.send(json!({ "action": "CreateVmInstance", "params": world.vm("by-bus"), "session": session, "job": JOB })).await;
    assert_eq!(first, json!({ "status": 202, "job": JOB, "subject": format!("cairn.api.job.{JOB}") }));
    let end = tokio::time::timeout(Duration::from_secs(30), ends.next()).await.unwrap().unwrap();
    let end: Value = serde_json::from_slice(&end.body).unwrap();
    assert_eq!(
        (end["status"].as_u64(), end["body"]["inventory"]["state"].as_str()),
        (Some(200), Some("Running")),
        "{end}"
    );
    let asked = stage.send(json!({ "job": JOB })).await;
    assert_eq!(asked["body"]["inventory"]["uuid"], end["body"]["inventory"]["uuid"]);
    let location = format!("/zstack/v1/api-jobs/{JOB}");
    let polled = stage.cloud.nobody().raw("GET", &location, None).await.json();
    assert_eq!(polled["inventory"]["uuid"], end["body"]["inventory"]["uuid"], "HTTP knows the same job");
    let again = stage
        .send(json!({ "action": "CreateZone", "params": { "name": "z" }, "session": session, "job": JOB }))
        .await;
    assert_eq!(again["status"], 400, "a job's id is used once: {again}");
}

#[tokio::test]
async fn api_02_a_call_can_wait_for_its_end_and_a_failure_has_the_same_code() {
    let Some(stage) = Stage::set().await else { return };
    let world = stage.cloud.world().await;
    let made = stage.call("CreateVmInstance", world.vm("waited")).await;
    assert_eq!(
        (made["status"].as_u64(), made["body"]["inventory"]["state"].as_str()),
        (Some(200), Some("Running")),
        "{made}"
    );
    let mut big = world.vm("too-big");
    let huge = json!({ "name": "huge", "cpuNum": 1, "memorySize": 1_i64 << 50 });
    let huge = stage.call("CreateInstanceOffering", huge).await;
    big["instanceOfferingUuid"] = huge["body"]["inventory"]["uuid"].clone();
    let http = stage.cloud.admin.fails("CreateVmInstance", big.clone()).await;
    let bus = stage.call("CreateVmInstance", big).await;
    assert_eq!(
        (bus["status"].as_u64(), bus["body"]["error"]["code"].as_str()),
        (Some(503), Some(http.code().as_str())),
        "{bus}"
    );
}

#[tokio::test]
async fn api_02_a_stranger_is_refused_and_a_tenant_stays_within_his_rights() {
    let Some(stage) = Stage::set().await else { return };
    let zone = stage.call("CreateZone", json!({ "name": "z" })).await["body"]["inventory"]["uuid"].clone();
    let delete = |session: Value| {
        let stage = &stage;
        let zone = zone.clone();
        async move {
            stage
                .send(json!({ "action": "DeleteZone", "params": { "uuid": zone }, "session": session }))
                .await
        }
    };
    let without = stage.send(json!({ "action": "DeleteZone", "params": { "uuid": zone } })).await;
    assert_eq!(without["status"], 400, "{without}");
    let unknown = delete(json!(NOBODY)).await;
    assert_eq!(
        (unknown["status"].as_u64(), unknown["body"]["error"]["code"].as_str()),
        (Some(503), Some("ID.1001")),
        "{unknown}"
    );
    let tenant = stage.cloud.account("alice").await;
    assert_eq!(delete(json!(tenant.session())).await["body"]["error"]["code"], "ID.1002");
    tenant.ok("LogOut", json!({ "sessionUuid": tenant.session() })).await;
    assert_eq!(
        delete(json!(tenant.session())).await["body"]["error"]["code"],
        "ID.1001",
        "his session is over"
    );
    assert_eq!(stage.cloud.admin.list("QueryZone", &[]).await.len(), 1);
}

#[tokio::test]
async fn api_02_a_session_is_opened_over_the_bus_and_calls_are_in_the_audit() {
    let Some(stage) = Stage::set().await else { return };
    stage.cloud.account("alice").await;
    let log_in = json!({ "action": "LogInByAccount", "params": { "accountName": "alice", "password": digest(TEST_PASSWORD) } });
    let session = stage.send(log_in).await["body"]["inventory"]["uuid"].clone();
    let made = stage.send(json!({ "action": "CreateSystemTag", "params": { "resourceType": "ZoneVO", "resourceUuid": NOBODY, "tag": "a::b" },
        "session": session, "wait": 10 })).await;
    assert_eq!(made["status"], 503, "{made}");
    let kept = stage.call("CreateZone", json!({ "name": "audited" })).await;
    let uuid = kept["body"]["inventory"]["uuid"].as_str().unwrap();
    // Rows are written in batches, shortly after the call.
    let mut rows = Vec::new();
    for _ in 0..200 {
        rows = stage.cloud.admin.list("QueryAudit", &[&format!("resourceUuid={uuid}")]).await;
        if !rows.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].to_string().contains("message bus"), "{}", rows[0]);
}

#[tokio::test]
async fn api_02_a_plan_changes_nothing_and_an_address_with_a_signature_works_too() {
    let Some(stage) = Stage::set().await else { return };
    let session = stage.cloud.admin.session();
    let plan = stage.send(json!({ "action": "CreateZone", "params": { "name": "planned" }, "session": session, "plan": true })).await;
    assert_eq!(
        (plan["status"].as_u64(), plan["body"]["plan"]["creates"][0]["name"].as_str()),
        (Some(200), Some("planned")),
        "{plan}"
    );
    assert!(stage.cloud.admin.list("QueryZone", &[]).await.is_empty());
    let by_address = json!({ "method": "POST", "path": "/zstack/v1/zones", "body": { "params": { "name": "real" } },
        "headers": { "Authorization": format!("OAuth {session}") }, "wait": 10 });
    assert_eq!(stage.send(by_address).await["body"]["inventory"]["name"], "real");
    let query = json!({ "path": "/zstack/v1/zones", "query": format!("q={}", encode("name=real")), "session": session });
    assert_eq!(stage.send(query).await["body"]["inventories"][0]["name"], "real");
}

#[tokio::test]
async fn api_02_hostile_messages_get_an_answer_and_hurt_nobody() {
    let Some(stage) = Stage::set().await else { return };
    for (message, status) in [
        (b"".to_vec(), 400),
        (b"\xff\xfe\x00".to_vec(), 400),
        (b"{\"action\":\"CreateZone\",\"params\":\"x\"}".to_vec(), 400),
        (format!("{{\"action\":{}", "[".repeat(100_000)).into_bytes(), 400),
        (
            format!(
                "{{\"path\":\"/zstack/v1/zones\",\"headers\":{{\"Authorization\":\"OAuth {}\"}}}}",
                "x".repeat(500_000)
            )
            .into_bytes(),
            503,
        ),
        (b"{\"path\":\"nowhere\"}".to_vec(), 404),
    ] {
        let answer =
            stage.client.request("cairn.api.call", message.clone(), Duration::from_secs(20)).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            answer["status"],
            status,
            "{:?}: {answer}",
            String::from_utf8_lossy(&message[..message.len().min(60)])
        );
    }
    // Nobody waits for an answer: nothing is done.
    let session = stage.cloud.admin.session();
    let silent = json!({ "action": "CreateZone", "params": { "name": "silent" }, "session": session });
    stage.client.publish("cairn.api.call", silent.to_string().into_bytes()).await.unwrap();
    stage.call("CreateZone", json!({ "name": "after" })).await;
    assert_eq!(stage.cloud.admin.list("QueryZone", &[]).await.len(), 1);
}

#[tokio::test]
async fn api_02_an_answer_that_the_bus_can_not_carry_says_so() {
    let Some(stage) = Stage::set().await else { return };
    let text = "x".repeat(2000);
    for n in 0..600 {
        let offering =
            json!({ "name": format!("o{n}"), "description": text, "cpuNum": 1, "memorySize": 16 << 20 });
        stage.cloud.admin.ok("CreateInstanceOffering", offering).await;
    }
    let session = stage.cloud.admin.session();
    let all = stage.send(json!({ "action": "QueryInstanceOffering", "session": session })).await;
    assert!(
        all["status"] == 413 && all["text"].as_str().is_some_and(|t| t.contains("limit")),
        "{}",
        all["status"]
    );
    let some = stage
        .send(json!({ "action": "QueryInstanceOffering", "params": { "limit": 10 }, "session": session }))
        .await;
    assert_eq!(some["body"]["inventories"].as_array().map(Vec::len), Some(10));
}

/// Sends a message so many times at once.
fn send_many(stage: &Stage, message: &Value, times: usize) -> Vec<tokio::task::JoinHandle<Value>> {
    let message = message.to_string().into_bytes();
    let send = |_| {
        let (client, message) = (stage.client.clone(), message.clone());
        tokio::spawn(async move {
            let answer = client.request("cairn.api.call", message, Duration::from_secs(60)).await.unwrap();
            serde_json::from_slice(&answer).unwrap()
        })
    };
    (0..times).map(send).collect()
}

#[tokio::test]
async fn api_02_waits_for_a_job_take_no_room_from_calls() {
    let Some(stage) = Stage::set().await else { return };
    let world = stage.cloud.world().await;
    let host = stage.cloud.machines.host(&world.hosts[0]);
    host.hang("vm.start");
    let session = stage.cloud.admin.session();
    let vm =
        json!({ "action": "CreateVmInstance", "params": world.vm("slow"), "session": session, "job": JOB });
    assert_eq!(stage.send(vm).await["status"], 202);
    let waiting = send_many(&stage, &json!({ "job": JOB, "wait": 60 }), 1_500);
    for _ in 0..20 {
        assert_eq!(stage.send(json!({ "action": "GetVersion" })).await["status"], 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(waiting.iter().all(|w| !w.is_finished()));
    host.release();
    for waited in waiting {
        let answer = waited.await.unwrap();
        assert_eq!(answer["status"], 200, "{answer}");
    }
}

#[tokio::test]
async fn api_02_more_calls_than_a_server_works_on_are_refused_and_later_taken() {
    let Some(stage) = Stage::set().await else { return };
    let world = stage.cloud.world().await;
    let host = stage.cloud.machines.host(&world.hosts[0]);
    let vm = world.create_vm(&stage.cloud.admin, "vm").await;
    host.hang_nth("vm.console", 0);
    let session = stage.cloud.admin.session();
    let ask = json!({
        "action": "RequestConsoleAccess", "params": { "vmInstanceUuid": vm["uuid"] }, "session": session,
    });
    let working = send_many(&stage, &ask, 1_024);
    let mut refused = Value::Null;
    for _ in 0..100 {
        refused = stage.send(json!({ "action": "GetVersion" })).await;
        if refused["status"] == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(refused["body"]["error"]["code"], "SYS.1010", "{refused}");
    host.clear();
    for call in working {
        call.await.unwrap();
    }
    assert_eq!(stage.send(json!({ "action": "GetVersion" })).await["status"], 200);
}

#[tokio::test]
async fn api_02_two_servers_share_the_calls() {
    let Some(stage) = Stage::set().await else { return };
    let other = cairn_testkit::Cloud::on_bus(Some(stage.nats.address()), |_| ()).await;
    let (one, two) = (stage.cloud.app().node.clone(), other.app().node.clone());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        // Two installations on one bus, which nobody should have: their answers tell who answered.
        let answer = stage
            .send(json!({ "action": "QueryManagementNode", "session": stage.cloud.admin.session() }))
            .await;
        seen.insert(answer["status"].as_u64());
        if seen.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(one, two);
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [Some(200), Some(503)],
        "one knows the session, the other one does not"
    );
    let wrong = "nats://cairn:wrong@127.0.0.1:1".parse().unwrap();
    assert!(!connect(&wrong, "test").await.unwrap().is_connected());
}
