//! Clients that make and destroy VMs through all servers, and remember what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_testkit::{Api, Reply, World};
use cairn_types::random_uuid;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A load that made fewer VMs shows nothing; it goes on until there are so many, on a slow machine too.
pub const ENOUGH: usize = 25;
/// But not longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one client was told.
#[derive(Default)]
pub struct Report {
    /// Jobs that a server accepted.
    pub accepted: Vec<String>,
    /// VMs that were made and that nobody was asked to destroy.
    pub made: Vec<String>,
    /// VMs whose destruction and expunging was acknowledged.
    pub expunged: Vec<String>,
    /// Errors of operations, not of servers that were away.
    pub failed: Vec<String>,
    /// Jobs that were accepted and that a server does not know.
    pub lost: Vec<String>,
    /// Longest time from a call that got no answer to one that did.
    pub longest_outage: Duration,
    /// Calls that got no answer, or that there is no leader.
    pub unanswered: usize,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.made.extend(other.made);
        self.expunged.extend(other.expunged);
        self.failed.extend(other.failed);
        self.lost.extend(other.lost);
        self.longest_outage = self.longest_outage.max(other.longest_outage);
        self.unanswered += other.unanswered;
    }
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// VMs that were made and stay.
    made: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Report>>,
}

impl Load {
    /// So many clients, each of which begins with another server.
    pub fn begin(servers: &[Api], world: &World, count: usize) -> Self {
        let (stop, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |n: usize| {
            let client = Client {
                servers: servers.to_vec(),
                at: n % servers.len(),
                world: world.clone(),
                stop: stop.clone(),
                made: made.clone(),
                since: None,
                report: Report::default(),
            };
            tokio::spawn(client.work(n))
        };
        let clients = (0..count).map(client).collect();
        Self { stop, made, clients }
    }

    /// Lets all finish what they are at, once enough was done; what they were told.
    pub async fn end(self) -> Report {
        let begun = Instant::now();
        while self.made.load(Ordering::Relaxed) < ENOUGH && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Report::default();
        for client in self.clients {
            all.add(client.await.unwrap());
        }
        all
    }
}

struct Client {
    servers: Vec<Api>,
    at: usize,
    world: World,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    /// When the first call of a row of unanswered ones was sent.
    since: Option<Instant>,
    report: Report,
}

impl Client {
    async fn work(mut self, n: usize) -> Report {
        let mut round = 0;
        while !self.stop.load(Ordering::Relaxed) {
            round += 1;
            let made = self.operation("CreateVmInstance", self.world.vm(&format!("vm-{n}-{round}"))).await;
            let Some(vm) = made.and_then(|v| v["inventory"]["uuid"].as_str().map(str::to_owned)) else {
                continue;
            };
            if round % 3 == 0 && self.operation("DestroyVmInstance", json!({ "uuid": vm })).await.is_some() {
                if self.operation("ExpungeVmInstance", json!({ "uuid": vm })).await.is_some() {
                    self.report.expunged.push(vm);
                }
                continue;
            }
            self.report.made.push(vm);
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        self.report
    }

    /// One operation, sent until a server accepts it and polled until it ends. None if it failed.
    async fn operation(&mut self, action: &str, params: Value) -> Option<Value> {
        let job = random_uuid();
        loop {
            let sent = Instant::now();
            let reply = self.servers[self.at].with("x-job-uuid", &job).send(action, params.clone()).await;
            if self.is_away(&reply, sent).await {
                continue;
            }
            // Taken already: the answer to an earlier try was lost with the server that gave it.
            if reply.status != 202 && !(reply.status == 400 && reply.text.contains("in use")) {
                self.report.failed.push(format!("{action}: {} {}", reply.status, reply.text));
                return None;
            }
            self.report.accepted.push(job.clone());
            break;
        }
        loop {
            let sent = Instant::now();
            let reply = self.servers[self.at].raw("GET", &format!("/zstack/v1/api-jobs/{job}"), None).await;
            if self.is_away(&reply, sent).await {
                continue;
            }
            match reply.status {
                202 => tokio::time::sleep(Duration::from_millis(20)).await,
                200 => return Some(reply.json()),
                404 => {
                    self.report.lost.push(format!("{action} {job}"));
                    return None;
                }
                status => {
                    self.report.failed.push(format!("{action}: {status} {}", reply.text));
                    return None;
                }
            }
        }
    }

    /// Whether nobody answered; the next server is asked then.
    async fn is_away(&mut self, reply: &Reply, sent: Instant) -> bool {
        let is_away = reply.status == 0 || reply.code() == "SYS.1010";
        if is_away {
            self.report.unanswered += 1;
            self.since.get_or_insert(sent);
            self.at = (self.at + 1) % self.servers.len();
            tokio::time::sleep(Duration::from_millis(50)).await;
        } else if let Some(since) = self.since.take() {
            self.report.longest_outage = self.report.longest_outage.max(since.elapsed());
        }
        is_away
    }
}
