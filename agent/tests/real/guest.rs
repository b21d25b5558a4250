//! A network with an uplink, and guests on it.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::image_store::{ConnectImageStore, FetchImage, ImageFile, OpenDownload, UrlPolicy};
use cairn_api::agent::network::{ApplyBridge, ApplyL3, Lease};
use cairn_api::agent::storage::{CacheImage, ConnectLocalStorage, CreateVolume};
use cairn_api::agent::vm::{ConfigDrive, Disk, Nic, StartVm, VmSpec, VmStarted};
use cairn_types::{new_uuid, random_uuid};

use crate::server::{Lab, attempt, run};

pub const UPLINK: &str = "up0";
/// The other end of the uplink: the world outside, with the test's own address.
pub const OUTSIDE: &str = "up0p";
pub const BRIDGE: &str = "br_up0";
pub const SERVICE: &str = "10.77.0.2";

/// One L2 and L3 network with what stands on it.
pub struct Net {
    pub lab: Arc<Lab>,
    pub l2: String,
    pub l3: String,
    pub leases: Vec<Lease>,
    pub image: String,
    pub key: String,
}

pub fn make_uplink() {
    if !attempt("ip", &["link", "show", "dev", UPLINK]).0 {
        run("ip", &["link", "add", UPLINK, "type", "veth", "peer", "name", OUTSIDE]);
        run("ip", &["address", "add", "10.77.0.1/24", "dev", OUTSIDE]);
    }
    run("ip", &["link", "set", UPLINK, "up"]);
    run("ip", &["link", "set", OUTSIDE, "up"]);
}

pub fn bridge(l2: &str) -> ApplyBridge {
    ApplyBridge { l2_network: l2.to_owned(), bridge: BRIDGE.into(), uplink: UPLINK.into(), mtu: 1500 }
}

pub fn open_policy(folder: &str) -> UrlPolicy {
    UrlPolicy { allow_internal: true, refused_networks: vec![], file_folder: Some(folder.to_owned()) }
}

impl Net {
    /// Storage, image, bridge and network, without guests.
    pub async fn new() -> Self {
        make_uplink();
        let lab = Lab::start().await;
        let (l2, l3) = (new_uuid(), new_uuid());
        lab.host(ConnectLocalStorage { path: lab.path("ps"), shared: false }).await.unwrap();
        lab.host(bridge(&l2)).await.unwrap();
        let key = lab.path("key");
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]);
        let image = new_uuid();
        let net = Self { lab, l2, l3, leases: vec![], image, key };
        net.bring_image().await;
        net
    }

    /// The guest image through the image store into the cache, as a server would do it.
    async fn bring_image(&self) {
        let lab = &self.lab;
        let source = std::env::var("CAIRN_GUEST_IMAGE").expect("CAIRN_GUEST_IMAGE names the guest image");
        let store_path = lab.path("bs");
        let ready = lab.store(ConnectImageStore { path: store_path.clone() }).await.unwrap();
        let folder = std::path::Path::new(&source).parent().unwrap().to_string_lossy().into_owned();
        let fetch = FetchImage {
            store_path: store_path.clone(),
            image: self.image.clone(),
            url: format!("file://{source}"),
            policy: open_policy(&folder),
            media_type: "RootVolumeTemplate".into(),
            max_bytes: 1 << 30,
        };
        let file: ImageFile = lab.store(fetch).await.unwrap();
        assert_eq!(file.format, "qcow2");
        let open =
            OpenDownload { store_path, image: self.image.clone(), token: random_uuid(), valid_ms: 60_000 };
        let opened = lab.store(open).await.unwrap();
        let cache = CacheImage {
            storage_path: lab.path("ps"),
            image: self.image.clone(),
            url: format!("http://127.0.0.1:{}{}", ready.http_port, opened.path),
            format: file.format,
            file_bytes: file.actual_bytes,
            sha256: file.sha256,
        };
        // Both share one download.
        let (a, b) = tokio::join!(lab.host(cache.clone()), lab.host(cache.clone()));
        assert_eq!(a.unwrap(), b.unwrap());
    }

    pub fn drive(&self, hostname: &str) -> ConfigDrive {
        let key = std::fs::read_to_string(format!("{}.pub", self.key)).unwrap();
        ConfigDrive {
            hostname: hostname.to_owned(),
            ssh_keys: vec![key],
            user_data: "#!/bin/sh\necho from user data >/root/user-data-ran\n".to_owned(),
            meta: [].into(),
        }
    }

    pub fn wanted(&self) -> ApplyL3 {
        ApplyL3 {
            l3_network: self.l3.clone(),
            bridge: BRIDGE.into(),
            service_address: format!("{SERVICE}/24"),
            dhcp: true,
            metadata: true,
            gateway: Some("10.77.0.1".into()),
            dns: vec!["10.77.0.1".into()],
            domain: Some("example.org".into()),
            mtu: 1400,
            leases: self.leases.clone(),
        }
    }

    /// A specification with a volume and a lease made for it. `n` is the end of its address.
    pub async fn prepare(&mut self, n: u8, config_drive: bool) -> VmSpec {
        let (vm, volume) = (new_uuid(), new_uuid());
        let (ip, mac) = (format!("10.77.0.{n}"), format!("fa:16:3e:77:00:{n:02x}"));
        let drive = self.drive(&format!("guest-{n}"));
        self.leases.push(Lease {
            vm: vm.clone(),
            mac: mac.clone(),
            ip: ip.clone(),
            prefix: 24,
            gateway: None,
            hostname: Some(format!("guest-{n}")),
            is_default: true,
            metadata: drive.clone(),
        });
        self.lab.host(self.wanted()).await.unwrap();
        let create = CreateVolume {
            storage_path: self.lab.path("ps"),
            volume: volume.clone(),
            r#type: "Root".into(),
            size_bytes: 1 << 30,
            image: Some(self.image.clone()),
        };
        let file = self.lab.host(create).await.unwrap();
        let disk = Disk {
            volume,
            path: file.path,
            format: file.format,
            device_id: 0,
            bytes_per_second: None,
            iops: None,
        };
        let nic = Nic {
            nic: new_uuid(),
            tap: format!("vnic{n}.0"),
            mac,
            bridge: BRIDGE.into(),
            l3_network: self.l3.clone(),
            addresses: vec![ip],
            anti_spoofing: true,
            mtu: 1400,
        };
        VmSpec {
            vm,
            title: "a guest $(reboot) <&>".into(),
            cpu_num: 1,
            memory_bytes: 192 << 20,
            platform: "Linux".into(),
            cpu_mode: "none".into(),
            video: "cirrus".into(),
            cache: "none".into(),
            kvm_hidden: false,
            boot_menu: false,
            boot: vec!["hd".into()],
            disks: vec![disk],
            iso: None,
            nics: vec![nic],
            vnc_listen: "127.0.0.1".into(),
            guest_agent: true,
            config_drive: config_drive.then_some(drive),
        }
    }

    pub async fn start(&self, spec: &VmSpec) -> VmStarted {
        self.lab.host(StartVm { spec: spec.clone() }).await.unwrap()
    }

    /// Runs a command in a guest over SSH; none when it does not let us in (yet).
    pub fn ssh(&self, n: u8, command: &str) -> Option<String> {
        let to = format!("root@10.77.0.{n}");
        let args = [
            "-i",
            &self.key,
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "LogLevel=ERROR",
            &to,
            command,
        ];
        let (ok, text) = attempt("ssh", &args);
        ok.then_some(text)
    }

    /// Runs a command in a guest; tries again for a while, as a busy machine may be slow.
    pub async fn in_guest(&self, n: u8, command: &str) -> String {
        let mut output = None;
        let mut done = || {
            output = self.ssh(n, command);
            output.is_some()
        };
        self.lab.until_in(Duration::from_secs(60), command, &mut done).await;
        output.unwrap_or_default()
    }

    pub async fn until_ssh(&self, n: u8) {
        let mut holds = || self.ssh(n, "true").is_some();
        self.lab.until_in(Duration::from_secs(120), "SSH to the guest", &mut holds).await;
    }
}
