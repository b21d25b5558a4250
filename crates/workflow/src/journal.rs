//! The journal: one row of table `run` per run, written with owner and epoch so that a server that lost its right can
//! write nothing.

use std::str::FromStr;

use cairn_store::{Row, Tx, Value as Sql, params};
use cairn_types::{Fault, Result, code, time};
use serde_json::Value;

use crate::RunId;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Waiting for its turn or at work.
    Running,
    /// Taking back what it did.
    Undoing,
    /// Ended well.
    Done,
    /// Ended, everything taken back.
    Failed,
    /// An undo keeps failing; waits for retry or abandon.
    Stuck,
}

impl RunState {
    /// The name in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Undoing => "Undoing",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Stuck => "Stuck",
        }
    }
}

impl FromStr for RunState {
    type Err = Fault;
    fn from_str(s: &str) -> Result<Self> {
        [Self::Running, Self::Undoing, Self::Done, Self::Failed, Self::Stuck]
            .into_iter()
            .find(|x| x.as_str() == s)
            .ok_or_else(|| Fault::internal(format!("unknown run state {s}")))
    }
}

/// A row of the journal.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The run.
    pub uuid: RunId,
    /// [`crate::Workflow::NAME`].
    pub workflow: String,
    /// Uuid of the resource worked on, and the run's queue.
    pub queue: String,
    /// The resource worked on.
    pub resource_uuid: String,
    /// Its type.
    pub resource_type: String,
    /// Account that asked; empty for the system.
    pub account: String,
    /// Where it stands.
    pub state: RunState,
    /// Saved data of the workflow, JSON.
    pub data: String,
    /// Names of all steps.
    pub steps: Vec<String>,
    /// Highest step begun; -1 before the first.
    pub high: i64,
    /// Steps finished.
    pub done: i64,
    /// The error that made it fail.
    pub error: Option<Fault>,
    /// A user asked to cancel it.
    pub cancel: bool,
    /// API job that waits for it.
    pub job: Option<String>,
    /// Run that started it.
    pub parent: Option<String>,
    /// After this moment (UTC ms) it is undone.
    pub deadline_ms: Option<i64>,
    /// 0..=100.
    pub progress: i64,
    /// The answer of a child that ended well, for a parent that asks again after a crash.
    pub result: Option<Value>,
}

impl RunInfo {
    /// Reads a row.
    pub fn from_row(row: &Row) -> Result<Self> {
        let json = |name: &str| -> Result<Option<Value>> {
            Ok(row.opt_text(name)?.and_then(|t| serde_json::from_str(&t).ok()))
        };
        Ok(Self {
            uuid: row.id("uuid")?,
            workflow: row.text("workflow")?,
            queue: row.text("queue")?,
            resource_uuid: row.opt_text("resource_uuid")?.unwrap_or_default(),
            resource_type: row.opt_text("resource_type")?.unwrap_or_default(),
            account: row.opt_text("account_uuid")?.unwrap_or_default(),
            state: row.parse("state")?,
            data: row.text("data")?,
            steps: json("steps")?.and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default(),
            high: row.int("high")?,
            done: row.int("done")?,
            error: json("error")?.and_then(|v| serde_json::from_value(v).ok()),
            cancel: row.bool("cancel")?,
            job: row.opt_text("job_uuid")?,
            parent: row.opt_text("parent_uuid")?,
            deadline_ms: row.opt_int("deadline_ms")?,
            progress: row.int("progress")?,
            result: json("result")?,
        })
    }

    pub(crate) fn keep_result(&mut self, answer: &Value) {
        if self.parent.is_some() {
            self.result = Some(answer.clone());
        }
    }

    /// Whether the run was Stuck before: then who waits for it has been answered.
    pub(crate) fn was_stuck(&self) -> bool {
        let own = |e: &&Fault| e.params.get("run").and_then(Value::as_str) == Some(&self.uuid.to_string());
        self.error.as_ref().filter(own).is_some_and(|e| e.code == code::RUN_STUCK)
    }

    /// The error that made the run fail, whatever happened to its undo.
    pub(crate) fn first_error(&self) -> Fault {
        let error = self.error.clone().unwrap_or_else(|| Fault::internal("no error was kept"));
        if self.was_stuck() {
            error.causes.into_iter().next().unwrap_or_else(|| Fault::internal("no error was kept"))
        } else {
            error
        }
    }

    /// Name of the step that is being done, or of the last one.
    pub fn current_step(&self) -> &str {
        let last = self.steps.len().saturating_sub(1);
        // Of steps that count as begun ahead of their time, the first one is at work.
        let at = if self.state == RunState::Running { self.done } else { self.done.max(self.high) };
        let at = usize::try_from(at).unwrap_or(0).min(last);
        self.steps.get(at).map_or("", String::as_str)
    }
}

/// Who writes: the server and its epoch.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) server: String,
    pub(crate) epoch: i64,
}

pub(crate) fn insert(tx: &mut dyn Tx, owner: &Owner, run: &RunInfo) -> Result<()> {
    let newer = "SELECT 1 FROM management_node WHERE uuid = ? AND epoch > ?";
    if tx.exists(newer, params![&owner.server, owner.epoch])? {
        return Err(Fault::new(
            code::RUN_STATE,
            "this server has been started again elsewhere; it begins nothing more",
        ));
    }
    let now = time::now_ms();
    let name = run.workflow.split('/').next().unwrap_or_default();
    let steps = serde_json::to_string(&run.steps).unwrap_or_default();
    tx.execute(
        "INSERT INTO run (uuid, workflow, name, queue, resource_uuid, resource_type, account_uuid, state, data, steps,
           step, high, done, progress, cancel, job_uuid, parent_uuid, owner, epoch, deadline_ms, create_ms, last_op_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'Running', ?, ?, ?, -1, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?)",
        params![
            run.uuid,
            &run.workflow,
            name,
            &run.queue,
            &run.resource_uuid,
            &run.resource_type,
            &run.account,
            &run.data,
            steps,
            run.current_step(),
            run.job.clone(),
            run.parent.clone(),
            &owner.server,
            owner.epoch,
            run.deadline_ms,
            now,
            now
        ],
    )?;
    Ok(())
}

/// Writes where the run stands. Fails if another server owns the run by now, so nothing of this transaction stays.
pub(crate) fn save(tx: &mut dyn Tx, owner: &Owner, run: &RunInfo) -> Result<()> {
    let error = run.error.as_ref().and_then(|e| serde_json::to_string(e).ok());
    let mut values = vec![
        Sql::from(run.data.as_str()),
        run.current_step().into(),
        run.high.into(),
        run.done.into(),
        run.progress.into(),
        error.into(),
        run.result.as_ref().map(Value::to_string).into(),
        time::now_ms().into(),
    ];
    // A run never begins to be Running again, and a state that is not written leaves its index alone.
    let sql = if run.state == RunState::Running {
        "UPDATE run SET data = ?, step = ?, high = ?, done = ?, progress = ?, error = ?, result = ?, last_op_ms = ?
         WHERE uuid = ? AND owner = ? AND epoch = ? AND state = 'Running'"
    } else {
        values.push(run.state.as_str().into());
        "UPDATE run SET data = ?, step = ?, high = ?, done = ?, progress = ?, error = ?, result = ?, last_op_ms = ?, state = ?
         WHERE uuid = ? AND owner = ? AND epoch = ? AND state IN ('Running', 'Undoing', 'Stuck')"
    };
    values.extend([Sql::from(run.uuid), owner.server.as_str().into(), owner.epoch.into()]);
    if tx.execute(sql, &values)? == 0 {
        return Err(Fault::new(
            code::RUN_STATE,
            format!("run {} has ended or belongs to another server", run.uuid),
        ));
    }
    Ok(())
}

/// The runs that have not ended and belong to this server, in the order in which they take their places: what has begun
/// goes first, then by age.
pub(crate) fn unfinished(tx: &mut dyn Tx, owner: &Owner) -> Result<Vec<RunInfo>> {
    let sql = "SELECT * FROM run WHERE state IN ('Running', 'Undoing', 'Stuck') AND owner = ? AND epoch = ?
               ORDER BY CASE WHEN high >= 0 OR state = 'Undoing' THEN 0 ELSE 1 END, create_ms, uuid";
    let rows = tx.query(sql, params![&owner.server, owner.epoch])?;
    rows.iter().map(RunInfo::from_row).collect()
}

/// Makes every unfinished run of an older epoch this server's own.
pub(crate) fn adopt(tx: &mut dyn Tx, owner: &Owner) -> Result<()> {
    let sql =
        "UPDATE run SET owner = ?, epoch = ? WHERE state IN ('Running', 'Undoing', 'Stuck') AND epoch <= ?";
    tx.execute(sql, params![&owner.server, owner.epoch, owner.epoch])?;
    Ok(())
}

/// The children of a run that have not ended.
pub(crate) fn children(tx: &mut dyn Tx, run: RunId) -> Result<Vec<RunInfo>> {
    let sql = "SELECT * FROM run WHERE parent_uuid = ? AND state IN ('Running', 'Undoing') ORDER BY uuid";
    let rows = tx.query(sql, params![run])?;
    rows.iter().map(RunInfo::from_row).collect()
}

/// Notes that a run and its children shall stop; lists them.
pub(crate) fn cancel(tx: &mut dyn Tx, run: RunId) -> Result<Vec<RunId>> {
    let mut runs = vec![run];
    let mut next = 0;
    while let Some(run) = runs.get(next).copied() {
        next += 1;
        tx.execute("UPDATE run SET cancel = 1 WHERE uuid = ? AND state = 'Running'", params![run])?;
        // Children of a run that goes back are part of its undo.
        if find(tx, run)?.is_some_and(|r| r.state == RunState::Running) {
            runs.extend(children(tx, run)?.iter().filter(|c| c.state == RunState::Running).map(|c| c.uuid));
        }
    }
    Ok(runs)
}

pub(crate) fn find(tx: &mut dyn Tx, run: RunId) -> Result<Option<RunInfo>> {
    tx.query_opt("SELECT * FROM run WHERE uuid = ?", params![run])?
        .as_ref()
        .map(RunInfo::from_row)
        .transpose()
}
