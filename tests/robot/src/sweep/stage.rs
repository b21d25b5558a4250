//! Where scenarios are played with a server that is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_testkit::scenarios::{self, Call, Given, Scenario, Scene};
use cairn_testkit::{Reply, Rows, World};
use cairn_types::random_uuid;
use serde_json::{Value, json};

use crate::rig::{Rig, Terms};
use crate::wire::{Failing, Plot, Point, Spot};

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// One kill of one scenario.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Where the server kills itself.
    pub spot: Spot,
    /// What must fail for it to come there.
    fail: Option<Failing>,
}

/// One server for many scenarios.
pub struct Stage {
    pub(super) rig: Rig,
    pub(super) scene: Scene,
}

impl Stage {
    pub async fn new(seed: usize) -> Result<Self> {
        let rig = Rig::start(Terms { seed: seed as u64, ..Terms::default() }).await?;
        let world = World::make(&rig.admin, 2).await;
        Ok(Self { scene: Scene::new(rig.admin.clone(), world), rig })
    }

    /// Steps by workflow, as the server knows them.
    pub fn steps(&self) -> BTreeMap<String, Vec<String>> {
        self.rig.steps.clone()
    }

    async fn given(&mut self, scenario: &Scenario) -> Given {
        scenarios::begin(&mut self.scene, scenario.title).await
    }

    /// Plays a scenario without a kill, going on and going back: the moments that it passes.
    pub async fn record(&mut self, scenario: &Scenario) -> Result<Vec<Variant>> {
        let given = self.given(scenario).await;
        ensure!(self.rig.converged(PATIENCE).await?, "not calm before");
        // What was passed until now belongs to the way here.
        self.rig.plot(None).await?;
        let answer = self.call(&given.call, &random_uuid()).await;
        ensure!(answer.status == 200, "the answer was {} {}", answer.status, answer.text);
        self.settled().await?;
        let mut spots = self.seen(scenario).await?;
        ensure!(!spots.is_empty(), "it does not run {}", scenario.workflow);
        self.clear(given).await;
        let last = self.rig.steps.get(scenario.workflow).map_or(0, |s| s.len().saturating_sub(1));
        if !scenario.is_brief {
            let given = self.given(scenario).await;
            ensure!(self.rig.converged(PATIENCE).await?, "not calm before");
            let fail = Failing { workflow: scenario.workflow.into(), index: last, before: true };
            self.rig.plot(Some(Plot { kill: None, fail: Some(fail) })).await?;
            let _ = self.call(&given.call, &random_uuid()).await;
            self.settled().await?;
            ensure!(self.rig.seen().await?.1, "the last step did not fail");
            spots.extend(self.seen(scenario).await?);
            self.rig.plot(None).await?;
            self.clear(given).await;
        }
        Ok(spots.into_iter().map(|spot| variant(spot, last)).collect())
    }

    async fn seen(&mut self, scenario: &Scenario) -> Result<BTreeSet<Spot>> {
        Ok(self.rig.seen().await?.0.into_iter().filter(|s| s.workflow == scenario.workflow).collect())
    }

    /// Plays a scenario with a kill.
    pub async fn variant(&mut self, scenario: &Scenario, variant: &Variant) -> Result<()> {
        let given = self.given(scenario).await;
        ensure!(self.rig.converged(PATIENCE).await?, "not calm before");
        let before = self.rig.look(Rows::all).await?;
        let plot = Plot { kill: Some(variant.spot.clone()), fail: variant.fail.clone() };
        self.rig.plot(Some(plot)).await?;
        let reply = self.crashing(&given.call, variant).await?;
        ended(&reply)?;
        self.settled().await?;
        if reply.status != 200 && scenario.is_atomic {
            let differences = before.differences(&self.rig.look(Rows::all).await?);
            ensure!(differences.is_empty(), "it failed and left\n    {}", differences.join("\n    "));
        }
        self.clear(given).await;
        Ok(())
    }

    /// Makes a call during which the server dies, starts it again, and waits for the call's end.
    async fn crashing(&mut self, call: &Call, variant: &Variant) -> Result<Reply> {
        let job = random_uuid();
        let mut end = self.rig.end().context("no server runs")?;
        let early = tokio::select! {
            _ = end.wait_for(Option::is_some) => None,
            reply = self.call(call, &job) => Some(reply),
        };
        let Some(death) = self.rig.death(PATIENCE).await else {
            let early = early.map(|r| format!("{} {}", r.status, r.text));
            bail!("the server did not come there; the answer was {}", early.unwrap_or_default());
        };
        ensure!(death.by_signal, "the server ended by itself\n{}", self.rig.log_tail(5));
        ensure!(death.spot.as_ref() == Some(&variant.spot), "the server died at {:?}", death.spot);
        if variant.spot.point == Point::Before {
            // The step was not done, so the next server comes there too. It dies while it takes up what was left.
            self.rig.boot(Some(Plot { kill: Some(variant.spot.clone()), fail: None })).await?;
            let again = self.rig.death(PATIENCE).await;
            ensure!(again.is_some(), "the server did not come there again after its restart");
        }
        self.rig.boot(None).await?;
        self.scene.admin = self.rig.admin.clone();
        Ok(match call {
            Call::Api(..) => self.result(&job).await,
            Call::DropConnection(_) => Reply { status: 200, headers: BTreeMap::new(), text: "no job".into() },
        })
    }

    /// Makes a call to its end.
    pub(super) async fn call(&mut self, call: &Call, job: &str) -> Reply {
        match call {
            Call::Api(action, params) => {
                let api = self.rig.admin.with("x-job-uuid", job);
                let reply = api.send(action, params.clone()).await;
                if reply.status == 202 { self.result(job).await } else { reply }
            }
            Call::DropConnection(host) => {
                self.rig.drop_connection(host);
                let end = Instant::now() + PATIENCE;
                let mut status = 0;
                while status == 0 && Instant::now() < end {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    // It is connected again, or its connecting went wrong as was wanted.
                    let is_calm = self.rig.unrest().await.is_ok_and(|w| w.is_none());
                    let is_hit = is_calm && self.rig.seen().await.is_ok_and(|s| s.1);
                    if is_calm && (is_hit || self.status(host).await == "Connected") {
                        status = 200;
                    }
                }
                Reply { status, headers: BTreeMap::new(), text: "the host did not come back".into() }
            }
        }
    }

    pub(super) async fn status(&self, host: &str) -> String {
        let found = self.rig.admin.call("QueryHost", json!({ "q": [format!("uuid={host}")] })).await;
        let found = found.unwrap_or_default();
        found["inventories"][0]["status"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) async fn result(&self, job: &str) -> Reply {
        self.rig.admin.poll(&format!("/zstack/v1/api-jobs/{job}")).await
    }

    /// Waits until everything is calm and right.
    pub(super) async fn settled(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let is_calm = self.rig.converged(PATIENCE).await?;
            let lines = self.rig.violations().await?;
            if is_calm && lines.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("afterwards (calm: {is_calm})\n    {}", lines.join("\n    "));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Removes what the scenario made, as far as it is there.
    pub(super) async fn clear(&self, given: Given) {
        for (action, params) in given.after {
            let _: Result<Value, _> = self.rig.admin.call(action, params).await;
        }
    }
}

/// A moment while a step is taken back comes only when that step has failed.
fn variant(spot: Spot, last: usize) -> Variant {
    // The end of the last step is the end of the run: to be taken back it must fail before its work.
    let before = spot.index == last;
    let fail = spot.undo.then(|| Failing { workflow: spot.workflow.clone(), index: spot.index, before });
    Variant { spot, fail }
}

/// A call has ended when it went well, or failed with a code that says to try again; nothing is stuck.
pub(super) fn ended(reply: &Reply) -> Result<()> {
    let is_good = reply.status == 200 || (reply.status == 503 && !reply.code().is_empty());
    let is_stuck = reply.text.contains("is stuck") || reply.code() == cairn_types::code::RUN_STUCK;
    ensure!(is_good && !is_stuck, "the call did not end: {} {}", reply.status, reply.text);
    Ok(())
}
