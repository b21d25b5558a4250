//! What a simulated image store does with commands.

use cairn_api::agent::image_store::{
    CloseDownload, ConnectImageStore, DeleteImage, FetchImage, ImageFile, ListImages, OpenDownload,
    OpenUpload, ReadImage, UrlPolicy,
};
use cairn_types::code;

use super::*;

const STORE: &str = "/images";

async fn store() -> (SimCloud, Server, Listener) {
    let cloud = SimCloud::new(1);
    let mut listener = start(&cloud.agent().image_store(BS).host(H1).build());
    let mut server = listener.accept().await;
    server.call(BS, ConnectImageStore { path: STORE.into() }).await.unwrap();
    (cloud, server, listener)
}

fn fetch(image: &str, url: &str) -> FetchImage {
    FetchImage {
        store_path: STORE.into(),
        image: image.into(),
        url: url.into(),
        policy: UrlPolicy { allow_internal: false, refused_networks: vec![], file_folder: None },
        media_type: "RootVolumeTemplate".into(),
        max_bytes: 100 * GIB,
    }
}

fn open(image: &str, valid_ms: u64) -> OpenDownload {
    OpenDownload { store_path: STORE.into(), image: image.into(), token: "tok".into(), valid_ms }
}

fn cache_of(image: &str, file: &ImageFile, path: &str) -> CacheImage {
    let url = format!("http://10.0.0.9:8090{path}");
    let (file_bytes, sha256) = (file.actual_bytes, file.sha256.clone());
    CacheImage {
        storage_path: "/ps".into(),
        image: image.into(),
        url,
        format: "qcow2".into(),
        file_bytes,
        sha256,
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_is_fetched_once_read_and_deleted() {
    let (cloud, mut server, _l) = store().await;
    let file = server.call(BS, fetch("i1", "http://images.example/debian.qcow2")).await.unwrap();
    assert_eq!(server.call(BS, fetch("i1", "http://images.example/other.qcow2")).await.unwrap(), file);
    let bad = server.call(BS, fetch("i2", "sim://bad")).await.unwrap_err();
    assert_eq!(bad.code, code::IMAGE_CORRUPT);
    let list = || ListImages { store_path: STORE.into() };
    assert_eq!(server.call(BS, list()).await.unwrap(), ["i1"]);

    let read = |verify| ReadImage { store_path: STORE.into(), image: "i1".into(), verify };
    assert_eq!(server.call(BS, read(true)).await.unwrap(), file);
    cloud.image_store(BS).corrupt("i1");
    assert_eq!(server.call(BS, read(true)).await.unwrap_err().code, code::IMAGE_CHECKSUM);

    cloud.image_store(BS).resize(GIB);
    let large = server.call(BS, fetch("i3", "sim://size=8G&actual=2G")).await.unwrap_err();
    assert_eq!(large.code, code::IMAGE_TOO_LARGE);
    for _ in 0..2 {
        server.call(BS, DeleteImage { store_path: STORE.into(), image: "i1".into() }).await.unwrap();
    }
    assert_eq!(server.call(BS, list()).await.unwrap(), Vec::<String>::new());
    assert_eq!(cloud.snapshot().leftovers(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_host_caches_only_what_an_open_address_gives_undamaged() {
    let (cloud, mut server, _l) = store().await;
    server.call(H1, ConnectLocalStorage { path: "/ps".into(), shared: false }).await.unwrap();
    let file = server.call(BS, fetch("i1", "sim://size=2G&actual=10M")).await.unwrap();
    let closed = server.call(H1, cache_of("i1", &file, "/images/i1?token=tok")).await.unwrap_err();
    assert_eq!(closed.code, code::IMAGE_SERVER);

    let path = server.call(BS, open("i1", 60_000)).await.unwrap().path;
    let mut wrong = file.clone();
    wrong.sha256 = "00".repeat(32);
    assert_eq!(server.call(H1, cache_of("i1", &wrong, &path)).await.unwrap_err().code, code::IMAGE_CHECKSUM);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let late = server.call(H1, cache_of("i1", &file, &path)).await.unwrap_err();
    assert_eq!(late.code, code::IMAGE_SERVER);

    server.call(BS, open("i1", 0)).await.unwrap();
    let cached = server.call(H1, cache_of("i1", &file, &path)).await.unwrap();
    assert_eq!(cached.file_bytes, 10 * MIB);
    server.call(BS, CloseDownload { store_path: STORE.into(), image: "i1".into() }).await.unwrap();
    assert!(cloud.image_store(BS).open_downloads().is_empty());
    assert_eq!(server.call(H1, cache_of("i1", &file, &path)).await.unwrap(), cached, "it is there already");

    let mut small = volume("v", GIB);
    small.image = Some("i1".into());
    assert_eq!(server.call(H1, small).await.unwrap_err().code, code::AGENT_STORAGE);
}

fn upload(image: &str) -> OpenUpload {
    OpenUpload {
        store_path: STORE.into(),
        image: image.into(),
        token: format!("token-{image}"),
        media_type: "RootVolumeTemplate".into(),
        begin_within_ms: 60_000,
        max_bytes: GIB,
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_end_with_an_event_late_ones_too() {
    let (cloud, mut server, _l) = store().await;
    let opened = server.call(BS, upload("u1")).await.unwrap();
    assert_eq!(server.call(BS, upload("u1")).await.unwrap(), opened);
    assert_eq!(cloud.image_store(BS).open_uploads()["u1"], "token-u1");
    cloud.image_store(BS).begin_upload("u1", 10);
    assert!(matches!(server.event().await.1, AgentEvent::UploadProgress { percent: 10, .. }));
    tokio::time::sleep(Duration::from_secs(100)).await;
    cloud.image_store(BS).finish_upload("u1", "size=1G&format=raw");
    let (target, event) = server.event().await;
    assert_eq!(target, BS);
    assert!(
        matches!(&event, AgentEvent::Upload { file: Some(f), fault: None, .. } if f.format == "raw"),
        "{event:?}"
    );
    assert!(cloud.image_store(BS).images().contains_key("u1"));

    for (image, query, code) in
        [("u2", "size=20G&actual=2G", code::IMAGE_TOO_LARGE), ("u3", "size=x", code::INVALID_ARGUMENT)]
    {
        server.call(BS, upload(image)).await.unwrap();
        cloud.image_store(BS).finish_upload(image, query);
        let event = server.event().await.1;
        assert!(matches!(&event, AgentEvent::Upload { fault: Some(f), .. } if f.code == code), "{event:?}");
    }
    server.call(BS, upload("late")).await.unwrap();
    let event = server.event().await.1;
    assert!(
        matches!(&event, AgentEvent::Upload { fault: Some(f), .. } if f.code == code::IMAGE_UPLOAD_LATE),
        "{event:?}"
    );
    assert!(cloud.image_store(BS).open_uploads().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_upload_waits_for_the_connection() {
    let (cloud, mut server, mut listener) = store().await;
    server.call(BS, upload("u1")).await.unwrap();
    cloud.image_store(BS).disconnect();
    server.wait_for_end().await;
    cloud.image_store(BS).finish_upload("u1", "");
    cloud.image_store(BS).reconnect();
    let mut server = listener.accept().await;
    assert!(matches!(server.event().await.1, AgentEvent::Upload { file: Some(_), .. }));
}
