//! A workflow without its type, so that one engine drives them all.

use std::sync::Arc;

use cairn_store::Tx;
use cairn_types::{Fault, Result};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::{Cx, Dir, Env, Workflow};

pub(crate) trait Erased<E: Env>: Send + Sync {
    fn steps(&self) -> Vec<String>;
    fn step<'a>(&'a mut self, cx: &'a mut Cx<E>, index: usize, dir: Dir) -> BoxFuture<'a, Result<()>>;
    fn save(&self) -> Result<String>;
    fn failure(&self, cause: Fault) -> Fault;
    /// Makes the same workflow from other saved data.
    fn loader(&self) -> Loader<E>;
    /// Reads the answer; boxed so that it can move into a transaction.
    fn answer(&self) -> Answer<E>;
}

pub(crate) type Answer<E> = Arc<dyn Fn(&E, &mut dyn Tx) -> Result<Value> + Send + Sync>;

impl<W: Workflow> Erased<W::Env> for W {
    fn steps(&self) -> Vec<String> {
        step_names::<W>()
    }

    fn step<'a>(&'a mut self, cx: &'a mut Cx<W::Env>, index: usize, dir: Dir) -> BoxFuture<'a, Result<()>> {
        match W::STEPS.get(index) {
            Some(step) => Box::pin(Workflow::step(self, cx, *step, dir)),
            None => Box::pin(async { Err(Fault::internal("a workflow has no such step")) }),
        }
    }

    fn save(&self) -> Result<String> {
        data_of(self)
    }

    fn failure(&self, cause: Fault) -> Fault {
        Workflow::failure(self, cause)
    }

    fn loader(&self) -> Loader<W::Env> {
        load::<W>
    }

    fn answer(&self) -> Answer<W::Env> {
        let copy = self.clone();
        Arc::new(move |env, tx| copy.result(env, tx))
    }
}

pub(crate) fn step_names<W: Workflow>() -> Vec<String> {
    W::STEPS.iter().map(|s| format!("{s:?}")).collect()
}

pub(crate) fn data_of<W: Workflow>(w: &W) -> Result<String> {
    serde_json::to_string(w).map_err(|e| Fault::internal(format!("workflow {} can't be saved: {e}", W::NAME)))
}

/// Makes a workflow from its saved data.
pub(crate) type Loader<E> = fn(&str) -> Result<Box<dyn Erased<E>>>;

pub(crate) fn load<W: Workflow>(data: &str) -> Result<Box<dyn Erased<W::Env>>> {
    let w: W = serde_json::from_str(data)
        .map_err(|e| Fault::internal(format!("saved data of workflow {} can't be read: {e}", W::NAME)))?;
    Ok(Box::new(w))
}
