//! One VM by uuid, by one client, on a database with thousands of VMs, each with a volume, a NIC and an address. They are
//! made through the API on simulated hosts, so the rows are those of any installation.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::Api;
use serde_json::{Value, json};

use crate::http::Client;
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::server::{Server, data_dir};

const VMS: usize = 2000;
const MAKERS: usize = 20;
const WARM_UP: usize = 200;
const COUNTED: usize = 5000;

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let dir = data_dir()?;
    let server = Server::start(dir.path())?;
    let api = server.admin()?;
    let template = first_resources(&api)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let vms = runtime.block_on(make_vms(&server, api.session(), &template))?;
    let sample = runtime.block_on(ask(&server, api.session(), &vms))?;
    let how = format!(
        "median of {} queries by one client, {} VMs in the database; 99 %: {:.2} ms",
        sample.len(),
        vms.len(),
        sample.quantile(0.99)
    );
    report.put("query_uuid_p50_ms", sample.median(), how);
    Ok(())
}

async fn ask(server: &Server, session: &str, vms: &[String]) -> Result<Sample> {
    let mut client = Client::connect(server.address, session).await?;
    let mut sample = Sample::default();
    for n in 0..WARM_UP + COUNTED {
        interrupt::check()?;
        // A step that shares no factor with the count visits all of them, in no order that a cache likes.
        let uuid = &vms[n * 997 % vms.len()];
        let path = format!("/zstack/v1/vm-instances/{uuid}");
        let began = Instant::now();
        let answer = client.send("GET", &path, "").await?;
        let took = began.elapsed();
        ensure!(answer.status == 200 && contains(answer.body, uuid), "VM {uuid} was not found");
        if n >= WARM_UP {
            sample.push(took);
        }
    }
    Ok(sample)
}

fn contains(body: &[u8], uuid: &str) -> bool {
    body.windows(uuid.len()).any(|w| w == uuid.as_bytes())
}

async fn make_vms(server: &Server, session: &str, template: &Value) -> Result<Vec<String>> {
    let mut tasks = Vec::new();
    for maker in 0..MAKERS {
        let mut client = Client::connect(server.address, session).await?;
        let mut params = template.clone();
        tasks.push(tokio::spawn(async move {
            let mut made = Vec::new();
            for n in 0..VMS / MAKERS {
                interrupt::check()?;
                params["name"] = json!(format!("vm-{maker}-{n}"));
                let body = json!({ "params": params }).to_string();
                let done =
                    client.finish("POST", "/zstack/v1/vm-instances", &body, Duration::from_millis(5)).await?;
                made.push(
                    done.pointer("/inventory/uuid").and_then(Value::as_str).context("a VM")?.to_owned(),
                );
            }
            anyhow::Ok(made)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// A simulated world with room for all VMs; gives the parameters of a VM in it.
fn first_resources(api: &Api) -> Result<Value> {
    let uuid = |v: Value| v["uuid"].as_str().unwrap_or_default().to_owned();
    let zone = uuid(api.post("/zones", json!({ "name": "zone" }))?);
    let cluster = json!({ "name": "cluster", "zoneUuid": zone, "hypervisorType": "Simulator" });
    let cluster = uuid(api.post("/clusters", cluster)?);
    let huge: i64 = 1 << 50;
    let storage = json!({ "name": "storage", "zoneUuid": zone, "url": "sim://storage", "totalCapacity": huge,
        "availableCapacity": huge, "totalPhysicalCapacity": huge, "availablePhysicalCapacity": huge });
    let storage = uuid(api.post("/primary-storage/simulators", storage)?);
    api.post(&format!("/clusters/{cluster}/primary-storage/{storage}"), json!({}))?;
    for n in 1..=10 {
        let host = json!({ "name": format!("h{n}"), "clusterUuid": cluster, "managementIp": format!("10.0.0.{n}"),
            "memoryCapacity": 1_i64 << 42, "cpuCapacity": 1_000_000 });
        let host = uuid(api.post("/hosts/simulators", host)?);
        api.wait_field("/hosts", &host, "status", "Connected", Duration::from_secs(30))?;
    }
    let store =
        json!({ "name": "images", "url": "sim://images", "totalCapacity": huge, "availableCapacity": huge });
    let store = uuid(api.post("/backup-storage/simulators", store)?);
    api.post(&format!("/zones/{zone}/backup-storage/{store}"), json!({}))?;
    let image = json!({ "name": "image", "url": "sim://size=1G&actual=20M&format=qcow2", "format": "qcow2",
        "mediaType": "RootVolumeTemplate", "platform": "Linux", "backupStorageUuids": [store] });
    let image = uuid(api.post("/images", image)?);
    let offering = json!({ "name": "tiny", "cpuNum": 1, "memorySize": 128 << 20 });
    let offering = uuid(api.post("/instance-offerings", offering)?);
    let l3 = network(api, &zone, &cluster)?;
    Ok(json!({ "name": "", "instanceOfferingUuid": offering, "imageUuid": image, "l3NetworkUuids": [l3] }))
}

fn network(api: &Api, zone: &str, cluster: &str) -> Result<String> {
    let uuid = |v: Value| v["uuid"].as_str().unwrap_or_default().to_owned();
    let l2 = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": "eth0" });
    let l2 = uuid(api.post("/l2-networks/no-vlan", l2)?);
    api.post(&format!("/l2-networks/{l2}/clusters/{cluster}"), json!({}))?;
    let l3 = uuid(api.post("/l3-networks", json!({ "name": "flat", "l2NetworkUuid": l2 }))?);
    let range = json!({ "name": "range", "startIp": "10.8.0.2", "endIp": "10.8.255.250", "netmask": "255.255.0.0",
        "gateway": "10.8.0.1" });
    api.post(&format!("/l3-networks/{l3}/ip-ranges"), range)?;
    Ok(l3)
}
