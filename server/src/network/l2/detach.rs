//! Takes an L2 network from the hosts of a cluster. Refused while VMs there run on it.

use cairn_api::resource::HOLDING_STATES;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ENTITY;
use crate::app::App;
use crate::network::apply::{self, Order};
use crate::{inventory, rows};

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DetachL2Network {
    l2: Id<kind::L2Network>,
    cluster: Id<kind::Cluster>,
    /// This run took the link away.
    is_unlinked: bool,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From now on no VM starts on it in the cluster.
    Unlink,
    /// Services and bridge go from the hosts.
    CleanHosts,
    /// It is detached: the end.
    Finish,
}

use Step::{CleanHosts, Finish, Unlink};

impl Workflow for DetachL2Network {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "l2.detach/1";
    const STEPS: &'static [Step] = &[Unlink, CleanHosts, Finish];

    fn about(&self) -> About {
        About::resource(self.l2, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let (l2, cluster) = (self.l2, self.cluster);
        match (step, dir) {
            (Unlink, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.unlink(tx)).await,
            (Unlink, Dir::Undo) => cx.tx(self, |w, tx| w.link(tx)).await,

            (CleanHosts, Dir::Do) => {
                // Services stand on the bridge, so they go first.
                let services = cx.read(move |tx| services(tx, l2, cluster)).await?;
                apply::carry_out(cx, services).await?;
                let bridges = cx.read(move |tx| bridges(tx, l2, cluster)).await?;
                apply::carry_out(cx, bridges).await
            }
            (CleanHosts, Dir::Plan) => {
                let hosts = cx.read(move |tx| apply::hosts_of_cluster(tx, cluster)).await?;
                cx.tell("CleanHosts", format!("remove its bridge from {} host(s)", hosts.len()), "");
                Ok(())
            }
            // Hosts that can't make their bridge again now do so when they connect next.
            (CleanHosts, Dir::Undo) => {
                let hosts = cx.read(move |tx| apply::hosts_of_cluster(tx, cluster)).await?;
                cx.effect().await?;
                if let Err(f) = apply::bridges(cx.env(), hosts, l2, &cx.run().to_string()).await {
                    tracing::warn!(%l2, error = %f, "not every host has the bridge of L2 network {l2} again");
                }
                Ok(())
            }

            (Finish, Dir::Do | Dir::Plan) => {
                let event = json!({ "detachedCluster": cluster.to_string() });
                cx.tx(self, move |_, tx| rows::changed(tx, ENTITY, l2, &event)).await
            }
            // One write, committed with the end of the run: nothing to take back.
            (Finish, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, "L2NetworkInventory", self.l2, env.dates())
    }
}

impl DetachL2Network {
    /// Detaches a network from a cluster.
    pub fn new(l2: Id<kind::L2Network>, cluster: Id<kind::Cluster>) -> Self {
        Self { l2, cluster, is_unlinked: false }
    }

    fn unlink(&mut self, tx: &mut dyn Tx) -> Result<()> {
        rows::claim(tx, ENTITY, self.l2)?;
        refuse_while_used(tx, self.l2, self.cluster)?;
        let sql = "DELETE FROM l2_network_cluster_ref WHERE l2_network_uuid = ? AND cluster_uuid = ?";
        // A network that is not attached is detached: a success.
        self.is_unlinked = tx.execute(sql, params![self.l2, self.cluster])? == 1;
        if self.is_unlinked {
            let event = json!({ "detachedCluster": self.cluster.to_string() });
            rows::event(tx, ENTITY, self.l2, "updated", &event)?;
        }
        Ok(())
    }

    fn link(&mut self, tx: &mut dyn Tx) -> Result<()> {
        let is_there = rows::exists(tx, "ClusterVO", &self.cluster.to_string())?;
        if !self.is_unlinked || !is_there || super::is_attached(tx, self.l2, self.cluster)? {
            return Ok(());
        }
        apply::cancel(tx, self.l2, self.cluster)?;
        super::attach::insert(tx, self.l2, self.cluster)?;
        rows::event(tx, ENTITY, self.l2, "updated", &json!({ "attachedCluster": self.cluster.to_string() }))
    }
}

fn refuse_while_used(tx: &mut dyn Tx, l2: Id<kind::L2Network>, cluster: Id<kind::Cluster>) -> Result<()> {
    let sql = format!(
        "SELECT DISTINCT v.uuid, v.name, v.state FROM vm_instance v JOIN host h ON h.uuid = v.host_uuid
         JOIN vm_nic n ON n.vm_instance_uuid = v.uuid JOIN l3_network l ON l.uuid = n.l3_network_uuid
         WHERE h.cluster_uuid = ? AND l.l2_network_uuid = ? AND v.state IN {HOLDING_STATES} ORDER BY v.uuid"
    );
    let rows = tx.query(&sql, params![cluster, l2])?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    let mut vms = Vec::new();
    for row in &rows {
        let (uuid, name, state) = (row.text("uuid")?, row.text("name")?, row.text("state")?);
        names.push(format!("{name} ({state})"));
        vms.push(json!({ "uuid": uuid, "name": name, "state": state }));
    }
    names.truncate(5);
    let text = format!(
        "{} VM(s) run on L2 network {l2} in cluster {cluster}: {}; stop them first",
        rows.len(),
        names.join(", ")
    );
    Err(Fault::new(code::IN_USE, text).with("vms", vms))
}

/// The orders to remove the bridge from the hosts of a cluster.
pub(super) fn bridges(
    tx: &mut dyn Tx,
    l2: Id<kind::L2Network>,
    cluster: Id<kind::Cluster>,
) -> Result<Vec<(Id<kind::Host>, Order)>> {
    let order = apply::bridge_order(tx, l2)?;
    Ok(apply::hosts_of_cluster(tx, cluster)?.into_iter().map(|host| (host, order.clone())).collect())
}

/// The orders to remove the services of its L3 networks from the hosts of a cluster.
fn services(
    tx: &mut dyn Tx,
    l2: Id<kind::L2Network>,
    cluster: Id<kind::Cluster>,
) -> Result<Vec<(Id<kind::Host>, Order)>> {
    let hosts = apply::hosts_of_cluster(tx, cluster)?;
    let mut orders = Vec::new();
    for row in tx.query("SELECT uuid FROM l3_network WHERE l2_network_uuid = ? ORDER BY uuid", params![l2])? {
        let l3: Id<kind::L3Network> = row.id("uuid")?;
        orders.extend(hosts.iter().map(|host| (*host, Order::Services(l3))));
    }
    Ok(orders)
}
