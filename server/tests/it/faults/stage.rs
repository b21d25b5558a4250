//! Where the scenarios play: one cloud for many of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_server::agents::Patience;
use cairn_testkit::scenarios::{self, Call, Given, Scenario, Scene};
use cairn_testkit::{Cloud, Fault, Faults, Reply, Trouble};
use cairn_types::random_uuid;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(6);

pub struct Stage {
    pub cloud: Cloud,
    scene: Scene,
    faults: Arc<Faults>,
}

impl Stage {
    pub async fn new() -> Self {
        let faults = Faults::new();
        let probe = faults.clone();
        let cloud = Cloud::with(move |t| {
            t.probe = Some(probe);
            t.undo_pause = Some(Duration::from_millis(2));
            t.undo_tries = Some(4);
            t.patience =
                Some(Patience { come_back: Duration::from_secs(1), first_dial: Duration::from_secs(1) });
        })
        .await;
        let scene = Scene::new(cloud.admin.clone(), cloud.world_of(2).await);
        Self { cloud, scene, faults }
    }

    /// Plays a scenario without a fault; the names of the workflow's steps.
    pub async fn record(&mut self, scenario: &Scenario) -> Vec<String> {
        let given = scenarios::begin(&mut self.scene, scenario.title).await;
        let answer = self.call(&given.call, &random_uuid()).await;
        assert_eq!(answer.status, 200, "{} without a fault: {}", scenario.title, answer.text);
        self.cloud.assert_sane(scenario.title).await;
        self.clear(given).await;
        let steps = self.faults.steps(scenario.workflow);
        assert!(!steps.is_empty(), "{} does not run {}", scenario.title, scenario.workflow);
        steps
    }

    /// Plays a scenario with a fault.
    pub async fn variant(
        &mut self,
        scenario: &Scenario,
        index: usize,
        steps: usize,
        trouble: Trouble,
    ) -> Result<(), String> {
        let given = scenarios::begin(&mut self.scene, scenario.title).await;
        if !self.cloud.converged().await {
            return Err("not calm before".into());
        }
        let before = self.cloud.rows().await;
        // The end of the last step is the end of the run: what shall be taken back must fail before it.
        let is_end = index + 1 == steps && !matches!(trouble, Trouble::CrashAfter | Trouble::FailAfter);
        self.faults.arm(Fault { workflow: scenario.workflow.into(), index, trouble, is_end });
        let reply = if trouble.is_crash() {
            self.crashing(&given.call).await?
        } else {
            self.call(&given.call, &random_uuid()).await
        };
        // The caller of a change that ends within its last step hears of the end before the step is over.
        self.cloud.converged().await;
        let is_reached = self.faults.disarm();
        if !is_reached {
            return Err(format!("the step was not reached; the answer was {} {}", reply.status, reply.text));
        }
        self.ended(&reply)?;
        self.settled().await?;
        if reply.status != 200 && scenario.is_atomic {
            let differences = before.differences(&self.cloud.rows().await);
            if !differences.is_empty() {
                return Err(format!("it failed and left\n    {}", differences.join("\n    ")));
            }
        }
        self.clear(given).await;
        Ok(())
    }

    fn ended(&self, reply: &Reply) -> Result<(), String> {
        let is_good = reply.status == 200 || (reply.status == 503 && !reply.code().is_empty());
        let is_stuck = reply.text.contains("is stuck") || reply.code() == cairn_types::code::RUN_STUCK;
        if is_good && !is_stuck {
            Ok(())
        } else {
            Err(format!("the call did not end: {} {}", reply.status, reply.text))
        }
    }

    /// Makes a call to its end.
    async fn call(&self, call: &Call, job: &str) -> Reply {
        match call {
            Call::Api(action, params) => {
                let api = &self.cloud.admin;
                let reply = api.with("x-job-uuid", job).send(action, params.clone()).await;
                if reply.status == 202 { self.result(job).await } else { reply }
            }
            Call::DropConnection(host) => {
                self.cloud.machines.host(host).drop_connection();
                let end = Instant::now() + PATIENCE;
                while Instant::now() < end && self.cloud.app().agents.is_connected(host) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                while Instant::now() < end && !self.is_over(host).await {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let status = if self.is_over(host).await { 200 } else { 0 };
                let text = self.cloud.admin.one("QueryHost", host).await.to_string();
                Reply { status, headers: Default::default(), text }
            }
        }
    }

    /// The host is connected again, or its connecting went wrong as was wanted.
    async fn is_over(&self, host: &str) -> bool {
        let is_idle = self.cloud.app().agents.is_connected(host) && self.cloud.app().engine.live_count() == 0;
        is_idle
            && (self.faults.is_hit()
                || self.cloud.admin.one("QueryHost", host).await["status"] == "Connected")
    }

    /// Makes a call during which the server dies, starts it again, and waits for the call's end.
    async fn crashing(&mut self, call: &Call) -> Result<Reply, String> {
        let job = random_uuid();
        let crashed = {
            let (faults, call) = (self.faults.clone(), self.call(call, &job));
            tokio::select! {
                crashed = faults.crashed(PATIENCE) => Ok(crashed),
                reply = call => Err(reply),
            }
        };
        let crashed = match crashed {
            Ok(crashed) => crashed,
            // A change that ends within its last step has ended for its caller before the server dies.
            Err(reply) if matches!(reply.status, 0 | 200) || self.faults.is_hit() => {
                self.faults.crashed(PATIENCE).await
            }
            Err(reply) => {
                return Err(format!(
                    "the server did not die; the answer was {} {}",
                    reply.status, reply.text
                ));
            }
        };
        if !crashed {
            return Err("the server did not die".into());
        }
        self.cloud.restart().await;
        self.scene.admin = self.cloud.admin.clone();
        match call {
            Call::Api(..) => Ok(self.result(&job).await),
            Call::DropConnection(_) => {
                Ok(Reply { status: 200, headers: Default::default(), text: "no job".into() })
            }
        }
    }

    async fn result(&self, job: &str) -> Reply {
        self.cloud.admin.poll(&format!("/zstack/v1/api-jobs/{job}")).await
    }

    /// Waits until everything is calm and right.
    async fn settled(&self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let is_calm = self.cloud.converged().await;
            let lines = self.cloud.violations().await;
            if is_calm && lines.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("afterwards (calm: {is_calm})\n    {}", lines.join("\n    ")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Removes what the scenario made, as far as it is there.
    async fn clear(&self, given: Given) {
        for (action, params) in given.after {
            let _: Result<Value, _> = self.cloud.admin.call(action, params).await;
        }
    }
}
