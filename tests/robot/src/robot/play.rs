//! Plays a list of operations: several clients at once, between two checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use cairn_store::Tx;
use tokio::task::JoinSet;

use super::check::{self, Memory};
use super::client::{Request, Shared};
use super::op::{Deed, Op, Trouble};
use super::repertoire::CLIENTS;
use crate::rig::{Rig, Terms};

/// Everything settles within this time once all is mended.
const PATIENCE: Duration = Duration::from_secs(60);
/// What stays so long while nothing is at work will not go.
const STAYS: Duration = Duration::from_secs(5);
/// Calls that hang go on after this time.
const MEND_AFTER: Duration = Duration::from_millis(120);

/// How a list went.
#[derive(Default)]
pub struct Played {
    /// What must not be, one line each; empty: all was well.
    pub violations: Vec<String>,
    /// Position of the check that found it.
    pub at: usize,
    /// Calls that went well, and that were refused, by operation.
    pub counts: BTreeMap<String, (usize, usize)>,
    /// How often which operation was refused with which code.
    pub codes: BTreeMap<String, usize>,
    /// Kills of the server.
    pub kills: usize,
    /// Checks made.
    pub checks: usize,
    /// The end of the server's log, if something was wrong.
    pub log: String,
}

/// Plays a list to its end or to the first check that finds something.
pub async fn play(terms: &Terms, ops: &[Op]) -> Result<Played> {
    run(terms, ops, false).await
}

/// The same for one of many tries: what is wrong may have had too little time to come right.
pub async fn try_out(terms: &Terms, ops: &[Op]) -> Result<Played> {
    run(terms, ops, true).await
}

async fn run(terms: &Terms, ops: &[Op], is_hasty: bool) -> Result<Played> {
    let rig = Rig::start(terms.clone()).await?;
    let shared = Arc::new(Shared::new(rig.admin.clone(), &rig.address));
    let mut stage = Stage {
        rig,
        shared,
        memory: Memory::default(),
        is_hasty,
        lost: BTreeSet::new(),
        played: Played::default(),
    };
    let mut begin = 0;
    for (at, op) in ops.iter().enumerate().filter(|(_, o)| o.deed == Deed::Check) {
        let found = stage.stretch(&ops[begin..at], op).await?;
        begin = at + 1;
        stage.played.checks += 1;
        if !found.is_empty() {
            stage.played.at = at;
            let history = check::history(&stage.rig, &found).await?;
            stage.played.log = format!("{}\n{}", history.join("\n"), stage.rig.log_tail(30));
            stage.played.violations = found;
            break;
        }
    }
    let state = stage.shared.state();
    let (counts, codes) = (state.counts.clone(), state.codes.clone());
    drop(state);
    Ok(Played { counts, codes, ..stage.played })
}

struct Stage {
    rig: Rig,
    shared: Arc<Shared>,
    memory: Memory,
    /// Failures are taken for such soon: when a list is made short.
    is_hasty: bool,
    /// Hosts that lost a guest and did not say so.
    lost: BTreeSet<String>,
    played: Played,
}

impl Stage {
    /// What is done between two checks, and the check.
    async fn stretch(&mut self, ops: &[Op], _check: &Op) -> Result<Vec<String>> {
        self.shared.done.store(0, Ordering::Relaxed);
        let mut clients: JoinSet<()> = JoinSet::new();
        for client in 0..CLIENTS {
            let own: Vec<Op> = ops.iter().filter(|o| o.client == client && is_call(o)).cloned().collect();
            let shared = self.shared.clone();
            clients.spawn(async move {
                for op in &own {
                    if let Deed::Call { who, action, params, job, plan } = &op.deed {
                        shared.call(&Request { n: op.n, who, action, params, job, plan: *plan }).await;
                    }
                }
            });
        }
        self.operate(ops).await?;
        self.finish(&mut clients).await?;
        self.check().await
    }

    /// Breaks machines and kills the server, each about when the calls before it are done.
    async fn operate(&mut self, ops: &[Op]) -> Result<()> {
        let mut calls = 0;
        for op in ops {
            match &op.deed {
                Deed::Call { .. } => calls += 1,
                Deed::Check => {}
                Deed::Break { machine, what } => {
                    self.wait_for(calls).await;
                    self.harm(machine, what);
                }
                Deed::Kill { after_ms } => {
                    self.wait_for(calls).await;
                    tokio::time::sleep(Duration::from_millis(*after_ms)).await;
                    self.kill().await?;
                }
            }
        }
        Ok(())
    }

    async fn wait_for(&self, calls: usize) {
        let end = Instant::now() + Duration::from_millis(40);
        while self.shared.done.load(Ordering::Relaxed) + CLIENTS < calls && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn kill(&mut self) -> Result<()> {
        self.shared.address.send_replace(None);
        self.rig.kill().await?;
        self.rig.boot(None).await?;
        self.shared.address.send_replace(Some(self.rig.address.clone()));
        self.played.kills += 1;
        Ok(())
    }

    fn harm(&mut self, uuid: &str, what: &Trouble) {
        let machines = &self.rig.machines;
        let (host, store) = (machines.host(uuid), machines.image_store(uuid));
        let fault = || cairn_types::Fault::operation("broken on purpose by a robot");
        match what {
            Trouble::Fail { op, nth } => host.fail(op, *nth, fault()),
            Trouble::FailAfter { op, nth } => host.fail_after(op, *nth, fault()),
            Trouble::Hang { op } => host.hang(op),
            Trouble::DropResult { op } => host.drop_result(op),
            Trouble::RestartAgentAfter { op } => host.restart_agent_after(op),
            Trouble::Delay { op, ms } => host.delay(op, Duration::from_millis(*ms)),
            Trouble::DropConnection => host.drop_connection(),
            Trouble::Disconnect => host.disconnect(),
            Trouble::Freeze => host.freeze(),
            Trouble::RestartAgent => host.restart_agent(),
            Trouble::FailHypervisor => host.fail_hypervisor(),
            Trouble::Crash => host.crash(),
            Trouble::Vanish => host.vanish(),
            Trouble::PowerOff { vm } => self.where_is(uuid, vm).power_off(vm),
            Trouble::PauseVm { vm } => self.where_is(uuid, vm).pause_vm(vm),
            Trouble::LoseVm { vm } => {
                let host = self.where_is(uuid, vm);
                host.lose_vm(vm);
                // Wherever it is: its host will come again and tell what it has.
                self.lost.extend(self.rig.machines.host_uuids());
            }
            Trouble::FinishUpload { image } => store.finish_upload(image, "size=64M&format=qcow2"),
        }
    }

    /// The host that has a guest; the one named if none has.
    fn where_is(&self, host: &str, vm: &str) -> cairn_simhost::SimHost {
        let machines = &self.rig.machines;
        let found = machines.host_uuids().into_iter().find(|h| machines.host(h).vms().contains_key(vm));
        machines.host(found.as_deref().unwrap_or(host))
    }

    /// All machines are well again; those that lost something come again.
    fn mend(&mut self) {
        let machines = &self.rig.machines;
        machines.all().clear();
        machines.all().thaw();
        for uuid in machines.host_uuids() {
            let host = machines.host(&uuid);
            host.clear();
            host.recover();
        }
        for uuid in machines.snapshot().image_stores.keys() {
            machines.image_store(uuid).clear();
        }
        machines.all().reconnect();
        for uuid in std::mem::take(&mut self.lost) {
            machines.host(uuid).drop_connection();
        }
    }

    /// Waits for the calls; what they wait for is mended after a while.
    async fn finish(&mut self, clients: &mut JoinSet<()>) -> Result<()> {
        loop {
            let all = async { while clients.join_next().await.is_some() {} };
            let is_over = tokio::time::timeout(MEND_AFTER, all).await.is_ok();
            self.mend();
            if is_over {
                return Ok(());
            }
        }
    }

    /// Waits until nothing is at work, and looks at everything.
    async fn check(&mut self) -> Result<Vec<String>> {
        let found = std::mem::take(&mut self.shared.state().found);
        if !found.is_empty() {
            return Ok(found);
        }
        let accepted = std::mem::take(&mut self.shared.state().accepted);
        let admin = self.shared.admin.at(&self.rig.address);
        let (patience, stays) = if self.is_hasty { (STAYS / 2, STAYS / 8) } else { (PATIENCE, STAYS) };
        let (begun, mut before, mut same_since) = (Instant::now(), Vec::new(), Instant::now());
        loop {
            let is_calm = self.rig.converged(patience).await?;
            if !self.is_hasty && begun.elapsed() < patience && self.rig.look(is_waited_for).await? {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            let (mut lines, seen) = check::violations(&self.rig, &admin, &self.memory, &accepted).await?;
            if !is_calm && let Some(why) = self.rig.unrest().await? {
                lines.push(format!("it does not come to rest: {why}"));
                lines.extend(check::runs(&self.rig).await?);
            }
            if lines != before {
                same_since = Instant::now();
                before.clone_from(&lines);
            }
            if lines.is_empty() {
                // Only now: what is wrong stays wrong until it is told.
                self.memory = seen;
                return Ok(lines);
            }
            if begun.elapsed() > patience || same_since.elapsed() > stays {
                return Ok(lines);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// Whether a run is stuck that may be tried again once a host is: one that could not be connected is tried again after a while. A host
/// that can't be connected at all says why, and its operator has to mend that.
fn is_waited_for(tx: &mut dyn Tx) -> cairn_types::Result<bool> {
    let sql = "SELECT 1 FROM host h JOIN run r ON r.state = 'Stuck' WHERE h.status = 'Disconnected' AND h.deleting_run IS NULL
               LIMIT 1";
    tx.exists(sql, &[])
}

fn is_call(op: &Op) -> bool {
    matches!(op.deed, Deed::Call { .. })
}
