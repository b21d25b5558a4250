//! Lost connections: what was acknowledged stands, what failed is gone, and it goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_types::{Result, code};

use super::proxy::{Mode, Proxy};
use super::scratch;
use crate::postgres::command;
use crate::scratch::Scratch;
use crate::tests::{count, put};
use crate::{Store, Tx, params};

/// A store behind a proxy.
fn broken() -> (Scratch, Proxy, Store) {
    let scratch = scratch();
    let url = scratch.url().unwrap();
    let proxy = Proxy::start(&url);
    let store = Store::connect(&proxy.url(&url), 1).unwrap();
    (scratch, proxy, store)
}

/// Writes a row; how it ended, how often it ran, how long it took.
async fn write(store: &Store, name: &'static str) -> (Result<usize>, usize, Duration) {
    let (runs, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let counted = runs.clone();
    let done = store
        .write(move |tx| {
            counted.fetch_add(1, Ordering::Relaxed);
            put(tx, name)
        })
        .await;
    (done, runs.load(Ordering::Relaxed), began.elapsed())
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_a_commit_whose_answer_is_lost_stands_and_is_told_so() {
    let (_scratch, proxy, store) = broken();
    proxy.set(Mode::LoseAnswer);
    let (done, runs, _) = write(&store, "a").await;
    assert_eq!((done.unwrap(), runs), (1, 1));
    assert_eq!(store.read(count).await.unwrap(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_a_commit_that_never_arrived_runs_again() {
    let (_scratch, proxy, store) = broken();
    proxy.set(Mode::LoseCommit);
    let (done, runs, _) = write(&store, "a").await;
    assert_eq!((done.unwrap(), runs), (1, 2));
    assert_eq!(store.read(count).await.unwrap(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_a_transaction_that_nobody_ends_loses_its_turn_after_five_seconds() {
    let (_scratch, proxy, store) = broken();
    proxy.set(Mode::KeepCommit);
    let (done, runs, took) = write(&store, "a").await;
    assert_eq!((done.unwrap(), runs), (1, 2));
    assert!((4..8).contains(&took.as_secs()), "{took:?}");
    assert_eq!(store.read(count).await.unwrap(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_without_the_database_callers_are_told_soon_and_it_goes_on_when_it_is_back() {
    let (_scratch, proxy, store) = broken();
    proxy.set(Mode::Closed);
    let (first, _, took) = write(&store, "first").await;
    let first = first.unwrap_err();
    assert_eq!((first.code.as_str(), first.retryable), (code::STORE_UNREACHABLE, true));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let (second, _, took) = write(&store, "second").await;
    assert_eq!(second.unwrap_err().code, code::STORE_UNREACHABLE);
    assert!(took < Duration::from_millis(1500), "later calls need not wait: {took:?}");
    assert_eq!(store.read(count).await.unwrap_err().code, code::STORE_UNREACHABLE);
    assert_eq!(store.rehearse().await.map(drop).unwrap_err().code, code::STORE_UNREACHABLE);

    proxy.set(Mode::Pass);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(write(&store, "third").await.0.unwrap(), 1);
    assert_eq!(store.read(count).await.unwrap(), 1, "what failed left nothing");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_a_commit_that_can_t_be_asked_after_is_told_to_be_uncertain() {
    let (scratch, proxy, store) = broken();
    proxy.set(Mode::LoseAnswerAndAll);
    let (done, _, took) = write(&store, "a").await;
    let fault = done.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.retryable), (code::STORE_UNCERTAIN, false));
    assert!(took < Duration::from_secs(13), "{took:?}");
    assert_eq!(scratch.open(1).unwrap().read(count).await.unwrap(), 1, "this one did stand");
    proxy.set(Mode::Pass);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(write(&store, "b").await.0.unwrap(), 1);
}

/// Ends every connection to the database but the one that does it.
fn end_all(scratch: &Scratch) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    command(&scratch.url().unwrap(), sql).unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_connections_that_ended_while_nothing_went_on_are_made_anew_unnoticed() {
    let scratch = scratch();
    let store = scratch.open(1).unwrap();
    for n in 1..=3 {
        let name = ["a", "b", "c"][n - 1];
        end_all(&scratch);
        assert_eq!(write(&store, name).await.0.unwrap(), 1);
        end_all(&scratch);
        assert_eq!(store.read(count).await.unwrap(), i64::try_from(n).unwrap());
        end_all(&scratch);
        let rehearsal = store.rehearse().await.unwrap();
        rehearsal.run(|tx| put(tx, "plan")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_while_connections_keep_breaking_what_is_acknowledged_stands_and_what_fails_is_gone() {
    let scratch = scratch();
    let store = scratch.open(1).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    // They run on threads of their own, beside the one that breaks connections.
    let clients = (0..8).map(|client| {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut kept, mut failed, mut n) = (Vec::new(), Vec::new(), 0);
            while Instant::now() < until {
                n += 1;
                let name = format!("{client}-{n}");
                let row = name.clone();
                match store.write(move |tx| put(tx, &row)).await {
                    Ok(_) => kept.push(name),
                    Err(fault) => {
                        assert_eq!(fault.code, code::STORE_UNREACHABLE, "{fault:?}");
                        failed.push(name);
                    }
                }
            }
            (kept, failed)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut breaks = 0;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(60)).await;
        end_all(&scratch);
        breaks += 1;
    }
    let mut ended = Vec::new();
    for client in clients {
        ended.push(client.await.unwrap());
    }
    let names = |tx: &mut dyn Tx| tx.query("SELECT name FROM global_config", params![]);
    let rows = scratch.open(1).unwrap().read(names).await.unwrap();
    let there: std::collections::BTreeSet<String> = rows.iter().map(|r| r.text("name").unwrap()).collect();
    let mut acknowledged = 0;
    for (kept, failed) in ended {
        acknowledged += kept.len();
        assert!(kept.iter().all(|name| there.contains(name)), "an acknowledged row is lost");
        assert!(
            !failed.iter().any(|name| there.contains(name)),
            "a row that was told to have failed is there"
        );
    }
    assert!(breaks > 5 && acknowledged > 50, "{breaks} breaks, {acknowledged} rows");
}
