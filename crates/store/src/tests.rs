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
