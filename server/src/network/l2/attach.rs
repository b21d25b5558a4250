//! Makes an L2 network available on the hosts of a cluster: a bridge on each of them (L2-01).

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ENTITY;
use crate::app::App;
use crate::network::apply;
use crate::{inventory, rows};

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachL2Network {
    l2: Id<kind::L2Network>,
    cluster: Id<kind::Cluster>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Whether it can be attached at all.
    Check,
    /// A bridge on every host that is connected.
    MakeBridges,
    /// It is attached: the end.
    Attach,
}

use Step::{Attach, Check, MakeBridges};

impl Workflow for AttachL2Network {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "l2.attach/1";
    const STEPS: &'static [Step] = &[Check, MakeBridges, Attach];

    fn about(&self) -> About {
        About::resource(self.l2, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let (l2, cluster) = (self.l2, self.cluster);
        match (step, dir) {
            // Removals that waited for hosts of the cluster must not come after the bridges.
            (Check, Dir::Do | Dir::Plan) => {
                cx.tx(self, move |_, tx| check(tx, l2, cluster).and_then(|()| apply::cancel(tx, l2, cluster)))
                    .await
            }
            // Nothing waits for a network that is not attached but removals, and MakeBridges repeats them.
            (Check, Dir::Undo) => Ok(()),

            (MakeBridges, Dir::Do) => {
                let hosts = cx.read(move |tx| apply::hosts_of_cluster(tx, cluster)).await?;
                cx.effect().await?;
                apply::bridges(cx.env(), hosts, l2, &cx.run().to_string()).await
            }
            (MakeBridges, Dir::Plan) => self.plan(cx).await,
            (MakeBridges, Dir::Undo) => {
                let orders = cx.read(move |tx| super::detach::bridges(tx, l2, cluster)).await?;
                apply::carry_out(cx, orders).await
            }

            (Attach, Dir::Do | Dir::Plan) => self.attach(cx).await,
            // One write, committed with the end of the run: nothing to take back.
            (Attach, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, "L2NetworkInventory", self.l2, env.dates())
    }

    fn failure(&self, cause: Fault) -> Fault {
        let text = format!(
            "L2 network {} could not be attached to cluster {}: {}",
            self.l2, self.cluster, cause.details
        );
        Fault::new(code::L2_ATTACH, text).caused_by(cause)
    }
}

impl AttachL2Network {
    /// Attaches a network to a cluster.
    pub fn new(l2: Id<kind::L2Network>, cluster: Id<kind::Cluster>) -> Self {
        Self { l2, cluster }
    }

    async fn plan(&self, cx: &mut Cx<App>) -> Result<()> {
        let (l2, cluster) = (self.l2, self.cluster);
        let (bridge, hosts) =
            cx.read(move |tx| Ok((super::bridge(tx, l2)?, apply::hosts_of_cluster(tx, cluster)?))).await?;
        let here = hosts.iter().filter(|h| cx.env().agents.is_connected(*h)).count();
        let away = hosts.len() - here;
        let later =
            if away > 0 { format!("; {away} that are away get it when they arrive") } else { String::new() };
        cx.tell("MakeBridges", format!("make bridge {bridge} on {here} host(s){later}"), "");
        Ok(())
    }

    async fn attach(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let hosts = cx.tx(self, |w, tx| {
            check(tx, w.l2, w.cluster)?;
            insert(tx, w.l2, w.cluster)?;
            rows::changed(tx, ENTITY, w.l2, &json!({ "attachedCluster": w.cluster.to_string() }))?;
            apply::hosts_of_cluster(tx, w.cluster)
        });
        let hosts = hosts.await?;
        if !cx.is_plan() {
            // Hosts that came since the bridges were made did not see the network. The others are asked nothing.
            let (app, l2) = (cx.env().clone(), self.l2);
            tokio::spawn(async move {
                if let Err(f) = apply::bridges(&app, hosts, l2, "").await {
                    tracing::warn!(%l2, error = %f, "a host that came late has no bridge for L2 network {l2}");
                }
            });
        }
        Ok(())
    }
}

/// Links a network and a cluster.
pub(super) fn insert(tx: &mut dyn Tx, l2: Id<kind::L2Network>, cluster: Id<kind::Cluster>) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO l2_network_cluster_ref (l2_network_uuid, cluster_uuid, create_ms, last_op_ms) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![l2, cluster, now, now]).map(|_| ())
}

fn check(tx: &mut dyn Tx, l2: Id<kind::L2Network>, cluster: Id<kind::Cluster>) -> Result<()> {
    rows::claim(tx, ENTITY, l2)?;
    rows::claim(tx, "ClusterVO", cluster)?;
    if super::is_attached(tx, l2, cluster)? {
        return Err(Fault::operation(format!("L2 network {l2} is attached to cluster {cluster} already")));
    }
    let sql = "SELECT 1 FROM l2_network n JOIN cluster c ON c.zone_uuid = n.zone_uuid WHERE n.uuid = ? AND c.uuid = ?";
    if !tx.exists(sql, params![l2, cluster])? {
        return Err(Fault::operation(format!(
            "L2 network {l2} and cluster {cluster} are in different zones"
        )));
    }
    let sql = "SELECT o.uuid, o.name, o.physical_interface FROM l2_network n
               JOIN l2_network o ON o.physical_interface = n.physical_interface AND o.type = n.type AND o.uuid <> n.uuid
               JOIN l2_network_cluster_ref r ON r.l2_network_uuid = o.uuid
               WHERE n.uuid = ? AND r.cluster_uuid = ? LIMIT 1";
    match tx.query_opt(sql, params![l2, cluster])? {
        None => Ok(()),
        Some(row) => {
            let (interface, other) = (row.text("physical_interface")?, row.text("uuid")?);
            let text = format!(
                "L2 network {other} ({}) uses interface {interface} in cluster {cluster} already",
                row.text("name")?
            );
            Err(Fault::operation(text).with("interface", interface).with("l2NetworkUuid", other))
        }
    }
}
