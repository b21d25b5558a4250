use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("db"), 2).unwrap();
    (dir, store)
}

fn put(tx: &mut dyn Tx, name: &str) -> Result<usize> {
    tx.execute("INSERT INTO global_config VALUES ('t', ?, 'v', 0)", params![name])
}

fn count(tx: &mut dyn Tx) -> Result<i64> {
    tx.query_int("SELECT count(*) FROM global_config", params![])
}

#[tokio::test]
async fn a_failed_transaction_leaves_its_neighbours_in_the_batch_alone() {
    let (_dir, store) = store();
    let writes = (0..200).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write(move |tx| {
                    put(tx, &format!("n{n}"))?;
                    if n % 3 == 0 { Err(Fault::operation("no")) } else { Ok(()) }
                })
                .await
        })
    });
    let mut kept = 0;
    for write in writes.collect::<Vec<_>>() {
        kept += i64::from(write.await.unwrap().is_ok());
    }
    assert_eq!(store.read(count).await.unwrap(), kept);
    assert_eq!(kept, 133);
}

#[tokio::test]
async fn a_panic_in_a_transaction_is_a_fault_and_the_writer_lives_on() {
    let (_dir, store) = store();
    let result: Result<()> = store.write(|_| panic!("boom")).await;
    assert_eq!(result.unwrap_err().code, code::INTERNAL);
    assert!(store.write(|tx| put(tx, "after")).await.is_ok());
}

#[tokio::test]
async fn a_duplicate_key_can_be_told_from_other_errors() {
    let (_dir, store) = store();
    store.write(|tx| put(tx, "x")).await.unwrap();
    let again = store.write(|tx| put(tx, "x")).await.unwrap_err();
    assert!(is_duplicate(&again));
    let syntax = store.write(|tx| tx.execute("SELEKT", params![])).await.unwrap_err();
    assert!(!is_duplicate(&syntax));
}

#[tokio::test]
async fn a_rehearsal_sees_its_own_statements_and_leaves_nothing() {
    let (_dir, store) = store();
    let rehearsal = store.rehearse().await.unwrap();
    rehearsal.run(|tx| put(tx, "a")).await.unwrap();
    assert!(rehearsal.run(|tx| put(tx, "a")).await.is_err());
    assert_eq!(rehearsal.run(count).await.unwrap(), 1);
    drop(rehearsal);
    assert_eq!(store.write(count).await.unwrap(), 0);
}

#[tokio::test]
async fn a_read_sees_every_write_that_ended_before_it() {
    let (_dir, store) = store();
    let misses = Arc::new(AtomicUsize::new(0));
    for n in 1..100 {
        store.write(move |tx| put(tx, &format!("k{n}"))).await.unwrap();
        if store.read(count).await.unwrap() != n {
            misses.fetch_add(1, Ordering::Relaxed);
        }
    }
    assert_eq!(misses.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_was_answered_survives_reopening_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Store::open(&path, 1).unwrap();
    store.write(|tx| put(tx, "kept")).await.unwrap();
    drop(store);
    let again = Store::open(&path, 1).unwrap();
    assert_eq!(again.read(count).await.unwrap(), 1);
}

#[tokio::test]
async fn a_backup_is_a_whole_database() {
    let (dir, store) = store();
    store.write(|tx| put(tx, "kept")).await.unwrap();
    let copy = dir.path().join("copy");
    store.backup(&copy).await.unwrap();
    assert!(store.backup(&copy).await.is_err());
    assert_eq!(Store::open(&copy, 1).unwrap().read(count).await.unwrap(), 1);
}

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
async fn neighbours_of_a_failure_run_again_and_count_once() {
    let (_dir, store, gate) = gated();
    // While the first one runs, the others line up for one batch.
    let busy = store.clone();
    let busy = tokio::spawn(async move {
        let wait = |tx: &mut dyn Tx| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            put(tx, "busy")
        };
        busy.write(wait).await
    });
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let (good, bad, counted) = (store.clone(), store.clone(), runs.clone());
    let good = tokio::spawn(async move {
        let work = move |tx: &mut dyn Tx| {
            counted.fetch_add(1, Ordering::Relaxed);
            put(tx, "good")
        };
        good.write(work).await
    });
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let bad = tokio::spawn(async move {
        let work = |tx: &mut dyn Tx| put(tx, "bad").and_then(|_| put(tx, "bad"));
        bad.write(work).await
    });
    (0..3).for_each(|_| gate.send(Ok(())).unwrap());
    busy.await.unwrap().unwrap();
    good.await.unwrap().unwrap();
    assert!(is_duplicate(&bad.await.unwrap().unwrap_err()));
    assert_eq!(runs.load(Ordering::Relaxed), 2, "it was run again apart from its neighbour");
    assert_eq!(store.read(count).await.unwrap(), 2);
}

#[tokio::test]
async fn a_reserved_log_holds_what_it_held_and_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Store::open(&path, 1).unwrap();
    store.write(|tx| put(tx, "before")).await.unwrap();
    store.reserve_log().unwrap();
    store.write(|tx| put(tx, "after")).await.unwrap();
    assert_eq!(std::fs::metadata(crate::sync::log_of(&path)).unwrap().len(), LOG_BYTES);
    // As after a power cut: another process finds both in the log and stops at the zeros.
    let copy = dir.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(crate::sync::log_of(&path), crate::sync::log_of(&copy)).unwrap();
    assert_eq!(Store::open(&copy, 1).unwrap().read(count).await.unwrap(), 2);
}

/// A guard that looks at the database: writes are allowed as long as a row is there.
fn guarded() -> (tempfile::TempDir, Store) {
    let (dir, store) = store();
    store.set_guard(|tx| {
        let mine = tx.exists("SELECT 1 FROM global_config WHERE category = 'lease'", params![])?;
        if mine { Ok(()) } else { Err(Fault::new(code::NOT_READY, "the lease is lost").retry()) }
    });
    (dir, store)
}

fn lease(tx: &mut dyn Tx) -> Result<usize> {
    tx.execute("INSERT INTO global_config VALUES ('lease', 'l', 'v', 0)", params![])
}

fn no_lease(tx: &mut dyn Tx) -> Result<usize> {
    tx.execute("DELETE FROM global_config WHERE category = 'lease'", params![])
}

#[tokio::test]
async fn ops_14_while_the_guard_refuses_nothing_is_written() {
    let (_dir, store) = guarded();
    let refused = store.write(|tx| put(tx, "early")).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable), (code::NOT_READY, true));
    store.write_unguarded(lease).await.unwrap();
    store.write(|tx| put(tx, "mine")).await.unwrap();
    store.write_unguarded(no_lease).await.unwrap();
    assert!(store.write(|tx| put(tx, "late")).await.is_err());
    assert_eq!(store.read(count).await.unwrap(), 1);
}

#[tokio::test]
async fn ops_14_a_lease_given_up_in_a_batch_holds_for_what_comes_after_it_only() {
    let (_dir, store) = guarded();
    store.write_unguarded(lease).await.unwrap();
    // Held up, so that the others share a batch.
    let busy = store.clone();
    let wait = |_: &mut dyn Tx| -> Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(100));
        Ok(())
    };
    let busy = tokio::spawn(async move { busy.write(wait).await });
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let before = store.write(|tx| put(tx, "before"));
    let (given_up, after) = (store.write_unguarded(no_lease), store.write(|tx| put(tx, "after")));
    // A neighbour that fails has the batch run again.
    let fails = store.write_unguarded(|tx| put(tx, "twice").and_then(|_| put(tx, "twice")));
    let (before, given_up, after, fails) = tokio::join!(biased; before, given_up, after, fails);
    busy.await.unwrap().unwrap();
    assert_eq!(before.unwrap(), 1);
    assert_eq!(given_up.unwrap(), 1);
    assert_eq!(after.unwrap_err().code, code::NOT_READY);
    assert!(is_duplicate(&fails.unwrap_err()));
    assert_eq!(store.read(count).await.unwrap(), 1);
}

#[tokio::test]
async fn ops_14_the_clock_of_the_database_is_near_ours() {
    let (_dir, store) = store();
    let theirs = store.write(|tx| tx.now_ms()).await.unwrap();
    assert!((theirs - cairn_types::time::now_ms()).abs() < 60_000, "{theirs}");
}
