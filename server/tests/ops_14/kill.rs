//! `kill -9` of one server under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cairn_testkit::{Api, World};
use serde_json::json;

use super::cluster::{Cluster, SERVERS};
use super::hosts::Hosts;
use super::load::{ENOUGH, Load, Report};

/// A cluster with a world, hosts and a session that all servers know.
pub struct Stage {
    pub cluster: Cluster,
    pub hosts: Hosts,
    pub world: World,
    /// The admin at each server.
    pub admin: Vec<Api>,
}

impl Stage {
    pub async fn set() -> Self {
        let cluster = Cluster::start().await;
        let first = cluster.api(0).log_in("admin", "password").await.unwrap();
        let admin: Vec<Api> =
            (0..SERVERS).map(|n| first.at(&cluster.api(n).base()["http://".len()..])).collect();
        let world = World::make(&first, 0).await;
        let hosts = json!({ "clusterUuid": world.cluster, "count": 12, "hostsPerAgent": 3 });
        let answer = first.ok("AddSimulatorHosts", hosts).await;
        let hosts = Hosts::serve(&answer, &cluster.agent_addresses());
        let stage = Self { cluster, hosts, world, admin };
        stage.until_connected(12).await;
        stage.world.create_vm(&first, "first").await;
        stage
    }

    /// Waits until so many hosts are connected.
    pub async fn until_connected(&self, count: usize) {
        let begun = Instant::now();
        loop {
            let connected = self.cluster.sql("SELECT count(*) FROM host WHERE status = 'Connected'");
            if connected == count.to_string() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{connected} hosts are connected");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Makes zones through a server until one is made; how long it took.
    pub async fn until_changed(&self, n: usize) -> Duration {
        let begun = Instant::now();
        loop {
            match self.admin[n].call("CreateZone", json!({ "name": "after" })).await {
                Ok(_) => return begun.elapsed(),
                Err(f) => assert!(begun.elapsed() < Duration::from_secs(30), "no change is made: {f}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What must hold after all. No client was without an answer for longer than `outage`.
    pub async fn judge(&self, report: Report, outage: Duration) {
        let shown = format!(
            "{} accepted, {} made, {} expunged, {} unanswered, longest outage {} ms, {} failed",
            report.accepted.len(),
            report.made.len(),
            report.expunged.len(),
            report.unanswered,
            report.longest_outage.as_millis(),
            report.failed.len()
        );
        eprintln!("{shown}");
        report.failed.iter().for_each(|f| eprintln!("failed: {f}"));
        assert!(report.made.len() >= ENOUGH, "the load did nothing: {shown}");
        assert!(report.lost.is_empty(), "acknowledged and lost: {:?}", report.lost);
        assert!(report.longest_outage < outage, "{shown}");
        let open = self.cluster.sql("SELECT count(*) FROM job WHERE state = 'processing'");
        assert_eq!(open, "0", "jobs that never ended");
        let rows = self.cluster.sql("SELECT uuid FROM vm_instance");
        let there: BTreeSet<&str> = rows.lines().collect();
        let lost: Vec<&String> = report.made.iter().filter(|vm| !there.contains(vm.as_str())).collect();
        assert!(lost.is_empty(), "made and gone: {lost:?}");
        let back: Vec<&String> = report.expunged.iter().filter(|vm| there.contains(vm.as_str())).collect();
        assert!(back.is_empty(), "expunged and there: {back:?}");
        self.assert_sane().await;
    }

    async fn assert_sane(&self) {
        let (store, begun) = (self.cluster.store(), Instant::now());
        loop {
            let mut lines = cairn_testkit::violations(&store, self.hosts.machines.snapshot()).await;
            // The simulated image store is in the memory of whoever leads, which nobody sees from here.
            lines.retain(|l| !l.starts_with("image copy"));
            if lines.is_empty() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", lines.join("\n"));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Load over all servers while one after the other of these is killed and started again.
    async fn kill(mut self, victims: &[fn(&Cluster) -> usize]) {
        let load = Load::begin(&self.admin, &self.world, 9);
        for victim in victims {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let victim = victim(&self.cluster);
            let was_leader = self.cluster.leader() == victim;
            self.cluster.kill(victim);
            let other = (victim + 1) % SERVERS;
            let took = self.until_changed(other).await;
            eprintln!(
                "server {victim} (leader: {was_leader}) was killed; first change through server {other} after {} ms",
                took.as_millis()
            );
            assert!(took < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.cluster.begin(victim);
            self.cluster.until_answered(victim).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let report = load.end().await;
        self.until_connected(12).await;
        self.judge(report, Duration::from_secs(10)).await;
    }
}

fn leader(cluster: &Cluster) -> usize {
    cluster.leader()
}

fn follower(cluster: &Cluster) -> usize {
    (cluster.leader() + 1) % SERVERS
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_14_any_one_of_three_is_killed_under_load_and_nothing_acknowledged_is_lost() {
    Stage::set().await.kill(&[leader, follower, leader]).await;
}
