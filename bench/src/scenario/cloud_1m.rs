//! A cloud of 1,000,000 hosts and 1,000,000 VMs. Its rows are those of a host and a VM that the API made, cloned by
//! `cairn-load`; a test shows that they can't be told from others. The VMs are off and the agents of their hosts away: the figures
//! are about rows. Creations go on 1000 hosts in a cluster of their own, whose simulated agents are there all the time; the server finds
//! those hosts among all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::Api;
use cairn_load::Size;
use cairn_store::Store;
use serde_json::{Value, json};

use crate::http::Client;
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::scale::scaled;
use crate::server::{Server, data_dir, free_address};
use crate::simulation::wait_connected;
use crate::world::{Network, World, uuid};

const FULL: usize = 1_000_000;
/// Hosts on which VMs are made.
const LIVE: usize = 1000;
/// Clients that make VMs, VMs that are not counted, and VMs that are.
const CREATIONS: (usize, usize, usize) = (100, 300, 3000);
/// Queries of each kind: not counted, and counted.
const QUERIES: (usize, usize) = (50, 1000);
/// The same of pages that begin anywhere.
const DEEP: (usize, usize) = (5, 100);
/// VMs of a page.
const PAGE: usize = 100;
/// A server that catches up after its start gets so long before queries are measured.
const CATCH_UP: Duration = Duration::from_secs(180);
/// The loaded networks have 4,096 addresses each, a cluster 1,000 hosts.
const SITE: Network = ("10.0.0.2", "10.0.15.250", "255.255.240.0", "10.0.0.1");
const LIVE_NETWORK: Network = ("172.16.0.2", "172.16.255.250", "255.255.0.0", "172.16.0.1");

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let (dir, agents, size) = (data_dir()?, free_address()?, scaled(FULL)?);
    let server = Server::start_at(dir.path(), agents, Duration::from_secs(30))?;
    let api = server.admin()?;
    let (template, world) = worlds(&api, dir.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench =
        Bench { session: api.session().to_owned(), world: Arc::new(world), made: AtomicUsize::new(0), size };
    eprintln!("  creating VMs with {LIVE} hosts in the database");
    let before = runtime.block_on(bench.creations(&server))?;
    drop(server);
    bench.load(report, dir.path(), &template)?;
    let server = bench.restart(report, &runtime, dir.path(), agents)?;
    let calm = wait_calm(&server)?;
    runtime.block_on(bench.queries(report, &server, calm))?;
    wait_connected(&server.admin()?, LIVE, CATCH_UP, || Ok(()))?;
    eprintln!("  creating VMs with {size} hosts more");
    let after = runtime.block_on(bench.creations(&server))?;
    let how = format!(
        "{after:.0} VMs a second by {} clients with {size} hosts and VMs more in the database, {before:.0} without them. They are made \
         on {LIVE} hosts with agents in a cluster of their own; the others are in other clusters and their agents away. So this is what \
         a large database costs; what a choice among a million hosts costs, allocate_1m_p99_ms says",
        CREATIONS.0
    );
    bench.put(report, "create_rate_1m_vs_1k_pct", "%", after / before * 100.0, how);
    let how = format!("resident memory of the server after all this; {size} hosts and VMs in the database");
    bench.put(report, "server_mib_1m_vms", "MiB", server.memory_mib()?.0, how);
    Ok(())
}

/// A VM that is off, alone in a zone, on a host whose agent is away: the template. And a zone with hosts for creations.
fn worlds(api: &Api, dir: &Path) -> Result<(String, World)> {
    let folder = |name: &str| {
        let path = dir.join(name);
        std::fs::create_dir(&path).map(|()| path)
    };
    let site = World::with_network(api, &folder("template")?, 1, SITE)?;
    let mut params = site.vm.clone();
    params["name"] = json!("template");
    let vm = uuid(&api.post("/vm-instances", params)?)?;
    api.act(&format!("/vm-instances/{vm}/actions"), "stopVmInstance", json!({}))?;
    let world = site.move_on(api, &folder("live")?, LIVE, LIVE_NETWORK)?;
    // Its agent ended a while ago: only the hosts of the other zone are Connected.
    wait_connected(api, LIVE, CATCH_UP, || Ok(()))?;
    Ok((vm, world))
}

/// Waits until the server has nothing to do; how long that took.
fn wait_calm(server: &Server) -> Result<Duration> {
    let began = Instant::now();
    loop {
        interrupt::check()?;
        let before = server.processor_s()?;
        std::thread::sleep(Duration::from_secs(1));
        if server.processor_s()? - before < 0.15 || began.elapsed() > CATCH_UP {
            return Ok(began.elapsed());
        }
    }
}

struct Bench {
    session: String,
    world: Arc<World>,
    made: AtomicUsize,
    size: usize,
}

impl Bench {
    /// A figure of the full size has the name of the table; one of another size does not.
    fn put(&self, report: &mut Report, name: &str, unit: &str, value: f64, how: String) {
        eprintln!("  {name}: {value:.2} {unit}: {how}");
        let name = match self.size {
            FULL => name.to_owned(),
            size => format!("{name} (of {size})"),
        };
        report.put_named(&name, unit, value, how);
    }

    fn load(&self, report: &mut Report, dir: &Path, template: &str) -> Result<()> {
        eprintln!("  loading {} hosts and VMs", self.size);
        let file = dir.join("data/cairn.db");
        let store = Store::open(&file, 1)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let size = Size { hosts: self.size, vms: self.size, ..Size::default() };
        let began = Instant::now();
        let told = |what: &str, count: usize| {
            eprintln!("  {count} {what} after {:.1} s", began.elapsed().as_secs_f64());
        };
        let rows = runtime.block_on(cairn_load::load(&store, template, size, told))?;
        let took = began.elapsed().as_secs_f64();
        drop((store, runtime));
        let mib = std::fs::metadata(&file)?.len() >> 20;
        self.put(
            report,
            "load_1m_s",
            "s",
            took,
            format!("{rows} rows by cairn-load; the database has {mib} MiB"),
        );
        Ok(())
    }

    fn restart(
        &self,
        report: &mut Report,
        runtime: &tokio::runtime::Runtime,
        dir: &Path,
        agents: std::net::SocketAddr,
    ) -> Result<Server> {
        let began = Instant::now();
        let server = Server::start_at(dir, agents, Duration::from_secs(600))?;
        let first = runtime.block_on(async {
            let mut client = Client::connect(server.address, &self.session).await?;
            let path = format!("/zstack/v1/vm-instances?q=name={}", name(self.size / 2));
            one_found(&client.send("GET", &path, "").await?.json()?)?;
            anyhow::Ok(began.elapsed())
        })?;
        let how = format!(
            "from the start of the process to the answer of a query of a VM by name; {:.2} s to the first answer of any; the file was \
             written just before and is warm in the page cache",
            server.took.as_secs_f64()
        );
        self.put(report, "restart_1m_s", "s", first.as_secs_f64(), how);
        Ok(server)
    }

    async fn queries(&self, report: &mut Report, server: &Server, calm: Duration) -> Result<()> {
        let mut client = Client::connect(server.address, &self.session).await?;
        // All names are different ones as long as there are enough VMs.
        let nth = |n: usize| name(n * 7919 % self.size);
        let asked = (QUERIES.0 + QUERIES.1).min(self.size);
        let mut addresses = Vec::new();
        for n in 0..asked {
            let path = format!("/zstack/v1/vm-instances?q=name={}", nth(n));
            let vm = one_found(&client.send("GET", &path, "").await?.json()?)?;
            addresses.push(vm["vmNics"][0]["ip"].as_str().context("an address")?.to_owned());
        }
        let one = |v: &Value| one_found(v).map(|_| ());
        let by_name = self.ask(&mut client, QUERIES, |n| format!("q=name={}", nth(asked + n)), one).await?;
        let by_ip = |n: usize| format!("q=vmNics.ip={}", addresses[n % addresses.len()]);
        let nested = self.ask(&mut client, QUERIES, by_ip, one).await?;
        let (pages, deep) = self.pages(&mut client, |_| "").await?;
        let sorts = ["-createDate", "%2BcreateDate", "%2Bname", "-name"];
        let (sorted, deep_sorted) = self.pages(&mut client, |n| sorts[n % sorts.len()]).await?;
        for (name, sample, what, deep) in [
            ("query_name_1m_p99_ms", by_name, "of VMs by names that were not asked for before", None),
            ("query_nested_1m_p99_ms", nested, "of VMs, each read once before, by vmNics.ip", None),
            (
                "query_page_1m_p99_ms",
                pages,
                "of the first ten pages of 100 VMs, with the number of all",
                Some(deep),
            ),
            (
                "query_sorted_1m_p99_ms",
                sorted,
                "of the same sorted by createDate and name, up and down",
                Some(deep_sorted),
            ),
        ] {
            let how = format!(
                "99 % of {} queries {what} by one client; median {:.2} ms{}; begun {:.0} s after the restart",
                sample.len(),
                sample.median(),
                deep.map_or(String::new(), |d| deep_text(&d)),
                calm.as_secs_f64()
            );
            self.put(report, name, "ms", sample.quantile(0.99), how);
        }
        Ok(())
    }

    /// The first ten pages, again and again, and pages that begin anywhere.
    async fn pages(
        &self,
        client: &mut Client,
        sort: impl Fn(usize) -> &'static str,
    ) -> Result<(Sample, Sample)> {
        let all = self.size;
        let check = |v: &Value| {
            let (rows, total) = (v["inventories"].as_array().map_or(0, Vec::len), v["total"].as_u64());
            let is_whole = rows == PAGE && total.is_some_and(|t| t > all as u64);
            ensure!(is_whole, "a page of {rows} rows, {total:?} in all");
            Ok(())
        };
        let page = |n: usize, start: usize| {
            let by = Some(sort(n)).filter(|s| !s.is_empty()).map_or(String::new(), |s| format!("&sort={s}"));
            format!("limit={PAGE}&start={start}&replyWithCount=true{by}")
        };
        let first = self.ask(client, QUERIES, |n| page(n, n % 10 * PAGE), check).await?;
        let anywhere = |n: usize| page(n, n * 104_729 % all.saturating_sub(PAGE).max(1));
        let deep = self.ask(client, DEEP, anywhere, check).await?;
        Ok((first, deep))
    }

    /// Times of queries: those not counted, then those that are.
    async fn ask(
        &self,
        client: &mut Client,
        (warm_up, counted): (usize, usize),
        query: impl Fn(usize) -> String,
        check: impl Fn(&Value) -> Result<()>,
    ) -> Result<Sample> {
        let mut sample = Sample::default();
        for n in 0..warm_up + counted {
            interrupt::check()?;
            let path = format!("/zstack/v1/vm-instances?{}", query(n));
            let began = Instant::now();
            let answer = client.send("GET", &path, "").await?;
            let took = began.elapsed();
            ensure!(answer.status == 200, "{path}: {}", String::from_utf8_lossy(answer.body));
            check(&answer.json()?)?;
            if n >= warm_up {
                sample.push(took);
            }
        }
        Ok(sample)
    }

    /// VMs a second.
    async fn creations(&self, server: &Server) -> Result<f64> {
        let (clients, warm_up, counted) = CREATIONS;
        self.create(server, warm_up, clients).await?;
        let counted = scaled(counted)?.max(clients);
        let began = Instant::now();
        self.create(server, counted, clients).await?;
        Ok(counted as f64 / began.elapsed().as_secs_f64())
    }

    async fn create(&self, server: &Server, vms: usize, clients: usize) -> Result<()> {
        let first = self.made.load(Ordering::Relaxed);
        let (next, end) = (Arc::new(AtomicUsize::new(first)), first + vms);
        let mut tasks = Vec::new();
        for _ in 0..clients {
            let mut client = Client::connect(server.address, &self.session).await?;
            let (next, world) = (next.clone(), self.world.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    interrupt::check()?;
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= end {
                        return anyhow::Ok(());
                    }
                    let body = world.creation(&format!("new-{n}"));
                    let done = client.finish_waiting("POST", "/zstack/v1/vm-instances", &body).await?;
                    let state = done.pointer("/inventory/state").and_then(Value::as_str);
                    ensure!(state == Some("Running"), "a creation ended without a running VM: {done}");
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        self.made.store(end, Ordering::Relaxed);
        Ok(())
    }
}

/// The name of a loaded VM.
fn name(n: usize) -> String {
    format!("vm-{:07}", n + 1)
}

/// What pages that begin anywhere take.
fn deep_text(sample: &Sample) -> String {
    let (median, most) = (sample.median(), sample.quantile(0.99));
    format!("; {} pages that begin anywhere: median {median:.2} ms, 99 % {most:.2} ms", sample.len())
}

/// The only inventory of an answer.
fn one_found(answer: &Value) -> Result<Value> {
    match answer["inventories"].as_array().map(Vec::as_slice) {
        Some([one]) => Ok(one.clone()),
        _ => anyhow::bail!("not one VM: {answer}"),
    }
}
