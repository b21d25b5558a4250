//! Destroyed VMs are expunged when `vm.expungePeriod` has passed, unless the policy is Never.

use std::sync::Arc;

use cairn_store::params;
use cairn_types::{Id, Result, kind, time};
use cairn_workflow::Start;

use super::vm::delete::DeleteVm;
use crate::app::App;

/// Expunges destroyed VMs whose time has come.
pub async fn due(app: &Arc<App>) -> Result<()> {
    if app.settings.text("vm", "deletionPolicy") == "Never" {
        return Ok(());
    }
    let before =
        time::now_ms().saturating_sub(app.settings.int("vm", "expungePeriod").max(0).saturating_mul(1000));
    let sql = "SELECT uuid FROM vm_instance WHERE state = 'Destroyed' AND run_uuid IS NULL AND destroyed_ms <= ? LIMIT 100";
    let rows = app.store.read(move |tx| tx.query(sql, params![before])).await?;
    for row in &rows {
        let vm: Id<kind::Vm> = row.id("uuid")?;
        tracing::info!(%vm, "expunging VM {vm}, whose time has passed");
        app.engine.start(DeleteVm::expunge(vm), Start::default()).await?;
    }
    Ok(())
}
