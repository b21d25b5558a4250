//! A small server on the other end of the connection, and what a simulated agent must do towards it.

mod faults;
mod hosts;
mod protocol;
mod saved;
mod stores;

use std::collections::VecDeque;
use std::time::Duration;

use cairn_api::agent::network::{ApplyBridge, ApplyL3, Lease};
use cairn_api::agent::storage::{CacheImage, ConnectLocalStorage, CreateVolume};
use cairn_api::agent::vm::{ConfigDrive, Disk, Nic, StartVm, VmSpec};
use cairn_api::agent::{AgentEvent, AgentFrame, AgentOp, Command, ServerFrame, Target, TargetKind};
use cairn_link::{FrameReader, FrameWriter};
use cairn_types::size::{GIB, MIB};
use cairn_types::{Fault, Result};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::{SimAgent, SimCloud};

const H1: &str = "00000000000000000000000000000001";
const H2: &str = "00000000000000000000000000000002";
const BS: &str = "00000000000000000000000000000009";

/// The server's end of one connection.
struct Server {
    reader: FrameReader<ReadHalf<DuplexStream>>,
    writer: FrameWriter<WriteHalf<DuplexStream>>,
    targets: Vec<Target>,
    boot: String,
    events: VecDeque<(String, AgentEvent)>,
    results: VecDeque<(String, Result<serde_json::Value>)>,
    heartbeats: Vec<Vec<(String, Fault)>>,
    next: u32,
    epoch: u64,
}

/// Dials hand their streams here.
struct Listener(mpsc::UnboundedReceiver<DuplexStream>);

/// An agent that dials, and where its connections arrive.
fn start(agent: &SimAgent) -> Listener {
    let (sender, receiver) = mpsc::unbounded_channel();
    agent.spawn(move || {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let sent = sender.send(theirs);
        async move { sent.map(|()| ours).map_err(std::io::Error::other) }
    });
    Listener(receiver)
}

impl Listener {
    async fn accept(&mut self) -> Server {
        let (reader, writer) = cairn_link::split(self.0.recv().await.unwrap());
        let mut server = Server {
            reader,
            writer,
            targets: Vec::new(),
            boot: String::new(),
            events: VecDeque::new(),
            results: VecDeque::new(),
            heartbeats: Vec::new(),
            next: 0,
            epoch: 1,
        };
        let hello = server.reader.next::<AgentFrame>().await.unwrap().unwrap();
        let AgentFrame::Hello { targets, boot, .. } = hello else { panic!("{hello:?}") };
        (server.targets, server.boot) = (targets.clone(), boot);
        server
            .writer
            .send(&ServerFrame::Welcome {
                protocol: 1,
                server: "s".into(),
                targets,
                now_ms: 0,
                heartbeat_s: 0,
            })
            .await
            .unwrap();
        server
    }
}

impl Server {
    async fn send<O: AgentOp>(&mut self, id: &str, target: &str, o: &O) {
        let command = Command {
            id: id.into(),
            target: target.into(),
            run: String::new(),
            epoch: self.epoch,
            op: O::NAME.into(),
            args: serde_json::to_value(o).unwrap(),
            timeout_ms: O::TIMEOUT_MS,
            receive_by_ms: 0,
            begin_by_ms: 0,
        };
        self.writer.send(&ServerFrame::Command(command)).await.unwrap();
    }

    /// Reads one frame and files it; false when the connection is gone.
    async fn read(&mut self) -> bool {
        match self.reader.next::<AgentFrame>().await {
            Ok(Some(AgentFrame::Event { target, event })) => self.events.push_back((target, event)),
            Ok(Some(AgentFrame::Result { id, ok, err })) => {
                self.results.push_back((id, err.map_or_else(|| Ok(ok.unwrap()), Err)));
            }
            Ok(Some(AgentFrame::Heartbeat { failing })) => self.heartbeats.push(failing),
            Ok(Some(AgentFrame::Progress { .. })) => {}
            Ok(Some(frame)) => panic!("{frame:?}"),
            Ok(None) | Err(_) => return false,
        }
        true
    }

    async fn result(&mut self, id: &str) -> Result<serde_json::Value> {
        loop {
            if let Some(at) = self.results.iter().position(|(i, _)| i == id) {
                return self.results.remove(at).unwrap().1;
            }
            assert!(self.read().await, "the connection ended before the result of {id}");
        }
    }

    async fn event(&mut self) -> (String, AgentEvent) {
        while self.events.is_empty() {
            assert!(self.read().await);
        }
        self.events.pop_front().unwrap()
    }

    /// Reads until the agent has closed the connection.
    async fn wait_for_end(&mut self) {
        while self.read().await {}
    }

    /// Whether nothing but heartbeats comes for a while.
    async fn is_quiet(&mut self) -> bool {
        let _ = tokio::time::timeout(Duration::from_secs(20), async { while self.read().await {} }).await;
        self.results.is_empty() && self.events.is_empty()
    }

    async fn call<O: AgentOp>(&mut self, target: &str, o: O) -> Result<O::Reply> {
        self.next += 1;
        let id = format!("c{}", self.next);
        self.send(&id, target, &o).await;
        let result = self.result(&id).await;
        self.writer.send(&ServerFrame::Acknowledge { ids: vec![id] }).await.unwrap();
        Ok(serde_json::from_value(result?).unwrap())
    }

    /// Storage, image cache and bridge of a host, ready for VMs.
    async fn prepare(&mut self, host: &str) {
        self.call(host, ConnectLocalStorage { path: "/ps".into(), shared: false }).await.unwrap();
        self.call(host, cache("img")).await.unwrap();
        self.call(host, bridge("br0", "eth1")).await.unwrap();
    }

    /// A VM with a root volume of its own.
    async fn boot(&mut self, host: &str, vm: &str, n: u8) -> Result<cairn_api::agent::vm::VmStarted> {
        self.call(host, volume(&format!("{vm}-root"), GIB)).await?;
        self.call(host, StartVm { spec: spec(vm, n) }).await
    }
}

fn cache(image: &str) -> CacheImage {
    CacheImage {
        storage_path: "/ps".into(),
        image: image.into(),
        url: format!("http://10.0.0.1:8090/images/{image}?token=t"),
        format: "qcow2".into(),
        file_bytes: 100 * MIB,
        sha256: "ab".repeat(32),
    }
}

fn bridge(name: &str, uplink: &str) -> ApplyBridge {
    ApplyBridge { l2_network: format!("l2-{name}"), bridge: name.into(), uplink: uplink.into(), mtu: 1500 }
}

fn volume(uuid: &str, size_bytes: u64) -> CreateVolume {
    let (storage_path, image) = ("/ps".into(), Some("img".into()));
    CreateVolume { storage_path, volume: uuid.into(), r#type: "Root".into(), size_bytes, image }
}

fn spec(vm: &str, n: u8) -> VmSpec {
    let root = format!("{vm}-root");
    let path = format!("/ps/rootVolumes/{root}/{root}.qcow2");
    let format = "qcow2".into();
    VmSpec {
        vm: vm.into(),
        title: vm.into(),
        cpu_num: 1,
        memory_bytes: GIB,
        platform: "Linux".into(),
        cpu_mode: "none".into(),
        video: "cirrus".into(),
        cache: "none".into(),
        kvm_hidden: false,
        boot_menu: false,
        boot: vec!["hd".into()],
        disks: vec![Disk { volume: root, path, format, device_id: 0, bytes_per_second: None, iops: None }],
        iso: None,
        nics: vec![nic(vm, n)],
        vnc_listen: "100.64.0.1".into(),
        guest_agent: true,
        config_drive: None,
    }
}

fn nic(vm: &str, n: u8) -> Nic {
    Nic {
        nic: format!("{vm}-nic"),
        tap: format!("tap{n}"),
        mac: format!("fa:00:00:00:00:{n:02x}"),
        bridge: "br0".into(),
        l3_network: "l3".into(),
        addresses: vec![format!("10.0.0.{n}")],
        anti_spoofing: true,
        mtu: 1500,
    }
}

fn lease(vm: &str, n: u8) -> Lease {
    Lease {
        vm: vm.into(),
        mac: format!("fa:00:00:00:00:{n:02x}"),
        ip: format!("10.0.0.{n}"),
        prefix: 24,
        gateway: None,
        hostname: None,
        is_default: true,
        metadata: ConfigDrive {
            hostname: vm.into(),
            ssh_keys: vec![],
            user_data: String::new(),
            meta: std::collections::BTreeMap::new(),
        },
    }
}

fn l3(leases: Vec<Lease>) -> ApplyL3 {
    ApplyL3 {
        l3_network: "l3".into(),
        bridge: "br0".into(),
        service_address: "10.0.0.2/24".into(),
        dhcp: true,
        metadata: true,
        gateway: None,
        dns: vec![],
        domain: None,
        mtu: 1500,
        leases,
    }
}
