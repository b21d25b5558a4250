//! A host for a VM out of 1,000,000. The hosts are rows of a generated SQLite file; the index is built from them, as the server
//! does at its start. Each choice is made by the server's own code in a write transaction, which judges the host by its rows
//! and takes its room with rows of a VM and of its volume. What is measured is the choice inside that transaction.

mod rows;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_server::compute::placement::{Ask, Candidate, Placement, choose_by};
use cairn_server::platform::{events, secrets::Secrets, settings::Settings, sums::Sums};
use cairn_store::{Store, Tx, params};
use cairn_types::{Fault, Id, code, kind};
use serde_json::{Value, json};

use self::rows::{Rows, uuid};
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::scale::scaled;
use crate::server::data_dir;

const HOSTS: usize = 1_000_000;
const OF_A_CLUSTER: usize = 1000;
const OF_A_TINY_CLUSTER: usize = 16;
const CALLERS: usize = 8;
const CHOICES: usize = 4000;
const REFUSALS: usize = 800;
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let hosts = scaled(HOSTS)?;
    let dir = data_dir()?;
    let path = dir.path().join("cairn.db");
    drop(Store::open(&path, 1).map_err(plain)?);
    let rows = Rows::open(&path, hosts)?;
    rows.write(hosts.div_ceil(OF_A_CLUSTER))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (title, all) = (if hosts == HOSTS { "1m".to_owned() } else { hosts.to_string() }, hosts);
    let mut put = |what: &str, sample: &Sample, how: &str| {
        let how = format!("{how}; {} by {CALLERS} at once, median {:.2} ms", sample.len(), sample.median());
        report.put_named(&format!("allocate_{title}{what}_p99_ms"), "ms", sample.quantile(0.99), how);
    };
    let bed = runtime.block_on(Bed::open(&path, all))?;
    let (build_s, build_mib) = (bed.build_s, bed.build_mib);
    put("", &runtime.block_on(bed.choices(CHOICES))?, "any of the hosts, all with room");
    let roomy = runtime.block_on(bed.refusals())?;
    drop(bed);
    interrupt::check()?;
    rows.fill()?;
    let bed = runtime.block_on(Bed::open(&path, all))?;
    // No more than a part of the room, so that all of it is nearly full throughout.
    put(
        "_full",
        &runtime.block_on(bed.choices(CHOICES.min(hosts / 100)))?,
        "one host in a thousand has room",
    );
    let mut refused = runtime.block_on(bed.refusals())?;
    refused.extend(roomy);
    put("_refused", &refused, "nobody fits: half for processors, all for memory; half of them nearly full");
    drop(bed);
    interrupt::check()?;
    rows.regroup(hosts.div_ceil(OF_A_TINY_CLUSTER))?;
    let bed = runtime.block_on(Bed::open(&path, all))?;
    let mut tiny = runtime.block_on(bed.choices(CHOICES.min(hosts / 100)))?;
    tiny.extend(runtime.block_on(bed.refusals())?);
    put("_tiny", &tiny, "clusters of 16 hosts, nearly full: 4,000 choices and 800 refusals");
    let how = format!("the index of {hosts} hosts from rows of a SQLite file on two cores");
    report.put_named(&format!("allocate_{title}_build_s"), "s", build_s, how);
    report.put_named(
        &format!("allocate_{title}_build_mib"),
        "MiB",
        build_mib,
        "what the process grew by, with caches",
    );
    Ok(())
}

fn plain(fault: Fault) -> anyhow::Error {
    anyhow::anyhow!("{fault}")
}

/// A database with the index of its hosts.
struct Bed {
    store: Store,
    placement: Placement,
    settings: Arc<Settings>,
    build_s: f64,
    build_mib: f64,
}

impl Bed {
    async fn open(path: &std::path::Path, hosts: usize) -> Result<Self> {
        let store = Store::open(path, 2).map_err(plain)?;
        let secrets = Secrets::open(&path.with_extension("key")).map_err(plain)?;
        let settings = Arc::new(Settings::load(&store, &secrets).await.map_err(plain)?);
        let (began, before) = (Instant::now(), resident_mib()?);
        let placement = Placement::start(&store, &Sums::start(&store)).await.map_err(plain)?;
        // Beside other work it may take longer than a creation would wait.
        while placement.ready().await.is_err() {
            interrupt::check()?;
            ensure!(began.elapsed() < PATIENCE, "the index was not built in {} s", PATIENCE.as_secs());
        }
        let (build_s, build_mib) = (began.elapsed().as_secs_f64(), resident_mib()? - before);
        ensure!(placement.hosts() == hosts, "the index has {} of {hosts} hosts", placement.hosts());
        Ok(Self { store, placement, settings, build_s, build_mib })
    }

    /// So many VMs of one processor, 1 GiB of memory and a volume of 10 GiB.
    async fn choices(&self, count: usize) -> Result<Sample> {
        let ask = ask(1, 1 << 30)?;
        self.many(count, move |bed| {
            let ask = Ask { vm: Some(Id::new()), ..ask.clone() };
            async move {
                let (took, found) = bed.choose(ask).await;
                found.map_err(plain)?;
                Ok(took)
            }
        })
        .await
    }

    /// VMs that no host can take: too much memory for any, and too many processors for half of them.
    async fn refusals(&self) -> Result<Sample> {
        let (ask, hosts) = (ask(400, 1 << 40)?, self.placement.hosts());
        self.many(REFUSALS, move |bed| {
            let ask = ask.clone();
            async move {
                let (took, found) = bed.choose(ask).await;
                let Err(fault) = found else { bail!("a host was found that can't be there") };
                ensure!(fault.code == code::NO_AVAILABLE_HOST, "{fault}");
                let why = fault.opaque.unwrap_or_default();
                ensure!(why["rejectedBy"]["memory"] == json!(hosts), "{}", why["rejectedBy"]);
                ensure!(why["candidates"].as_array().is_some_and(|c| !c.is_empty()), "examples are missing");
                Ok(took)
            }
        })
        .await
    }

    async fn many<F>(&self, count: usize, one: impl Fn(Self) -> F + Clone + Send + 'static) -> Result<Sample>
    where
        F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
    {
        let mut tasks = Vec::new();
        for _ in 0..CALLERS {
            let (bed, one) = (self.share(), one.clone());
            tasks.push(tokio::spawn(async move {
                let mut sample = Sample::default();
                for _ in 0..count.div_ceil(CALLERS) {
                    interrupt::check()?;
                    for took in one(bed.share()).await? {
                        sample.push(took);
                    }
                }
                anyhow::Ok(sample)
            }));
        }
        let mut all = Sample::default();
        for task in tasks {
            all.extend(task.await.context("a caller")??);
        }
        Ok(all)
    }

    fn share(&self) -> Self {
        Self {
            store: self.store.clone(),
            placement: self.placement.clone(),
            settings: self.settings.clone(),
            ..*self
        }
    }

    /// Chooses a host and takes its room; how long each choice took. There are several if the batch of writes that the first was
    /// in was taken back, because another in it failed: it is then made again.
    async fn choose(&self, ask: Ask) -> (Vec<Duration>, cairn_types::Result<()>) {
        let (placement, settings) = (self.placement.clone(), self.settings.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = self.store.write(move |tx| {
            let began = Instant::now();
            let found = choose_by(&placement, &settings, tx, &ask, false);
            let _ = sender.send(began.elapsed());
            take(tx, &found?, &ask)
        });
        let done = done.await;
        (receiver.try_iter().collect(), done)
    }
}

fn ask(cpu_num: i64, memory_bytes: i64) -> Result<Ask> {
    let bad = |_| anyhow::anyhow!("a uuid of the generated rows is none");
    Ok(Ask {
        cpu_num,
        memory_bytes,
        disk_bytes: 10 << 30,
        image: Some(uuid(4, 0).parse().map_err(bad)?),
        l3_networks: vec![uuid(6, 0).parse().map_err(bad)?],
        ..Ask::default()
    })
}

/// The rows and events by which a creation takes the room.
fn take(tx: &mut dyn Tx, found: &Candidate, ask: &Ask) -> cairn_types::Result<()> {
    let (vm, volume): (Id<kind::Vm>, Id<kind::Volume>) = (Id::new(), Id::new());
    let sql =
        "INSERT INTO vm_instance (uuid, name, host_uuid, memory_size, cpu_num, state, create_ms, last_op_ms)
               VALUES (?, 'vm', ?, ?, ?, 'Starting', 0, 0)";
    tx.execute(sql, params![vm, found.host, ask.memory_bytes, ask.cpu_num])?;
    let sql = "INSERT INTO local_storage_resource_ref (resource_uuid, primary_storage_uuid, host_uuid, resource_type, size, create_ms,
               last_op_ms) VALUES (?, ?, ?, 'VolumeVO', ?, 0, 0)";
    tx.execute(sql, params![volume, found.storage, found.host, ask.disk_bytes])?;
    let data: Value = json!({ "hostUuid": found.host });
    events::write(tx, None, "VmInstanceVO", &vm.to_string(), "created", &data)
}

/// Memory of this process.
fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
