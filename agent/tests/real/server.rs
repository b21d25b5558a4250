//! A server just large enough to drive one agent: it issues certificates, takes the connection, sends commands and keeps
//! what comes back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn_api::agent::{AgentEvent, AgentFrame, AgentOp, ServerFrame, Target, TargetKind};
use cairn_types::{Fault, random_uuid};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

type Waiting = HashMap<String, oneshot::Sender<Result<Value, Fault>>>;

#[derive(Default)]
pub struct Seen {
    pub events: Vec<AgentEvent>,
    pub failing: Vec<(String, Fault)>,
    pub progress: Vec<u8>,
    pub hellos: usize,
    waiting: Waiting,
    out: Option<mpsc::UnboundedSender<ServerFrame>>,
}

/// An agent under test and the server it talks to.
pub struct Lab {
    pub dir: PathBuf,
    pub host: String,
    pub store: String,
    pub seen: Arc<Mutex<Seen>>,
    agent: Mutex<Option<Child>>,
}

impl Lab {
    /// With a fresh folder and a running agent.
    pub async fn start() -> Arc<Self> {
        let base = std::env::var("CAIRN_TEST_HOST").expect("run this under scripts/test-host.sh");
        scrub();
        let dir = Path::new(&base).join(format!("lab-{}", random_uuid()));
        std::fs::create_dir_all(dir.join("agent")).unwrap();
        let (host, store, agent) = (random_uuid(), random_uuid(), random_uuid());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let acceptor = enrol(&dir.join("agent"), &agent, listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let targets = vec![
            Target { uuid: host.clone(), kind: TargetKind::Host },
            Target { uuid: store.clone(), kind: TargetKind::ImageStore },
        ];
        tokio::spawn(serve(listener, acceptor, seen.clone(), targets));
        let lab = Arc::new(Self { dir, host, store, seen, agent: Mutex::default() });
        lab.start_agent().await;
        lab
    }

    pub async fn start_agent(&self) {
        let hellos = self.seen.lock().unwrap().hellos;
        let log =
            std::fs::File::options().create(true).append(true).open(self.dir.join("agent.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_cairn-agent"))
            .args(["--dir", &self.dir.join("agent").to_string_lossy(), "--log", "info"])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.agent.lock().unwrap() = Some(child);
        self.until("the agent connects", || self.seen.lock().unwrap().hellos > hellos).await;
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.lock().unwrap().as_ref().unwrap().id()
    }

    /// Kills the agent at once, as a power loss of its process.
    pub fn kill_agent(&self) {
        if let Some(mut child) = self.agent.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.seen.lock().unwrap().out = None;
    }

    /// Asks it to end and waits.
    pub fn stop_agent(&self) {
        if let Some(mut child) = self.agent.lock().unwrap().take() {
            run("kill", &[&child.id().to_string()]);
            assert!(child.wait().unwrap().success());
        }
        self.seen.lock().unwrap().out = None;
    }

    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        self.until_in(Duration::from_secs(60), what, &mut holds).await;
    }

    pub async fn until_in(&self, limit: Duration, what: &str, holds: &mut dyn FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !holds() {
            if Instant::now() > end {
                let log = std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default();
                panic!("timed out: {what}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn host<Op: AgentOp>(&self, op: Op) -> Result<Op::Reply, Fault> {
        self.send(&self.host, &random_uuid(), op).await
    }

    pub async fn store<Op: AgentOp>(&self, op: Op) -> Result<Op::Reply, Fault> {
        self.send(&self.store, &random_uuid(), op).await
    }

    pub async fn send<Op: AgentOp>(&self, target: &str, id: &str, op: Op) -> Result<Op::Reply, Fault> {
        let answer = self.post(target, id, 1, op);
        let value =
            tokio::time::timeout(Duration::from_secs(180), answer).await.expect("an answer").unwrap()?;
        Ok(serde_json::from_value(value).unwrap())
    }

    /// Sends a command; its answer comes through the channel.
    pub fn post<Op: AgentOp>(
        &self,
        target: &str,
        id: &str,
        epoch: u64,
        op: Op,
    ) -> oneshot::Receiver<Result<Value, Fault>> {
        let command = cairn_api::agent::Command {
            id: id.to_owned(),
            target: target.to_owned(),
            run: "test".to_owned(),
            epoch,
            op: Op::NAME.to_owned(),
            args: serde_json::to_value(op).unwrap(),
            timeout_ms: Op::TIMEOUT_MS,
            receive_by_ms: 0,
            begin_by_ms: 0,
        };
        let (tell, told) = oneshot::channel();
        let mut seen = self.seen.lock().unwrap();
        seen.waiting.insert(id.to_owned(), tell);
        seen.out.as_ref().expect("a connection").send(ServerFrame::Command(command)).unwrap();
        told
    }

    pub fn say(&self, frame: ServerFrame) {
        self.seen.lock().unwrap().out.as_ref().expect("a connection").send(frame).unwrap();
    }

    pub fn events(&self) -> Vec<AgentEvent> {
        self.seen.lock().unwrap().events.clone()
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill_agent();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default());
        }
    }
}

/// Writes what an agent needs into its folder; the server's side of the certificates.
fn enrol(dir: &Path, agent: &str, port: u16) -> TlsAcceptor {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::from_params(&ca, &ca_key);
    let issue = |names: Vec<String>, common_name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        (params.signed_by(&key, &issuer).unwrap(), key)
    };
    let (client, client_key) = issue(vec![], agent);
    let (server, server_key) = issue(vec!["cairn-server".into()], "cairn-server");
    std::fs::write(dir.join("ca.pem"), ca_cert.pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), client.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), client_key.serialize_pem()).unwrap();
    let json = format!(r#"{{"agent":"{agent}","server":"127.0.0.1:{port}","serverName":"cairn-server"}}"#);
    std::fs::write(dir.join("agent.json"), json).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca_cert.der().clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>, targets: Vec<Target>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(tls) = acceptor.accept(tcp).await else { continue };
        let (mut reader, mut writer) = cairn_link::split(tls);
        let Ok(Some(AgentFrame::Hello { .. })) = reader.next().await else { continue };
        let welcome = ServerFrame::Welcome {
            protocol: 1,
            server: random_uuid(),
            targets: targets.clone(),
            now_ms: 0,
            heartbeat_s: 0,
        };
        writer.send(&welcome).await.unwrap();
        let (out, mut outgoing) = mpsc::unbounded_channel::<ServerFrame>();
        {
            let mut seen = seen.lock().unwrap();
            seen.out = Some(out);
            seen.hellos += 1;
        }
        tokio::spawn(async move {
            while let Some(frame) = outgoing.recv().await {
                if writer.send(&frame).await.is_err() {
                    return;
                }
            }
        });
        while let Ok(Some(frame)) = reader.next::<AgentFrame>().await {
            let mut seen = seen.lock().unwrap();
            match frame {
                AgentFrame::Result { id, ok, err } => {
                    if let Some(waiting) = seen.waiting.remove(&id) {
                        let _ = waiting.send(err.map_or_else(|| Ok(ok.unwrap_or_default()), Err));
                    }
                }
                AgentFrame::Event { event, .. } => seen.events.push(event),
                AgentFrame::Heartbeat { failing } => seen.failing = failing,
                AgentFrame::Progress { percent, .. } => seen.progress.push(percent),
                AgentFrame::Hello { .. } => (),
            }
        }
    }
}

/// Removes what a failed test may have left on this machine of ours.
fn scrub() {
    let virsh = |args: &[&str]| attempt("virsh", &[&["-q", "-c", "qemu:///system"], args].concat()).1;
    for domain in virsh(&["list", "--name"]).split_whitespace() {
        virsh(&["destroy", domain]);
    }
    attempt("pkill", &["-x", "dnsmasq"]);
    for namespace in attempt("ip", &["netns", "list"]).1.lines() {
        attempt("ip", &["netns", "delete", namespace.split(' ').next().unwrap_or_default()]);
    }
    attempt("ip", &["link", "delete", "dev", crate::guest::BRIDGE]);
    attempt("nft", &["delete", "table", "bridge", "cairn_guard"]);
}

/// Runs a tool that must succeed; its output.
pub fn run(program: &str, args: &[&str]) -> String {
    let (ok, text) = attempt(program, args);
    assert!(ok, "{program} {args:?}: {text}");
    text
}

/// Runs a tool; whether it succeeded, and its output.
pub fn attempt(program: &str, args: &[&str]) -> (bool, String) {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}
