use cairn_types::code;

use super::{LOG_BYTES, sync};
use crate::Store;
use crate::tests::{count, put};

/// A store whose syncs wait for a word each, which is how they end.
fn gated() -> (tempfile::TempDir, Store, std::sync::mpsc::Sender<std::io::Result<()>>) {
    let dir = tempfile::tempdir().unwrap();
    let (gate, words) = std::sync::mpsc::channel();
    let sync = Box::new(move || words.recv().unwrap());
    let store = Store::open_with(&dir.path().join("db"), 1, sync).unwrap();
    (dir, store, gate)
}

async fn still_waits<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    tokio::time::timeout(std::time::Duration::from_millis(50), task).await.is_err()
}

#[tokio::test]
async fn no_answer_of_a_write_or_a_read_leaves_before_the_sync() {
    let (_dir, store, gate) = gated();
    let (writer, reader) = (store.clone(), store.clone());
    let mut write = tokio::spawn(async move { writer.write(|tx| put(tx, "x")).await });
    assert!(still_waits(&mut write).await);
    let mut read = tokio::spawn(async move { reader.read(count).await });
    assert!(still_waits(&mut read).await, "it saw what is not on disk yet");
    gate.send(Ok(())).unwrap();
    assert_eq!(write.await.unwrap().unwrap(), 1);
    assert_eq!(read.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn one_sync_serves_every_commit_before_it() {
    let (_dir, store, gate) = gated();
    let first = store.clone();
    let mut first = tokio::spawn(async move { first.write(|tx| put(tx, "first")).await });
    assert!(still_waits(&mut first).await);
    let more: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.write(move |tx| put(tx, &format!("n{n}"))).await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    gate.send(Ok(())).unwrap();
    gate.send(Ok(())).unwrap();
    first.await.unwrap().unwrap();
    for write in more {
        write.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_said_to_be_kept() {
    let (_dir, store, gate) = gated();
    gate.send(Err(std::io::Error::other("I/O error"))).unwrap();
    let failed = store.write(|tx| put(tx, "x")).await.unwrap_err();
    assert!(failed.details.contains("restart the server"), "{failed}");
    // No more syncs are tried: the disk may have thrown away what it could not write.
    assert_eq!(store.write(|tx| put(tx, "y")).await.unwrap_err().code, code::STORE);
    assert_eq!(store.read(count).await.unwrap_err().code, code::STORE);
}

#[tokio::test]
async fn a_reserved_log_holds_what_it_held_and_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Store::open(&path, 1).unwrap();
    store.write(|tx| put(tx, "before")).await.unwrap();
    store.reserve_log().unwrap();
    store.write(|tx| put(tx, "after")).await.unwrap();
    assert_eq!(std::fs::metadata(sync::log_of(&path)).unwrap().len(), LOG_BYTES);
    // As after a power cut: another process finds both in the log and stops at the zeros.
    let copy = dir.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(sync::log_of(&path), sync::log_of(&copy)).unwrap();
    assert_eq!(Store::open(&copy, 1).unwrap().read(count).await.unwrap(), 2);
}
