//! What is on all machines as text, for simulated machines that outlive the process that simulates them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_types::{Fault, Result};
use serde::{Deserialize, Serialize};

use crate::SimCloud;
use crate::agent::lock;
use crate::host::{Content, Host, HostShape, SharedVolumes};
use crate::image_store::{SimImage, Store, Upload};
use crate::world::{OpenDisks, World};

#[derive(Serialize, Deserialize)]
struct Saved {
    hosts: BTreeMap<String, SavedHost>,
    stores: BTreeMap<String, SavedStore>,
    disks: OpenDisks,
    shared: SharedVolumes,
    next_host: u32,
    next_upload: u64,
}

#[derive(Serialize, Deserialize)]
struct SavedHost {
    epoch: u64,
    shape: HostShape,
    number: u32,
    content: Option<Content>,
}

#[derive(Serialize, Deserialize)]
struct SavedStore {
    epoch: u64,
    total_bytes: u64,
    folder: Option<String>,
    images: BTreeMap<String, SimImage>,
    uploads: BTreeMap<String, Upload>,
    /// Images with tokens. When a token ends is not kept: a token that was read again holds for good.
    downloads: Vec<(String, String)>,
}

impl SimCloud {
    /// What is on all machines, and the epochs that they have seen. Not latencies and faults, nor what agents remember.
    pub fn save(&self) -> Result<String> {
        let saved = Saved::of(&lock(&self.world));
        serde_json::to_string(&saved)
            .map_err(|e| Fault::internal("the simulated machines have no JSON form").for_operator(e))
    }

    /// Machines as they were saved, besides those that are there.
    pub fn restore(&self, text: &str) -> Result<()> {
        let saved: Saved = serde_json::from_str(text)
            .map_err(|e| Fault::internal("saved simulated machines can't be read").for_operator(e))?;
        saved.restore(&mut lock(&self.world));
        Ok(())
    }
}

impl Saved {
    fn of(world: &World) -> Self {
        let host = |h: &Host| SavedHost {
            epoch: h.common.epoch,
            shape: (*h.shape).clone(),
            number: h.number,
            content: h.content().cloned(),
        };
        let store = |s: &Store| SavedStore {
            epoch: s.common.epoch,
            total_bytes: s.total_bytes,
            folder: s.folder.clone(),
            images: s.images.clone(),
            uploads: s.uploads.clone(),
            downloads: s.downloads.keys().cloned().collect(),
        };
        Self {
            hosts: world.hosts.iter().map(|(uuid, h)| (uuid.to_string(), host(h))).collect(),
            stores: world.stores.iter().map(|(uuid, s)| (uuid.to_string(), store(s))).collect(),
            disks: world.disks.clone(),
            shared: world.shared.clone(),
            next_host: world.next_host,
            next_upload: world.next_upload,
        }
    }

    fn restore(self, world: &mut World) {
        for (uuid, saved) in self.hosts {
            let mut host = Host::new(Arc::new(saved.shape), saved.number);
            host.common.epoch = saved.epoch;
            if let Some(content) = saved.content {
                *host.content_mut() = content;
            }
            world.hosts.insert(uuid.into(), host);
        }
        for (uuid, saved) in self.stores {
            let mut store = Store::new();
            store.common.epoch = saved.epoch;
            store.total_bytes = saved.total_bytes;
            store.folder = saved.folder;
            store.images = saved.images;
            store.uploads = saved.uploads;
            store.downloads = saved.downloads.into_iter().map(|key| (key, None)).collect();
            world.stores.insert(uuid.into(), store);
        }
        world.disks.extend(self.disks);
        world.shared.extend(self.shared);
        world.next_host = world.next_host.max(self.next_host);
        world.next_upload = world.next_upload.max(self.next_upload);
    }
}
