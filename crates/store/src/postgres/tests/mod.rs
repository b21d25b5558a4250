//! What only PostgreSQL does. Run with `CAIRN_TEST_STORE` and `--include-ignored`.

mod loss;
mod proxy;

use std::time::Duration;

use super::PostgresUrl;
use crate::scratch::Scratch;
use crate::tests::{count, put};
use crate::{Dialect, Store};

/// A database on the server that the environment names.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    assert_eq!(scratch.dialect(), Dialect::Postgres, "CAIRN_TEST_STORE names no PostgreSQL server");
    scratch
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_a_server_reads_at_once_what_another_one_wrote_and_hears_of_it() {
    let scratch = scratch();
    let (one, other) = (scratch.open(1).unwrap(), scratch.open(1).unwrap());
    let mut heard = other.commits();
    // It looks once when it begins to listen.
    tokio::time::timeout(Duration::from_secs(5), heard.changed()).await.unwrap().unwrap();
    for n in 1..=20 {
        heard.mark_unchanged();
        one.write(move |tx| put(tx, &format!("n{n}"))).await.unwrap();
        assert_eq!(other.read(count).await.unwrap(), n);
        tokio::time::timeout(Duration::from_millis(800), heard.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: CAIRN_TEST_STORE"]
async fn ops_14_servers_that_write_at_once_lose_nothing_and_number_in_order_of_commit() {
    let scratch = scratch();
    let servers: Vec<Store> = (0..3).map(|_| scratch.open(1).unwrap()).collect();
    let writes = servers.iter().enumerate().flat_map(|(s, server)| {
        (0..100).map(move |n| {
            let server = server.clone();
            tokio::spawn(async move {
                server
                    .write(move |tx| {
                        let sql = "INSERT INTO event (create_ms, resource_type, resource_uuid, kind, data) VALUES (?, 't', ?, 'k', '{}')";
                        tx.execute(sql, crate::params![n, format!("{s}-{n}")])
                    })
                    .await
            })
        })
    });
    let writes: Vec<_> = writes.collect();
    // A follower that reads by cursor meanwhile misses none.
    let (mut cursor, mut seen) = (0, 0);
    while seen < 300 {
        let after = cursor;
        let read = move |tx: &mut dyn crate::Tx| {
            tx.query("SELECT seq FROM event WHERE seq > ? ORDER BY seq", crate::params![after])
        };
        for row in servers[2].read(read).await.unwrap() {
            (cursor, seen) = (row.int("seq").unwrap(), seen + 1);
        }
        if writes.iter().all(tokio::task::JoinHandle::is_finished) && seen < 300 {
            let total =
                servers[0].read(|tx| tx.query_int("SELECT count(*) FROM event", crate::params![])).await;
            assert_eq!(total.unwrap(), 300, "all are written");
        }
    }
    for write in writes {
        write.await.unwrap().unwrap();
    }
}

#[test]
fn an_address_shows_no_password() {
    let url: PostgresUrl = "postgres://cairn:s3cret@db.example:5433/cairn?connect_timeout=3".parse().unwrap();
    assert_eq!(format!("{url} {url:?}"), ["postgres://cairn@db.example:5433/cairn"; 2].join(" "));
    let socket: PostgresUrl = "postgres:///cairn?host=/run/pg&user=me&password_file=/etc/p".parse().unwrap();
    assert_eq!(socket.to_string(), "postgres://me@/run/pg:5432/cairn");
    assert!(socket.config().unwrap_err().details.contains("password"));
}

#[test]
fn an_address_that_can_t_be_used_is_refused_without_quoting_it() {
    for text in ["mysql://x:s3cret@h/d", "postgres://x:s3cret@h", "postgres://x:s3cret@h/d?sslmode=require"] {
        let fault = text.parse::<PostgresUrl>().unwrap_err();
        assert!(!format!("{fault:?}").contains("s3cret"), "{fault:?}");
    }
}

#[test]
fn another_database_of_the_same_server_has_the_same_address_but_for_its_name() {
    let url: PostgresUrl = "postgres://u@h/postgres?password_file=/p&connect_timeout=3".parse().unwrap();
    let expected: PostgresUrl = "postgres://u@h/x?connect_timeout=3&password_file=/p".parse().unwrap();
    assert!(url.with_database("x") == expected);
}
