//! Every workflow of this group fails or dies before and after each of its steps. Afterwards nothing is half done: what the
//! rows say is what stores and hosts have.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_server::app::Tuning;
use cairn_types::new_uuid;
use cairn_workflow::{Act, At, Probe};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::depot::Depot;
use crate::hardware::site::{Failed, uuid};

/// Springs once, at one moment of one workflow; undos are done twice.
#[derive(Default)]
struct Trap {
    set: Mutex<Option<(&'static str, usize, bool, Act)>>,
    has_sprung: AtomicBool,
}

impl Probe for Trap {
    fn at(&self, m: &At<'_>) -> Act {
        if m.undo {
            return if m.after { Act::Go } else { Act::Twice };
        }
        let mut set = self.set.lock().unwrap();
        match *set {
            Some((workflow, index, after, act))
                if workflow == m.workflow && index == m.index && after == m.after =>
            {
                *set = None;
                self.has_sprung.store(true, Ordering::SeqCst);
                act
            }
            _ => Act::Go,
        }
    }
}

type Call = Box<dyn for<'a> Fn(&'a Depot) -> BoxFuture<'a, Result<Value, Failed>> + Send + Sync>;

/// A call whose workflow is put to the test.
struct Scenario {
    workflow: &'static str,
    steps: usize,
    prepare: Call,
    call: Call,
}

fn call(
    f: impl for<'a> Fn(&'a Depot) -> BoxFuture<'a, Result<Value, Failed>> + Send + Sync + 'static,
) -> Call {
    Box::new(f)
}

/// Fixed uuids, so that a call finds what was prepared.
const STORAGE: &str = "0123456789ab7aaa8aaaaaaaaaaaaaaa";
const IMAGE: &str = "0123456789ab7bbb8bbbbbbbbbbbbbbb";
const STORE: &str = "0123456789ab7ccc8ccccccccccccccc";

fn add_storage(depot: &Depot) -> BoxFuture<'_, Result<Value, Failed>> {
    let params = json!({ "name": "ps", "url": "/ps", "zoneUuid": depot.zone, "resourceUuid": STORAGE });
    Box::pin(async move { depot.post("/v1/primary-storage/local-storage", params).await })
}

fn add_attached(depot: &Depot) -> BoxFuture<'_, Result<Value, Failed>> {
    Box::pin(async move {
        add_storage(depot).await?;
        depot.attach(STORAGE).await
    })
}

fn add_image(depot: &Depot) -> BoxFuture<'_, Result<Value, Failed>> {
    Box::pin(async move {
        let both = json!([depot.store, STORE]);
        depot
            .add_as("http://h.example/a.qcow2", json!({ "resourceUuid": IMAGE, "backupStorageUuids": both }))
            .await
    })
}

fn add_store(depot: &Depot) -> BoxFuture<'_, Result<Value, Failed>> {
    let params = json!({ "name": "s2", "url": "/second", "hostUuid": depot.hosts[1], "resourceUuid": STORE });
    Box::pin(async move { depot.post("/v1/cairn/backup-storage/local", params).await })
}

fn with_image(depot: &Depot) -> BoxFuture<'_, Result<Value, Failed>> {
    Box::pin(async move {
        add_store(depot).await?;
        add_image(depot).await
    })
}

async fn spring(scenario: &Scenario, index: usize, after: bool, act: Act) {
    let what =
        format!("{} step {index}, {}: {act:?}", scenario.workflow, if after { "after" } else { "before" });
    let trap = Arc::new(Trap::default());
    let probe: Arc<dyn Probe> = trap.clone();
    let pause = Some(Duration::from_millis(5));
    let mut depot =
        Depot::tuned(2, Tuning { probe: Some(probe), undo_pause: pause, ..Tuning::default() }).await;
    (scenario.prepare)(&depot).await.unwrap();
    *trap.set.lock().unwrap() = Some((scenario.workflow, index, after, act));
    let has_sprung = async {
        while act != Act::Crash || !trap.has_sprung.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let outcome = tokio::select! {
        outcome = (scenario.call)(&depot) => Some(outcome),
        () = has_sprung => None,
    };
    assert!(trap.has_sprung.load(Ordering::SeqCst), "{what} was not reached");
    if act == Act::Crash {
        depot.site.restart().await;
    } else {
        assert!(outcome.is_some_and(|o| o.is_err()), "{what}");
    }
    settle(&depot, &what).await;
    check(&depot, &what).await;
    // It can be done again, or was done.
    if let Err(f) = (scenario.call)(&depot).await {
        let is_done =
            ["SYS.1003", "PS.1001", "PS.1002", "RES.8002", "SYS.1006", "SYS.1007"].contains(&f.code());
        assert!(act == Act::Crash && is_done, "{what}, again: {f:?}");
    }
    settle(&depot, &what).await;
    check(&depot, &what).await;
}

/// Waits until nothing is at work any more.
async fn settle(depot: &Depot, what: &str) {
    for _ in 0..2000 {
        let busy = depot.app.store.read(|tx| {
            tx.query_int(
                "SELECT (SELECT count(*) FROM run WHERE state IN ('Running', 'Undoing')) + (SELECT count(*) FROM cleanup)
                   + (SELECT count(*) FROM backup_storage WHERE status <> 'Connected')
                   + (SELECT count(*) FROM host WHERE status <> 'Connected')",
                &[],
            )
        });
        if busy.await.unwrap() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: something is at work for ever");
}

async fn texts(depot: &Depot, sql: &'static str) -> Vec<String> {
    depot.app.store.read(move |tx| tx.query(sql, &[])?.iter().map(|r| r.text("t")).collect()).await.unwrap()
}

/// What must hold when nothing is at work.
async fn check(depot: &Depot, what: &str) {
    for (meaning, sql) in [
        ("a run is stuck", "SELECT uuid AS t FROM run WHERE state = 'Stuck'"),
        ("a storage is marked", "SELECT uuid AS t FROM primary_storage WHERE deleting_run IS NOT NULL"),
        ("a store is marked", "SELECT uuid AS t FROM backup_storage WHERE deleting_run IS NOT NULL"),
        ("an image is marked", "SELECT uuid AS t FROM image WHERE deleting_run IS NOT NULL"),
        ("an image is not whole", "SELECT uuid AS t FROM image i WHERE status = 'Ready' AND NOT EXISTS
            (SELECT 1 FROM image_backup_storage_ref r WHERE r.image_uuid = i.uuid AND r.status = 'Ready')"),
        ("a download hangs", "SELECT image_uuid AS t FROM image_backup_storage_ref WHERE status = 'Downloading' AND install_path IS NULL"),
        ("a registered resource has no row", "SELECT uuid AS t FROM resource WHERE (resource_type = 'ImageVO' AND uuid NOT IN (SELECT uuid FROM image))
            OR (resource_type = 'BackupStorageVO' AND uuid NOT IN (SELECT uuid FROM backup_storage))
            OR (resource_type = 'PrimaryStorageVO' AND uuid NOT IN (SELECT uuid FROM primary_storage))"),
        ("a host row without a link", "SELECT host_uuid AS t FROM local_storage_host_ref x JOIN host h ON h.uuid = x.host_uuid WHERE NOT EXISTS
            (SELECT 1 FROM primary_storage_cluster_ref r WHERE r.primary_storage_uuid = x.primary_storage_uuid AND r.cluster_uuid = h.cluster_uuid)"),
        ("a link without a host row", "SELECT h.uuid AS t FROM primary_storage_cluster_ref r JOIN host h ON h.cluster_uuid = r.cluster_uuid WHERE NOT EXISTS
            (SELECT 1 FROM local_storage_host_ref x WHERE x.primary_storage_uuid = r.primary_storage_uuid AND x.host_uuid = h.uuid AND x.status = 'Connected')"),
        ("a cached image is not ready", "SELECT uuid AS t FROM image_cache WHERE state <> 'ready'"),
    ] {
        // Right after a restart rows still say what the server before it knew; its agents are about to dial.
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
        while !texts(depot, sql).await.is_empty() && tokio::time::Instant::now() < end {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(texts(depot, sql).await, Vec::<String>::new(), "{what}: {meaning}");
    }
    let rows = texts(depot, "SELECT backup_storage_uuid || ' ' || image_uuid AS t FROM image_backup_storage_ref WHERE status IN ('Ready', 'Deleted')").await;
    let mut files = BTreeSet::new();
    for store in texts(depot, "SELECT uuid AS t FROM backup_storage").await {
        let shelf = depot.machines.image_store(&store);
        files.extend(shelf.images().into_keys().map(|i| format!("{store} {i}")));
        let awaited =
            texts(depot, "SELECT image_uuid AS t FROM image_backup_storage_ref WHERE status = 'Downloading'")
                .await;
        assert!(
            shelf.open_uploads().keys().all(|i| awaited.contains(i)),
            "{what}: an upload is open that nobody awaits"
        );
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while !depot.app.agents.is_connected(&store) {
            assert!(tokio::time::Instant::now() < end, "{what}: nobody serves store {store}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), files, "{what}: rows and files of images");
}

async fn every_step(scenario: Scenario) {
    for index in 0..scenario.steps {
        for after in [false, true] {
            // The last step ends the run: there is no moment after it.
            if after && index + 1 == scenario.steps {
                continue;
            }
            for act in [Act::Fail, Act::Crash] {
                spring(&scenario, index, after, act).await;
            }
        }
    }
}

macro_rules! crash_test {
    ($name:ident: $workflow:literal, $steps:literal, $prepare:expr, $call:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (prepare, action) = (call($prepare), call($call));
            every_step(Scenario { workflow: $workflow, steps: $steps, prepare, call: action }).await;
        }
    };
}

fn nothing(_: &Depot) -> BoxFuture<'_, Result<Value, Failed>> {
    Box::pin(async { Ok(Value::Null) })
}

crash_test!(attach_primary_storage_in_any_step: "primary-storage.attach/1", 2, add_storage, |d| Box::pin(d.attach(STORAGE)));
crash_test!(detach_primary_storage_in_any_step: "primary-storage.detach/1", 2, add_attached, |d| Box::pin(d.detach(STORAGE)));
crash_test!(measure_primary_storage_in_any_step: "primary-storage.measure/1", 2, add_attached, |d| {
    Box::pin(d.action(format!("primary-storage/{STORAGE}"), "reconnectPrimaryStorage", json!({})))
});
crash_test!(delete_primary_storage_in_any_step: "primary-storage.delete/1", 4, add_storage, |d| {
    Box::pin(async move { d.delete(&format!("/v1/primary-storage/{STORAGE}")).await })
});
crash_test!(add_image_store_in_any_step: "backup-storage.add/1", 3, nothing, add_store);
crash_test!(add_simulated_store_in_any_step: "backup-storage.add/1", 3, nothing, |d| {
    let params = json!({ "name": "s", "url": "x", "totalCapacity": 1_i64 << 40, "availableCapacity": 1_i64 << 40, "resourceUuid": STORE });
    Box::pin(d.post("/v1/backup-storage/simulators", params))
});
crash_test!(reconnect_store_in_any_step: "backup-storage.reconnect/1", 2, nothing, |d| {
    Box::pin(d.action(format!("backup-storage/{}", d.store), "reconnectBackupStorage", json!({})))
});
crash_test!(delete_store_in_any_step: "backup-storage.delete/1", 5, with_image, |d| {
    Box::pin(async move { d.delete(&format!("/v1/backup-storage/{STORE}")).await })
});
crash_test!(add_image_in_any_step: "image.add/1", 2, add_store, add_image);
crash_test!(open_upload_in_any_step: "image.open-upload/1", 2, nothing, |d| {
    Box::pin(async move { d.add(&format!("upload://{IMAGE}")).await })
});
crash_test!(delete_image_in_any_step: "image.delete/1", 1, with_image, |d| {
    Box::pin(async move { d.delete(&format!("/v1/images/{IMAGE}")).await })
});
crash_test!(expunge_image_in_any_step: "image.expunge/1", 1, |d| Box::pin(async move {
    with_image(d).await?;
    d.delete(&format!("/v1/images/{IMAGE}")).await
}), |d| Box::pin(d.action(format!("images/{IMAGE}"), "expungeImage", json!({}))));
crash_test!(expunge_one_copy_in_any_step: "image.expunge/1", 1, |d| Box::pin(async move {
    with_image(d).await?;
    d.delete(&format!("/v1/images/{IMAGE}?backupStorageUuids={STORE}")).await
}), |d| Box::pin(d.action(format!("images/{IMAGE}"), "expungeImage", json!({ "backupStorageUuids": [STORE] }))));
crash_test!(sync_image_size_in_any_step: "image.sync-size/1", 1, with_image, |d| {
    Box::pin(d.action(format!("images/{IMAGE}"), "syncImageSize", json!({})))
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_03_server_that_comes_back_joins_the_download_that_runs() {
    let mut depot = Depot::new(1).await;
    depot.shelf().delay("imageStore.fetch", Duration::from_secs(2));
    let image = new_uuid();
    let params = depot.image_params("http://h.example/a.qcow2", json!({ "resourceUuid": image }));
    let before = depot.shelf().commands();
    tokio::select! {
        _ = depot.post("/v1/images", params) => panic!("too early"),
        _ = depot.until("/v1/images", &image, |i| i["status"] == "Downloading") => {}
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    depot.site.restart().await;
    depot.until("/v1/images", &image, |i| i["status"] == "Ready").await;
    let fetched = depot.shelf().commands() - before;
    assert!(fetched <= 3, "one download and the connects: {fetched}");
    let other = uuid(depot.add("http://h.example/b.qcow2").await);
    assert_ne!(other, image);
}
