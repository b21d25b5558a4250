//! Images that come over real connections into a real image store.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::api::{digest, has_code};
use cairn_lab::guest::text;
use cairn_lab::installation::sh;
use cairn_lab::{Case, Lab};
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    Case { name: "img_01_image_comes_by_http_with_its_checksum", run: by_http },
    Case { name: "img_02_upload_becomes_ready_and_one_that_is_cut_goes", run: upload },
    Case { name: "img_03_download_shows_progress_and_stops_when_its_image_is_deleted", run: stopped },
    Case { name: "img_01_tenants_reach_nothing_internal", run: tenant },
];

/// Serves these bytes to everybody who asks; `pause` between pieces of 64 KiB.
fn serve(bytes: Vec<u8>, pause: Duration) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let bytes = bytes.clone();
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let said = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    bytes.len()
                );
                let mut sent = stream.write_all(said.as_bytes());
                for piece in bytes.chunks(64 << 10) {
                    sent = sent.and_then(|()| stream.write_all(piece));
                    std::thread::sleep(pause);
                }
            });
        }
    });
    Ok(address)
}

/// A file of this many bytes that is a disk with a boot sector and nothing else.
fn disk(bytes: usize) -> Vec<u8> {
    let mut disk: Vec<u8> = (0..bytes).map(|i| u8::try_from(i * 7 % 251).unwrap_or(0)).collect();
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

fn made(lab: &Lab, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let dir = lab.path().join("made");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(name), bytes)?;
    Ok(dir.join(name))
}

fn remove(lab: &Lab, image: &str) -> Result<()> {
    lab.api.delete(&format!("/images/{image}"))?;
    lab.api.act(&format!("/images/{image}/actions"), "expungeImage", json!({})).map(|_| ())
}

/// Waits until nothing below the store's folder names the image.
fn until_no_file(lab: &Lab, image: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while names(&lab.path().join("images"), image) {
        ensure!(Instant::now() < end, "the store still has something of image {image}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn names(folder: &Path, image: &str) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|e| {
        e.file_name().to_string_lossy().contains(image) || (e.path().is_dir() && names(&e.path(), image))
    })
}

fn by_http(lab: &mut Lab) -> Result<()> {
    let bytes = disk(3 << 20);
    let file = made(lab, "web.img", &bytes)?;
    let md5 = sh("md5sum", &[&file.to_string_lossy()])?;
    let address = serve(bytes, Duration::ZERO)?;
    let params = json!({ "name": "web", "url": format!("{address}/web.img"), "backupStorageUuids": [lab.world.store] });
    let image = lab.api.post("/images", params)?;
    ensure!(text(&image, "status") == "Ready" && text(&image, "format") == "raw", "{image}");
    ensure!(image["actualSize"] == 3 << 20 && md5.starts_with(text(&image, "md5Sum")), "{image} {md5}");
    let uuid = text(&image, "uuid");
    let synced = lab.api.act(&format!("/images/{uuid}/actions"), "syncImageSize", json!({}))?;
    ensure!(synced["actualSize"] == 3 << 20, "{synced}");
    remove(lab, uuid)?;
    until_no_file(lab, uuid)
}

/// Opens an upload; tells the image and the address for its file.
fn open(lab: &Lab) -> Result<(String, String)> {
    let uuid = sh("cat", &["/proc/sys/kernel/random/uuid"])?.trim().replace('-', "");
    let params = json!({ "name": "sent", "url": format!("upload://{uuid}"), "resourceUuid": uuid,
        "backupStorageUuids": [lab.world.store] });
    let image = lab.api.post("/images", params)?;
    ensure!(text(&image, "status") == "Downloading", "{image}");
    let address = image.pointer("/backupStorageRefs/0/installPath").and_then(Value::as_str);
    Ok((uuid, address.context("no address for the upload")?.to_owned()))
}

fn send(uuid: &str, address: &str, size: usize, file: &Path) -> Result<String> {
    let (id, size) = (format!("X-IMAGE-UUID: {uuid}"), format!("X-IMAGE-SIZE: {size}"));
    let form = format!("file=@{}", file.display());
    sh("curl", &["-sS", "-H", &id, "-H", &size, "-F", &form, address])
}

fn upload(lab: &mut Lab) -> Result<()> {
    let bytes = disk(2 << 20);
    let file = made(lab, "sent.img", &bytes)?;
    let (uuid, address) = open(lab)?;
    send(&uuid, &address, bytes.len(), &file)?;
    lab.api.wait_field("/images", &uuid, "status", "Ready", Duration::from_secs(20))?;
    let image = lab.api.get("/images", &uuid)?;
    ensure!(image["size"] == 2 << 20 && text(&image, "format") == "raw", "{image}");
    remove(lab, &uuid)?;
    until_no_file(lab, &uuid)?;

    let (uuid, address) = open(lab)?;
    send(&uuid, &address, bytes.len() + 1, &file)?;
    let end = Instant::now() + Duration::from_secs(20);
    while !lab.api.list("/images", &format!("q=uuid={uuid}"))?.is_empty() {
        ensure!(Instant::now() < end, "an image of another size than announced stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    until_no_file(lab, &uuid)
}

fn stopped(lab: &mut Lab) -> Result<()> {
    let address = serve(disk(8 << 20), Duration::from_millis(300))?;
    let uuid = sh("cat", &["/proc/sys/kernel/random/uuid"])?.trim().replace('-', "");
    let params = json!({ "params": { "name": "slow", "url": format!("{address}/slow.img"), "resourceUuid": uuid,
        "backupStorageUuids": [lab.world.store] } });
    let begun = lab.api.start("POST", "/images", Some(params))?;
    let job = text(&begun.body, "location").rsplit('/').next().unwrap_or_default().to_owned();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = lab.api.call("GET", &format!("/task-progresses/{job}"), None)?;
        let percent = seen
            .pointer("/inventories/0/content")
            .and_then(Value::as_str)
            .and_then(|p| p.parse::<u32>().ok());
        if percent.is_some_and(|p| p > 5) {
            break;
        }
        ensure!(Instant::now() < end, "the download shows no progress: {seen}");
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(text(&lab.api.get("/images", &uuid)?, "status") == "Downloading", "not Downloading");
    let began = Instant::now();
    lab.api.delete(&format!("/images/{uuid}"))?;
    ensure!(began.elapsed() < Duration::from_secs(10), "the download was not stopped: {:?}", began.elapsed());
    ensure!(lab.api.list("/images", &format!("q=uuid={uuid}"))?.is_empty(), "the image stays");
    until_no_file(lab, &uuid)
}

fn tenant(lab: &mut Lab) -> Result<()> {
    let address = serve(disk(1 << 20), Duration::ZERO)?;
    let account = json!({ "name": "image-tenant", "password": digest("secret-1") });
    let account = lab.api.post("/accounts", account)?;
    let api = lab.api.login("image-tenant", "secret-1")?;
    let port = address.rsplit(':').next().unwrap_or_default();
    for host in ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433"] {
        let url = format!("http://{host}:{port}/a.img");
        let params = json!({ "name": "inside", "url": url, "backupStorageUuids": [lab.world.store] });
        let refused = api.post("/images", params).err().with_context(|| format!("{url} was fetched"))?;
        ensure!(has_code(&refused, "IMG.8002") || has_code(&refused, "IMG.8003"), "{url}: {refused:#}");
    }
    ensure!(lab.api.list("/images", "q=name=inside")?.is_empty(), "a refused image left a row");
    lab.api.delete(&format!("/accounts/{}", text(&account, "uuid"))).map(|_| ())
}
