//! How much room storage has: measured again now and then, added up on demand.

use std::sync::Arc;

use cairn_api::ops::storage::{
    GetBackupStorageCapacity, GetBackupStorageTypes, GetLocalStorageHostDiskCapacity,
    GetPrimaryStorageAllocatorStrategies, GetPrimaryStorageCapacity, GetPrimaryStorageTypes,
};
use cairn_api::resource;
use cairn_store::{Tx, Value as Column, params};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::primary_storage::{self, LOCAL, Storage};
use super::{backup_storage, cache, rounds};
use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::Handlers;

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<GetPrimaryStorageCapacity, _>(of_primary_storage);
    h.read::<GetPrimaryStorageTypes, _>(primary_storage_types);
    h.read::<GetPrimaryStorageAllocatorStrategies, _>(strategies);
    h.read::<GetLocalStorageHostDiskCapacity, _>(of_hosts);
    h.read::<GetBackupStorageCapacity, _>(of_backup_storage);
    h.read::<GetBackupStorageTypes, _>(backup_storage_types);
}

/// Looks at all storage whose check is due, and clears away cached images when that is due.
pub async fn refresh(app: &Arc<App>) -> Result<()> {
    let setting = |category: &str, name: &str| app.settings.int(category, name);
    if app.storage.is_due("primaryStorage.ping", setting("primaryStorage", "ping.interval")) {
        // What fails there holds up nothing else.
        if let Err(f) = rounds::measure_some(app).await {
            tracing::warn!(error = %f, "local storage could not be measured");
        }
    }
    if app.storage.is_due("backupStorage.ping", setting("backupStorage", "ping.interval")) {
        backup_storage::check_all(app).await?;
    }
    let interval = setting("primaryStorage", "imageCache.garbageCollector.interval");
    if app.storage.is_due("imageCache.sweep", interval) {
        let gone = cache::sweep(app, interval.saturating_mul(1000)).await?;
        if gone > 0 {
            tracing::info!(gone, "{gone} cached images that nothing uses were cleared away");
        }
    }
    Ok(())
}

/// `column IN (?, …)`, or nothing if there are no values.
fn within(column: &str, uuids: &[String], values: &mut Vec<Column>) -> String {
    if uuids.is_empty() {
        return String::new();
    }
    values.extend(uuids.iter().map(Column::from));
    format!(" AND {column} IN ({})", vec!["?"; uuids.len()].join(", "))
}

async fn of_primary_storage(call: Call, op: GetPrimaryStorageCapacity) -> Result<Value> {
    if !op.all
        && op.zone_uuids.is_empty()
        && op.cluster_uuids.is_empty()
        && op.primary_storage_uuids.is_empty()
    {
        return Err(Fault::argument(
            "name zoneUuids, clusterUuids or primaryStorageUuids, or set all to true",
        ));
    }
    let mut values = Vec::new();
    let conditions = if op.all {
        String::new()
    } else {
        [
            within("p.zone_uuid", &op.zone_uuids, &mut values),
            within("p.uuid", &op.primary_storage_uuids, &mut values),
            match within("r.cluster_uuid", &op.cluster_uuids, &mut values) {
                none if none.is_empty() => none,
                some => format!(" AND EXISTS (SELECT 1 FROM primary_storage_cluster_ref r WHERE r.primary_storage_uuid = p.uuid{some})"),
            },
        ]
        .concat()
    };
    let on = |expression: &str| resource::on(expression, "p");
    let sql = format!(
        "SELECT coalesce(sum({}), 0) AS total, coalesce(sum({}), 0) AS free, coalesce(sum({}), 0) AS total_physical,
           coalesce(sum({}), 0) AS free_physical FROM primary_storage p WHERE 1 = 1{conditions}",
        on(resource::STORAGE_TOTAL),
        on(resource::STORAGE_AVAILABLE),
        on(resource::STORAGE_TOTAL_PHYSICAL),
        on(resource::STORAGE_AVAILABLE_PHYSICAL),
    );
    call.app
        .store
        .read(move |tx: &mut dyn Tx| {
            let row = tx.query_opt(&sql, &values)?.ok_or_else(|| Fault::internal("a sum without a row"))?;
            Ok(json!({
                "totalCapacity": row.int("total")?, "availableCapacity": row.int("free")?,
                "totalPhysicalCapacity": row.int("total_physical")?, "availablePhysicalCapacity": row.int("free_physical")?,
            }))
        })
        .await
}

async fn of_hosts(call: Call, op: GetLocalStorageHostDiskCapacity) -> Result<Value> {
    let uuid: Id<kind::PrimaryStorage> = id("primaryStorageUuid", &op.primary_storage_uuid)?;
    let host = op.host_uuid.filter(|h| !h.is_empty());
    let sql = format!(
        "SELECT l.host_uuid, {} AS total, {} AS free, l.total_physical, l.available_physical
         FROM local_storage_host_ref l WHERE l.primary_storage_uuid = ? AND (? IS NULL OR l.host_uuid = ?) ORDER BY l.host_uuid",
        resource::on(resource::LOCAL_STORAGE_TOTAL, "l"),
        resource::on(resource::LOCAL_STORAGE_AVAILABLE, "l"),
    );
    call.app
        .store
        .read(move |tx: &mut dyn Tx| {
            if Storage::find(tx, uuid)?.r#type != LOCAL {
                let text = format!("primary storage {uuid} is no local storage, so it has no capacity per host");
                return Err(Fault::argument(text).with("parameter", "primaryStorageUuid"));
            }
            let rows = tx.query(&sql, params![uuid, host.clone(), host.clone()])?;
            if let (true, Some(host)) = (rows.is_empty(), &host) {
                return Err(Fault::argument(format!("host {host} does not use primary storage {uuid}")).with("parameter", "hostUuid"));
            }
            let list = rows.iter().map(|r| {
                Ok(json!({
                    "hostUuid": r.text("host_uuid")?, "totalCapacity": r.int("total")?, "availableCapacity": r.int("free")?,
                    "totalPhysicalCapacity": r.int("total_physical")?, "availablePhysicalCapacity": r.int("available_physical")?,
                }))
            });
            Ok(json!({ "inventories": list.collect::<Result<Vec<_>>>()? }))
        })
        .await
}

async fn of_backup_storage(call: Call, op: GetBackupStorageCapacity) -> Result<Value> {
    if !op.all && op.zone_uuids.is_empty() && op.backup_storage_uuids.is_empty() {
        return Err(Fault::argument("name zoneUuids or backupStorageUuids, or set all to true"));
    }
    let mut values = Vec::new();
    let conditions = if op.all {
        String::new()
    } else {
        let zones = match within("z.zone_uuid", &op.zone_uuids, &mut values) {
            none if none.is_empty() => none,
            some => format!(
                " AND EXISTS (SELECT 1 FROM backup_storage_zone_ref z WHERE z.backup_storage_uuid = b.uuid{some})"
            ),
        };
        zones + &within("b.uuid", &op.backup_storage_uuids, &mut values)
    };
    let sql = format!(
        "SELECT coalesce(sum(b.total_capacity), 0) AS total, coalesce(sum(b.available_capacity), 0) AS free
         FROM backup_storage b WHERE 1 = 1{conditions}"
    );
    call.app
        .store
        .read(move |tx: &mut dyn Tx| {
            let row = tx.query_opt(&sql, &values)?.ok_or_else(|| Fault::internal("a sum without a row"))?;
            Ok(json!({ "totalCapacity": row.int("total")?, "availableCapacity": row.int("free")? }))
        })
        .await
}

async fn primary_storage_types(_call: Call, _op: GetPrimaryStorageTypes) -> Result<Value> {
    Ok(json!({ "types": primary_storage::TYPES }))
}

async fn strategies(_call: Call, _op: GetPrimaryStorageAllocatorStrategies) -> Result<Value> {
    Ok(json!({ "strategies": primary_storage::STRATEGIES }))
}

async fn backup_storage_types(_call: Call, _op: GetBackupStorageTypes) -> Result<Value> {
    Ok(json!({ "types": backup_storage::TYPES }))
}
