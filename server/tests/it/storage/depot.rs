//! A site with hosts, an image store on one of them, and local primary storage.

use std::ops::Deref;
use std::time::Duration;

use cairn_server::agents::Patience;
use cairn_server::app::Tuning;
use cairn_simhost::SimImageStore;
use serde_json::{Value, json};

use crate::hardware::site::{Failed, Site, uuid};

pub struct Depot {
    pub site: Site,
    pub zone: String,
    pub cluster: String,
    pub hosts: Vec<String>,
    /// An image store on the first host.
    pub store: String,
}

impl Deref for Depot {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Depot {
    /// With this many hosts, at least one.
    pub async fn new(hosts: usize) -> Self {
        Self::tuned(hosts, Tuning::default()).await
    }

    pub async fn tuned(hosts: usize, tuning: Tuning) -> Self {
        let patience =
            Some(Patience { come_back: Duration::from_millis(300), first_dial: Duration::from_secs(2) });
        let site = Site::tuned(Tuning { patience, ..tuning }).await;
        let zone = site.zone("z").await;
        let cluster = site.cluster(&zone, "c").await;
        let mut depot = Self { site, zone, cluster, hosts: Vec::new(), store: String::new() };
        for n in 0..hosts {
            let host = depot.host(&depot.cluster, &format!("10.0.0.{}", n + 1)).await;
            depot.hosts.push(host);
        }
        depot.store = depot.image_store(0, "/images").await;
        depot.attach_store(&depot.store, &depot.zone).await;
        depot
    }

    /// Adds an image store on a host.
    pub async fn image_store(&self, host: usize, url: &str) -> String {
        let params = json!({ "name": "store", "url": url, "hostUuid": self.hosts[host] });
        uuid(self.post("/v1/cairn/backup-storage/local", params).await)
    }

    pub async fn attach_store(&self, store: &str, zone: &str) {
        self.post(&format!("/v1/zones/{zone}/backup-storage/{store}"), Value::Null).await.unwrap();
    }

    /// Adds local primary storage and attaches it to the cluster.
    pub async fn storage(&self, url: &str) -> String {
        let params = json!({ "name": "ps", "url": url, "zoneUuid": self.zone });
        let storage = uuid(self.post("/v1/primary-storage/local-storage", params).await);
        self.attach(&storage).await.unwrap();
        storage
    }

    pub async fn attach(&self, storage: &str) -> Result<Value, Failed> {
        self.post(&format!("/v1/clusters/{}/primary-storage/{storage}", self.cluster), Value::Null).await
    }

    pub async fn detach(&self, storage: &str) -> Result<Value, Failed> {
        self.delete(&format!("/v1/clusters/{}/primary-storage/{storage}", self.cluster)).await
    }

    /// Adds an image to the store.
    pub async fn add(&self, url: &str) -> Result<Value, Failed> {
        self.add_as(url, json!({})).await
    }

    pub async fn add_as(&self, url: &str, more: Value) -> Result<Value, Failed> {
        self.post("/v1/images", self.image_params(url, more)).await
    }

    pub fn image_params(&self, url: &str, more: Value) -> Value {
        let mut params = json!({ "name": "image", "url": url, "backupStorageUuids": [self.store] });
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    }

    pub async fn image(&self, url: &str) -> String {
        uuid(self.add(url).await)
    }

    /// The machine of the image store.
    pub fn shelf(&self) -> SimImageStore {
        self.machines.image_store(&self.store)
    }

    pub async fn action(&self, path: impl AsRef<str>, name: &str, params: Value) -> Result<Value, Failed> {
        self.put(&format!("/v1/{}/actions", path.as_ref()), json!({ name: params })).await
    }

    pub async fn set(&self, category: &str, name: &str, value: &str) {
        let path = format!("/v1/global-configurations/{category}/{name}/actions");
        self.put(&path, json!({ "updateGlobalConfig": { "value": value } })).await.unwrap();
    }

    /// Waits until something is so; fails after ten seconds.
    pub async fn until(&self, path: &str, uuid: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Value::Null;
        for _ in 0..1000 {
            seen = self.one(path, uuid).await;
            if is_so(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path}/{uuid} did not become as it should: {seen}");
    }

    /// Waits until a store has this many files; fails after ten seconds.
    pub async fn files(&self, store: &str, count: usize) {
        for _ in 0..1000 {
            if self.machines.image_store(store).images().len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("store {store} has {:?}, not {count} files", self.machines.image_store(store).images());
    }

    /// An account with its session.
    pub async fn tenant(&self, name: &str) -> (String, String) {
        let password = cairn_server::identity::password::client_digest("secret-1");
        let account = uuid(self.post("/v1/accounts", json!({ "name": name, "password": password })).await);
        (account, self.log_in(name, "secret-1").await)
    }
}
