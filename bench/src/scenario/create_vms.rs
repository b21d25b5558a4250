//! Virtual machines by many clients at once, over simulated hosts in a process of their own, on a durable database. Each client sends the call and polls
//! its job until the answer holds a VM that is Running; then it makes the next one. A poll says `Prefer: wait=30`, so that the
//! server answers when the job ends. The time of a round is that from the first call to the last such answer.
//!
//! The publishers of ZStack give figures for the same: 100 threads against one server; the run itself is not shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::Client;
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::scale::scaled;
use crate::server::{Server, data_dir};
use crate::world::World;

const HOSTS: usize = 1000;
/// Rounds: how many VMs, by how many clients, how often, and what ZStack's publishers give for it.
const ROUNDS: &[(usize, usize, usize, &str)] = &[
    (1, 1, 5, "0.51 s"),
    (10, 10, 5, "1.55 s"),
    (100, 100, 3, "11.33 s"),
    (1000, 100, 1, "103 s"),
    (10_000, 100, 1, "23 min"),
];
/// Clients, VMs that are not counted, and VMs that are, for the platform's share.
const CALM: (usize, usize, usize) = (10, 200, 2000);
/// Between the queries that run beside creations.
const QUERY: Duration = Duration::from_millis(10);

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let dir = data_dir()?;
    let server = Server::start(dir.path())?;
    let api = server.admin()?;
    let hosts = scaled(HOSTS)?;
    eprintln!("  adding {hosts} simulated hosts");
    let world = Arc::new(World::build(&api, dir.path(), hosts)?);
    let bench =
        Bench { server: &server, session: api.session().to_owned(), world, made: AtomicUsize::new(0) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (vms, clients, times, theirs) in ROUNDS {
        runtime.block_on(bench.round(report, hosts, (*vms, *clients, *times), theirs))?;
    }
    runtime.block_on(bench.calm(report))?;
    let made = bench.made.load(Ordering::Relaxed);
    let answer = api.call("GET", "/vm-instances?q=state=Running&count=true", None)?;
    let total = answer["total"].as_u64().context("a count of VMs")?;
    ensure!(total == made as u64, "{made} VMs were said to run, and {total} do");
    Ok(())
}

struct Bench<'s> {
    server: &'s Server,
    session: String,
    world: Arc<World>,
    made: AtomicUsize,
}

/// What one round measured.
struct Outcome {
    took: Duration,
    each: Sample,
    /// Processor time of the server for each VM, in ms.
    processor_ms: f64,
    /// The same of the process that plays the hosts.
    hosts_ms: f64,
}

impl Bench<'_> {
    async fn round(
        &self,
        report: &mut Report,
        hosts: usize,
        (full, clients, times): (usize, usize, usize),
        theirs: &str,
    ) -> Result<()> {
        // Only the largest rounds are scaled down.
        let vms = if full >= 1000 { scaled(full)? } else { full };
        let (mut all, mut each, mut queries) = (Sample::default(), Sample::default(), Sample::default());
        let (mut processor, mut of_hosts) = (Sample::default(), Sample::default());
        for _ in 0..times {
            let asking = Arc::new(AtomicBool::new(true));
            let query = self.ask(asking.clone()).await?;
            let outcome = self.create(vms, clients.min(vms)).await?;
            asking.store(false, Ordering::Relaxed);
            queries.extend(query.await??);
            all.push_value(outcome.took.as_secs_f64());
            processor.push_value(outcome.processor_ms);
            of_hosts.push_value(outcome.hosts_ms);
            each.extend(outcome.each);
        }
        let how = format!(
            "{vms} VMs by {} clients on {hosts} hosts, all Running; {:.0} a second; {:.2} ms of the server's processors each, {:.2} of the hosts'; one took {:.0} ms (50 %), {:.0} ms (99 %); ZStack publishes {theirs}",
            clients.min(vms),
            vms as f64 / all.median(),
            processor.median(),
            of_hosts.median(),
            each.median(),
            each.quantile(0.99),
        );
        eprintln!("  {:.2} s: {how}", all.median());
        let name = match full {
            _ if vms != full => format!("create_{vms}_of_{full}"),
            10_000 => format!("create_{full}_vms_s"),
            _ => format!("create_{full}_vm_s"),
        };
        report.put_named(&name, "s", all.median(), how);
        if full == 10_000 {
            let how = format!(
                "99 % of {} queries of one VM by uuid beside {vms} creations by {clients} clients; median {:.1} ms",
                queries.len(),
                queries.median()
            );
            report.put("query_load_p99_ms", queries.quantile(0.99), how);
        }
        Ok(())
    }

    /// The platform's share of a creation: simulated hosts take no time.
    async fn calm(&self, report: &mut Report) -> Result<()> {
        let (clients, warm_up, counted) = CALM;
        self.create(warm_up, clients).await?;
        let outcome = self.create(scaled(counted)?.max(clients), clients).await?;
        let how = |share: &str| {
            format!(
                "{share} of {} creations by {clients} clients without pause, from the call to Running; {:.0} a second; {:.2} ms of the server's processors each, {:.2} of the hosts'",
                outcome.each.len(),
                outcome.each.len() as f64 / outcome.took.as_secs_f64(),
                outcome.processor_ms,
                outcome.hosts_ms
            )
        };
        report.put("vm_create_p50_ms", outcome.each.median(), how("median"));
        report.put("vm_create_p99_ms", outcome.each.quantile(0.99), how("99 %"));
        Ok(())
    }

    async fn create(&self, vms: usize, clients: usize) -> Result<Outcome> {
        let first = self.made.load(Ordering::Relaxed);
        let next = Arc::new(AtomicUsize::new(first));
        let end = first + vms;
        let mut ready = Vec::new();
        for _ in 0..clients {
            ready.push(Client::connect(self.server.address, &self.session).await?);
        }
        let before = (self.server.processor_s()?, self.world.simulation.processor_s()?);
        let began = Instant::now();
        let mut tasks = Vec::new();
        for mut client in ready {
            let (next, world) = (next.clone(), self.world.clone());
            tasks.push(tokio::spawn(async move {
                let mut each = Sample::default();
                loop {
                    interrupt::check()?;
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= end {
                        return anyhow::Ok(each);
                    }
                    each.push(one(&mut client, &world, n).await?);
                }
            }));
        }
        let mut each = Sample::default();
        for task in tasks {
            each.extend(task.await??);
        }
        let took = began.elapsed();
        self.made.store(end, Ordering::Relaxed);
        let ms_each = |now: f64, before: f64| (now - before) * 1000.0 / vms as f64;
        let processor_ms = ms_each(self.server.processor_s()?, before.0);
        let hosts_ms = ms_each(self.world.simulation.processor_s()?, before.1);
        Ok(Outcome { took, each, processor_ms, hosts_ms })
    }

    /// Asks for one VM again and again, beside whatever else goes on.
    async fn ask(&self, asking: Arc<AtomicBool>) -> Result<tokio::task::JoinHandle<Result<Sample>>> {
        let mut client = Client::connect(self.server.address, &self.session).await?;
        let path = "/zstack/v1/vm-instances?limit=1&sort=-createDate&fields=uuid";
        let newest = client.send("GET", path, "").await?.json()?;
        let uuid = newest.pointer("/inventories/0/uuid").and_then(|v| v.as_str()).unwrap_or("0").to_owned();
        Ok(tokio::spawn(async move {
            let path = format!("/zstack/v1/vm-instances/{uuid}");
            let mut sample = Sample::default();
            while asking.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = client.send("GET", &path, "").await?;
                ensure!(answer.status == 200, "a query beside creations: {}", answer.status);
                sample.push(began.elapsed());
                tokio::time::sleep(QUERY).await;
            }
            Ok(sample)
        }))
    }
}

/// Makes one VM; the time from the call to the answer that holds it Running.
async fn one(client: &mut Client, world: &World, n: usize) -> Result<Duration> {
    let body = world.creation(&format!("vm-{n}"));
    let began = Instant::now();
    let done = client.finish_waiting("POST", "/zstack/v1/vm-instances", &body).await?;
    let took = began.elapsed();
    let state = done.pointer("/inventory/state").and_then(|v| v.as_str());
    ensure!(state == Some("Running"), "a creation ended without a running VM: {done}");
    Ok(took)
}
