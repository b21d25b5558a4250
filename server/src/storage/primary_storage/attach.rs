//! Letting the hosts of a cluster use a primary storage, and ending that.

use cairn_api::ops::storage::{AttachPrimaryStorageToCluster, DetachPrimaryStorageFromCluster};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ENTITY, INVENTORY, LOCAL, SIMULATOR, Storage, hosts, in_the_way, must_not_be_deleting, vms_at_work,
};
use crate::app::App;
use crate::call::{Call, id};
use crate::compute::vm::stop::StopVm;
use crate::handlers::{Handlers, Launch};
use crate::storage::answer::Dates;
use crate::storage::connect;
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<AttachPrimaryStorageToCluster, _>(start_attach);
    h.run::<DetachPrimaryStorageFromCluster, _>(start_detach);
}

async fn start_attach(call: Call, op: AttachPrimaryStorageToCluster) -> Result<Launch> {
    let storage = id("primaryStorageUuid", &op.primary_storage_uuid)?;
    let cluster = id("clusterUuid", &op.cluster_uuid)?;
    Ok(Launch::run(AttachPrimaryStorage { storage, cluster, dates: call.dates.into(), is_linked: false }))
}

async fn start_detach(call: Call, op: DetachPrimaryStorageFromCluster) -> Result<Launch> {
    let storage = id("primaryStorageUuid", &op.primary_storage_uuid)?;
    let cluster = id("clusterUuid", &op.cluster_uuid)?;
    Ok(Launch::run(DetachPrimaryStorage { storage, cluster, dates: call.dates.into() }))
}

/// Attaches a primary storage to a cluster. Done when every connected host of the cluster has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AttachPrimaryStorage {
    storage: Id<kind::PrimaryStorage>,
    cluster: Id<kind::Cluster>,
    dates: Dates,
    /// This run made the link.
    is_linked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum AttachStep {
    Link,
    ConnectHosts,
}
use AttachStep::{ConnectHosts, Link};

impl Workflow for AttachPrimaryStorage {
    type Env = App;
    type Step = AttachStep;
    const NAME: &'static str = "primary-storage.attach/1";
    const STEPS: &'static [AttachStep] = &[Link, ConnectHosts];

    fn about(&self) -> About {
        About::resource(self.storage, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: AttachStep, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Link, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.link(tx)).await,
            (Link, Dir::Undo) => cx.tx(self, |w, tx| w.unlink(tx)).await,

            (ConnectHosts, Dir::Do) => self.connect_hosts(cx).await,
            // A folder made on a host does no harm, and it may have been there before.
            (ConnectHosts, Dir::Undo) => Ok(()),
            (ConnectHosts, Dir::Plan) => {
                let (storage, cluster) = (self.storage, self.cluster);
                let hosts = cx.read(move |tx| hosts(tx, storage, Some(cluster))).await?;
                cx.tell(
                    "ConnectHosts",
                    format!("{} hosts would make its folder and measure it", hosts.len()),
                    "",
                );
                Ok(())
            }
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, INVENTORY, self.storage, self.dates.into())
    }

    fn failure(&self, cause: Fault) -> Fault {
        let text = format!("primary storage {} was not attached to cluster {}", self.storage, self.cluster);
        Fault::new(code::PS_ATTACH, text).caused_by(cause)
    }
}

impl AttachPrimaryStorage {
    fn link(&mut self, tx: &mut dyn Tx) -> Result<()> {
        rows::claim(tx, ENTITY, self.storage)?;
        rows::claim(tx, "ClusterVO", self.cluster)?;
        must_not_be_deleting(tx, self.storage)?;
        let storage = Storage::find(tx, self.storage)?;
        self.must_fit(tx, &storage)?;
        let now = time::now_ms();
        let sql = "INSERT INTO primary_storage_cluster_ref (primary_storage_uuid, cluster_uuid, create_ms, last_op_ms) VALUES (?, ?, ?, ?)";
        tx.execute(sql, params![self.storage, self.cluster, now, now])?;
        if storage.r#type == LOCAL {
            for host in hosts(tx, self.storage, Some(self.cluster))? {
                let sql = "INSERT INTO local_storage_host_ref (primary_storage_uuid, host_uuid, status, status_reason, create_ms, last_op_ms)
                           VALUES (?, ?, 'Disconnected', 'not connected yet', ?, ?)";
                tx.execute(sql, params![self.storage, host, now, now])?;
            }
        }
        self.is_linked = true;
        rows::changed(tx, ENTITY, self.storage, &json!({ "attached": self.cluster }))
    }

    fn must_fit(&self, tx: &mut dyn Tx, storage: &Storage) -> Result<()> {
        let sql = "SELECT c.hypervisor_type, CASE WHEN c.zone_uuid = p.zone_uuid THEN 1 ELSE 0 END AS same_zone,
                     (SELECT count(*) FROM primary_storage_cluster_ref r WHERE r.primary_storage_uuid = p.uuid AND r.cluster_uuid = c.uuid) AS attached
                   FROM cluster c, primary_storage p WHERE c.uuid = ? AND p.uuid = ?";
        let row = tx.query_opt(sql, params![self.cluster, self.storage])?;
        let row = row.ok_or_else(|| Fault::not_found("ClusterVO", self.cluster))?;
        if !row.bool("same_zone")? {
            return Err(Fault::operation("primary storage and cluster are in different zones"));
        }
        if row.bool("attached")? {
            return Err(Fault::operation("it is attached to this cluster already"));
        }
        if storage.r#type == SIMULATOR && row.text("hypervisor_type")? != "Simulator" {
            return Err(Fault::operation(
                "simulated primary storage can be attached to clusters of simulated hosts only",
            ));
        }
        // Volumes of two storages must never lie in one folder: each would count and delete the other's.
        let sql = "SELECT p.uuid, p.url FROM primary_storage p JOIN primary_storage_cluster_ref r ON r.primary_storage_uuid = p.uuid
                   WHERE r.cluster_uuid = ?";
        for other in tx.query(sql, params![self.cluster])? {
            let (uuid, url) = (other.text("uuid")?, other.text("url")?);
            if contains(&url, &storage.url) || contains(&storage.url, &url) {
                let text = format!(
                    "its folder overlaps with {url} of primary storage {uuid}, which is attached to the cluster"
                );
                return Err(Fault::operation(text).with("uuid", uuid));
            }
        }
        Ok(())
    }

    async fn connect_hosts(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (uuid, cluster) = (self.storage, self.cluster);
        let read = move |tx: &mut dyn Tx| Ok((Storage::find(tx, uuid)?, hosts(tx, uuid, Some(cluster))?));
        let (storage, hosts) = cx.read(read).await?;
        cx.effect().await?;
        let app = cx.env().clone();
        let here = hosts.into_iter().filter(|h| app.agents.is_connected(h)).collect();
        let measured = connect::measure(&app, &storage, here).await;
        if let Some((host, Err(fault))) = measured.iter().find(|(_, r)| r.is_err()) {
            return Err(
                Fault::operation(format!("host {host} can't use {}", storage.url)).caused_by(fault.clone())
            );
        }
        cx.tx(self, move |_, tx| connect::note_all(tx, &storage, &measured)).await
    }

    fn unlink(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if !self.is_linked || !rows::exists(tx, ENTITY, &self.storage.to_string())? {
            return Ok(());
        }
        // A host that arrived meanwhile may have got a volume already; then the storage stays where it is in use.
        let sql = "SELECT 1 FROM local_storage_resource_ref x JOIN host h ON h.uuid = x.host_uuid
                   WHERE x.primary_storage_uuid = ? AND h.cluster_uuid = ?";
        if tx.exists(sql, params![self.storage, self.cluster])? {
            return Ok(());
        }
        remove_link(tx, self.storage, self.cluster)
    }
}

fn contains(folder: &str, other: &str) -> bool {
    other == folder || other.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn remove_link(tx: &mut dyn Tx, storage: Id<kind::PrimaryStorage>, cluster: Id<kind::Cluster>) -> Result<()> {
    let sql = "DELETE FROM local_storage_host_ref WHERE primary_storage_uuid = ?
               AND host_uuid IN (SELECT uuid FROM host WHERE cluster_uuid = ?)";
    tx.execute(sql, params![storage, cluster])?;
    let sql = "DELETE FROM primary_storage_cluster_ref WHERE primary_storage_uuid = ? AND cluster_uuid = ?";
    if tx.execute(sql, params![storage, cluster])? == 0 {
        return Ok(());
    }
    connect::judge(tx, storage)?;
    rows::changed(tx, ENTITY, storage, &json!({ "detached": cluster }))
}

/// Ends the use of a primary storage by a cluster, in the caller's transaction. Refused while VMs that use it are on
/// there. Volumes stay where they are: attached again, they can be used again. A link that is gone is a success.
pub fn detach(tx: &mut dyn Tx, storage: Id<kind::PrimaryStorage>, cluster: Id<kind::Cluster>) -> Result<()> {
    let vms = vms_at_work(tx, storage, Some(cluster))?;
    if !vms.is_empty() {
        let what = format!("primary storage {storage} can't be detached from cluster {cluster}:");
        return Err(in_the_way(code::IN_USE, &what, &vms));
    }
    remove_link(tx, storage, cluster)
}

/// Detaches a primary storage from a cluster. VMs that use it there are shut down first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DetachPrimaryStorage {
    storage: Id<kind::PrimaryStorage>,
    cluster: Id<kind::Cluster>,
    dates: Dates,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DetachStep {
    StopVms,
    Unlink,
}
use DetachStep::{StopVms, Unlink};

impl Workflow for DetachPrimaryStorage {
    type Env = App;
    type Step = DetachStep;
    const NAME: &'static str = "primary-storage.detach/1";
    const STEPS: &'static [DetachStep] = &[StopVms, Unlink];

    fn about(&self) -> About {
        About::resource(self.storage, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: DetachStep, dir: Dir) -> Result<()> {
        match (step, dir) {
            (StopVms, Dir::Do | Dir::Plan) => self.stop_vms(cx).await,
            // A VM that was stopped can be started again.
            (StopVms, Dir::Undo) => Ok(()),

            (Unlink, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.unlink(tx)).await,
            // One write, committed with the end of the run: nothing to take back.
            (Unlink, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, INVENTORY, self.storage, self.dates.into())
    }

    fn failure(&self, cause: Fault) -> Fault {
        let text = format!("primary storage {} was not detached from cluster {}", self.storage, self.cluster);
        Fault::new(code::PS_DETACH, text).caused_by(cause)
    }
}

impl DetachPrimaryStorage {
    async fn stop_vms(&self, cx: &mut Cx<App>) -> Result<()> {
        let (storage, cluster) = (self.storage, self.cluster);
        let read = move |tx: &mut dyn Tx| {
            must_be_attached(tx, storage, cluster)?;
            vms_at_work(tx, storage, Some(cluster))
        };
        for vm in cx.read(read).await? {
            cx.child_for(&format!("stop-{vm}"), StopVm::new(vm, false)).await?;
        }
        Ok(())
    }

    fn unlink(&self, tx: &mut dyn Tx) -> Result<()> {
        must_be_attached(tx, self.storage, self.cluster)?;
        detach(tx, self.storage, self.cluster)
    }
}

fn must_be_attached(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    cluster: Id<kind::Cluster>,
) -> Result<()> {
    let sql = "SELECT 1 FROM primary_storage_cluster_ref WHERE primary_storage_uuid = ? AND cluster_uuid = ?";
    if tx.exists(sql, params![storage, cluster])? {
        Ok(())
    } else {
        Err(Fault::operation("it is not attached to this cluster"))
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn ps_01_folders_overlap_when_one_holds_the_other() {
        for (folder, other, overlap) in
            [("/a", "/a", true), ("/a", "/a/b", true), ("/a", "/ab", false), ("/a/b", "/a", false)]
        {
            assert_eq!(contains(folder, other), overlap, "{folder} {other}");
        }
    }
}
