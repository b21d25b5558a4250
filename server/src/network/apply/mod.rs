//! Brings the networks of hosts into the state that the rows want: bridges of L2 networks, and DHCP and metadata of L3
//! networks for the VMs of each host.
//!
//! A command carries the whole wanted state of one thing on one host. It is read from rows under a lock of that thing and
//! sent before the lock is given free, so a later command never carries an older state. What a host confirmed is
//! remembered until it connects anew, and not sent again.

mod memory;
mod orders;
mod wanted;

use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_api::agent::AgentOp;
use cairn_api::agent::network::RemoveL3;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::Cx;
use futures_util::{StreamExt, stream};

pub use memory::Memory;
use memory::Thing;
pub use orders::{Order, bridge_order, cancel, carry_out, hosts_of_cluster, hosts_of_l2, leave_host};
use wanted::Wanted;

use crate::agents::CallOptions;
use crate::app::App;
use crate::platform::cleanup;

type Host = Id<kind::Host>;
type L2 = Id<kind::L2Network>;
type L3 = Id<kind::L3Network>;

/// Commands to different hosts that are on their way at once.
const AT_ONCE: usize = 32;
/// What could not be brought up to date is tried again after this time, which grows up to the other.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AT_LEAST: Duration = Duration::from_secs(60);

/// Bridges and services of all networks of a VM on a host, with the VM among the leases. Part of a step that has effects.
pub async fn vm_networks(cx: &mut Cx<App>, vm: Id<kind::Vm>, host: Host) -> Result<()> {
    let (app, run) = (cx.env().clone(), cx.run().to_string());
    let for_read = app.clone();
    let (bridges, l3s) = cx.read(move |tx| wanted::of_vm(&for_read, tx, host, vm)).await?;
    if l3s.is_empty() {
        return Ok(());
    }
    cx.effect().await?;
    for (l2, wanted) in bridges {
        // What the host confirmed already needs no second read under the lock of the thing.
        if !app.networks.is_confirmed(host, Thing::Bridge(l2), &wanted).await {
            settle(&app, host, Thing::Bridge(l2), &run).await?;
        }
    }
    for l3 in l3s {
        settle(&app, host, Thing::Services(l3), &run).await?;
    }
    Ok(())
}

/// Applies networks on a host again after a VM came or went. Does not wait; what fails is tried again until it is done, or until the
/// host connects anew and is told everything.
pub fn refresh(app: &Arc<App>, host: Host, l3s: Vec<L3>) {
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        for l3 in l3s {
            refresh_one(&app, host, l3).await;
        }
    });
}

async fn refresh_one(app: &Weak<App>, host: Host, l3: L3) {
    let mut pause = AGAIN;
    loop {
        {
            let Some(app) = app.upgrade() else { return };
            if !app.agents.is_connected(host) {
                return;
            }
            let Err(f) = settle(&app, host, Thing::Services(l3), "").await else { return };
            tracing::warn!(%host, %l3, error = %f, "L3 network {l3} could not be brought up to date on host {host} and is tried again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 4).min(AGAIN_AT_LEAST);
    }
}

/// Applies all L3 networks on a host again after VMs there changed by themselves. Sends nothing if that changes nothing.
pub fn catch_up(app: &Arc<App>, host: Host) {
    refresh(app, host, app.networks.l3_networks(host));
}

/// A VM that never ran on a host is no guest of it any more: applies those of its networks again that the host knows.
pub fn forget_guest(app: &Arc<App>, host: Host, l3s: &[L3]) {
    let known = app.networks.l3_networks(host);
    refresh(app, host, l3s.iter().copied().filter(|l3| known.contains(l3)).collect());
}

/// Applies a changed L3 network on every host that has VMs in it. Does not wait.
pub fn refresh_everywhere(app: &Arc<App>, l3: L3) {
    let app = app.clone();
    tokio::spawn(async move {
        let found = app.store.read(move |tx| wanted::hosts_of_l3(tx, l3)).await;
        let hosts = found.unwrap_or_else(|f| {
            tracing::warn!(%l3, error = %f, "the hosts of L3 network {l3} could not be read");
            Vec::new()
        });
        let one = |host: Host| {
            let app = app.clone();
            async move {
                if app.agents.is_connected(host)
                    && let Err(f) = settle_l3(&app, host, l3).await
                {
                    tracing::warn!(%host, %l3, error = %f, "L3 network {l3} could not be changed on host {host}");
                }
            }
        };
        stream::iter(hosts).map(one).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    });
}

/// A setting has changed: tells every host, if it says how strictly guests are guarded (SG-03). Does not wait; a host that is
/// away hears of it when it connects.
pub fn setting_changed(app: &Arc<App>, category: &str, name: &str) {
    if (category, name) != ("vm", "cleanTraffic") {
        return;
    }
    let app = app.clone();
    tokio::spawn(async move {
        let all = |tx: &mut dyn Tx| ids(tx, "SELECT uuid FROM host WHERE deleting_run IS NULL", params![]);
        let hosts: Vec<Host> = app.store.read(all).await.unwrap_or_default();
        let one = |host: Host| {
            let app = app.clone();
            async move {
                if app.agents.is_connected(host)
                    && let Err(f) = settle(&app, host, Thing::Guard, "").await
                {
                    tracing::error!(%host, error = %f, "host {host} guards its guests as before: vm/cleanTraffic was not applied");
                }
            }
        };
        stream::iter(hosts).map(one).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    });
}

/// The bridge too: it carries packets of the size that the networks on it allow.
async fn settle_l3(app: &Arc<App>, host: Host, l3: L3) -> Result<()> {
    let sql = "SELECT l2_network_uuid FROM l3_network WHERE uuid = ?";
    let row = app.store.read(move |tx| tx.query_opt(sql, params![l3])).await?;
    if let Some(row) = row {
        settle(app, host, Thing::Bridge(row.id("l2_network_uuid")?), "").await?;
    }
    settle(app, host, Thing::Services(l3), "").await
}

/// Everything that the networks of a host's cluster want on it. Called whenever the host connects. Goes on after a failure.
/// The first failure of a bridge is returned: without its bridges a host is of no use. DHCP and metadata are tried again
/// when a VM of the network starts.
pub async fn host_networks(app: &Arc<App>, host: Host) -> Result<()> {
    let (l2s, l3s) = app.store.read(move |tx| wanted::of_host(tx, host)).await?;
    networks_of(app, host, &l2s, &l3s).await
}

/// The networks that a cluster has.
pub type OfCluster = (Vec<L2>, Vec<L3>);

/// Reads the networks of a cluster, for [`networks_of`].
pub fn of_cluster(tx: &mut dyn Tx, cluster: Id<kind::Cluster>) -> Result<OfCluster> {
    wanted::of_cluster(tx, cluster)
}

/// The same for a host of a cluster that has these networks.
pub async fn networks_of(app: &Arc<App>, host: Host, l2s: &[L2], l3s: &[L3]) -> Result<()> {
    app.networks.forget(host);
    if let Err(f) = settle(app, host, Thing::Guard, "").await {
        tracing::warn!(%host, error = %f, "host {host} was not told how strictly guests are guarded");
    }
    if l2s.is_empty() {
        // Of a million hosts not everything can be remembered that can as well be sent again.
        app.networks.drop_slot(host, Thing::Guard);
    }
    let mut first = Ok(());
    for l2 in l2s.iter().copied() {
        if let Err(f) = settle(app, host, Thing::Bridge(l2), "").await {
            tracing::warn!(%host, %l2, error = %f, "the bridge of L2 network {l2} could not be made on host {host}");
            first = first.and(Err(f));
        }
    }
    for l3 in l3s.iter().copied() {
        if let Err(f) = settle(app, host, Thing::Services(l3), "").await {
            tracing::warn!(%host, %l3, error = %f, "L3 network {l3} could not be brought up on host {host}");
        }
    }
    first
}

/// Makes the bridge of an L2 network on hosts, many at once. Hosts that are away are left out: they get it when they
/// arrive.
pub async fn bridges(app: &Arc<App>, hosts: Vec<Host>, l2: L2, run: &str) -> Result<()> {
    let one = |host: Host| async move {
        if !app.agents.is_connected(host) {
            return Ok(());
        }
        match settle_as(app, host, Thing::Bridge(l2), run, true).await {
            Err(f) if f.has_code(code::HOST_DISCONNECTED) => Ok(()),
            Err(f) => {
                let text = format!("host {host} could not make the bridge: {}", f.details);
                Err(Fault::new(&f.code.clone(), text).with("host", host.to_string()).caused_by(f))
            }
            Ok(()) => Ok(()),
        }
    };
    let done = stream::iter(hosts).map(one).buffer_unordered(AT_ONCE).collect::<Vec<Result<()>>>().await;
    done.into_iter().collect()
}

/// Applies the networks of a VM on its host again after its metadata changed. Does not wait.
pub fn refresh_vm(app: &Arc<App>, vm: Id<kind::Vm>) {
    let app = app.clone();
    tokio::spawn(async move {
        let sql = "SELECT v.host_uuid, n.l3_network_uuid FROM vm_instance v JOIN vm_nic n ON n.vm_instance_uuid = v.uuid
                   WHERE v.uuid = ? AND v.host_uuid IS NOT NULL";
        let Ok(rows) = app.store.read(move |tx| tx.query(sql, params![vm])).await else { return };
        for row in rows {
            if let (Ok(host), Ok(l3)) = (row.id("host_uuid"), row.id("l3_network_uuid")) {
                refresh(&app, host, vec![l3]);
            }
        }
    });
}

/// Sends what one thing on one host lacks.
async fn settle(app: &Arc<App>, host: Host, thing: Thing, run: &str) -> Result<()> {
    settle_as(app, host, thing, run, false).await
}

async fn settle_as(app: &Arc<App>, host: Host, thing: Thing, run: &str, attaching: bool) -> Result<()> {
    let slot = app.networks.slot(host, thing);
    let mut known = slot.lock().await;
    let era = app.networks.era(host);
    let wanted = match thing {
        Thing::Guard => wanted::of_guard(app),
        thing => {
            let server = app.clone();
            app.store.read(move |tx| wanted::of_thing(&server, tx, host, thing, attaching)).await?
        }
    };
    if known.is(era, &wanted) {
        return Ok(());
    }
    if matches!(wanted, Wanted::Gone) {
        // Detached since somebody asked for it. Whoever detaches it takes it from the host: nothing was, so nothing is known.
        return Ok(());
    }
    known.clear();
    send(app, host, &wanted, run).await?;
    known.set(era, wanted);
    Ok(())
}

async fn send(app: &Arc<App>, host: Host, wanted: &Wanted, run: &str) -> Result<()> {
    match wanted {
        Wanted::Gone => Ok(()),
        Wanted::Bridge(op) => {
            // A bridge on the same interface may wait to be taken away since the host was not there.
            cleanup::drain(app, &host.to_string()).await;
            command(app, host, op, run).await
        }
        Wanted::Services(op) => command(app, host, op.as_ref(), run).await,
        Wanted::Guard(op) => command(app, host, op, run).await,
        Wanted::NoServices(l3) => command(app, host, &RemoveL3 { l3_network: l3.to_string() }, run).await,
    }
}

/// A new command id each time: an agent that knows the id would answer with the result of an older state.
async fn command<O: AgentOp>(app: &Arc<App>, host: Host, op: &O, run: &str) -> Result<()> {
    let options = CallOptions { run: run.to_owned(), ..CallOptions::default() };
    app.agents.call(host, op, options).await.map(|_| ())
}

/// Reads uuids of hosts.
fn ids<T>(tx: &mut dyn Tx, sql: &str, values: &[cairn_store::Value]) -> Result<Vec<Id<T>>> {
    tx.query(sql, values)?.iter().map(|r| r.id("uuid")).collect()
}
