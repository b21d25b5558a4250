//! The sums against rows, while rows change at random and transactions are taken back.

use cairn_store::{Store, Tx, params};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::json;

use super::Sums;
use crate::call::ADMIN;
use crate::identity::quota;
use crate::platform::{compare, events};

type Account = Id<kind::Account>;

/// A small source of numbers that is the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.below(list.len())).cloned()
    }
}

/// Accounts, the first administrator among them, and storages, the first of which is shared.
#[derive(Clone)]
struct Site {
    accounts: Vec<Account>,
    storages: Vec<Id<kind::PrimaryStorage>>,
}

async fn site(store: &Store) -> Site {
    let site = Site { accounts: vec![ADMIN, Id::new(), Id::new()], storages: vec![Id::new(), Id::new()] };
    let made = site.clone();
    let make = move |tx: &mut dyn Tx| {
        tx.execute(
            "INSERT INTO zone (uuid, name, create_ms, last_op_ms) VALUES ('z', 'z', 0, 0)",
            params![],
        )?;
        for account in &made.accounts {
            crate::identity::account::insert(tx, *account, &account.to_string(), None, "Normal", "hash")?;
        }
        for (n, storage) in made.storages.iter().enumerate() {
            let sql = "INSERT INTO primary_storage (uuid, zone_uuid, name, url, type, total_capacity, create_ms, last_op_ms)
                       VALUES (?, 'z', 's', 's', 's', ?, 0, 0)";
            tx.execute(sql, params![*storage, (n == 0).then_some(1_000_000_i64)])?;
        }
        Ok(())
    };
    store.write(make).await.unwrap();
    site
}

fn uuids(tx: &mut dyn Tx, table: &str) -> Result<Vec<Id<kind::AnyResource>>> {
    tx.query(&format!("SELECT uuid FROM {table} ORDER BY uuid"), params![])?
        .iter()
        .map(|r| r.id("uuid"))
        .collect()
}

fn owner(tx: &mut dyn Tx, uuid: Id<kind::AnyResource>) -> Result<Option<String>> {
    tx.query_opt("SELECT account_uuid FROM resource WHERE uuid = ?", params![uuid])?
        .map_or(Ok(None), |r| r.opt_text("account_uuid"))
}

/// One change of rows as calls make them, with its event.
fn change(tx: &mut dyn Tx, dice: &mut Numbers, site: &Site) -> Result<()> {
    let (vms, volumes) = (uuids(tx, "vm_instance")?, uuids(tx, "volume")?);
    let amount = i64::try_from(dice.below(50)).unwrap();
    let register = |tx: &mut dyn Tx, entity: &str, uuid, account: Account| {
        crate::rows::register::<kind::AnyResource>(tx, entity, uuid, Some(account))
    };
    let vm = dice.of(&vms);
    match (dice.below(7), vm, dice.of(&volumes)) {
        (0, ..) => {
            let (uuid, account) = (Id::new(), dice.of(&site.accounts).unwrap());
            register(tx, "VmInstanceVO", uuid, account)?;
            let sql = "INSERT INTO vm_instance (uuid, name, memory_size, cpu_num, create_ms, last_op_ms) VALUES (?, 'vm', ?, 1, 0, 0)";
            tx.execute(sql, params![uuid, amount]).map(|_| ())
        }
        (1, vm, _) => {
            let uuid = Id::new();
            register(tx, "VolumeVO", uuid, dice.of(&site.accounts).unwrap())?;
            let sql = "INSERT INTO volume (uuid, name, vm_instance_uuid, type, size, primary_storage_uuid, create_ms, last_op_ms)
                       VALUES (?, 'v', ?, 'Data', ?, ?, 0, 0)";
            tx.execute(sql, params![uuid, vm, amount, dice.of(&site.storages)]).map(|_| ())
        }
        (2, Some(vm), _) => {
            let state = dice.of(&["Running", "Stopped", "Destroyed", "Paused"]).unwrap();
            let sql = "UPDATE vm_instance SET state = ?, cpu_num = ? WHERE uuid = ?";
            tx.execute(sql, params![state, amount, vm])?;
            crate::rows::event(tx, "VmInstanceVO", vm, "updated", &json!({}))
        }
        // The volumes of a VM are placed with an event of the VM alone.
        (3, Some(vm), _) => {
            let sql = "UPDATE volume SET primary_storage_uuid = ?, size = ? WHERE vm_instance_uuid = ?";
            tx.execute(sql, params![dice.of(&site.storages), amount, vm])?;
            crate::rows::event(tx, "VmInstanceVO", vm, "updated", &json!({}))
        }
        // They change owner with it.
        (4, Some(vm), _) => {
            crate::rows::event(tx, "VmInstanceVO", vm, "updated", &json!({}))?;
            let sql = "UPDATE resource SET account_uuid = ? WHERE uuid = ?
                       OR uuid IN (SELECT uuid FROM volume WHERE vm_instance_uuid = ?)";
            tx.execute(sql, params![dice.of(&site.accounts), vm, vm])?;
            crate::rows::event(tx, "VmInstanceVO", vm, "updated", &json!({}))
        }
        (5, Some(vm), _) => {
            let before = owner(tx, vm)?;
            // Volumes are detached with an event of theirs.
            let sql = "SELECT uuid FROM volume WHERE vm_instance_uuid = ?";
            for row in tx.query(sql, params![vm])? {
                let volume: Id<kind::AnyResource> = row.id("uuid")?;
                crate::rows::event(tx, "VolumeVO", volume, "updated", &json!({}))?;
            }
            tx.execute("UPDATE volume SET vm_instance_uuid = NULL WHERE vm_instance_uuid = ?", params![vm])?;
            tx.execute("DELETE FROM vm_instance WHERE uuid = ?", params![vm])?;
            tx.execute("DELETE FROM resource WHERE uuid = ?", params![vm])?;
            events::write(tx, before, "VmInstanceVO", &vm.to_string(), "deleted", &json!({}))
        }
        (6, _, Some(volume)) => crate::rows::remove(tx, "VolumeVO", volume),
        _ => Ok(()),
    }
}

/// What the sums say within a transaction is what its rows say.
fn compare(tx: &mut dyn Tx, sums: &Sums, site: &Site) -> Result<()> {
    for account in &site.accounts[1..] {
        let Some(used) = sums.of_account(tx, *account)? else { continue };
        for (name, sum) in [
            ("vm.num", used.running),
            ("vm.cpuNum", used.cpus),
            ("vm.memorySize", used.memory),
            ("vm.totalNum", used.vms),
            ("volume.data.num", used.data_volumes),
            ("volume.capacity", used.volume_bytes),
        ] {
            assert_eq!(sum, quota::used(tx, *account, name)?, "{name}");
        }
    }
    let sql = "SELECT coalesce(sum(size), 0) FROM volume WHERE primary_storage_uuid = ?";
    let shared = site.storages[0];
    assert_eq!(sums.of_storage(tx, shared.as_u128())?, tx.query_int(sql, params![shared])?);
    Ok(())
}

async fn ready(sums: &Sums) {
    while !sums.lock().is_exact {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iam_04_sums_are_what_a_transaction_sees_whatever_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("db"), 2).unwrap();
    let site = site(&store).await;
    let sums = Sums::start(&store);
    ready(&sums).await;
    let mut known = 0;
    for seed in 0..400 {
        let (sums_of, site_of) = (sums.clone(), site.clone());
        let write = move |tx: &mut dyn Tx| {
            let mut dice = Numbers(seed * 7919 + 1);
            for _ in 0..=dice.below(4) {
                change(tx, &mut dice, &site_of)?;
                compare(tx, &sums_of, &site_of)?;
            }
            let is_known = sums_of.of_account(tx, site_of.accounts[1])?.is_some();
            if dice.below(4) == 0 { Err(Fault::internal("it is taken back")) } else { Ok(is_known) }
        };
        match store.write(write).await {
            Ok(is_known) => known += usize::from(is_known),
            Err(f) => assert!(f.details.contains("it is taken back"), "{f}"),
        }
        if seed % 20 == 0 {
            let sums = sums.clone();
            let lines = compare::sums(&sums, &store).await.unwrap();
            assert!(lines.is_empty(), "{lines:?}");
        }
    }
    assert!(known > 200, "rows were added up instead: {known}");
    // A log that does not reach back has them built anew.
    let prune = |tx: &mut dyn Tx| {
        tx.execute("UPDATE volume SET size = size + 1", params![])?;
        for _ in 0..3 {
            events::write(tx, None, "GlobalConfigVO", "x/y", "updated", &json!({}))?;
        }
        tx.execute("DELETE FROM event WHERE seq < (SELECT max(seq) FROM event)", params![])
    };
    store.write(prune).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    ready(&sums).await;
    let (sums_of, site_of) = (sums.clone(), site.clone());
    store.write(move |tx| compare(tx, &sums_of, &site_of)).await.unwrap();
    assert_eq!(compare::sums(&sums, &store).await.unwrap(), Vec::<String>::new());
}
