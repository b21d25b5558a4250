use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use cairn_types::new_uuid;
use sha2::{Digest, Sha256};

use super::*;
use crate::state::hex;

struct Bench {
    tmp: tempfile::TempDir,
    storage: FolderStorage,
    served: Arc<AtomicUsize>,
    url: String,
    bytes: Vec<u8>,
}

impl Bench {
    async fn new() -> Self {
        // Not below /tmp or /run: what counts is that the folder is an ordinary one.
        let tmp = tempfile::tempdir().unwrap();
        let storage = FolderStorage::default();
        storage.connect(&tmp.path().to_string_lossy()).await.unwrap();
        let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let (served, body) = (Arc::new(AtomicUsize::new(0)), bytes.clone());
        let count = served.clone();
        let serve = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            body
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/image", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/image", get(serve))).await });
        Self { tmp, storage, served, url, bytes }
    }

    fn path(&self) -> String {
        self.tmp.path().to_string_lossy().into_owned()
    }

    fn cache(&self, image: &str) -> CacheImage {
        CacheImage {
            storage_path: self.path(),
            image: image.into(),
            url: self.url.clone(),
            format: "raw".into(),
            file_bytes: self.bytes.len() as u64,
            sha256: hex(&Sha256::digest(&self.bytes)),
        }
    }

    fn volume(&self, image: Option<&str>, size_bytes: u64) -> CreateVolume {
        CreateVolume {
            storage_path: self.path(),
            volume: new_uuid(),
            r#type: "Root".into(),
            size_bytes,
            image: image.map(Into::into),
        }
    }

    fn leftovers(&self) -> usize {
        std::fs::read_dir(self.tmp.path().join("tmp")).unwrap().count()
    }
}

#[tokio::test]
async fn an_image_is_downloaded_once_and_volumes_stand_on_it() {
    let b = Bench::new().await;
    let image = new_uuid();
    let all = futures_util::future::join_all(
        (0..5).map(|_| b.storage.cache_image(b.cache(&image), Call::silent())),
    )
    .await;
    assert!(all.iter().all(|r| r.as_ref().unwrap() == all[0].as_ref().unwrap()));
    b.storage.cache_image(b.cache(&image), Call::silent()).await.unwrap();
    assert_eq!(b.served.load(Ordering::SeqCst), 1);

    let wanted = b.volume(Some(&image), 10 << 20);
    let made = b.storage.create_volume(wanted.clone()).await.unwrap();
    assert_eq!((made.size_bytes, made.format.as_str()), (10 << 20, "qcow2"));
    assert!(made.actual_bytes < 1 << 20, "thin");
    assert_eq!(b.storage.create_volume(wanted.clone()).await.unwrap(), made, "made again it is left alone");
    let read = ReadVolume { storage_path: b.path(), volume: wanted.volume.clone(), r#type: "Root".into() };
    assert_eq!(b.storage.read_volume(read.clone()).await.unwrap(), made);
    let content = b.storage.list(ListStorage { storage_path: b.path() }).await.unwrap();
    assert_eq!((content.volumes, content.images), (vec![wanted.volume.clone()], vec![image.clone()]));
    assert!(content.volume_bytes[&wanted.volume] >= 4096, "{:?}", content.volume_bytes);

    let uncache = UncacheImage { storage_path: b.path(), image: image.clone() };
    assert_eq!(b.storage.uncache_image(uncache.clone()).await.unwrap_err().code, "RES.8001");
    let delete =
        DeleteVolume { storage_path: b.path(), volume: wanted.volume.clone(), r#type: "Root".into() };
    b.storage.delete_volume(delete.clone()).await.unwrap();
    b.storage.delete_volume(delete).await.unwrap();
    assert_eq!(b.storage.read_volume(read).await.unwrap_err().code, "AGENT.8003");
    b.storage.uncache_image(uncache.clone()).await.unwrap();
    b.storage.uncache_image(uncache).await.unwrap();
    assert_eq!(
        b.storage.list(ListStorage { storage_path: b.path() }).await.unwrap(),
        StorageContent::default()
    );
    assert_eq!(b.leftovers(), 0);
}

#[tokio::test]
async fn an_image_that_is_removed_while_it_comes_does_not_come() {
    let b = Bench::new().await;
    let image = new_uuid();
    let fetched = b.storage.cache_image(b.cache(&image), Call::silent());
    let removed = async {
        while b.served.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        b.storage.uncache_image(UncacheImage { storage_path: b.path(), image: image.clone() }).await
    };
    let (fetched, removed) = tokio::join!(fetched, removed);
    removed.unwrap();
    assert!(fetched.is_err(), "{fetched:?}");
    // The server would have answered by now.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let content = b.storage.list(ListStorage { storage_path: b.path() }).await.unwrap();
    assert_eq!((content, b.leftovers()), (StorageContent::default(), 0));
    b.storage.cache_image(b.cache(&image), Call::silent()).await.unwrap();
}

#[tokio::test]
async fn damaged_downloads_leave_nothing() {
    let b = Bench::new().await;
    let good = b.cache(&new_uuid());
    for (wrong, code) in [
        (CacheImage { sha256: "0".repeat(64), ..good.clone() }, "IMG.8005"),
        (CacheImage { file_bytes: 10, ..good.clone() }, "IMG.8004"),
        (CacheImage { file_bytes: good.file_bytes + 1, ..good.clone() }, "IMG.8005"),
        (CacheImage { url: format!("{}-gone", b.url), ..good.clone() }, "IMG.8003"),
        (CacheImage { url: "http://127.0.0.1:1/x".into(), ..good.clone() }, "IMG.8003"),
        (CacheImage { file_bytes: u64::MAX >> 1, ..good.clone() }, "AGENT.8005"),
        (CacheImage { format: "../x".into(), ..good.clone() }, "SYS.1007"),
    ] {
        assert_eq!(b.storage.cache_image(wrong, Call::silent()).await.unwrap_err().code, code);
        assert_eq!(b.leftovers(), 0);
    }
    assert!(b.storage.list(ListStorage { storage_path: b.path() }).await.unwrap().images.is_empty());
}

#[tokio::test]
async fn impossible_volumes_are_refused() {
    let b = Bench::new().await;
    let image = new_uuid();
    b.storage.cache_image(b.cache(&image), Call::silent()).await.unwrap();
    for (wrong, code) in [
        (b.volume(Some(&image), 1 << 20), "SYS.1007"),
        (b.volume(None, 0), "SYS.1007"),
        (b.volume(None, u64::MAX), "SYS.1007"),
        (b.volume(Some(&new_uuid()), 1 << 30), "AGENT.8003"),
        (CreateVolume { r#type: "Other".into(), ..b.volume(None, 1 << 20) }, "SYS.1007"),
        (CreateVolume { storage_path: "/etc".into(), ..b.volume(None, 1 << 20) }, "SYS.1007"),
    ] {
        assert_eq!(b.storage.create_volume(wrong).await.unwrap_err().code, code);
    }
    assert_eq!(b.leftovers(), 0);
}
