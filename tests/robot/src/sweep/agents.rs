//! The crash sweep of the agents (BEY-02): the process with the agents kills itself when it has received a command, before its
//! work and after it, for every kind of command, and is started again over the machines as they are then. Afterwards the call
//! has ended, every host is connected, nothing is held or half done, and what is on the machines is what the rows say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_simhost::OPERATIONS;
use cairn_testkit::scenarios::{self, Call, Given, Group, SCENARIOS, Scenario, Scene};
use cairn_testkit::{Api, Reply, Rows, World};
use cairn_types::random_uuid;
use serde_json::{Value, json};

use super::stage::{PATIENCE, Stage, ended};
use super::{Choice, lock};
use crate::agents::{End, Herd, Point, Spot};
use crate::rig::{Rig, Terms};

/// So often in a row nothing is at work when a command does not come.
const CALM: usize = 3;
/// A host whose connection was dropped is asked everything within this time.
const COME_BACK: Duration = Duration::from_secs(1);
/// A host whose connecting failed is tried again with the first heartbeat after 15 s; so long that takes at most.
const RECONNECTED: Duration = Duration::from_secs(40);
/// Commands that agents know and no server sends.
const UNSENT: &[(&str, &str)] = &[
    ("volume.read", "the server reads the sizes of all volumes of a storage at once, with storage.list"),
    ("imageStore.list", "the server knows the images of a store from its rows"),
    (
        "imageStore.closeDownload",
        "a download ends with its token's time, which the server says when it opens it",
    ),
];

/// What no workflow does.
const CONSOLE: Scenario = Scenario {
    group: Group::Vm,
    title: "open the console of a VM",
    workflow: "",
    is_atomic: true,
    is_brief: false,
};

/// Kills, what was covered by them, and what went wrong.
#[derive(Default)]
pub struct Report {
    took: Duration,
    plays: usize,
    kills: usize,
    went_well: usize,
    covered: BTreeSet<Spot>,
    /// Moments that a scenario passed when it was played first and not again.
    unreached: Vec<String>,
    failures: Vec<String>,
}

/// A scenario with a kill.
#[derive(Default)]
struct Played {
    /// How often the agents died; 0: the command did not come.
    kills: usize,
    /// The call went well all the same.
    went_well: bool,
}

impl Report {
    fn killed(&mut self, spot: Spot, played: &Played) {
        self.plays += 1;
        self.kills += played.kills;
        self.went_well += usize::from(played.went_well);
        self.covered.insert(spot);
    }

    fn fail(&mut self, scenario: &Scenario, spot: &str, why: &str) {
        let line = format!("{}: {spot}: {why}", scenario.title);
        println!("FAILED {line}");
        self.failures.push(line);
    }

    /// The failures, one line each and more below it.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Commands that no server sends, and why.
    pub fn unsent(&self) -> &'static [(&'static str, &'static str)] {
        UNSENT
    }

    /// Moments of commands at which the agents were never killed, and commands that are sent although they are said not to be.
    pub fn missing(&self) -> Vec<String> {
        let is_unsent = |op: &str| UNSENT.iter().any(|(name, _)| *name == op);
        let spots = |op: &str| [Point::Received, Point::Done].map(|point| Spot { op: op.to_owned(), point });
        let all = OPERATIONS.iter().flat_map(|ops| ops.iter()).flat_map(|op| spots(op));
        let wrong = all.filter(|spot| self.covered.contains(spot) == is_unsent(&spot.op));
        wrong.map(|spot| spot.to_string()).collect()
    }

    /// The figures.
    pub fn figures(&self) -> Value {
        let ops: BTreeSet<&str> = self.covered.iter().map(|s| s.op.as_str()).collect();
        let known: usize = OPERATIONS.iter().map(|ops| ops.len()).sum();
        json!({
            "agent_sweep_leaks": self.failures.len(), "plays": self.plays, "kills": self.kills, "went_well": self.went_well, "commands": ops.len(),
            "commands_known": known, "commands_unsent": UNSENT.len(), "points_missing": self.missing().len(),
            "unreached": self.unreached.len(),
            "seconds": (self.took.as_secs_f64() * 10.0).round() / 10.0,
        })
    }
}

/// Runs the sweep. When it is short, each moment of each kind of command comes once.
pub async fn run(choice: &Choice) -> Result<Report> {
    let begun = Instant::now();
    let chosen: VecDeque<Scenario> = SCENARIOS
        .iter()
        .chain([&CONSOLE])
        .filter(|s| s.title.contains(&choice.only) || s.workflow.contains(&choice.only))
        .copied()
        .collect();
    let (queue, report) = (Arc::new(Mutex::new(chosen)), Arc::new(Mutex::new(Report::default())));
    let mut workers = Vec::new();
    for n in 0..choice.workers.max(1) {
        let (queue, report, choice) = (queue.clone(), report.clone(), choice.clone());
        workers.push(tokio::spawn(async move { work(n, &queue, &report, &choice).await }));
    }
    for worker in workers {
        worker.await??;
    }
    let mut report = std::mem::take(&mut *lock(&report));
    report.took = begun.elapsed();
    Ok(report)
}

/// Plays one scenario after the other until none is left.
async fn work(
    seed: usize,
    queue: &Mutex<VecDeque<Scenario>>,
    report: &Mutex<Report>,
    choice: &Choice,
) -> Result<()> {
    let mut stage = Stage::apart(seed, choice.forget).await?;
    loop {
        let Some(scenario) = lock(queue).pop_front() else { return Ok(()) };
        let (begun, mut count) = (Instant::now(), 0);
        let spots = match stage.record_commands(&scenario).await {
            Ok(spots) => spots,
            Err(e) => {
                lock(report).fail(&scenario, "without a kill", &format!("{e:#}"));
                stage = Stage::apart(seed, choice.forget).await?;
                continue;
            }
        };
        for spot in spots {
            if choice.is_short && lock(report).covered.contains(&spot) {
                continue;
            }
            match stage.kill_agents(&scenario, &spot).await {
                Ok(played) if played.kills > 0 => {
                    count += played.kills;
                    lock(report).killed(spot, &played);
                }
                Ok(_) => lock(report).unreached.push(format!("{}: {spot}", scenario.title)),
                Err(e) => {
                    lock(report).fail(&scenario, &spot.to_string(), &format!("{e:#}"));
                    stage = Stage::apart(seed, choice.forget).await?;
                }
            }
        }
        println!("{:40} {count:3} kills, {:.1} s", scenario.title, begun.elapsed().as_secs_f64());
    }
}

impl Stage {
    /// Two hosts of one agent, as `cairn-agent --simulate` serves them, in a process of their own; the hosts and image stores
    /// that are added later run there too.
    async fn apart(seed: usize, forget: bool) -> Result<Self> {
        let terms = Terms { seed: seed as u64, apart: true, forget, ..Terms::default() };
        let mut rig = Rig::start(terms).await?;
        let mut world = World::make(&rig.admin, 0).await;
        let hosts = json!({ "clusterUuid": world.cluster, "count": 2, "hostsPerAgent": 2 });
        let answer = rig.admin.ok("AddSimulatorHosts", hosts).await;
        let uuids = answer["hostUuids"].as_array().context("no hosts")?;
        world.hosts = uuids.iter().filter_map(|u| u.as_str().map(str::to_owned)).collect();
        herd(&mut rig)?.simulate(&answer)?;
        let mut stage = Self { scene: Scene::new(rig.admin.clone(), world), rig };
        stage.connected().await?;
        // The image is on both of them.
        for host in stage.scene.world.hosts.clone() {
            let mut vm = stage.scene.world.vm("first");
            vm["hostUuid"] = json!(host);
            let vm = stage.scene.admin.make("CreateVmInstance", vm).await;
            stage.scene.admin.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
            stage.scene.admin.ok("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
        }
        Ok(stage)
    }

    async fn given_for(&mut self, scenario: &Scenario) -> Given {
        if scenario.title != CONSOLE.title {
            return scenarios::begin(&mut self.scene, scenario.title).await;
        }
        let name = self.scene.name("vm");
        let vm = self.scene.world.create_vm(&self.scene.admin, &name).await;
        let of = |key: &str| json!({ key: vm["uuid"] });
        Given {
            call: Call::Api("RequestConsoleAccess", of("vmInstanceUuid")),
            after: vec![("DestroyVmInstance", of("uuid")), ("ExpungeVmInstance", of("uuid"))],
        }
    }

    /// Waits until every host is connected, no VM is Unknown, and everything is calm and right.
    async fn connected(&mut self) -> Result<()> {
        let end = Instant::now() + RECONNECTED;
        loop {
            self.settled().await?;
            let mut others = self.rig.admin.list("QueryHost", &["status!=Connected"]).await;
            others.extend(self.rig.admin.list("QueryVmInstance", &["state=Unknown"]).await);
            if others.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "not every host is connected, or a VM is Unknown: {}", others[0]);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Plays a scenario without a kill: the moments of commands that the agents pass.
    async fn record_commands(&mut self, scenario: &Scenario) -> Result<Vec<Spot>> {
        let given = self.given_for(scenario).await;
        ensure!(self.rig.converged(PATIENCE).await?, "not calm before");
        // What was passed until now belongs to the way here.
        herd(&mut self.rig)?.plot(None).await?;
        let answer = self.call(&given.call, &random_uuid()).await;
        ensure!(answer.status == 200, "the answer was {} {}", answer.status, answer.text);
        self.connected().await?;
        let spots = herd(&mut self.rig)?.seen().await?;
        self.clear(given).await;
        Ok(spots)
    }

    /// Plays a scenario while the agents are killed there.
    async fn kill_agents(&mut self, scenario: &Scenario, spot: &Spot) -> Result<Played> {
        let given = self.given_for(scenario).await;
        ensure!(self.rig.converged(PATIENCE).await?, "not calm before");
        let before = self.rig.look(Rows::all).await?;
        herd(&mut self.rig)?.plot(Some(spot.clone())).await?;
        let Some((reply, kills)) = self.dying(&given.call, spot).await? else {
            self.clear(given).await;
            return Ok(Played::default());
        };
        ended(&reply)?;
        self.connected().await?;
        // Hosts that come back empty have new addresses, and their VMs are off.
        if reply.status != 200 && scenario.is_atomic && !self.rig.forgets() {
            let differences = before.differences(&self.rig.look(Rows::all).await?);
            ensure!(differences.is_empty(), "it failed and left\n    {}", differences.join("\n    "));
        }
        self.clear(given).await;
        Ok(Played { kills, went_well: reply.status == 200 })
    }

    /// Makes a call during which the agents die, and starts them again: the answer and how often they died. None: the command did
    /// not come this time.
    async fn dying(&mut self, call: &Call, spot: &Spot) -> Result<Option<(Reply, usize)>> {
        let work = match call {
            Call::Api(action, params) => tokio::spawn(play(self.rig.admin.clone(), action, params.clone())),
            Call::DropConnection(host) => {
                self.rig.drop_connection(host);
                tokio::spawn(async {
                    tokio::time::sleep(COME_BACK).await;
                    Reply { status: 200, headers: BTreeMap::new(), text: "no job".into() }
                })
            }
        };
        if !self.dies(spot, || work.is_finished()).await? {
            herd(&mut self.rig)?.plot(None).await?;
            return Ok(None);
        }
        if spot.point == Point::Received {
            // Nothing was done, so the server sends it again, and the agents die again.
            herd(&mut self.rig)?.boot(Some(spot.clone())).await?;
            if !self.dies(spot, || work.is_finished()).await? {
                herd(&mut self.rig)?.plot(None).await?;
                return Ok(Some((work.await?, 1)));
            }
            herd(&mut self.rig)?.boot(None).await?;
            return Ok(Some((work.await?, 2)));
        }
        herd(&mut self.rig)?.boot(None).await?;
        Ok(Some((work.await?, 1)))
    }

    /// Waits until the agents are dead. False if they are not when the call has ended and nothing is at work.
    async fn dies(&mut self, spot: &Spot, is_answered: impl Fn() -> bool) -> Result<bool> {
        let mut end = herd(&mut self.rig)?.end().context("no agents run")?;
        let mut calm = 0;
        // Some commands come when the call has ended: what is kept for an agent.
        while !is_over(&mut end).await {
            calm = if is_answered() && self.rig.unrest().await?.is_none() { calm + 1 } else { 0 };
            if calm == CALM {
                return Ok(false);
            }
        }
        let herd = herd(&mut self.rig)?;
        let death = herd.death(PATIENCE).await.context("the agents did not end")?;
        ensure!(death.by_signal, "the agents ended by themselves\n{}", herd.log_tail(5));
        ensure!(death.spot.as_ref() == Some(spot), "the agents died at {:?}", death.spot);
        Ok(true)
    }
}

/// Looks whether the agents are dead, for a moment.
async fn is_over(end: &mut End) -> bool {
    tokio::time::timeout(Duration::from_millis(10), end.wait_for(Option::is_some)).await.is_ok()
}

/// Makes a call to its end.
async fn play(api: Api, action: &'static str, params: Value) -> Reply {
    let job = random_uuid();
    let reply = api.with("x-job-uuid", &job).send(action, params).await;
    if reply.status != 202 {
        return reply;
    }
    api.poll(&format!("/zstack/v1/api-jobs/{job}")).await
}

fn herd(rig: &mut Rig) -> Result<&mut Herd> {
    rig.herd.as_mut().context("the agents are in this process")
}
