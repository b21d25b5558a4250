//! L2 and L3 networks, addresses and services, on simulated hosts.

mod addresses;
mod deletion;
mod l2;
mod l3;
mod races;
mod ranges;
mod services;
mod strangers;

use std::time::{Duration, Instant};

use cairn_testkit::{Api, World};
use serde_json::{Value, json};

/// Waits until something holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn uuid(inventory: &Value) -> String {
    inventory["uuid"].as_str().expect("a uuid").to_owned()
}

/// A second L2 network of a world's zone.
async fn l2(api: &Api, world: &World, interface: &str) -> String {
    let params = json!({ "name": "l2", "zoneUuid": world.zone, "physicalInterface": interface });
    uuid(&api.make("CreateL2NoVlanNetwork", params).await)
}

/// Attaches an L2 network to a world's cluster.
fn to_cluster(world: &World, l2: &str) -> Value {
    json!({ "l2NetworkUuid": l2, "clusterUuid": world.cluster })
}

/// An L3 network without ranges and services.
async fn l3(api: &Api, l2: &str) -> String {
    uuid(&api.make("CreateL3Network", json!({ "name": "l3", "l2NetworkUuid": l2 })).await)
}

/// An L3 network with this CIDR.
async fn l3_of(api: &Api, l2: &str, cidr: &str) -> String {
    let l3 = l3(api, l2).await;
    let range = json!({ "l3NetworkUuid": l3, "name": "range", "networkCidr": cidr });
    api.ok("AddIpRangeByNetworkCidr", range).await;
    l3
}

/// Lets every account build on an L2 network.
async fn share_with_all(cloud: &cairn_testkit::Cloud, l2: &str) {
    cloud.admin.ok("ShareResource", json!({ "resourceUuids": [l2], "toPublic": true })).await;
}

/// Uuid of the provider of flat networks.
async fn flat(api: &Api) -> String {
    uuid(&api.list("QueryNetworkServiceProvider", &["type=Flat"]).await[0])
}
