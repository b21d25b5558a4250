//! Hosts of `cairn-agent --simulate`, a process of its own, at three servers: the leader is killed, then the simulator.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_testkit::{Api, World};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::{Cluster, SERVERS};

const HOSTS: usize = 20;
/// From the kill of the leader until every host has a new VM: a lease of three seconds, the start of the next leader, the dials
/// of the agents and the first copies of an image, on a machine that does other things too.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// The simulator; killed when this is dropped.
struct Simulator {
    process: Child,
    folder: TempDir,
}

impl Simulator {
    /// Serves the hosts that `AddSimulatorHosts` answered.
    fn start(answer: &Value, servers: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for agent in answer["agents"].as_array().unwrap() {
            let mut identity = agent.clone();
            for name in ["ca", "server", "serverName"] {
                identity[name] = answer[name].clone();
            }
            let file = format!("{}.json", agent["uuid"].as_str().unwrap());
            std::fs::write(folder.path().join(file), identity.to_string()).unwrap();
        }
        Self { process: Self::spawn(folder.path(), servers), folder }
    }

    fn spawn(folder: &Path, servers: &[String]) -> Child {
        let program = Path::new(env!("CARGO_BIN_EXE_cairn-server")).with_file_name("cairn-agent");
        let log = File::options().create(true).append(true).open(Self::log_in(folder)).unwrap();
        let mut command = Command::new(&program);
        command.args(["--simulate", &HOSTS.to_string(), "--credentials"]).arg(folder);
        command.args(["--server", &servers.join(",")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn();
        child.unwrap_or_else(|e| panic!("{} can't be started: {e}; build it first", program.display()))
    }

    fn log_in(folder: &Path) -> PathBuf {
        folder.join("simulator.log")
    }

    /// `kill -9`, and a new process.
    fn restart(&mut self, servers: &[String]) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = Self::spawn(self.folder.path(), servers);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(Self::log_in(self.folder.path())).unwrap_or_default();
            eprintln!("---- simulator\n{log}");
        }
    }
}

/// Waits until this statement says so.
async fn until(cluster: &Cluster, statement: &str, wanted: &str, within: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let seen = cluster.sql(statement);
        if seen == wanted {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < within, "{statement}: {seen}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const CONNECTED: &str = "SELECT count(*) FROM host WHERE status = 'Connected'";

/// Counts those of these VMs of which this holds.
fn count(vms: &[String], what: &str) -> String {
    format!("SELECT count(*) FROM vm_instance WHERE uuid IN ('{}') AND {what}", vms.join("', '"))
}

/// Makes a VM on this host, again until it is made; its uuid.
async fn make_vm(api: &Api, world: &World, host: &str, within: Duration) -> String {
    let begun = Instant::now();
    let mut vm = world.vm("vm");
    vm["hostUuid"] = json!(host);
    loop {
        match api.call("CreateVmInstance", vm.clone()).await {
            Ok(answer) => {
                let vm = &answer["inventory"];
                assert_eq!((&vm["state"], &vm["hostUuid"]), (&json!("Running"), &json!(host)), "{vm}");
                return vm["uuid"].as_str().unwrap().to_owned();
            }
            Err(f) => assert!(begun.elapsed() < within, "no VM is made on host {host}: {f}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Makes a VM on each host.
async fn make_vms(api: &Api, world: &World) -> Vec<String> {
    join_all(world.hosts.iter().map(|host| make_vm(api, world, host, BACK_WITHIN))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_14_hosts_of_a_simulator_take_vms_again_when_the_leader_is_killed() {
    let mut cluster = Cluster::start().await;
    let first = cluster.api(0).log_in("admin", "password").await.unwrap();
    let mut world = World::make(&first, 0).await;
    let hosts = json!({ "clusterUuid": world.cluster, "count": HOSTS, "hostsPerAgent": 2 });
    let answer = first.ok("AddSimulatorHosts", hosts).await;
    let uuids = answer["hostUuids"].as_array().unwrap();
    world.hosts = uuids.iter().map(|u| u.as_str().unwrap().to_owned()).collect();
    let servers = cluster.agent_addresses();
    let mut simulator = Simulator::start(&answer, &servers);
    let all = HOSTS.to_string();
    until(&cluster, CONNECTED, &all, Duration::from_secs(60)).await;
    let mut vms = make_vms(&first, &world).await;

    let old = cluster.leader();
    let at = (old + 1) % SERVERS;
    let api = first.at(&cluster.api(at).base()["http://".len()..]);
    cluster.kill(old);
    let killed = Instant::now();
    vms.extend(make_vms(&api, &world).await);
    until(&cluster, CONNECTED, &all, BACK_WITHIN).await;
    let took = killed.elapsed();
    eprintln!(
        "server {old} led and was killed; every one of {HOSTS} hosts had a new VM after {} ms",
        took.as_millis()
    );
    assert!(took < BACK_WITHIN, "{took:?}");
    assert_ne!(cluster.leader(), old);
    let now = Duration::from_secs(1);
    until(&cluster, &count(&vms, "state = 'Running'"), &vms.len().to_string(), now).await;

    // What is on simulated hosts ends with their process: the new leader hears of it, and the hosts take VMs again.
    simulator.restart(&servers);
    let stopped = count(&vms, "state = 'Stopped' AND host_uuid IS NULL");
    until(&cluster, &stopped, &vms.len().to_string(), BACK_WITHIN).await;
    until(&cluster, CONNECTED, &all, BACK_WITHIN).await;
    let vms = make_vms(&api, &world).await;
    until(&cluster, &count(&vms, "state = 'Running'"), &all, now).await;
    let open = "SELECT count(*) FROM job WHERE state = 'processing'";
    until(&cluster, open, "0", Duration::from_secs(10)).await;
}
