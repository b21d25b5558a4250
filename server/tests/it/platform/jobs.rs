use std::time::{Duration, Instant};

use cairn_testkit::Cloud;
use serde_json::json;

#[tokio::test]
async fn api_01_a_job_is_polled_at_the_address_that_the_client_used() {
    let cloud = Cloud::start().await;
    let first = cloud.admin.send("CreateZone", json!({ "name": "z" })).await;
    assert_eq!(first.status, 202);
    let body = first.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["location"]);
    let location = body["location"].as_str().unwrap();
    let expected = format!("http://{}/zstack/v1/api-jobs/", cloud.served().api);
    assert!(location.starts_with(&expected), "{location}");
    for _ in 0..2 {
        let done = cloud.nobody().poll(location).await;
        assert_eq!(
            (done.status, &done.json()["inventory"]["name"]),
            (200, &json!("z")),
            "reading does not use it up"
        );
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(cloud.nobody().raw(method, location, None).await.status, 405);
    }
    let unknown = cloud.nobody().get("/api-jobs/0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4").await;
    assert_eq!((unknown.status, unknown.json().is_null()), (404, true));
    let sync = cloud.admin.get("/zones").await.json();
    assert!(sync.get("location").is_none());
}

#[tokio::test]
async fn api_01_results_survive_a_restart() {
    let mut cloud = Cloud::start().await;
    let first = cloud.admin.send("CreateZone", json!({ "name": "z" })).await;
    let location = first.json()["location"].as_str().unwrap().to_owned();
    let path = location[location.find("/zstack").unwrap()..].to_owned();
    cloud.admin.settle(first).await.unwrap();
    cloud.restart().await;
    let again = cloud.nobody().raw("GET", &path, None).await;
    assert_eq!((again.status, &again.json()["inventory"]["name"]), (200, &json!("z")));
}

#[tokio::test]
async fn api_01_results_age_out() {
    let cloud = Cloud::start().await;
    let first = cloud.admin.send("CreateZone", json!({ "name": "z" })).await;
    let location = first.json()["location"].as_str().unwrap().to_owned();
    cloud.admin.settle(first).await.unwrap();
    let age = "UPDATE job SET done_ms = done_ms - 10801000";
    cloud.app().store.write(move |tx| tx.execute(age, &[])).await.unwrap();
    cloud
        .inside(|app| async move { cairn_server::platform::periodic::expire_jobs(&app).await })
        .await
        .unwrap();
    assert_eq!(cloud.nobody().raw("GET", &location, None).await.status, 404);
}

#[tokio::test]
async fn api_01_a_client_chooses_the_id_of_its_job_once() {
    let cloud = Cloud::start().await;
    let id = "9d2f4b6a8c0e41f3a5b7c9d1e3f50718";
    let api = cloud.admin.with("x-job-uuid", id);
    let first = api.send("CreateZone", json!({ "name": "z" })).await;
    assert!(first.json()["location"].as_str().unwrap().ends_with(id));
    api.settle(first).await.unwrap();
    let again = api.send("CreateZone", json!({ "name": "y" })).await;
    assert_eq!((again.status, again.json().is_null()), (400, true), "{}", again.text);
    assert_eq!(cloud.admin.list("QueryZone", &[]).await.len(), 1, "the second call did nothing");
    let short = cloud.admin.with("x-job-uuid", "abc").send("CreateZone", json!({ "name": "x" })).await;
    assert_eq!(short.status, 400);
}

#[tokio::test]
async fn api_01_a_chosen_uuid_has_the_form_of_one() {
    let cloud = Cloud::start().await;
    let zone = |uuid: &str| json!({ "name": "z", "resourceUuid": uuid });
    let uuid = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
    assert_eq!(cloud.admin.make("CreateZone", zone(uuid)).await["uuid"], uuid);
    assert_eq!(cloud.admin.fails("CreateZone", zone(uuid)).await.code(), "RES.8002");
    for bad in [
        "0F6F3C7BE3A94DCDB8B7F5B0C2A1D9E4",
        "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e",
        "zz6f3c7be3a94dcdb8b7f5b0c2a1d9e4",
        "../etc",
    ] {
        assert_eq!(cloud.admin.fails("CreateZone", zone(bad)).await.code(), "SYS.1007", "{bad}");
    }
}

#[tokio::test]
async fn api_01_a_failed_job_is_503_when_polled() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let mut vm = world.vm("vm");
    vm["memorySize"] = json!(1_i64 << 50);
    let first = cloud.admin.send("CreateVmInstance", vm).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let polled = cloud.admin.poll(first.json()["location"].as_str().unwrap()).await;
    assert_eq!((polled.status, polled.json().as_object().map(|o| o.len())), (503, Some(1)));
    assert_eq!(polled.code(), "VM.1000", "{}", polled.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_01_a_poll_that_prefers_to_wait_is_answered_when_the_job_ends() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    world.warm_up(&cloud.admin).await;
    cloud.machines.all().delay("vm.start", Duration::from_millis(700));
    let waiting = |seconds: &str| cloud.nobody().with("prefer", &format!("respond-async, wait={seconds}"));
    let first = cloud.admin.send("CreateVmInstance", world.vm("vm")).await;
    let location = first.json()["location"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let at_once = cloud.nobody().raw("GET", &location, None).await;
    assert_eq!(
        (at_once.status, begun.elapsed() < Duration::from_millis(500)),
        (202, true),
        "{:?}",
        begun.elapsed()
    );
    // `wait=0`, and what is no number of seconds, does not wait.
    for seconds in ["0", "soon"] {
        assert_eq!(waiting(seconds).raw("GET", &location, None).await.status, 202);
    }
    let done = waiting("20").raw("GET", &location, None).await;
    assert_eq!(
        (done.status, &done.json()["inventory"]["state"]),
        (200, &json!("Running")),
        "one poll is enough"
    );
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(15));
    // Nobody waits longer than he said.
    cloud.machines.all().delay("vm.stop", Duration::from_secs(3));
    let stop = json!({ "uuid": done.json()["inventory"]["uuid"] });
    let first = cloud.admin.send("StopVmInstance", stop).await;
    let location = first.json()["location"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    assert_eq!(waiting("1").raw("GET", &location, None).await.status, 202);
    assert!(begun.elapsed() >= Duration::from_millis(900) && begun.elapsed() < Duration::from_millis(2500));
    assert_eq!(waiting("20").raw("GET", &location, None).await.status, 200);
}
