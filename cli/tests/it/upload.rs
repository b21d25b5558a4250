//! `cairn image upload`.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::mock::{Mock, Seen, accepted, answer, cairn};

const STORE: &str = "2f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

#[test]
fn cli_01_an_image_is_uploaded_and_awaited() {
    let store = Mock::start(|_, _| answer(200, json!({})));
    let address = format!("http://{}/upload/token", store.address);
    let added: Arc<Mutex<Option<String>>> = Arc::default();
    let mock = Mock::start(move |seen, _| match seen.line.as_str() {
        "GET /zstack/v1/backup-storage?limit=2" => answer(200, json!({"inventories": [{"uuid": STORE}]})),
        "POST /zstack/v1/images" => {
            *added.lock().unwrap() = seen.json()["params"]["resourceUuid"].as_str().map(str::to_owned);
            accepted("j")
        }
        "GET /zstack/v1/api-jobs/j" => {
            answer(200, json!({"inventory": {"backupStorageRefs": [{"installPath": address}]}}))
        }
        line => {
            let uuid = added.lock().unwrap().clone().unwrap();
            assert!(line.contains(&format!("q=uuid%3D{uuid}")), "{line}");
            answer(200, json!({"inventories": [{"uuid": uuid, "status": "Ready"}]}))
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small debian.qcow2");
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &content).unwrap();
    let ran = cairn(&mock, &["image", "upload", file.to_str().unwrap(), "--platform", "linux", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let seen = mock.seen();
    let params = &seen.iter().find(|s| s.line.starts_with("POST")).unwrap().json()["params"];
    let uuid = params["resourceUuid"].as_str().unwrap();
    assert_eq!(params["url"], format!("upload://{uuid}"));
    assert_eq!((&params["name"], &params["platform"]), (&json!("small debian"), &json!("Linux")));
    assert_eq!(params["backupStorageUuids"], json!([STORE]));
    check_form(&store.seen()[0], uuid, &content);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["status"], "Ready");
}

fn check_form(seen: &Seen, uuid: &str, content: &[u8]) {
    assert_eq!(seen.line, "POST /upload/token");
    assert_eq!(
        (seen.header("x-image-uuid"), seen.header("x-image-size")),
        (uuid, content.len().to_string().as_str())
    );
    let boundary = seen.header("content-type").strip_prefix("multipart/form-data; boundary=").unwrap();
    let start = seen.body.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(seen.body.starts_with(format!("--{boundary}\r\n").as_bytes()));
    assert_eq!(&seen.body[start..start + content.len()], content);
    assert_eq!(&seen.body[start + content.len()..], format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(String::from_utf8_lossy(&seen.body[..start]).contains("filename=\"smalldebian.qcow2\""));
}

#[test]
fn cli_01_an_upload_that_is_refused_is_an_error() {
    let store = Mock::start(|_, _| (413, "text/plain", "too large".to_owned()));
    let address = format!("http://{}/u", store.address);
    let mock = Mock::start(move |seen, _| match seen.line.as_str() {
        "POST /zstack/v1/images" => {
            answer(200, json!({"inventory": {"backupStorageRefs": [{"installPath": address}]}}))
        }
        _ => answer(200, json!({"inventories": []})),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.raw");
    std::fs::write(&file, "x").unwrap();
    let ran = cairn(&mock, &["image", "upload", file.to_str().unwrap(), "--backup-storage", STORE]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("413") && ran.err.contains("too large"), "{}", ran.err);
    assert_eq!(cairn(&mock, &["image", "upload", "/does/not/exist"]).code, 1);
    assert_eq!(cairn(&mock, &["image", "upload", file.to_str().unwrap()]).code, 1, "no backup storage");
}
