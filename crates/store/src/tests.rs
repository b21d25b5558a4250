use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::scratch::Scratch;
use super::*;

fn store() -> (Scratch, Store) {
    let scratch = Scratch::new();
    let store = scratch.open(2).unwrap();
    (scratch, store)
}

pub(crate) fn put(tx: &mut dyn Tx, name: &str) -> Result<usize> {
    tx.execute("INSERT INTO global_config VALUES ('t', ?, 'v', 0)", params![name])
}

pub(crate) fn count(tx: &mut dyn Tx) -> Result<i64> {
    tx.query_int("SELECT count(*) FROM global_config", params![])
}

#[tokio::test]
async fn a_failed_transaction_leaves_its_neighbours_in_the_batch_alone() {
    let (_scratch, store) = store();
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
    let (_scratch, store) = store();
    let result: Result<()> = store.write(|_| panic!("boom")).await;
    assert_eq!(result.unwrap_err().code, code::INTERNAL);
    assert!(store.write(|tx| put(tx, "after")).await.is_ok());
}

#[tokio::test]
async fn a_duplicate_key_can_be_told_from_other_errors() {
    let (_scratch, store) = store();
    store.write(|tx| put(tx, "x")).await.unwrap();
    let again = store.write(|tx| put(tx, "x")).await.unwrap_err();
    assert!(is_duplicate(&again));
    let syntax = store.write(|tx| tx.execute("SELEKT", params![])).await.unwrap_err();
    assert!(!is_duplicate(&syntax));
}

#[tokio::test]
async fn a_rehearsal_sees_its_own_statements_and_leaves_nothing() {
    let (_scratch, store) = store();
    let rehearsal = store.rehearse().await.unwrap();
    rehearsal.run(|tx| put(tx, "a")).await.unwrap();
    assert!(rehearsal.run(|tx| put(tx, "a")).await.is_err());
    assert_eq!(rehearsal.run(count).await.unwrap(), 1);
    drop(rehearsal);
    assert_eq!(store.write(count).await.unwrap(), 0);
}

#[tokio::test]
async fn a_read_sees_every_write_that_ended_before_it() {
    let (_scratch, store) = store();
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
async fn what_was_answered_survives_reopening_the_database() {
    let (scratch, store) = store();
    store.write(|tx| put(tx, "kept")).await.unwrap();
    drop(store);
    let again = scratch.open(1).unwrap();
    assert_eq!(again.read(count).await.unwrap(), 1);
}

#[tokio::test]
async fn a_backup_is_a_whole_database() {
    let (scratch, store) = store();
    store.write(|tx| put(tx, "kept")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    store.backup(&copy).await.unwrap();
    assert!(store.backup(&copy).await.is_err());
    let restored = scratch.restored(&copy);
    assert_eq!(restored.open(1).unwrap().read(count).await.unwrap(), 1);
}

#[tokio::test]
async fn neighbours_of_a_failure_run_again_and_count_once() {
    let (_scratch, store) = store();
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
    busy.await.unwrap().unwrap();
    good.await.unwrap().unwrap();
    assert!(is_duplicate(&bad.await.unwrap().unwrap_err()));
    assert_eq!(runs.load(Ordering::Relaxed), 2, "it was run again apart from its neighbour");
    assert_eq!(store.read(count).await.unwrap(), 2);
}

/// A guard that looks at the database: writes are allowed as long as a row is there.
fn guarded() -> (Scratch, Store) {
    let (scratch, store) = store();
    store.set_guard(|tx| {
        let mine = tx.exists("SELECT 1 FROM global_config WHERE category = 'lease'", params![])?;
        if mine { Ok(()) } else { Err(Fault::new(code::NOT_READY, "the lease is lost").retry()) }
    });
    (scratch, store)
}

fn lease(tx: &mut dyn Tx) -> Result<usize> {
    tx.execute("INSERT INTO global_config VALUES ('lease', 'l', 'v', 0)", params![])
}

fn no_lease(tx: &mut dyn Tx) -> Result<usize> {
    tx.execute("DELETE FROM global_config WHERE category = 'lease'", params![])
}

#[tokio::test]
async fn ops_14_while_the_guard_refuses_nothing_is_written() {
    let (_scratch, store) = guarded();
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
    let (_scratch, store) = guarded();
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
    let (_scratch, store) = store();
    let theirs = store.write(|tx| tx.now_ms()).await.unwrap();
    assert!((theirs - cairn_types::time::now_ms()).abs() < 60_000, "{theirs}");
}

#[tokio::test]
async fn a_transaction_may_take_a_refused_statement_in_its_stride() {
    let (_scratch, store) = store();
    let twice = |tx: &mut dyn Tx| {
        put(tx, "a")?;
        let again = put(tx, "a").unwrap_err();
        assert!(is_duplicate(&again));
        // It goes on as if nothing had happened, also after a second one.
        put(tx, "b")?;
        let _ = put(tx, "b");
        count(tx)
    };
    assert_eq!(store.write(twice).await.unwrap(), 2);
    let rehearsal = store.rehearse().await.unwrap();
    rehearsal.run(no_rows).await.unwrap();
    assert_eq!(rehearsal.run(twice).await.unwrap(), 2);
    drop(rehearsal);
    assert_eq!(store.read(count).await.unwrap(), 2);
}

fn no_rows(tx: &mut dyn Tx) -> Result<usize> {
    tx.execute("DELETE FROM global_config", params![])
}

#[tokio::test]
async fn values_come_back_as_they_were_bound() {
    let (_scratch, store) = store();
    let insert = |tx: &mut dyn Tx| {
        let sql = "INSERT INTO cleanup (uuid, kind, target_uuid, data, tries, next_ms, last_error, create_ms)
                   VALUES (?, 'a?b', ?, ?, ?, ?, ?, ?)";
        tx.execute(sql, params!["u", "täxt 'quoted' ?", "", i64::MAX, i64::MIN, None::<String>, true])
    };
    assert_eq!(store.write(insert).await.unwrap(), 1);
    let sql = "SELECT kind, target_uuid, data, tries, next_ms, last_error, create_ms FROM cleanup WHERE uuid = ? AND ? = 1.5";
    let row = store.read(move |tx| tx.query_opt(sql, params!["u", Value::Real(1.5)])).await.unwrap().unwrap();
    let expected = [
        Value::from("a?b"),
        Value::from("täxt 'quoted' ?"),
        Value::from(""),
        Value::from(i64::MAX),
        Value::from(i64::MIN),
        Value::Null,
        Value::from(1),
    ];
    assert_eq!(row.values(), expected);
    assert_eq!(row.names()[3], "tries");
}

#[tokio::test]
async fn sums_counts_and_comparisons_are_whole_numbers() {
    let (_scratch, store) = store();
    let fill = |tx: &mut dyn Tx| {
        for (name, size) in [("a", 20_000_000_000_i64), ("b", 123_456_789), ("c", -7)] {
            let sql = "INSERT INTO cleanup (uuid, kind, target_uuid, data, tries, next_ms, create_ms) VALUES (?, 'k', '', '', 0, ?, 0)";
            tx.execute(sql, params![name, size])?;
        }
        Ok(())
    };
    store.write(fill).await.unwrap();
    let read = |tx: &mut dyn Tx| {
        let sum = "SELECT sum(next_ms) AS sum, count(*) AS n, min(next_ms) AS low, coalesce(sum(tries), 0) AS none FROM cleanup";
        let row = tx.query_opt(sum, params![])?.unwrap();
        let flags = tx.query("SELECT uuid, next_ms > ? AS large FROM cleanup ORDER BY uuid", params![0])?;
        let nothing = tx
            .query_opt("SELECT sum(next_ms) AS sum FROM cleanup WHERE ? IS NOT NULL", params![None::<i64>])?;
        Ok((row, flags.iter().map(|r| r.bool("large").unwrap()).collect::<Vec<_>>(), nothing.unwrap()))
    };
    let (row, flags, nothing) = store.read(read).await.unwrap();
    assert_eq!(row.values(), params![20_123_456_782_i64, 3, -7, 0]);
    assert_eq!(flags, [true, true, false]);
    assert_eq!(nothing.values(), [Value::Null]);
}

#[tokio::test]
async fn text_is_ordered_by_its_bytes_and_patterns_are_exact() {
    let (_scratch, store) = store();
    for name in ["b", "B", "a-", "a", "ä", "Z", "1"] {
        store.write(move |tx| put(tx, name)).await.unwrap();
    }
    let names = |sql: &'static str| {
        let store = store.clone();
        async move {
            let rows = store.read(move |tx| tx.query(sql, params![])).await.unwrap();
            rows.iter().map(|r| r.text("name").unwrap()).collect::<Vec<_>>()
        }
    };
    let all = names("SELECT name FROM global_config ORDER BY name").await;
    assert_eq!(all, ["1", "B", "Z", "a", "a-", "b", "ä"]);
    assert_eq!(names("SELECT name FROM global_config WHERE name LIKE 'b%'").await, ["b"]);
}

#[tokio::test]
async fn entries_of_the_log_are_numbered_as_they_are_committed() {
    let (_scratch, store) = store();
    let write = |fails: bool| {
        move |tx: &mut dyn Tx| {
            let sql = "INSERT INTO event (create_ms, resource_type, resource_uuid, kind, data) VALUES (0, 't', 'u', 'k', '{}')";
            tx.execute(sql, params![])?;
            if fails {
                Err(Fault::operation("no"))
            } else {
                tx.query_int("SELECT max(seq) FROM event", params![])
            }
        }
    };
    let first = store.write(write(false)).await.unwrap();
    assert!(store.write(write(true)).await.is_err());
    let second = store.write(write(false)).await.unwrap();
    assert!(first < second);
    assert_eq!(store.read(|tx| tx.query_int("SELECT count(*) FROM event", params![])).await.unwrap(), 2);
}

#[tokio::test]
async fn text_with_a_nul_is_refused_and_found_nowhere() {
    let (_scratch, store) = store();
    let refused = store.write(|tx| put(tx, "a\0b")).await.unwrap_err();
    assert_eq!(refused.code, code::INVALID_ARGUMENT);
    store.write(|tx| put(tx, "ab")).await.unwrap();
    let sql = "SELECT name FROM global_config WHERE name = ?";
    assert!(store.read(move |tx| tx.query(sql, params!["a\0b"])).await.unwrap().is_empty());
}
