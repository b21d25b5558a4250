//! Connects the hosts of one connection together. To a host with nothing to compare it costs two commands and a share of a
//! transaction, where [`ConnectHost`](super::connect::ConnectHost) writes its journal and its rows step by step (OPS-15).
//!
//! - The queue of each host is held meanwhile ([`Engine::try_hold`](cairn_workflow::Engine::try_hold)), so that no run is at
//!   work on it. A host whose queue is taken is left to a run of its own behind the one that has it.
//! - Nothing is noted in the journal: what is sent to a host may be sent again, and its rows change in one transaction, from
//!   what they were to Connected. After a crash nothing is half done, the agent dials in and all of it begins anew.
//! - A host that fails, is slow or has commands waiting is handed to [`ConnectHost`](super::connect::ConnectHost), which has
//!   the patience and says what is wrong. Nobody else waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::AgentOp;
use cairn_api::agent::host::{HostFacts, ReadHostFacts};
use cairn_api::agent::vm::{ListVms, VmOnHost};
use cairn_store::{Tx, Value as Sql, params};
use cairn_types::state::Status;
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::Hold;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::{ENTITY, capacity, store};
use crate::agents::CallOptions;
use crate::app::App;
use crate::compute::vm::track;
use crate::hardware::watch;
use crate::network::apply::{self, OfCluster};
use crate::platform::{events, stuck};
use crate::storage::connect::{self as storages, Measured};
use crate::storage::primary_storage::Storage;

type Host = Id<kind::Host>;

/// Hosts that are asked at the same time, and at most written in one transaction.
const AT_ONCE: usize = 250;
/// A host that takes longer over a command gets a run of its own.
const PATIENCE: Duration = Duration::from_secs(10);
/// Transactions of one connection that wait for the disk at the same time.
const WRITES: usize = 8;
/// Answers that come within this time are written together.
const GATHER: Duration = Duration::from_millis(5);

/// Connects hosts that one connection serves.
pub async fn connect(app: &Arc<App>, hosts: &[Host]) {
    let Ok(_turn) = app.hardware.turns.acquire().await else { return };
    let mut held: HashMap<Host, Hold> = HashMap::new();
    for host in hosts {
        match app.engine.try_hold(&host.to_string()) {
            Some(hold) => drop(held.insert(*host, hold)),
            None => alone(app, *host),
        }
    }
    let (auto, all) = (
        app.settings.bool("host", "connection.autoReconnectOnError"),
        held.keys().copied().collect::<Vec<_>>(),
    );
    let plan = match app.store.read(move |tx| Plan::read(tx, &all, auto)).await {
        Ok(plan) => Arc::new(plan),
        Err(f) => {
            tracing::warn!(error = %f, "many hosts can't be connected together; each is by itself");
            let all: Vec<Host> = held.into_keys().collect();
            all.into_iter().for_each(|host| alone(app, host));
            return;
        }
    };
    let ask = |(host, hold)| {
        let (app, plan) = (app.clone(), plan.clone());
        async move { (host, hold, Asked::ask(&app, host, &plan).await) }
    };
    let mut asked = stream::iter(held).map(ask).buffer_unordered(AT_ONCE).ready_chunks(AT_ONCE);
    let mut writes = JoinSet::new();
    while let Some(some) = asked.next().await {
        let is_few = some.len() < AT_ONCE / 2;
        if writes.len() >= WRITES {
            // The disk is slow; what it has no time for need not be asked yet.
            let _ = writes.join_next().await;
        }
        writes.spawn(end(app.clone(), some));
        if is_few {
            // So many are written together as answer within a moment.
            tokio::time::sleep(GATHER).await;
        }
    }
    while writes.join_next().await.is_some() {}
}

/// A host, the right to work on it, and how asking it went.
type Outcome = (Host, Hold, Result<Option<Asked>>);

/// Writes what hosts said; those that failed, and all if the write does, are each left to a run.
async fn end(app: Arc<App>, some: Vec<Outcome>) {
    let (mut good, mut holds) = (Vec::new(), Vec::new());
    for (host, hold, result) in some {
        match result {
            Ok(Some(told)) => {
                good.push(told);
                holds.push(hold);
            }
            Ok(None) => {}
            Err(f) => {
                tracing::debug!(%host, error = %f, "host {host} is connected by itself");
                drop(hold);
                alone(&app, host);
            }
        }
    }
    let all: Vec<Host> = good.iter().map(|t| t.host).collect();
    if let Err(f) = finish(&app, good).await {
        tracing::warn!(error = %f, "hosts could not be connected together; each is by itself");
        drop(holds);
        all.into_iter().for_each(|host| alone(&app, host));
    }
}

/// Leaves a host to a run of its own. Returns at once.
fn alone(app: &Arc<App>, host: Host) {
    let app = app.clone();
    tokio::spawn(async move {
        if !app.engine.is_halted() {
            watch::connect_alone(&app, host).await;
        }
    });
}

/// What rows say before anybody is asked.
#[derive(Default)]
struct Plan {
    hosts: HashMap<Host, Known>,
    clusters: HashMap<Id<kind::Cluster>, Cluster>,
    /// Runs are at work on them that connect them, or something waits to be sent to them.
    apart: HashSet<Host>,
    /// They have VMs by their rows.
    with_vms: HashSet<Host>,
    /// They have volumes or cached images by their rows.
    with_content: HashSet<Host>,
}

struct Known {
    cluster: Id<kind::Cluster>,
    is_simulated: bool,
    facts: Option<String>,
}

struct Cluster {
    storages: Vec<Storage>,
    networks: OfCluster,
}

impl Plan {
    /// `auto`: hosts that were lost are connected again by themselves.
    fn read(tx: &mut dyn Tx, hosts: &[Host], auto: bool) -> Result<Self> {
        let mut plan = Self { apart: store::being_connected(tx)?, ..Self::default() };
        for part in hosts.chunks(500) {
            let values: Vec<Sql> = part.iter().map(|h| Sql::from(*h)).collect();
            let list = vec!["?"; part.len()].join(", ");
            let sql = format!(
                "SELECT uuid, cluster_uuid, hypervisor_type, status, facts FROM host WHERE deleting_run IS NULL AND uuid IN ({list})"
            );
            for row in tx.query(&sql, &values)? {
                let facts = row.opt_text("facts")?;
                let is_lost = row.parse::<Status>("status")? == Status::Disconnected;
                // One that was never seen has not been lost either.
                if is_lost && facts.is_some() && !auto {
                    continue;
                }
                let is_simulated = row.text("hypervisor_type")? == "Simulator";
                let known = Known { cluster: row.id("cluster_uuid")?, is_simulated, facts };
                plan.hosts.insert(row.id("uuid")?, known);
            }
            let mut some = |what: &str| -> Result<Vec<Host>> {
                tx.query(&what.replace("$", &list), &values)?.iter().map(|r| r.id("uuid")).collect()
            };
            plan.apart.extend(some(
                "SELECT target_uuid AS uuid FROM cleanup WHERE kind = 'agent' AND target_uuid IN ($)",
            )?);
            plan.with_vms.extend(some("SELECT host_uuid AS uuid FROM vm_instance WHERE host_uuid IN ($)")?);
            for table in ["local_storage_resource_ref", "image_cache"] {
                plan.with_content
                    .extend(some(&format!("SELECT host_uuid AS uuid FROM {table} WHERE host_uuid IN ($)"))?);
            }
        }
        let clusters: HashSet<Id<kind::Cluster>> = plan.hosts.values().map(|h| h.cluster).collect();
        for cluster in clusters {
            let (storages, networks) = (storages::of_cluster(tx, cluster)?, apply::of_cluster(tx, cluster)?);
            plan.clusters.insert(cluster, Cluster { storages, networks });
        }
        Ok(plan)
    }
}

/// What a host said, and was told.
struct Asked {
    host: Host,
    facts: HostFacts,
    /// The facts are other ones than before.
    is_new: bool,
    storages: Vec<(Storage, Measured)>,
    /// Its VMs, where it or a row has any.
    vms: Option<Vec<VmOnHost>>,
    as_of_ms: i64,
}

impl Asked {
    /// Everything that [`ConnectHost`](super::connect::ConnectHost) asks a host and tells it. `None`: it is to be left alone.
    async fn ask(app: &Arc<App>, host: Host, plan: &Plan) -> Result<Option<Self>> {
        let Some(known) = plan.hosts.get(&host) else { return Ok(None) };
        if plan.apart.contains(&host) || app.engine.is_halted() {
            return Err(Fault::new(code::HOST_CONNECTION, "something else has to be done with it first"));
        }
        let as_of_ms = time::now_ms();
        let facts = call(app, host, &ReadHostFacts {}).await?;
        let mut measured = Vec::new();
        let mut networks: &OfCluster = &OfCluster::default();
        if let Some(cluster) = plan.clusters.get(&known.cluster) {
            let has_content = plan.with_content.contains(&host);
            for storage in &cluster.storages {
                let found = storages::ready_on(app, storage, host, has_content, PATIENCE).await?;
                measured.push((storage.clone(), (host, found)));
            }
            networks = &cluster.networks;
        }
        apply::networks_of(app, host, &networks.0, &networks.1).await?;
        // A simulated host names its VMs with its facts.
        let has_none = known.is_simulated && facts.vms.is_empty() && !plan.with_vms.contains(&host);
        let vms = if has_none { None } else { Some(call(app, host, &ListVms {}).await?) };
        let is_new = known.facts.as_deref() != Some(capacity::text_of(&facts)?.as_str());
        Ok(Some(Self { host, facts, is_new, storages: measured, vms, as_of_ms }))
    }
}

async fn call<O: AgentOp>(app: &Arc<App>, host: Host, op: &O) -> Result<O::Reply> {
    let options = CallOptions { timeout: Some(PATIENCE), ..CallOptions::default() };
    app.agents.call(host, op, options).await
}

/// Writes what hosts said; then they are Connected.
async fn finish(app: &Arc<App>, asked: Vec<Asked>) -> Result<()> {
    if asked.is_empty() || app.engine.is_halted() {
        return Ok(());
    }
    let asked = Arc::new(asked);
    let (server, all) = (app.clone(), asked.clone());
    let in_doubt = app.store.write(move |tx| write(tx, &server, &all)).await?;
    for (host, vm) in in_doubt {
        track::look_again(app, host, vm);
    }
    for told in asked.iter().filter(|t| t.vms.is_some()) {
        apply::catch_up(app, told.host);
    }
    stuck::retry_because_of_any(app, asked.iter().map(|t| t.host.to_string()).collect());
    Ok(())
}

/// VMs about which the hosts have to be asked again.
fn write(tx: &mut dyn Tx, app: &Arc<App>, asked: &[Asked]) -> Result<Vec<(Host, Id<kind::Vm>)>> {
    let here: HashSet<Host> =
        app.agents.connected(&asked.iter().map(|t| t.host).collect::<Vec<_>>()).into_iter().collect();
    let mut in_doubt = Vec::new();
    let mut by_storage: BTreeMap<Id<kind::PrimaryStorage>, (&Storage, Vec<&Measured>)> = BTreeMap::new();
    let mut news = Vec::new();
    // Whoever loses a connection writes after this.
    for told in asked.iter().filter(|t| here.contains(&t.host)) {
        for (storage, measured) in &told.storages {
            by_storage.entry(storage.uuid).or_insert_with(|| (storage, Vec::new())).1.push(measured);
        }
        if let Some(vms) = &told.vms {
            let doubts = track::compare(tx, told.host, vms, told.as_of_ms)?;
            in_doubt.extend(doubts.into_iter().map(|vm| (told.host, vm)));
        }
        if let Some(data) = connected(tx, told)? {
            news.push((told.host, data));
        }
    }
    for (storage, measured) in by_storage.into_values() {
        storages::note_many(tx, app, storage, measured)?;
    }
    events::write_all(tx, ENTITY, "updated", news.iter().map(|(host, data)| (*host, data)))?;
    Ok(in_doubt)
}

/// Connected. What is new about the host, if anything is.
fn connected(tx: &mut dyn Tx, told: &Asked) -> Result<Option<Value>> {
    let now = time::now_ms();
    let sql = "UPDATE host SET status = 'Connected', status_reason = NULL, status_ms = ?, last_op_ms = ?
               WHERE uuid = ? AND status <> 'Connected' AND deleting_run IS NULL";
    let has_come = tx.execute(sql, params![now, now, told.host])? == 1;
    let mut news = if told.is_new { capacity::write_facts(tx, told.host, &told.facts)? } else { Map::new() };
    if !has_come && news.is_empty() {
        return Ok(None);
    }
    if has_come {
        news.insert("status".into(), json!(Status::Connected));
        news.insert("statusReason".into(), Value::Null);
    } else {
        tx.execute("UPDATE host SET last_op_ms = ? WHERE uuid = ?", params![now, told.host])?;
    }
    Ok(Some(Value::Object(news)))
}
