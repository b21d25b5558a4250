//! What hosts take away: bridges and services of networks that are detached or deleted. A host that is away gets the
//! command when it is back.

use std::sync::Arc;

use cairn_api::agent::AgentOp;
use cairn_api::agent::network::{RemoveBridge, RemoveL3};
use cairn_store::{Tx, params};
use cairn_types::{Id, Result, code, kind};
use cairn_workflow::Cx;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::memory::Thing;
use super::{AT_ONCE, Host, L2, L3, command, ids};
use crate::app::App;
use crate::network::l2;
use crate::platform::cleanup;

/// A command to take something away.
#[derive(Debug, Clone)]
pub enum Order {
    /// The bridge of an L2 network.
    Bridge(L2, RemoveBridge),
    /// The services of an L3 network.
    Services(L3),
}

/// The order to remove the bridge of an L2 network.
pub fn bridge_order(tx: &mut dyn Tx, l2: L2) -> Result<Order> {
    Ok(Order::Bridge(l2, RemoveBridge { l2_network: l2.to_string(), bridge: l2::bridge(tx, l2)? }))
}

/// Hosts of a cluster that are not on their way out.
pub fn hosts_of_cluster(tx: &mut dyn Tx, cluster: Id<kind::Cluster>) -> Result<Vec<Host>> {
    ids(
        tx,
        "SELECT uuid FROM host WHERE cluster_uuid = ? AND deleting_run IS NULL ORDER BY uuid",
        params![cluster],
    )
}

/// Hosts of all clusters that an L2 network is attached to.
pub fn hosts_of_l2(tx: &mut dyn Tx, l2: L2) -> Result<Vec<Host>> {
    let sql = "SELECT h.uuid FROM l2_network_cluster_ref r JOIN host h ON h.cluster_uuid = r.cluster_uuid
               WHERE r.l2_network_uuid = ? AND h.deleting_run IS NULL ORDER BY h.uuid";
    ids(tx, sql, params![l2])
}

/// Has hosts carry orders out, many at once. Part of a step that has effects.
pub async fn carry_out(cx: &mut Cx<App>, orders: Vec<(Host, Order)>) -> Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    cx.effect().await?;
    let (app, run) = (cx.env().clone(), cx.run().to_string());
    let one = |(host, order): (Host, Order)| {
        let (app, run) = (app.clone(), run.clone());
        async move { remove(&app, host, &order, &run).await }
    };
    let done = stream::iter(orders).map(one).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    done.into_iter().collect()
}

async fn remove(app: &Arc<App>, host: Host, order: &Order, run: &str) -> Result<()> {
    match order {
        Order::Bridge(l2, op) => remove_thing(app, host, Thing::Bridge(*l2), op, run).await,
        Order::Services(l3) => {
            remove_thing(app, host, Thing::Services(*l3), &RemoveL3 { l3_network: l3.to_string() }, run).await
        }
    }
}

async fn remove_thing<O: AgentOp + Clone>(
    app: &Arc<App>,
    host: Host,
    thing: Thing,
    op: &O,
    run: &str,
) -> Result<()> {
    let slot = app.networks.slot(host, thing);
    let mut known = slot.lock().await;
    if known.is_absent(app.networks.era(host)) {
        return Ok(());
    }
    known.clear();
    if app.agents.is_connected(host) {
        match command(app, host, op, run).await {
            Err(f) if f.has_code(code::HOST_DISCONNECTED) || f.has_code(code::TIMEOUT) => {}
            other => return other,
        }
    }
    let op = op.clone();
    app.store.write(move |tx: &mut dyn Tx| cleanup::later(tx, host, &op)).await
}

/// Takes all networks from a host that is about to go for good. What it refuses stays on it.
pub async fn leave_host(app: &Arc<App>, host: Host) {
    let orders = app.store.read(move |tx| of_host(tx, host)).await.unwrap_or_default();
    for order in orders {
        if let Err(f) = remove(app, host, &order, "").await {
            tracing::warn!(%host, ?order, error = %f, "host {host} goes and keeps part of a network");
        }
    }
    app.networks.remove(host);
}

/// Services first: they stand on the bridges.
fn of_host(tx: &mut dyn Tx, host: Host) -> Result<Vec<Order>> {
    let (l2s, l3s) = super::wanted::of_host(tx, host)?;
    let mut orders: Vec<Order> = l3s.into_iter().map(Order::Services).collect();
    for l2 in l2s {
        orders.push(bridge_order(tx, l2)?);
    }
    Ok(orders)
}

/// Forgets removals of a network that wait for hosts of a cluster: it is attached again.
pub fn cancel(tx: &mut dyn Tx, l2: L2, cluster: Id<kind::Cluster>) -> Result<()> {
    let sql = "SELECT c.uuid, c.data FROM cleanup c JOIN host h ON h.uuid = c.target_uuid
               WHERE c.kind = 'agent' AND h.cluster_uuid = ?";
    let waiting = tx.query(sql, params![cluster])?;
    let l3s =
        ids::<kind::L3Network>(tx, "SELECT uuid FROM l3_network WHERE l2_network_uuid = ?", params![l2])?;
    for row in waiting {
        let data: Value = serde_json::from_str(&row.text("data")?).unwrap_or_default();
        let names = |field: &str| data.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_removal = match names("/op").as_str() {
            RemoveBridge::NAME => names("/args/l2Network") == l2.to_string(),
            RemoveL3::NAME => l3s.iter().any(|l3| names("/args/l3Network") == l3.to_string()),
            _ => false,
        };
        if is_removal {
            tx.execute("DELETE FROM cleanup WHERE uuid = ?", params![row.text("uuid")?])?;
        }
    }
    Ok(())
}
