//! API-02: the API over a message bus, against the real NATS server.

mod calls;
mod outage;

use std::sync::Arc;
use std::time::Duration;

use cairn_server::bus::{Bus, connect};
use cairn_testkit::{Cloud, NatsServer};
use serde_json::{Value, json};

/// A server, its bus, and a client of that.
struct Stage {
    cloud: Cloud,
    nats: NatsServer,
    client: Arc<dyn Bus>,
}

impl Stage {
    /// None if this machine has no NATS server.
    async fn set() -> Option<Self> {
        let nats = NatsServer::start()?;
        let cloud = Cloud::on_bus(Some(nats.address()), |_| ()).await;
        let client = connect(&nats.address(), "test").await.unwrap();
        let stage = Self { cloud, nats, client };
        stage.until_answered().await;
        Some(stage)
    }

    /// The server subscribes while it starts; until then nobody answers.
    async fn until_answered(&self) {
        for _ in 0..200 {
            if self.try_send(&json!({ "action": "GetVersion" })).await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not answer on the bus");
    }

    async fn try_send(&self, message: &Value) -> Option<Value> {
        let body = message.to_string().into_bytes();
        let answer = self.client.request("cairn.api.call", body, Duration::from_secs(20)).await.ok()?;
        Some(serde_json::from_slice(&answer).unwrap())
    }

    async fn send(&self, message: Value) -> Value {
        self.try_send(&message).await.unwrap_or_else(|| panic!("{message} got no answer"))
    }

    /// A call of the admin account that is waited for.
    async fn call(&self, action: &str, params: Value) -> Value {
        let session = self.cloud.admin.session();
        self.send(json!({ "action": action, "params": params, "session": session, "wait": 30 })).await
    }
}
