//! Quotas (IAM-04): limits of what an account may have, checked in the transaction that takes it.
//!
//! Nothing is counted up and down: what is used is computed from what the transaction sees, so it is exact under any
//! concurrency. A VM counts as running while its state holds capacity; a destroyed VM no longer counts as a VM, but its
//! volumes, and every image and volume that was deleted and not yet expunged, still take room. Administrators have no quotas.

use cairn_api::ops::identity::{GetAccountQuotaUsage, UpdateQuota};
use cairn_api::resource::HOLDING_STATES;
use cairn_api::settings;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use serde_json::{Value, json};

use super::account;
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::inventory;
use crate::platform::sums::{Sums, Used};

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<GetAccountQuotaUsage, _>(usages);
    h.change::<UpdateQuota>(update);
}

/// Names of all quotas: those of the settings' category `quota`, which hold the defaults.
pub fn names() -> impl Iterator<Item = &'static str> {
    settings::all().iter().filter(|s| s.category == "quota").map(|s| s.name)
}

/// Refuses with `ID.1003` if the account would have more than its quota allows. Each ask is a quota name of the manual and
/// how much more of it is wanted, such as `("vm.num", 1)`. What is used already is added up from the rows that this transaction
/// sees. Administrators have no quotas.
pub fn check(tx: &mut dyn Tx, account: Id<kind::Account>, asks: &[(&str, i64)]) -> Result<()> {
    check_by(None, tx, account, asks)
}

/// The same for quotas of VMs and volumes, by sums in memory with what has changed since: what this transaction sees, at a cost
/// that does not grow with what the account has.
pub fn check_quickly(
    sums: &Sums,
    tx: &mut dyn Tx,
    account: Id<kind::Account>,
    asks: &[(&str, i64)],
) -> Result<()> {
    check_by(Some(sums), tx, account, asks)
}

fn check_by(
    sums: Option<&Sums>,
    tx: &mut dyn Tx,
    account: Id<kind::Account>,
    asks: &[(&str, i64)],
) -> Result<()> {
    if asks.iter().all(|(_, more)| *more <= 0) || account::is_admin(tx, account)? {
        return Ok(());
    }
    let known = match sums {
        Some(sums) => sums.of_account(tx, account)?,
        None => None,
    };
    let mut vms = None;
    for (name, more) in asks.iter().filter(|(_, more)| *more > 0) {
        let total = total(tx, account, name)?;
        let used = match known.and_then(|k| of_sums(&k, name)) {
            Some(used) => used,
            None => used_beside(tx, account, name, &mut vms)?,
        };
        if used.saturating_add(*more) > total {
            let text = format!(
                "the quota {name} of account {account} is {total}; {used} are used and {more} more are asked for; delete \
                 something or ask an administrator for a larger quota"
            );
            let fault = Fault::new(code::QUOTA_EXCEEDING, text)
                .with("quota", *name)
                .with("account", account.to_string());
            return Err(fault.with("total", total).with("used", used).with("asked", *more));
        }
    }
    Ok(())
}

/// How much more of a quota an account may have; none: it has no limit.
pub fn left(tx: &mut dyn Tx, account: Id<kind::Account>, name: &str) -> Result<Option<u64>> {
    if account::is_admin(tx, account)? {
        return Ok(None);
    }
    let left = total(tx, account, name)?.saturating_sub(used(tx, account, name)?);
    Ok(Some(u64::try_from(left).unwrap_or(0)))
}

/// The limit of an account; the default for one that is older than the quota.
fn total(tx: &mut dyn Tx, account: Id<kind::Account>, name: &str) -> Result<i64> {
    let sql = "SELECT value FROM quota WHERE identity_uuid = ? AND name = ?";
    match tx.query_opt(sql, params![account, name])? {
        Some(row) => row.int("value"),
        None => {
            let setting = settings::find("quota", name);
            let setting = setting.ok_or_else(|| Fault::internal(format!("there is no quota {name}")))?;
            setting
                .default_value()
                .parse()
                .map_err(|_| Fault::internal(format!("quota {name} has no default")))
        }
    }
}

/// What is known of a quota without adding up rows.
fn of_sums(used: &Used, name: &str) -> Option<i64> {
    Some(match name {
        "vm.num" => used.running,
        "vm.cpuNum" => used.cpus,
        "vm.memorySize" => used.memory,
        "vm.totalNum" => used.vms,
        "volume.data.num" => used.data_volumes,
        "volume.capacity" => used.volume_bytes,
        _ => return None,
    })
}

/// What an account has of a quota, added up from its rows.
pub fn used(tx: &mut dyn Tx, account: Id<kind::Account>, name: &str) -> Result<i64> {
    used_beside(tx, account, name, &mut None)
}

/// What the VMs of an account use.
struct Vms {
    /// That hold capacity.
    running: i64,
    cpus: i64,
    memory: i64,
    /// That are not destroyed.
    all: i64,
}

impl Vms {
    /// One way through the account's VMs, whatever is asked of them.
    fn load(tx: &mut dyn Tx, account: Id<kind::Account>) -> Result<Self> {
        let sum = |condition: &str, what: &str| {
            format!("CAST(coalesce(sum(CASE WHEN {condition} THEN {what} ELSE 0 END), 0) AS BIGINT)")
        };
        let holds = format!("x.state IN {HOLDING_STATES}");
        let sql = format!(
            "SELECT {} AS running, {} AS cpus, {} AS memory, {} AS total
             FROM resource r JOIN vm_instance x ON x.uuid = r.uuid
             WHERE r.account_uuid = ? AND r.resource_type = 'VmInstanceVO'",
            sum(&holds, "1"),
            sum(&holds, "x.cpu_num"),
            sum(&holds, "x.memory_size"),
            sum("x.state <> 'Destroyed'", "1"),
        );
        let row = tx.query_opt(&sql, params![account])?;
        let row = row.ok_or_else(|| Fault::internal("a sum without a row"))?;
        let [running, cpus, memory, all] =
            ["running", "cpus", "memory", "total"].map(|column| row.int(column));
        Ok(Self { running: running?, cpus: cpus?, memory: memory?, all: all? })
    }

    fn of(&self, name: &str) -> Option<i64> {
        match name {
            "vm.num" => Some(self.running),
            "vm.cpuNum" => Some(self.cpus),
            "vm.memorySize" => Some(self.memory),
            "vm.totalNum" => Some(self.all),
            _ => None,
        }
    }
}

/// The same where several quotas are looked at in one transaction: the VMs are summed up once.
fn used_beside(
    tx: &mut dyn Tx,
    account: Id<kind::Account>,
    name: &str,
    vms: &mut Option<Vms>,
) -> Result<i64> {
    if name.starts_with("vm.") {
        if vms.is_none() {
            *vms = Some(Vms::load(tx, account)?);
        }
        if let Some(used) = vms.as_ref().and_then(|v| v.of(name)) {
            return Ok(used);
        }
    }
    let owned = |what: &str, table: &str, entity: &str, rest: &str| {
        format!(
            "SELECT {what} FROM resource r JOIN {table} x ON x.uuid = r.uuid
             WHERE r.account_uuid = ? AND r.resource_type = '{entity}'{rest}"
        )
    };
    let counted = |entity: &str| {
        format!("SELECT count(*) FROM resource WHERE account_uuid = ? AND resource_type = '{entity}'")
    };
    let sql = match name {
        "volume.data.num" => owned("count(*)", "volume", "VolumeVO", " AND x.type = 'Data'"),
        "volume.capacity" => owned("coalesce(sum(x.size), 0)", "volume", "VolumeVO", ""),
        "image.num" => counted("ImageVO"),
        "image.size" => owned("coalesce(sum(x.size), 0)", "image", "ImageVO", ""),
        "l3.num" => counted("L3NetworkVO"),
        "eip.num" => counted("EipVO"),
        "vip.num" => counted("VipVO"),
        "loadBalancer.num" => counted("LoadBalancerVO"),
        "portForwarding.num" => counted("PortForwardingRuleVO"),
        "securityGroup.num" => counted("SecurityGroupVO"),
        "snapshot.volume.num" => counted("VolumeSnapshotVO"),
        "vxlan.num" => owned("count(*)", "l2_network", "L2NetworkVO", " AND x.type = 'VxlanNetwork'"),
        "scheduler.num" => counted("SchedulerJobVO"),
        other => return Err(Fault::internal(format!("nobody counts the quota {other}"))),
    };
    tx.query_int(&sql, params![account])
}

async fn usages(call: Call, op: GetAccountQuotaUsage) -> Result<Value> {
    let account: Id<kind::Account> = id("uuid", &op.uuid)?;
    let list = move |tx: &mut dyn Tx| {
        if account::is_admin(tx, account)? {
            return Ok(Vec::new());
        }
        names()
            .map(|name| Ok(json!({ "name": name, "total": total(tx, account, name)?, "used": used(tx, account, name)? })))
            .collect::<Result<Vec<_>>>()
    };
    Ok(json!({ "usages": call.app.store.read(list).await? }))
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateQuota) -> Result<Value> {
    let account: Id<kind::Account> = id("identityUuid", &op.identity_uuid)?;
    let invalid = |text: String| Fault::new(code::QUOTA_INVALID, text).with("quota", op.name.as_str());
    if account::is_admin(tx, account)? {
        return Err(invalid("administrators have no quotas".into()));
    }
    if !names().any(|n| n == op.name) {
        let all: Vec<&str> = names().collect();
        return Err(invalid(format!("there is no quota {:?}; there are: {}", op.name, all.join(", "))));
    }
    if op.value < 0 {
        return Err(invalid(format!("the quota {} can't be {}; 0 allows none", op.name, op.value)));
    }
    crate::rows::claim(tx, "AccountVO", account)?;
    let now = cairn_types::time::now_ms();
    let sql = "UPDATE quota SET value = ?, last_op_ms = ? WHERE identity_uuid = ? AND name = ?";
    if tx.execute(sql, params![op.value, now, account, &op.name])? == 0 {
        let sql = "INSERT INTO quota (uuid, name, identity_uuid, identity_type, value, create_ms, last_op_ms)
                   VALUES (?, ?, ?, 'AccountVO', ?, ?, ?)";
        tx.execute(sql, params![Id::<kind::AnyResource>::new(), &op.name, account, op.value, now, now])?;
    }
    let row = tx.query_opt(
        "SELECT uuid FROM quota WHERE identity_uuid = ? AND name = ?",
        params![account, &op.name],
    )?;
    let quota: Id<kind::AnyResource> =
        row.ok_or_else(|| Fault::internal("the quota was not written"))?.id("uuid")?;
    crate::rows::event(tx, "AccountVO", account, "updated", &json!({ "quota": op.name, "value": op.value }))?;
    inventory::answer(tx, "QuotaInventory", quota, call.dates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iam_04_every_quota_of_the_settings_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = cairn_store::Store::open(&dir.path().join("db"), 1).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = runtime.block_on(
            store.read(|tx| names().map(|n| used(tx, crate::call::ADMIN, n)).collect::<Result<Vec<i64>>>()),
        );
        let all = all.unwrap();
        assert!(all.len() >= 16 && all.iter().all(|n| *n == 0), "{all:?}");
    }
}
