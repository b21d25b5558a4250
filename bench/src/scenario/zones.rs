//! Zones by many clients at once. Each client sends the call, polls its job until it is done, and begins the next at
//! once; a creation is the time from the call to the answer that holds the zone. Its row is on disk by then: the server
//! answers after the COMMIT, and the database syncs at every COMMIT.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::Client;
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::server::{Server, data_dir};

const CLIENTS: usize = 50;
/// Creations of each client that are not counted, and those that are.
const WARM_UP: usize = 20;
const COUNTED: usize = 200;

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let dir = data_dir()?;
    let server = Server::start(dir.path())?;
    let session = server.admin()?.session().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let alone = runtime.block_on(run(&server, &session, "alone", 1))?;
    let many = runtime.block_on(run(&server, &session, "zone", CLIENTS))?;
    verify(&server, (1 + CLIENTS) * (WARM_UP + COUNTED))?;
    let how = |share: &str| {
        format!("{share} of {} creations by {CLIENTS} clients without pause", many.sample.len())
    };
    let rate = many.sample.len() as f64 / many.took.as_secs_f64();
    report.put(
        "zone_create_p50_ms",
        many.sample.median(),
        format!(
            "{}; {rate:.0} creations/s, {:.0} us of the server's processors each; {:.2} ms with one client",
            how("median"),
            many.processor_us,
            alone.sample.median()
        ),
    );
    report.put("zone_create_p99_ms", many.sample.quantile(0.99), how("99 %"));
    Ok(())
}

struct Outcome {
    sample: Sample,
    took: Duration,
    /// Processor time of the server for each creation.
    processor_us: f64,
}

async fn run(server: &Server, session: &str, prefix: &str, clients: usize) -> Result<Outcome> {
    create(server, session, &format!("{prefix}-warm"), clients, WARM_UP).await?;
    let (began, processor_s) = (Instant::now(), server.processor_s()?);
    let sample = create(server, session, prefix, clients, COUNTED).await?;
    let processor_us = (server.processor_s()? - processor_s) * 1e6 / sample.len() as f64;
    Ok(Outcome { sample, took: began.elapsed(), processor_us })
}

async fn create(server: &Server, session: &str, prefix: &str, clients: usize, each: usize) -> Result<Sample> {
    let mut tasks = Vec::new();
    for n in 0..clients {
        let mut client = Client::connect(server.address, session).await?;
        let name = format!("{prefix}-{n}");
        tasks.push(tokio::spawn(async move { one_client(&mut client, &name, each).await }));
    }
    let mut all = Sample::default();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

async fn one_client(client: &mut Client, name: &str, count: usize) -> Result<Sample> {
    let mut sample = Sample::default();
    for n in 0..count {
        interrupt::check()?;
        let body = format!(r#"{{"params":{{"name":"{name}-{n}"}}}}"#);
        let began = Instant::now();
        let done = client.finish("POST", "/zstack/v1/zones", &body, Duration::from_millis(1)).await?;
        sample.push(began.elapsed());
        ensure!(done.pointer("/inventory/uuid").is_some(), "a creation ended without a zone: {done}");
    }
    Ok(sample)
}

/// Every zone that was answered is there.
fn verify(server: &Server, expected: usize) -> Result<()> {
    let answer = server.admin()?.call("GET", "/zones?count=true", None)?;
    let total = answer["total"].as_u64().context("a count of zones")?;
    ensure!(total == expected as u64, "{expected} zones were made and {total} are there");
    Ok(())
}
