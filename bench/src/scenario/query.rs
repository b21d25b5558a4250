//! One VM by uuid, by one client, on a database with thousands of VMs, each with a volume, a NIC and an address. They are
//! made through the API on simulated hosts, so the rows are those of any installation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http::Client;
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::server::{Server, data_dir};
use crate::world::World;

const VMS: usize = 2000;
/// Enough for all VMs.
const HOSTS: usize = 25;
const MAKERS: usize = 20;
const WARM_UP: usize = 200;
const COUNTED: usize = 5000;

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let dir = data_dir()?;
    let server = Server::start(dir.path())?;
    let api = server.admin()?;
    let world = Arc::new(World::build(&api, dir.path(), HOSTS)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let vms = runtime.block_on(make_vms(&server, api.session(), &world))?;
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

async fn make_vms(server: &Server, session: &str, world: &Arc<World>) -> Result<Vec<String>> {
    let mut tasks = Vec::new();
    for maker in 0..MAKERS {
        let mut client = Client::connect(server.address, session).await?;
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            let mut made = Vec::new();
            for n in 0..VMS / MAKERS {
                interrupt::check()?;
                let body = world.creation(&format!("vm-{maker}-{n}"));
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
