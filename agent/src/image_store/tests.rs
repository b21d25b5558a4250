use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use cairn_api::agent::image_store::UrlPolicy;
use cairn_types::{new_uuid, random_uuid};
use tokio::sync::mpsc;

use super::*;
use crate::process::{Tool, run};

struct Bench {
    tmp: tempfile::TempDir,
    store: FolderImageStore,
    frames: mpsc::UnboundedReceiver<AgentFrame>,
    port: u16,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Bench {
    async fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap()).await
    }

    async fn within(tmp: tempfile::TempDir) -> Self {
        let (outbox, port) = (Outbox::default(), free_port());
        let (out, frames) = mpsc::unbounded_channel();
        outbox.connect(Some(out));
        std::fs::create_dir_all(tmp.path().join("state")).unwrap();
        let store = FolderImageStore::new(&tmp.path().join("state"), port, outbox);
        let path = tmp.path().join("bs").to_string_lossy().into_owned();
        assert_eq!(store.connect("target", &path).await.unwrap().http_port, port);
        Self { tmp, store, frames, port }
    }

    fn path(&self) -> String {
        self.tmp.path().join("bs").to_string_lossy().into_owned()
    }

    fn file(&self, name: &str) -> String {
        self.tmp.path().join(name).to_string_lossy().into_owned()
    }

    fn fetch(&self, url: &str) -> FetchImage {
        let policy = UrlPolicy {
            allow_internal: true,
            refused_networks: vec![],
            file_folder: Some(self.file("files")),
        };
        let image = new_uuid();
        let media_type = "RootVolumeTemplate".into();
        FetchImage {
            store_path: self.path(),
            image,
            url: url.into(),
            policy,
            media_type,
            max_bytes: 64 << 20,
        }
    }

    async fn code(&self, args: FetchImage) -> String {
        let code = self.store.fetch(args, Call::silent()).await.unwrap_err().code;
        self.is_clean();
        code
    }

    fn is_clean(&self) {
        assert_eq!(
            std::fs::read_dir(self.tmp.path().join("bs/tmp")).unwrap().count(),
            0,
            "nothing unfinished is left"
        );
    }

    fn upload(&self, image: &str, token: &str) -> OpenUpload {
        OpenUpload {
            store_path: self.path(),
            image: image.into(),
            token: token.into(),
            media_type: "RootVolumeTemplate".into(),
            begin_within_ms: 30_000,
            max_bytes: 64 << 20,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn uploaded(&mut self) -> Result<ImageFile> {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(10), self.frames.recv()).await;
            if let AgentFrame::Event { event: AgentEvent::Upload { file, fault, .. }, .. } =
                frame.expect("an event").unwrap()
            {
                return file.ok_or_else(|| fault.unwrap());
            }
        }
    }
}

async fn curl(args: &[&str]) -> (Option<i32>, String) {
    let all = [&["-s", "-S", "--noproxy", "*", "-w", " %{http_code}"], args].concat();
    let (status, out, _) = Tool::new("curl", &all).run_any().await.unwrap();
    (status, out)
}

/// A server with good and bad images; its address.
async fn server(folder: std::path::PathBuf) -> String {
    let file = move |name: &'static str| {
        let path = folder.join(name);
        move || async move { std::fs::read(path).unwrap() }
    };
    let app = Router::new()
        .route("/good", get(file("good.qcow2")))
        .route("/backing", get(file("backing.qcow2")))
        .route("/cut", get(file("cut.qcow2")))
        .route("/page", get(|| async { "<html>not found, but 200</html>" }))
        .route("/empty", get(|| async { "" }))
        .route("/hop", get(|| async { Redirect::temporary("/good") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/to-file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route(
            "/broken-off",
            get(|| async { ([("content-length", "1000000")], Body::from("only this")).into_response() }),
        )
        .route("/error", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "oh") }))
        .route(
            "/endless",
            get(|| async {
                let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0u8; 65536]));
                Body::from_stream(chunks).into_response()
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn make_files(b: &Bench) -> std::path::PathBuf {
    let folder = b.tmp.path().join("files");
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    std::fs::write(path("base"), vec![7u8; 1 << 20]).unwrap();
    run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &path("base"), &path("good.qcow2")])
        .await
        .unwrap();
    run("qemu-img", &["create", "-f", "qcow2", "-b", &path("base"), "-F", "raw", &path("backing.qcow2")])
        .await
        .unwrap();
    let whole = std::fs::read(path("good.qcow2")).unwrap();
    // Its tables lie behind the cut.
    std::fs::write(path("cut.qcow2"), &whole[..70_000]).unwrap();
    folder
}

#[tokio::test]
async fn img_01_good_images_become_ready_with_evidence() {
    let b = Bench::new().await;
    let url = server(make_files(&b).await).await;
    for address in [
        format!("{url}/good"),
        format!("{url}/hop"),
        format!("file://{}", b.file("files/good.qcow2")),
        b.file("files/good.qcow2"),
    ] {
        let args = b.fetch(&address);
        let file = b.store.fetch(args.clone(), Call::silent()).await.unwrap();
        assert_eq!((file.format.as_str(), file.size_bytes), ("qcow2", 1 << 20));
        assert_eq!(file.install_path, format!("zstore://{}/{}", args.image, file.sha256));
        assert_eq!(
            b.store.fetch(args.clone(), Call::silent()).await.unwrap(),
            file,
            "fetched again it is left alone"
        );
        let read = ReadImage { store_path: b.path(), image: args.image.clone(), verify: true };
        assert_eq!(b.store.read(read.clone(), Call::silent()).await.unwrap(), file);
        let stored = b.tmp.path().join("bs/images").join(&args.image).join("image");
        let mut bytes = std::fs::read(&stored).unwrap();
        bytes[5000] ^= 1;
        std::fs::write(&stored, bytes).unwrap();
        assert_eq!(
            b.store.read(read, Call::silent()).await.unwrap_err().code,
            "IMG.8005",
            "img_03: kept and verified"
        );
        let delete = DeleteImage { store_path: b.path(), image: args.image };
        b.store.delete(delete.clone()).await.unwrap();
        b.store.delete(delete).await.unwrap();
    }
    assert!(b.store.list(ListImages { store_path: b.path() }).await.unwrap().is_empty());
    b.is_clean();
}

#[tokio::test]
async fn img_01_bad_images_are_refused_with_a_reason() {
    let b = Bench::new().await;
    let url = server(make_files(&b).await).await;
    for (path, code) in [
        ("/backing", "IMG.8001"),
        ("/cut", "IMG.8000"),
        ("/page", "IMG.8000"),
        ("/empty", "IMG.8000"),
        ("/loop", "IMG.8003"),
        ("/to-file", "IMG.8002"),
        ("/broken-off", "IMG.8003"),
        ("/error", "IMG.8003"),
        ("/nothing", "IMG.8003"),
        ("/endless", "IMG.8004"),
    ] {
        assert_eq!(b.code(b.fetch(&format!("{url}{path}"))).await, code, "{path}");
    }
    let iso = FetchImage { media_type: "ISO".into(), ..b.fetch(&format!("{url}/good")) };
    assert_eq!(b.code(iso).await, "IMG.8000");
    assert_eq!(b.code(b.fetch("http://127.0.0.1:1/x")).await, "IMG.8003");
    assert_eq!(b.code(b.fetch("http://no-such-host.invalid/x")).await, "IMG.8003");
    assert!(b.store.list(ListImages { store_path: b.path() }).await.unwrap().is_empty());
}

#[tokio::test]
async fn img_01_inside_addresses_and_foreign_files_are_refused() {
    let b = Bench::new().await;
    let folder = make_files(&b).await;
    let url = server(folder.clone()).await;
    let tenant = |url: &str| {
        let mut args = b.fetch(url);
        args.policy.allow_internal = false;
        args
    };
    for address in [
        format!("{url}/good"),
        url.replace("127.0.0.1", "localhost") + "/good",
        url.replace("127.0.0.1", "[::1]") + "/good",
    ] {
        assert_eq!(b.code(tenant(&address)).await, "IMG.8002", "{address}");
    }
    // Links, dots and other places lead nowhere.
    std::fs::write(b.file("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(b.file("secret"), folder.join("link")).unwrap();
    for path in ["secret", "files/link", "files/../secret", "files/nothing", "files"] {
        assert_eq!(b.code(b.fetch(&format!("file://{}", b.file(path)))).await, "IMG.8002", "{path}");
    }
    for path in ["/etc/passwd", "file:///dev/zero", "FILE:///etc/passwd", "gopher://x/", "file:etc/passwd"] {
        assert_eq!(b.code(b.fetch(path)).await, "IMG.8002", "{path}");
    }
    let mut none = b.fetch(&format!("file://{}", b.file("files/good.qcow2")));
    none.policy.file_folder = None;
    assert_eq!(b.code(none).await, "IMG.8002");
}

#[tokio::test]
async fn a_cancelled_fetch_leaves_nothing() {
    let b = Bench::new().await;
    let url = server(make_files(&b).await).await;
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    let call = Call::new(cancelled, Arc::new(|_, _| ()));
    let mut args = b.fetch(&format!("{url}/endless"));
    args.max_bytes = 1 << 40;
    let (fetched, ()) = tokio::join!(b.store.fetch(args, call), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.send_replace(true);
    });
    assert_eq!(fetched.unwrap_err().code, "RUN.8000");
    b.is_clean();
}

#[tokio::test]
async fn img_02_an_upload_becomes_an_image() {
    let mut b = Bench::new().await;
    let good = make_files(&b).await.join("good.qcow2").to_string_lossy().into_owned();
    let size = std::fs::metadata(&good).unwrap().len();
    for form in [true, false] {
        let (image, token) = (new_uuid(), random_uuid());
        let opened = b.store.open_upload("target", b.upload(&image, &token)).await.unwrap();
        assert_eq!(b.store.open_upload("target", b.upload(&image, &token)).await.unwrap(), opened);
        let address = b.url(&opened.path);
        let (name, length) = (format!("X-IMAGE-UUID: {image}"), format!("X-IMAGE-SIZE: {size}"));
        let file = format!("file=@{good}");
        let body: &[&str] = if form { &["-F", &file] } else { &["-T", &good] };
        let wrong = address.replace(&token, &random_uuid());
        assert!(curl(&[body, &["-H", &length, &wrong]].concat()).await.1.ends_with("404"));
        let (_, text) = curl(&[body, &["-H", &name, "-H", &length, &address]].concat()).await;
        assert!(text.ends_with("200"), "{text}");
        let file = b.uploaded().await.unwrap();
        assert_eq!((file.format.as_str(), file.actual_bytes), ("qcow2", size));
        assert!(curl(&[body, &[&address]].concat()).await.1.ends_with("404"), "an address works once");
        assert_eq!(
            b.store.list(ListImages { store_path: b.path() }).await.unwrap(),
            std::slice::from_ref(&image)
        );
        b.store.delete(DeleteImage { store_path: b.path(), image }).await.unwrap();
    }
    b.is_clean();
}

#[tokio::test]
async fn img_02_wrong_and_late_uploads_are_removed() {
    let mut b = Bench::new().await;
    let folder = make_files(&b).await;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    for (file, length, code) in
        [("good.qcow2", "5", "IMG.8007"), ("backing.qcow2", "", "IMG.8001"), ("cut.qcow2", "", "IMG.8000")]
    {
        let image = new_uuid();
        let opened = b.store.open_upload("target", b.upload(&image, &random_uuid())).await.unwrap();
        let header =
            if length.is_empty() { "X-Nothing: 1".to_owned() } else { format!("X-IMAGE-SIZE: {length}") };
        let (_, text) = curl(&["-T", &path(file), "-H", &header, &b.url(&opened.path)]).await;
        assert!(text.contains(code) && text.ends_with("400"), "{text}");
        assert_eq!(b.uploaded().await.unwrap_err().code, code);
        b.is_clean();
    }
    let late = OpenUpload { begin_within_ms: 50, ..b.upload(&new_uuid(), &random_uuid()) };
    let opened = b.store.open_upload("target", late).await.unwrap();
    assert_eq!(b.uploaded().await.unwrap_err().code, "IMG.8006");
    assert!(curl(&["-T", &path("good.qcow2"), &b.url(&opened.path)]).await.1.ends_with("404"));
    let large = OpenUpload { max_bytes: 10, ..b.upload(&new_uuid(), &random_uuid()) };
    let opened = b.store.open_upload("target", large).await.unwrap();
    curl(&["-T", &path("good.qcow2"), &b.url(&opened.path)]).await;
    assert_eq!(b.uploaded().await.unwrap_err().code, "IMG.8004");
    b.is_clean();
    assert!(b.store.list(ListImages { store_path: b.path() }).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_restart_ends_uploads_clears_leftovers_and_keeps_exports() {
    let b = Bench::new().await;
    let folder = make_files(&b).await;
    let args = b.fetch(&format!("file://{}", folder.join("good.qcow2").display()));
    b.store.fetch(args.clone(), Call::silent()).await.unwrap();
    let token = random_uuid();
    let open = OpenDownload { store_path: b.path(), image: args.image.clone(), token, valid_ms: 0 };
    let opened = b.store.open_download(open).await.unwrap();
    b.store.open_upload("target", b.upload(&new_uuid(), &random_uuid())).await.unwrap();
    std::fs::write(b.file("bs/tmp/half"), "half").unwrap();
    std::fs::create_dir_all(b.tmp.path().join("bs/images").join(new_uuid())).unwrap();
    let mut b = Bench::within(b.tmp).await;
    assert_eq!(b.uploaded().await.unwrap_err().code, "IMG.8006");
    b.is_clean();
    assert_eq!(std::fs::read_dir(b.file("bs/images")).unwrap().count(), 1);
    let (status, text) = curl(&["-o", "/dev/null", &b.url(&opened.path)]).await;
    assert!(status == Some(0) && text.ends_with("200"), "{text}");
    let (_, text) = curl(&["-r", "0-3", &b.url(&opened.path)]).await;
    assert!(text.starts_with("QFI") && text.ends_with("206"), "{text}");
    b.store.close_download(CloseDownload { store_path: b.path(), image: args.image }).await.unwrap();
    assert!(curl(&["-o", "/dev/null", &b.url(&opened.path)]).await.1.ends_with("404"));
}

#[tokio::test]
async fn a_cancelled_fetch_does_not_wait_for_a_server_that_trickles() {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/slow", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_secs(5));
        }
    });
    let b = Bench::new().await;
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    let (begun, mut told) = mpsc::unbounded_channel();
    let call = Call::new(
        cancelled,
        Arc::new(move |percent, _: &str| {
            let _ = begun.send(percent);
        }),
    );
    let fetch = b.store.fetch(b.fetch(&url), call);
    let stop = async {
        assert_eq!(told.recv().await, Some(0), "one byte of a million");
        cancel.send_replace(true);
        std::time::Instant::now()
    };
    let (fetched, stopped) = tokio::join!(fetch, stop);
    assert_eq!(fetched.unwrap_err().code, "RUN.8000");
    assert!(stopped.elapsed() < Duration::from_secs(3), "it took {:?}", stopped.elapsed());
    b.is_clean();
}
