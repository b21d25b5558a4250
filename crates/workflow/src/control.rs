//! What an operator may do with a run: cancel it, and retry or abandon one that is Stuck.

use cairn_store::Tx;
use cairn_types::{Fault, Result, code};

use crate::engine::{Engine, Handle};
use crate::journal::{self, RunInfo, RunState};
use crate::{Env, RunId};

impl<E: Env> Engine<E> {
    /// Asks a run and its children to stop and take back what they did. Takes effect between steps; a run that goes back
    /// already is left alone.
    pub async fn cancel(&self, run: RunId) -> Result<()> {
        if !self.is_live(run) {
            let text = format!("run {run} is not at work, so it can't be cancelled");
            return Err(Fault::new(code::RUN_STATE, text));
        }
        let runs = self.store().write(move |tx| journal::cancel(tx, run)).await?;
        self.cancel_live(&runs);
        Ok(())
    }

    /// Tries the undo of a Stuck run again.
    pub async fn retry(&self, run: RunId) -> Result<Handle> {
        let owner = self.owner();
        let take = move |tx: &mut dyn Tx| {
            let mut info = stuck(tx, run)?;
            info.state = RunState::Undoing;
            journal::save(tx, &owner, &info)?;
            Ok(info)
        };
        let info = self.store().write(take).await?;
        self.take_up(info, Vec::new())
    }

    /// Gives a Stuck run up: it is Failed, and what it left is the operator's. `clean` runs in the same transaction.
    pub async fn abandon<F>(&self, run: RunId, mut clean: F) -> Result<()>
    where
        F: FnMut(&mut dyn Tx, &RunInfo) -> Result<()> + Send + 'static,
    {
        let (owner, env) = (self.owner(), self.env()?);
        let give_up = move |tx: &mut dyn Tx| {
            let mut info = stuck(tx, run)?;
            info.state = RunState::Failed;
            clean(tx, &info)?;
            journal::save(tx, &owner, &info)?;
            env.run_changed(tx, &info)
        };
        self.store().write(give_up).await
    }
}

fn stuck(tx: &mut dyn Tx, run: RunId) -> Result<RunInfo> {
    let info = journal::find(tx, run)?.ok_or_else(|| Fault::not_found("CairnRunVO", run))?;
    if info.state != RunState::Stuck {
        let text = format!("run {run} is {}, not Stuck", info.state.as_str());
        return Err(Fault::new(code::RUN_STATE, text));
    }
    Ok(info)
}
