//! Which code does which operation. Every operation of the table must be here; a test compares the two lists.
//!
//! There are five kinds: a *query* over an inventory, another *read*, a *change* that is one transaction, a *prepared* change
//! that needs slow work before it, and a *run* of a workflow. Changes and runs can be planned.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use cairn_api::{Op, Params};
use cairn_store::Tx;
use cairn_types::Result;
use cairn_workflow::{Engine, Handle, Plan, RunInfo, Start, Workflow};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::app::App;
use crate::call::Call;
use crate::{compute, hardware, identity, network, platform, storage};

type Read = Arc<dyn Fn(Call, Params) -> BoxFuture<'static, Result<Value>> + Send + Sync>;
/// A change with its parameters still to come.
pub(crate) type Change = Arc<dyn Fn(&Call, &mut dyn Tx, &Params) -> Result<Value> + Send + Sync>;
type Prepare = Arc<dyn Fn(Call, Params) -> BoxFuture<'static, Result<Change>> + Send + Sync>;
type Run = Arc<dyn Fn(Call, Params) -> BoxFuture<'static, Result<Launch>> + Send + Sync>;

/// The code behind one operation.
#[derive(Clone)]
pub enum Handler {
    /// Looks only (or keeps its effects outside of jobs, such as a login).
    Read(Read),
    /// One transaction.
    Change(Change),
    /// Work without effect, such as hashing a password, and then one transaction.
    Prepared(Prepare),
    /// A workflow.
    Run(Run),
}

/// What a run handler decides.
pub enum Launch {
    /// There is nothing to do; this is the answer.
    Done(Value),
    /// Run this workflow.
    Run(Box<dyn Launchable>),
}

impl Launch {
    /// Runs a workflow.
    pub fn run<W: Workflow<Env = App>>(workflow: W) -> Self {
        Self::Run(Box::new(workflow))
    }
}

/// Work to be done in the transaction that starts a run.
pub type Admit = Box<dyn FnMut(&mut dyn Tx, &RunInfo) -> Result<()> + Send>;

/// A workflow without its type, ready to start or to be planned.
pub trait Launchable: Send {
    /// Starts it.
    fn start(
        self: Box<Self>,
        engine: Engine<App>,
        start: Start,
        admit: Admit,
    ) -> BoxFuture<'static, Result<Handle>>;
    /// Plans it.
    fn plan(self: Box<Self>, engine: Engine<App>) -> BoxFuture<'static, Result<Plan>>;
}

impl<W: Workflow<Env = App>> Launchable for W {
    fn start(
        self: Box<Self>,
        engine: Engine<App>,
        start: Start,
        admit: Admit,
    ) -> BoxFuture<'static, Result<Handle>> {
        Box::pin(async move { engine.start_with(*self, start, admit).await })
    }

    fn plan(self: Box<Self>, engine: Engine<App>) -> BoxFuture<'static, Result<Plan>> {
        Box::pin(async move { engine.plan(*self).await })
    }
}

/// All handlers by operation name.
#[derive(Default)]
pub struct Handlers {
    by_name: HashMap<&'static str, Handler>,
}

impl Handlers {
    /// Every handler of every group.
    pub fn all() -> Self {
        let mut handlers = Self::default();
        platform::handlers(&mut handlers);
        identity::handlers(&mut handlers);
        hardware::handlers(&mut handlers);
        storage::handlers(&mut handlers);
        network::handlers(&mut handlers);
        compute::handlers(&mut handlers);
        handlers
    }

    /// The handler of an operation.
    pub fn find(&self, name: &str) -> Option<Handler> {
        self.by_name.get(name).cloned()
    }

    /// Names of all handled operations.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }

    /// A read.
    pub fn read<O, F>(&mut self, f: fn(Call, O) -> F)
    where
        O: Op,
        F: Future<Output = Result<Value>> + Send + 'static,
    {
        let run: Read = Arc::new(move |call, params| Box::pin(f(call, O::from_params(&params))));
        self.put(O::NAME, Handler::Read(run));
    }

    /// A change that is one transaction. It may run more than once, so it has no effect but through its transaction and
    /// [`Call::after_commit`].
    pub fn change<O: Op>(&mut self, f: fn(&Call, &mut dyn Tx, &O) -> Result<Value>) {
        let run: Change = Arc::new(move |call, tx, params| f(call, tx, &O::from_params(params)));
        self.put(O::NAME, Handler::Change(run));
    }

    /// A change that needs slow work without effect first; the transaction gets what that made.
    pub fn prepared<O, P, F>(
        &mut self,
        prepare: fn(Call, O) -> F,
        change: fn(&Call, &mut dyn Tx, &O, &P) -> Result<Value>,
    ) where
        O: Op,
        P: Send + Sync + 'static,
        F: Future<Output = Result<P>> + Send + 'static,
    {
        let run: Prepare = Arc::new(move |call, params| {
            let work = prepare(call, O::from_params(&params));
            Box::pin(async move {
                let made = work.await?;
                let run: Change =
                    Arc::new(move |call, tx, params| change(call, tx, &O::from_params(params), &made));
                Ok(run)
            })
        });
        self.put(O::NAME, Handler::Prepared(run));
    }

    /// A workflow.
    pub fn run<O, F>(&mut self, f: fn(Call, O) -> F)
    where
        O: Op,
        F: Future<Output = Result<Launch>> + Send + 'static,
    {
        let run: Run = Arc::new(move |call, params| Box::pin(f(call, O::from_params(&params))));
        self.put(O::NAME, Handler::Run(run));
    }

    fn put(&mut self, name: &'static str, handler: Handler) {
        let before = self.by_name.insert(name, handler);
        debug_assert!(before.is_none(), "{name} has two handlers");
    }
}
