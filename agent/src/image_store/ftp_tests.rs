//! Downloads by ftp and https, from servers that are just large enough.

use std::sync::Arc;

use cairn_api::agent::image_store::UrlPolicy;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::download::{Download, Received, Source};
use super::*;

fn policy(allow_internal: bool) -> UrlPolicy {
    UrlPolicy { allow_internal, refused_networks: vec![], file_folder: None }
}

async fn fetch(url: &str, policy: &UrlPolicy) -> Result<Received> {
    let tmp = tempfile::tempdir().unwrap();
    let download = Download {
        source: Source::checked(url, policy)?,
        to: tmp.path().join("file"),
        max_bytes: 1 << 20,
        what: "image x".into(),
        expected: None,
    };
    download.run(&|_| (), std::future::pending()).await
}

/// Serves one file, `image`, to whoever logs in.
async fn ftp_session(stream: TcpStream) -> io::Result<()> {
    let (reader, mut out) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut data: Option<TcpListener> = None;
    out.write_all(b"220 hello\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let (verb, name) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match (verb, name) {
            ("USER", _) => "331 and the password?".to_owned(),
            ("PASS", _) => "230 welcome".to_owned(),
            ("PWD", _) => "257 \"/\"".to_owned(),
            ("EPSV", _) => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let port = listener.local_addr()?.port();
                data = Some(listener);
                format!("229 come (|||{port}|)")
            }
            ("TYPE" | "CWD", _) => "200 well".to_owned(),
            ("SIZE", "image") => "213 9".to_owned(),
            ("RETR", "image") => {
                out.write_all(b"150 here it is\r\n").await?;
                if let Some(listener) = data.take() {
                    listener.accept().await?.0.write_all(b"the bytes").await?;
                }
                "226 done".to_owned()
            }
            ("SIZE" | "RETR", _) => "550 no such file".to_owned(),
            ("QUIT", _) => return out.write_all(b"221 bye\r\n").await,
            _ => "502 what?".to_owned(),
        };
        out.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn img_01_images_come_by_ftp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(ftp_session(stream));
        }
    });
    let got = fetch(&format!("ftp://{place}/image"), &policy(true)).await.unwrap();
    assert_eq!(got.bytes, 9);
    let got =
        fetch(&format!("ftp://me:secret@localhost:{}/image", place.port()), &policy(true)).await.unwrap();
    assert_eq!(got.bytes, 9);
    assert_eq!(fetch(&format!("ftp://{place}/nothing"), &policy(true)).await.unwrap_err().code, "IMG.8003");
    assert_eq!(fetch(&format!("ftp://{place}/image"), &policy(false)).await.unwrap_err().code, "IMG.8002");
}

#[tokio::test]
async fn img_01_untrusted_https_is_refused_with_its_reason() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let fault = fetch(&format!("https://localhost:{port}/x"), &policy(true)).await.unwrap_err();
    assert_eq!(fault.code, "IMG.8003");
    assert!(fault.details.contains("certificate"), "{fault}");
}
