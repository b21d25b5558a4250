//! OPS-14, servers: several on one database. Here they share one SQLite file in one process, which only tests do; the rules are
//! those of the rows.

mod front;
mod handover;

use std::time::Duration;

use cairn_store::Store;
use cairn_testkit::{Api, NatsServer, Servers};

/// Short, so that a handover does not take long.
const LEASE: Duration = Duration::from_millis(1500);

/// Three servers, one of which leads, and a client of each with the admin's session.
struct Stage {
    servers: Servers,
    store: Store,
    admin: Api,
    nats: Option<NatsServer>,
}

impl Stage {
    async fn set(count: usize) -> Self {
        Self::on(count, None).await
    }

    async fn on(count: usize, nats: Option<NatsServer>) -> Self {
        let servers = Servers::start(count, LEASE, nats.as_ref().map(NatsServer::address)).await;
        servers.leader().await;
        let admin = servers.nobody(0).log_in("admin", "password").await.unwrap();
        let store = Store::open(&servers.database(), 1).unwrap();
        Self { servers, store, admin, nats }
    }

    /// The admin at one server.
    fn at(&self, n: usize) -> Api {
        self.admin.at(&self.servers.served(n).api.to_string())
    }

    /// Waits until nothing is at work and nothing is wrong.
    async fn assert_sane(&self) {
        let mut lines = Vec::new();
        for _ in 0..300 {
            lines = cairn_testkit::violations(&self.store, self.servers.machines.snapshot()).await;
            if lines.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{}", lines.join("\n"));
    }
}
