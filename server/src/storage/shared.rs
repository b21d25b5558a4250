//! Volumes on primary storage that several hosts reach: whichever host is there takes their files away. While none is, the
//! command is kept for the storage itself (table `cleanup`).

use cairn_api::agent::AgentOp;
use cairn_api::agent::storage::DeleteVolume;
use cairn_store::{Tx, params};
use cairn_types::{Id, Result, code, kind, time};
use cairn_workflow::Cx;
use serde_json::Value;

use super::primary_storage::{ENTITY, SIMULATOR};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::platform::cleanup;
use crate::rows;

/// Removes the file of a volume through a host that reaches its storage; later, if none does now. For steps of workflows.
pub(crate) async fn delete_volume(
    cx: &mut Cx<App>,
    storage: Id<kind::PrimaryStorage>,
    op: &DeleteVolume,
) -> Result<()> {
    cx.effect().await?;
    let app = cx.env().clone();
    if let Some(host) = connected_host(&app, storage).await? {
        match cx.agent(host, &format!("delete-{}-{host}", op.volume), op).await {
            Err(f) if f.has_code(code::HOST_DISCONNECTED) || f.has_code(code::TIMEOUT) => {}
            done => return done.map(|_| ()),
        }
    }
    let op = op.clone();
    let keep = move |tx: &mut dyn Tx| match rows::exists(tx, ENTITY, &storage.to_string())? {
        true => cleanup::later(tx, storage, &op),
        // Its files went with it.
        false => Ok(()),
    };
    app.store.write(keep).await
}

/// A connected host that reaches the storage; none too for what is no storage.
pub(crate) async fn connected_host(
    app: &App,
    storage: Id<kind::PrimaryStorage>,
) -> Result<Option<Id<kind::Host>>> {
    let sql =
        "SELECT h.uuid FROM host h JOIN primary_storage_cluster_ref r ON r.cluster_uuid = h.cluster_uuid
               WHERE r.primary_storage_uuid = ? AND h.status = 'Connected' LIMIT 20";
    let rows = app.store.read(move |tx| tx.query(sql, params![storage])).await?;
    let mut hosts: Vec<Id<kind::Host>> = rows.iter().map(|r| r.id("uuid")).collect::<Result<_>>()?;
    hosts.retain(|host| app.agents.is_connected(host));
    // Another one each time, so that one that fails does not stand in the way.
    let now = usize::try_from(time::now_ms()).unwrap_or(0);
    Ok(now.checked_rem(hosts.len()).and_then(|nth| hosts.get(nth).copied()))
}

/// A host goes for good: volumes on storage that others reach, whose removal was kept for it, are for those others.
pub(crate) fn pass_on(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<()> {
    let kept = "SELECT uuid, data FROM cleanup WHERE kind = 'agent' AND target_uuid = ?";
    for row in tx.query(kept, params![host])? {
        let data: Value = serde_json::from_str(&row.text("data")?).unwrap_or_default();
        let (Some(DeleteVolume::NAME), Some(path)) =
            (data["op"].as_str(), data["args"]["storagePath"].as_str())
        else {
            continue;
        };
        let sql = "UPDATE cleanup SET target_uuid = (SELECT p.uuid FROM primary_storage p WHERE p.type = ? AND p.url = ?
                     ORDER BY p.uuid LIMIT 1)
                   WHERE uuid = ? AND EXISTS (SELECT 1 FROM primary_storage p WHERE p.type = ? AND p.url = ?)";
        tx.execute(sql, params![SIMULATOR, path, row.text("uuid")?, SIMULATOR, path])?;
    }
    Ok(())
}
