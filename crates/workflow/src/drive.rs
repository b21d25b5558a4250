//! Drives one run: its steps forward, and back when one fails.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_store::Tx;
use cairn_types::{Fault, Result, code, time};
use futures_util::FutureExt;
use serde_json::Value;

use crate::cx::Cx;
use crate::engine::{Engine, Live, Outcome, lock};
use crate::erased::Erased;
use crate::journal::{self, RunInfo, RunState};
use crate::probe::{Act, At};
use crate::{Dir, Env};

/// Why a run stops without an end: `None` when the process is (as if) gone, else why it can't be driven now.
type Left = Option<Fault>;

impl<E: Env> Engine<E> {
    /// Drives a run to its end.
    pub(crate) async fn drive(
        &self,
        mut w: Box<dyn Erased<E>>,
        mut cx: Cx<E>,
        live: &Live,
    ) -> Result<Outcome, Left> {
        if cx.run.state == RunState::Running {
            match self.forward(&mut w, &mut cx, live).await? {
                Ok(answer) => return Ok(Ok(answer)),
                Err(fault) => {
                    tracing::warn!(run = %cx.run.uuid, resource = %cx.run.resource_uuid, workflow = %cx.run.workflow,
                        step = cx.index, error = %fault, detail = ?deepest_detail(&fault),
                        "run {} failed and is undone", cx.run.uuid);
                    // From here on no step of this run, dropped at its deadline perhaps, gets a new child.
                    live.cancel.store(true, Ordering::Release);
                    // Before the run counts as going back: after a crash here the step is done again and finds them.
                    self.end_children(&cx, true).await?;
                    let mut next = cx.run.clone();
                    next.state = RunState::Undoing;
                    next.error = Some(w.failure(fault));
                    cx.run = self.persist(next).await.map_err(Some)?;
                }
            }
        }
        self.back(&mut w, &mut cx).await
    }

    async fn forward(
        &self,
        w: &mut Box<dyn Erased<E>>,
        cx: &mut Cx<E>,
        live: &Live,
    ) -> Result<Outcome, Left> {
        let steps = w.steps().len();
        for index in usize::try_from(cx.run.done).unwrap_or(0)..steps {
            cx.begin_step(index, Dir::Do);
            if live.cancel.load(Ordering::Acquire) {
                return Ok(Err(Fault::new(code::RUN_CANCELLED, "the operation was cancelled by its user")));
            }
            let result = self.guarded_step(w, cx, index).await?;
            if cx.run.state == RunState::Done {
                return Ok(Ok(cx.outcome.take().unwrap_or(Value::Null)));
            }
            cx.run.high = cx.run.high.max(i64::try_from(index).unwrap_or(i64::MAX));
            if let Err(fault) = result {
                return Ok(Err(fault));
            }
            self.join_found_children(cx).await?;
            cx.run.done = i64::try_from(index + 1).unwrap_or(i64::MAX);
            cx.run.data = w.save().map_err(Some)?;
        }
        self.end_well(w, cx).await.map_err(Some)
    }

    /// One `Do` between the probes and under the deadline.
    async fn guarded_step(
        &self,
        w: &mut Box<dyn Erased<E>>,
        cx: &mut Cx<E>,
        index: usize,
    ) -> Result<Result<()>, Left> {
        match self.probe(cx, false)? {
            Act::Fail => return Ok(Err(Fault::internal("injected before the step"))),
            Act::Go | Act::Twice | Act::Crash => {}
        }
        let left = cx.run.deadline_ms.map(|d| u64::try_from(d - time::now_ms()).unwrap_or(0));
        let result = match left {
            Some(0) => return Ok(Err(late())),
            Some(ms) => {
                match tokio::time::timeout(Duration::from_millis(ms), calmly(w.step(cx, index, Dir::Do)))
                    .await
                {
                    Ok(r) => r,
                    Err(_) => self.catch_up(w, cx).await.and_then(|()| Err(late())),
                }
            }
            None => calmly(w.step(cx, index, Dir::Do)).await,
        };
        if self.is_halted() {
            return Err(None);
        }
        if result.is_ok() && self.probe(cx, true)? == Act::Fail {
            return Ok(Err(Fault::internal("injected after the step")));
        }
        Ok(result)
    }

    /// A step was dropped at the deadline. Its transaction may be under way all the same: takes over what it wrote.
    async fn catch_up(&self, w: &mut Box<dyn Erased<E>>, cx: &mut Cx<E>) -> Result<()> {
        let (uuid, env, load) = (cx.run.uuid, self.env()?, w.loader());
        // A write, not a read: it comes behind every transaction that was handed in before.
        let look = move |tx: &mut dyn Tx| {
            let run = journal::find(tx, uuid)?.ok_or_else(|| Fault::internal("a run is gone"))?;
            let saved = load(&run.data)?;
            let answer = if run.state == RunState::Done { Some(saved.answer()(&env, tx)?) } else { None };
            Ok((run, answer))
        };
        let (run, answer) = self.store().write(look).await?;
        if run.state == RunState::Done || run.done > cx.run.done {
            *w = w.loader()(&run.data)?;
            cx.run = run;
            cx.outcome = answer;
        }
        Ok(())
    }

    /// Ends a run whose last step had no transaction of its own.
    async fn end_well(&self, w: &mut Box<dyn Erased<E>>, cx: &mut Cx<E>) -> Result<Outcome> {
        let mut next = cx.run.clone();
        next.state = RunState::Done;
        next.progress = 100;
        let (owner, env, answer) = (self.owner(), self.env()?, w.answer());
        let end = move |tx: &mut dyn Tx| {
            let outcome = answer(&env, tx)?;
            let mut next = next.clone();
            next.keep_result(&outcome);
            journal::save(tx, &owner, &next)?;
            env.run_ended(tx, &next, &Ok(outcome.clone()))?;
            env.run_changed(tx, &next)?;
            Ok(outcome)
        };
        Ok(self.store().write(end).await)
    }

    /// Undoes every step that has begun, newest first.
    async fn back(&self, w: &mut Box<dyn Erased<E>>, cx: &mut Cx<E>) -> Result<Outcome, Left> {
        for index in (0..=cx.run.high).rev() {
            let position = usize::try_from(index).unwrap_or(0);
            cx.begin_step(position, Dir::Undo);
            if let Err(fault) = self.undo_step(w, cx, position).await? {
                return self.stick(cx, fault).await.map_err(Some);
            }
            self.join_found_children(cx).await?;
            let mut next = cx.run.clone();
            next.high = index - 1;
            // What an undo found out is there for the next one, also after a crash.
            next.data = w.save().map_err(Some)?;
            cx.run = self.persist(next).await.map_err(Some)?;
        }
        self.end_badly(cx, RunState::Failed).await.map_err(Some)
    }

    async fn undo_step(
        &self,
        w: &mut Box<dyn Erased<E>>,
        cx: &mut Cx<E>,
        index: usize,
    ) -> Result<Result<()>, Left> {
        let tries = self.options().undo_tries.max(1);
        let mut pause = self.options().undo_pause;
        for attempt in 1..=tries {
            let result = match self.probe(cx, false)? {
                Act::Fail => Err(Fault::internal("injected before the undo")),
                Act::Twice => match calmly(w.step(cx, index, Dir::Undo)).await {
                    Ok(()) => {
                        cx.begin_step(index, Dir::Undo);
                        calmly(w.step(cx, index, Dir::Undo)).await
                    }
                    Err(f) => Err(f),
                },
                Act::Go | Act::Crash => calmly(w.step(cx, index, Dir::Undo)).await,
            };
            if self.is_halted() {
                return Err(None);
            }
            match result {
                Ok(()) => return self.probe(cx, true).map(|_| Ok(())),
                Err(f) if attempt == tries => return Ok(Err(f)),
                Err(f) => {
                    tracing::warn!(run = %cx.run.uuid, step = index, attempt, error = %f, "an undo failed and is tried again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    cx.begin_step(index, Dir::Undo);
                }
            }
        }
        Ok(Ok(()))
    }

    async fn stick(&self, cx: &mut Cx<E>, undo_fault: Fault) -> Result<Outcome> {
        let first = cx.run.first_error();
        let step = cx.run.steps.get(cx.index).cloned().unwrap_or_default();
        let text = format!("run {} can't take back step {step}; retry or abandon it", cx.run.uuid);
        let mut fault = Fault::new(code::RUN_STUCK, text).with("run", cx.run.uuid.to_string());
        fault.causes = vec![first, undo_fault];
        tracing::error!(run = %cx.run.uuid, error = %fault, "run {} is stuck", cx.run.uuid);
        let mut next = cx.run.clone();
        next.state = RunState::Stuck;
        next.error = Some(fault.clone());
        self.end_with(next, cx.run.was_stuck(), fault).await
    }

    async fn end_badly(&self, cx: &mut Cx<E>, state: RunState) -> Result<Outcome> {
        let mut next = cx.run.clone();
        let fault = next.first_error();
        next.state = state;
        next.error = Some(fault.clone());
        self.end_with(next, cx.run.was_stuck(), fault).await
    }

    /// Writes the end of a run that failed. `is_told`: who waits for it heard of an earlier end, when it got stuck.
    async fn end_with(&self, next: RunInfo, is_told: bool, fault: Fault) -> Result<Outcome> {
        let mut pause = Duration::from_millis(50);
        loop {
            self.check_alive()?;
            let (owner, env, next, outcome) = (self.owner(), self.env()?, next.clone(), Err(fault.clone()));
            let end = move |tx: &mut dyn Tx| {
                journal::save(tx, &owner, &next)?;
                if !is_told {
                    env.run_ended(tx, &next, &outcome)?;
                }
                env.run_changed(tx, &next)
            };
            match self.store().write(end).await {
                Ok(()) => return Ok(Err(fault)),
                Err(f) if f.has_code(code::RUN_STATE) || f.has_code(code::NOT_READY) => return Err(f),
                Err(f) => tracing::error!(error = %f, "the end of a run can't be written"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Waits for children of a run that have not ended; asks them to stop first if `cancel`.
    async fn end_children(&self, cx: &Cx<E>, cancel: bool) -> Result<(), Left> {
        let uuid = cx.run.uuid;
        // A write, not a read: it comes behind a start that was handed in before.
        let children = self.store().write(move |tx| journal::children(tx, uuid)).await.map_err(Some)?;
        for mut child in children {
            tracing::info!(run = %uuid, child = %child.uuid, "run {uuid} waits for its child {}", child.uuid);
            if cancel && child.state == RunState::Running {
                child.cancel = true;
                // It may have ended by now, which is as well.
                let _ = self.cancel(child.uuid).await;
            }
            let handle = self.attach_to(child, cx.held.clone()).map_err(Some)?;
            // How it ended is for the undo of the step to find out.
            let _ = handle.wait().await;
            if self.is_halted() {
                return Err(None);
            }
        }
        Ok(())
    }

    /// After a restart the first step may not ask for the children that it began before.
    async fn join_found_children(&self, cx: &mut Cx<E>) -> Result<(), Left> {
        if std::mem::take(&mut cx.is_taken_up) { self.end_children(cx, false).await } else { Ok(()) }
    }

    /// Asks the fault harness. `Err(None)` when the process shall be gone.
    fn probe(&self, cx: &Cx<E>, after: bool) -> Result<Act, Left> {
        if self.is_halted() {
            return Err(None);
        }
        let Some(probe) = &self.options().probe else { return Ok(Act::Go) };
        let step = cx.run.steps.get(cx.index).map_or("", String::as_str);
        let undo = cx.dir == Dir::Undo;
        match probe.at(&At { workflow: &cx.run.workflow, step, index: cx.index, undo, after }) {
            Act::Crash => {
                self.halt();
                Err(None)
            }
            act => Ok(act),
        }
    }

    /// Tells the children that work for a step of this run, and theirs, to stop.
    pub(crate) fn cancel_live(&self, runs: &[crate::RunId]) {
        let live = lock(self.live());
        for run in runs.iter().filter_map(|r| live.get(r)) {
            run.cancel.store(true, Ordering::Release);
        }
    }
}

/// A step that panics has failed; the run goes on to be undone.
async fn calmly(step: impl Future<Output = Result<()>>) -> Result<()> {
    let panicked = |_| Err(Fault::internal("a step panicked; its backtrace is in the server's log"));
    AssertUnwindSafe(step).catch_unwind().await.unwrap_or_else(panicked)
}

fn late() -> Fault {
    Fault::new(code::RUN_DEADLINE, "the operation passed its deadline and was taken back")
}

fn deepest_detail(fault: &Fault) -> Option<&str> {
    fault.cause.as_deref().and_then(deepest_detail).or(fault.operator.as_deref())
}
