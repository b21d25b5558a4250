use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_api::agent::TargetKind;
use cairn_api::agent::host::HostFacts;
use cairn_api::agent::storage::{
    CacheImage, CachedImage, Capacity, CreateVolume, DeleteVolume, ListStorage, ReadVolume, StorageContent,
    UncacheImage, VolumeFile,
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::config::AgentDir;
use crate::drivers::{Answer, Call, FactReader, Hypervisor, LocalStorage};
use crate::image_store::FolderImageStore;
use crate::network::LinuxNetwork;
use crate::vm::Vms;
use crate::vm::testing::Fake;

const VOLUME: &str = "0189b2c3d4e57f60a1b2c3d4e5f60718";

/// Storage that counts, waits for the test, and panics on request.
struct Slow {
    runs: AtomicUsize,
    gate: Semaphore,
}

impl LocalStorage for Slow {
    fn connect<'a>(&'a self, path: &'a str) -> Answer<'a, Capacity> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            assert!(path != "/panic", "on purpose");
            self.gate.acquire().await.unwrap().forget();
            Ok(Capacity { total_bytes: 2, available_bytes: 1 })
        })
    }
    fn cache_image(&self, _: CacheImage, call: Call) -> Answer<'_, CachedImage> {
        Box::pin(async move {
            call.progress(50, "half");
            call.cancelled().await;
            Err(crate::drivers::cancelled())
        })
    }
    fn uncache_image(&self, _: UncacheImage) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn create_volume(&self, _: CreateVolume) -> Answer<'_, VolumeFile> {
        Box::pin(async { Err(Fault::operation("not in this test")) })
    }
    fn delete_volume(&self, _: DeleteVolume) -> Answer<'_, ()> {
        let n = self.runs.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            if n.is_multiple_of(2) { Ok(()) } else { Err(Fault::operation("every second one fails")) }
        })
    }
    fn read_volume(&self, _: ReadVolume) -> Answer<'_, VolumeFile> {
        Box::pin(async { Err(Fault::operation("not in this test")) })
    }
    fn list(&self, _: ListStorage) -> Answer<'_, StorageContent> {
        Box::pin(async { Ok(StorageContent::default()) })
    }
}

struct NoFacts;
impl FactReader for NoFacts {
    fn read<'a>(&'a self, _: &'a dyn Hypervisor) -> Answer<'a, HostFacts> {
        Box::pin(async { Err(Fault::operation("not in this test")) })
    }
}

struct Bench {
    tmp: tempfile::TempDir,
    storage: Arc<Slow>,
    dispatcher: Arc<Dispatcher>,
    frames: mpsc::UnboundedReceiver<AgentFrame>,
}

fn bench_in(tmp: tempfile::TempDir) -> Bench {
    let dir = AgentDir::open(tmp.path()).unwrap();
    let storage = Arc::new(Slow { runs: AtomicUsize::new(0), gate: Semaphore::new(0) });
    let outbox = Outbox::default();
    let network = Arc::new(LinuxNetwork::open(&dir.state()).unwrap());
    let drivers = Drivers {
        vms: Arc::new(Vms::new(&dir, Arc::new(Fake::new(None)), network.clone(), false).unwrap()),
        storage: storage.clone(),
        network,
        images: Arc::new(FolderImageStore::new(&dir.state(), 0, outbox.clone())),
        facts: Arc::new(NoFacts),
    };
    let dispatcher = Dispatcher::open(&dir.state(), drivers, Lanes::default(), outbox.clone()).unwrap();
    dispatcher.set_targets(vec![
        Target { uuid: "host".into(), kind: TargetKind::Host },
        Target { uuid: "store".into(), kind: TargetKind::ImageStore },
    ]);
    let (out, frames) = mpsc::unbounded_channel();
    outbox.connect(Some(out));
    Bench { tmp, storage, dispatcher, frames }
}

fn bench() -> Bench {
    bench_in(tempfile::tempdir().unwrap())
}

fn command(id: &str, op: &str, args: Value) -> Command {
    Command {
        id: id.into(),
        target: "host".into(),
        run: "run".into(),
        epoch: 1,
        op: op.into(),
        args,
        timeout_ms: 1000,
        receive_by_ms: 0,
        begin_by_ms: 0,
    }
}

fn connect(id: &str) -> Command {
    command(id, "storage.connect", json!({ "path": "/x" }))
}

impl Bench {
    async fn next(&mut self) -> (String, Result<Value, Fault>) {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(5), self.frames.recv()).await;
            if let AgentFrame::Result { id, ok, err } = frame.expect("a result").unwrap() {
                return (id, err.map_or_else(|| Ok(ok.unwrap_or_default()), Err));
            }
        }
    }
    async fn code(&mut self) -> String {
        self.next().await.1.unwrap_err().code
    }
    fn open(&self, n: usize) {
        self.storage.gate.add_permits(n);
    }
    fn runs(&self) -> usize {
        self.storage.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_command_that_runs_is_joined_and_one_that_ended_is_answered_again() {
    let mut b = bench();
    b.dispatcher.command(connect("a"));
    b.dispatcher.command(connect("a"));
    b.open(9);
    assert_eq!(b.next().await.0, "a");
    b.dispatcher.command(connect("a"));
    assert!(b.next().await.1.is_ok());
    assert_eq!(b.runs(), 1);
}

#[tokio::test]
async fn results_survive_a_restart_until_they_are_acknowledged() {
    let mut b = bench();
    b.open(9);
    b.dispatcher.command(connect("a"));
    b.dispatcher.command(Command { run: String::new(), ..connect("read") });
    let _ = b.next().await;
    let _ = b.next().await;
    drop(b.dispatcher);
    let mut b = bench_in(b.tmp);
    b.dispatcher.resend();
    assert_eq!(b.next().await.0, "a");
    b.dispatcher.command(connect("a"));
    assert!(b.next().await.1.is_ok());
    assert_eq!(b.runs(), 0, "nothing is done twice");
    b.dispatcher.acknowledge(&["a".into()]);
    drop(b.dispatcher);
    let mut b = bench_in(b.tmp);
    b.open(1);
    b.dispatcher.resend();
    b.dispatcher.command(connect("a"));
    let _ = b.next().await;
    assert_eq!(b.runs(), 1, "what the server has stored is forgotten");
}

#[tokio::test]
async fn commands_of_an_older_server_are_refused_also_after_a_restart() {
    let mut b = bench();
    b.open(9);
    b.dispatcher.command(Command { epoch: 7, ..connect("a") });
    assert!(b.next().await.1.is_ok());
    b.dispatcher.command(Command { epoch: 6, ..connect("b") });
    assert_eq!(b.code().await, "AGENT.8000");
    drop(b.dispatcher);
    let mut b = bench_in(b.tmp);
    b.open(9);
    b.dispatcher.command(Command { epoch: 6, ..connect("c") });
    assert_eq!(b.code().await, "AGENT.8000");
    b.dispatcher.command(Command { epoch: 7, ..connect("d") });
    assert!(b.next().await.1.is_ok());
    assert_eq!(b.runs(), 1);
}

#[tokio::test]
async fn a_command_that_waited_is_fenced_too() {
    let mut b = bench();
    let delete = |id: &str, epoch| {
        let args = json!({ "storagePath": "/x", "volume": VOLUME, "type": "Root" });
        Command { epoch, ..command(id, "volume.delete", args) }
    };
    b.dispatcher.command(delete("first", 1));
    b.dispatcher.command(delete("second", 1));
    // Another lane: seen at once, while both above still wait.
    b.dispatcher.command(Command { epoch: 2, ..connect("newer") });
    b.open(9);
    let mut results = HashMap::new();
    for _ in 0..3 {
        let (id, result) = b.next().await;
        results.insert(id, result.map_err(|f| f.code));
    }
    assert_eq!(results["second"], Err("AGENT.8000".to_owned()), "{results:?}");
}

#[tokio::test]
async fn unknown_commands_targets_and_arguments_are_named() {
    let mut b = bench();
    for (wrong, wanted) in [
        (command("1", "vm.fly", json!({})), "AGENT.8001"),
        (command("2", "nothing", json!({})), "AGENT.8001"),
        (Command { target: "other".into(), ..connect("3") }, "AGENT.8007"),
        (Command { target: "store".into(), ..connect("4") }, "AGENT.8007"),
        (command("5", "storage.connect", json!({ "path": 1 })), "SYS.1007"),
        (
            command("6", "volume.delete", json!({ "storagePath": "/x", "volume": "../x", "type": "Root" })),
            "SYS.1007",
        ),
        (command("7", "vm.pause", json!({ "vm": "$(reboot)" })), "SYS.1007"),
    ] {
        b.dispatcher.command(wrong);
        assert_eq!(b.code().await, wanted);
    }
    assert_eq!(b.runs(), 0);
}

#[tokio::test]
async fn a_panic_is_a_result() {
    let mut b = bench();
    b.dispatcher.command(command("a", "storage.connect", json!({ "path": "/panic" })));
    assert_eq!(b.code().await, "SYS.1000");
    b.open(1);
    b.dispatcher.command(connect("b"));
    assert!(b.next().await.1.is_ok());
}

#[tokio::test]
async fn a_cancelled_command_ends() {
    let mut b = bench();
    let args = json!({ "storagePath": "/x", "image": VOLUME, "url": "", "format": "raw", "fileBytes": 1, "sha256": "" });
    b.dispatcher.command(command("a", "storage.cache", args));
    tokio::time::sleep(Duration::from_millis(20)).await;
    b.dispatcher.cancel("a");
    b.dispatcher.cancel("unknown");
    assert_eq!(b.code().await, "RUN.8000");
}

#[tokio::test]
async fn a_cached_image_is_removed_after_it_was_fetched_and_never_meanwhile() {
    let mut b = bench();
    let cache = json!({ "storagePath": "/x", "image": VOLUME, "url": "", "format": "raw", "fileBytes": 1, "sha256": "" });
    let remove = |at: &str| json!({ "storagePath": at, "image": VOLUME });
    b.dispatcher.command(command("fetch", "storage.cache", cache));
    b.dispatcher.command(command("behind", "storage.uncache", remove("/x")));
    b.dispatcher.command(command("elsewhere", "storage.uncache", remove("/y")));
    assert_eq!(b.next().await.0, "elsewhere");
    b.dispatcher.cancel("fetch");
    assert_eq!((b.next().await.0, b.next().await.0), ("fetch".into(), "behind".into()));
}

#[tokio::test]
async fn a_torn_last_line_is_skipped() {
    let mut b = bench();
    b.open(9);
    b.dispatcher.command(connect("a"));
    let _ = b.next().await;
    drop(b.dispatcher);
    let file = b.tmp.path().join("state/results.jsonl");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{\"id\":\"b\",\"resu");
    std::fs::write(&file, text).unwrap();
    let mut b = bench_in(b.tmp);
    b.dispatcher.resend();
    assert_eq!(b.next().await.0, "a");
}

#[tokio::test]
async fn a_command_that_comes_when_nobody_waits_for_it_is_refused_and_not_kept() {
    let mut b = bench();
    b.open(9);
    b.dispatcher.set_clock(60_000);
    b.dispatcher.command(Command { receive_by_ms: 59_000, ..connect("a") });
    assert_eq!(b.code().await, "AGENT.8008");
    assert_eq!(b.runs(), 0);
    b.dispatcher.command(Command { receive_by_ms: 70_000, begin_by_ms: 90_000, ..connect("a") });
    assert!(b.next().await.1.is_ok(), "asked again in time it is done");
    b.dispatcher.command(Command { receive_by_ms: 0, ..connect("b") });
    assert!(b.next().await.1.is_ok(), "a server without a clock wants it whenever");
    assert_eq!(b.runs(), 2);
}

#[tokio::test]
async fn a_command_whose_caller_went_while_it_waited_in_its_lane_is_not_begun() {
    let mut b = bench();
    b.dispatcher.set_clock(1000);
    let delete = |id: &str, begin_by_ms| {
        let args = json!({ "storagePath": "/x", "volume": VOLUME, "type": "Root" });
        Command { begin_by_ms, ..command(id, "volume.delete", args) }
    };
    b.dispatcher.command(delete("first", 0));
    b.dispatcher.command(delete("late", 1010));
    b.dispatcher.command(delete("joined", 1010));
    // A caller that asks again, as after a restart of the server, waits for it anew.
    b.dispatcher.command(delete("joined", 90_000));
    tokio::time::sleep(Duration::from_millis(50)).await;
    b.open(9);
    let mut results = HashMap::new();
    for _ in 0..3 {
        let (id, result) = b.next().await;
        results.insert(id, result.map_err(|f| f.code));
    }
    assert_eq!(results["late"], Err("AGENT.8008".to_owned()), "{results:?}");
    assert_eq!(b.runs(), 2, "{results:?}");
}
