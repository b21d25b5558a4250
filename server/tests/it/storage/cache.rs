use cairn_server::app::App;
use cairn_server::storage::cache;
use cairn_types::{Fault, Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, Start, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::depot::Depot;

/// Only brings an image to a host.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bring {
    image: Id<kind::Image>,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Only;

impl Workflow for Bring {
    type Env = App;
    type Step = Only;
    const NAME: &'static str = "test.bring/1";
    const STEPS: &'static [Only] = &[Only];

    fn about(&self) -> About {
        About::default()
    }

    async fn step(&mut self, cx: &mut Cx<App>, _: Only, dir: Dir) -> Result<()> {
        match dir {
            Dir::Do | Dir::Plan => cache::ensure(cx, self.image, self.storage, self.host).await,
            Dir::Undo => Ok(()),
        }
    }
}

fn bring(
    depot: &Depot,
    image: &str,
    storage: &str,
    host: usize,
) -> impl Future<Output = Result<serde_json::Value>> {
    let parsed = (image.parse().unwrap(), storage.parse().unwrap(), depot.hosts[host].parse().unwrap());
    let work = Bring { image: parsed.0, storage: parsed.1, host: parsed.2 };
    let engine = depot.app.engine.clone();
    async move { engine.start(work, Start::default()).await?.wait().await }
}

async fn caches(depot: &Depot) -> Vec<serde_json::Value> {
    depot.get("/v1/cairn/image-caches").await.unwrap()["inventories"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_image_is_cached_once_per_host() {
    let depot = Depot::new(2).await;
    let storage = depot.storage("/ps").await;
    let image = depot.image("http://h.example/a.qcow2?size=2G&actual=1G").await;
    let all = futures_util::future::join_all((0..8).map(|n| bring(&depot, &image, &storage, n % 2))).await;
    assert!(all.iter().all(std::result::Result::is_ok), "{all:?}");
    let rows = caches(&depot).await;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!((row["state"].as_str(), row["size"].as_i64()), (Some("ready"), Some(1 << 30)));
        assert_eq!(row["installUrl"], format!("/ps/imageCache/{image}/{image}.qcow2"));
    }
    for host in &depot.hosts {
        assert_eq!(depot.machine(host).cached_images().len(), 1);
    }
    let shown = depot.one("/v1/primary-storage", &storage).await;
    let disk = 2 * (4096_i64 << 30);
    assert_eq!(shown["availableCapacity"], disk - 2 * (1 << 30), "cached images take room");
    let before = depot.machine(&depot.hosts[0]).commands();
    bring(&depot, &image, &storage, 0).await.unwrap();
    assert_eq!(depot.machine(&depot.hosts[0]).commands(), before, "one that is there costs no command");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_image_that_can_not_be_cached_leaves_no_row() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let image = depot.image("http://h.example/a.qcow2").await;
    depot.machine(&depot.hosts[0]).fail("storage.cache", 1, Fault::new("AGENT.8005", "the disk is full"));
    let failed = bring(&depot, &image, &storage, 0).await.unwrap_err();
    assert!(failed.has_code("AGENT.8005"));
    assert_eq!(caches(&depot).await.len(), 0);
    depot.shelf().corrupt(&image);
    assert!(
        bring(&depot, &image, &storage, 0).await.unwrap_err().has_code("IMG.8005"),
        "the checksum is verified on the host"
    );
    depot.delete(&format!("/v1/zones/{}/backup-storage/{}", depot.zone, depot.store)).await.unwrap();
    let nowhere = bring(&depot, &image, &storage, 0).await.unwrap_err();
    assert!(nowhere.details.contains("no connected backup storage of its zone"), "{nowhere:?}");
    assert_eq!(caches(&depot).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_a_host_that_cached_an_image_and_says_it_failed_keeps_neither_file_nor_row() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let machine = depot.machine(&depot.hosts[0]);
    let fault = || Fault::new("AGENT.8003", "the folder could not be synced");
    machine.fail_after("storage.cache", 1, fault());
    bring(&depot, &image, &storage, 0).await.unwrap_err();
    assert_eq!((caches(&depot).await.len(), machine.cached_images().len()), (0, 0));
    // If it keeps the file as well, the row says so, until somebody needs the image.
    machine.fail_after("storage.cache", 1, fault());
    machine.fail("storage.uncache", 1, fault());
    bring(&depot, &image, &storage, 0).await.unwrap_err();
    let rows = caches(&depot).await;
    assert_eq!(rows.iter().map(|r| r["state"].as_str()).collect::<Vec<_>>(), [Some("creating")]);
    assert_eq!(machine.cached_images().len(), 1);
    bring(&depot, &image, &storage, 0).await.unwrap();
    assert_eq!(caches(&depot).await[0]["state"], "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_cached_images_that_nothing_needs_are_cleared_away() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let (gone, kept) =
        (depot.image("http://h.example/a.qcow2").await, depot.image("http://h.example/b.qcow2").await);
    for image in [&gone, &kept] {
        bring(&depot, image, &storage, 0).await.unwrap();
    }
    let day = 86_400_000;
    assert_eq!(cache::sweep(&depot.app, day).await.unwrap(), 0, "what was needed just now stays");
    depot.set("image", "deletionPolicy", "Direct").await;
    depot.delete(&format!("/v1/images/{gone}")).await.unwrap();
    depot.sql("UPDATE image_cache SET last_op_ms = last_op_ms - 3600000").await;
    assert_eq!(cache::sweep(&depot.app, day).await.unwrap(), 1);
    assert_eq!(
        depot.machine(&depot.hosts[0]).cached_images().into_keys().collect::<Vec<_>>(),
        std::slice::from_ref(&kept)
    );
    assert_eq!(caches(&depot).await.len(), 1);
    assert_eq!(cache::sweep(&depot.app, 0).await.unwrap(), 1, "nobody asked for it long enough");
    assert_eq!(caches(&depot).await.len(), 0);
    bring(&depot, &kept, &storage, 0).await.unwrap();
    assert_eq!(depot.machine(&depot.hosts[0]).cached_images().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_copies_that_a_host_lost_are_forgotten_and_brought_again() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let image = depot.image("http://h.example/a.qcow2").await;
    bring(&depot, &image, &storage, 0).await.unwrap();
    let op = cairn_api::agent::storage::UncacheImage { storage_path: "/ps".into(), image: image.clone() };
    depot.app.agents.call(&depot.hosts[0], &op, Default::default()).await.unwrap();
    let again = json!({ "reconnectHost": {} });
    depot.put(&format!("/v1/hosts/{}/actions", depot.hosts[0]), again).await.unwrap();
    assert_eq!(caches(&depot).await.len(), 0);
    bring(&depot, &image, &storage, 0).await.unwrap();
    assert_eq!(depot.machine(&depot.hosts[0]).cached_images().len(), 1);
}
