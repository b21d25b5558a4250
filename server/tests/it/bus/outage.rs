//! A server goes on without its bus and takes it up again.

use std::time::Duration;

use cairn_testkit::{Api, Cloud, NatsServer};
use serde_json::json;

use super::Stage;

async fn until_health_is(api: &Api, wanted: &str) {
    let mut last = String::new();
    for _ in 0..200 {
        last = api.raw("GET", "/health", None).await.json()["messageBus"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if last == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the bus is {last}, not {wanted}");
}

#[tokio::test]
async fn api_02_the_server_goes_on_without_its_bus_and_comes_back_to_it() {
    let Some(mut stage) = Stage::set().await else { return };
    let admin = stage.cloud.admin.clone();
    until_health_is(&admin, "connected").await;
    stage.nats.stop();
    until_health_is(&admin, "reconnecting").await;
    admin.ok("CreateZone", json!({ "name": "meanwhile" })).await;
    let metrics = admin.raw("GET", "/metrics", None).await.text;
    assert!(metrics.contains("cairn_bus_connected 0"), "{metrics}");
    stage.nats.start_again();
    until_health_is(&admin, "connected").await;
    stage.until_answered().await;
    let zones = stage.call("QueryZone", json!({})).await;
    assert_eq!(zones["body"]["inventories"][0]["name"], "meanwhile");
    assert!(admin.raw("GET", "/metrics", None).await.text.contains("cairn_bus_connected 1"));
}

#[tokio::test]
async fn api_02_a_server_starts_while_its_bus_is_down() {
    let Some(mut nats) = NatsServer::start() else { return };
    nats.stop();
    let cloud = Cloud::on_bus(Some(nats.address()), |_| ()).await;
    until_health_is(&cloud.admin, "reconnecting").await;
    cloud.admin.ok("CreateZone", json!({ "name": "z" })).await;
    nats.start_again();
    until_health_is(&cloud.admin, "connected").await;
}

#[tokio::test]
async fn api_02_without_a_bus_there_is_none() {
    let cloud = Cloud::start().await;
    let health = cloud.nobody().raw("GET", "/health", None).await.json();
    assert_eq!((health["ready"].as_bool(), health["messageBus"].as_str()), (Some(true), Some("off")));
    assert!(!cloud.nobody().raw("GET", "/metrics", None).await.text.contains("cairn_bus"));
}
