use cairn_testkit::Cloud;
use serde_json::{Value, json};

/// How a date of an answer is written.
fn is_exact(answer: &Value) -> bool {
    let date = answer["inventory"]["createDate"].as_str().unwrap();
    date.ends_with('Z') && date.contains('T')
}

#[tokio::test]
async fn api_01_the_poll_decides_how_the_dates_of_a_result_are_written() {
    let cloud = Cloud::start().await;
    let exact = cloud.admin.with("x-cairn-time", "rfc3339");
    let world = cloud.world().await;
    // A change that is one transaction, and a workflow: the same, also when it is read again.
    for (action, params) in [("CreateZone", json!({ "name": "z" })), ("CreateVmInstance", world.vm("vm"))] {
        for caller in [&cloud.admin, &exact] {
            let first = caller.send(action, params.clone()).await;
            let location = first.json()["location"].as_str().unwrap().to_owned();
            for _ in 0..2 {
                assert!(!is_exact(&cloud.admin.poll(&location).await.json()), "{action}");
                assert!(is_exact(&exact.poll(&location).await.json()), "{action}");
            }
        }
    }
}

fn actions(row: &Value) -> Vec<&str> {
    row["allowedActions"].as_array().map(|a| a.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[tokio::test]
async fn iam_05_tenants_are_offered_what_they_may_do() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    let made = world.create_vm(&alice, "hers").await;
    let vm = made["uuid"].as_str().unwrap();
    let seen = alice.one("QueryVmInstance", vm).await;
    for row in [&made, &seen] {
        assert!(
            actions(row).contains(&"StopVmInstance") && !actions(row).contains(&"ChangeResourceOwner"),
            "{row}"
        );
    }
    assert!(actions(&cloud.admin.one("QueryVmInstance", vm).await).contains(&"ChangeResourceOwner"));
    // What is shared may be used but not changed; hosts are for administrators.
    for (query, uuid) in [
        ("QueryImage", &world.image),
        ("QueryL3Network", &world.l3),
        ("QueryInstanceOffering", &world.instance_offering),
        ("QueryHost", &world.hosts[0]),
        ("QueryBackupStorage", &world.backup_storage),
    ] {
        assert!(!actions(&cloud.admin.one(query, uuid).await).is_empty(), "{query}");
        for row in alice.list(query, &[&format!("uuid={uuid}")]).await {
            assert_eq!(actions(&row), Vec::<&str>::new(), "{query}");
        }
    }
    for (call, params) in [
        ("ZQLQuery", json!({ "zql": "query image" })),
        ("BatchQuery", json!({ "script": "put('a', query('QueryImage{}'))" })),
    ] {
        if let Ok(answer) = alice.call(call, params).await {
            assert!(!answer.to_string().contains("UpdateImage"), "{call}: {answer}");
        }
    }
}
