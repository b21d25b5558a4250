//! Connects a host whose agent has dialled in: reads what it is, makes what should be on it, compares what runs with what
//! should. It counts as Connected only when all of that is done (HOST-05).

use std::time::{Duration, Instant};

use cairn_api::agent::host::{HostFacts, ReadHostFacts};
use cairn_store::Tx;
use cairn_types::state::Status;
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};

use super::store::{self, HostRow};
use super::{ENTITY, capacity};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::compute::vm::track;
use crate::platform::{cleanup, stuck};
use crate::{network, storage};

/// How long a libvirtd that does not answer is waited for.
const HYPERVISOR: Duration = Duration::from_secs(20);

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectHost {
    host: Id<kind::Host>,
    /// It is gone or on its way out; there is nothing to do.
    is_moot: bool,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The host is Connecting, unless it was Connected all the time.
    Begin,
    /// What it is and has.
    ReadFacts,
    /// Local storage: folders and capacities.
    Storages,
    /// Bridges, DHCP and metadata.
    Networks,
    /// What runs.
    Vms,
    /// What could not be done while it was away.
    CleanUp,
    /// Connected: the end.
    Finish,
}

use Step::{Begin, CleanUp, Finish, Networks, ReadFacts, Storages, Vms};

impl Workflow for ConnectHost {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "host.connect/1";
    const STEPS: &'static [Step] = &[Begin, ReadFacts, Storages, Networks, Vms, CleanUp, Finish];

    fn about(&self) -> About {
        About::resource(self.host, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let host = self.host;
        match (step, dir) {
            (Begin, Dir::Do) => self.begin(cx).await,
            (Begin, Dir::Undo) => self.give_up(cx).await,

            (ReadFacts | Storages | Networks | Vms | CleanUp | Finish, Dir::Do) if self.is_moot => Ok(()),
            (ReadFacts, Dir::Do) => self.read_facts(cx).await,
            (Storages, Dir::Do) => {
                cx.progress(30, "connecting local storage");
                cx.effect().await?;
                storage::connect::host_storages(cx.env(), host).await
            }
            (Networks, Dir::Do) => {
                cx.progress(50, "making networks");
                cx.effect().await?;
                network::apply::host_networks(cx.env(), host).await
            }
            (Vms, Dir::Do) => {
                cx.progress(70, "comparing VMs");
                cx.effect().await?;
                track::sync(cx.env(), host).await
            }
            (CleanUp, Dir::Do) => {
                cx.progress(85, "catching up");
                cx.effect().await?;
                cleanup::drain(cx.env(), &host.to_string()).await;
                Ok(())
            }
            (Finish, Dir::Do) => self.finish(cx).await,

            // What was read, made and compared is right, whether the host connects or not.
            (ReadFacts | Storages | Networks | Vms | CleanUp | Finish, Dir::Undo) => Ok(()),
            // Who plans to connect a host says so; what it finds there nobody knows before.
            (_, Dir::Plan) => Ok(()),
        }
    }
}

impl ConnectHost {
    /// Connects a host.
    pub fn new(host: Id<kind::Host>) -> Self {
        Self { host, is_moot: false }
    }

    async fn begin(&mut self, cx: &mut Cx<App>) -> Result<()> {
        cx.tx(self, |w, tx| {
            w.is_moot = HostRow::find(tx, w.host)?.is_none_or(|h| h.is_deleting);
            if !w.is_moot {
                store::set_status(tx, w.host, &[Status::Disconnected], Status::Connecting, None)?;
            }
            Ok(())
        })
        .await
    }

    /// The host is Disconnected, and says why; what ran there is Unknown.
    async fn give_up(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let error = cx.info().error.clone();
        let why = error.as_ref().map_or_else(|| "it could not be connected".to_owned(), store::reason);
        let lost = cx
            .tx(self, move |w, tx| {
                let from = [Status::Connecting, Status::Connected];
                store::set_status(tx, w.host, &from, Status::Disconnected, Some(&why))
            })
            .await?;
        cx.env().agents.doubt(self.host);
        if lost { track::hosts_lost(cx.env(), &[self.host]).await } else { Ok(()) }
    }

    async fn read_facts(&mut self, cx: &mut Cx<App>) -> Result<()> {
        cx.progress(10, "reading what the host is");
        let facts = self.patient_facts(cx).await?;
        cx.tx(self, move |w, tx| capacity::store_facts(tx, w.host, &facts)).await
    }

    /// An agent that has just started may be there before its libvirtd.
    async fn patient_facts(&self, cx: &mut Cx<App>) -> Result<HostFacts> {
        let end = Instant::now() + HYPERVISOR;
        let mut attempt = 0;
        loop {
            let what = format!("facts-{attempt}");
            attempt += 1;
            match cx.agent(self.host, &what, &ReadHostFacts {}).await {
                Err(f) if f.has_code(code::AGENT_LIBVIRTD) && Instant::now() < end => {
                    cx.progress(15, "waiting for libvirtd on the host");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                done => return done,
            }
        }
    }

    async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let app = cx.env().clone();
        let server = app.clone();
        cx.tx(self, move |w, tx| connected(tx, &server, w.host)).await?;
        stuck::retry_because_of(&app, self.host);
        Ok(())
    }
}

/// Connected, if the agent is. It looks at the connection inside the transaction: whoever loses it writes after this.
fn connected(tx: &mut dyn Tx, app: &App, host: Id<kind::Host>) -> Result<()> {
    if !app.agents.is_connected(host) {
        let text = format!("the agent of host {host} went away while it was being connected");
        return Err(Fault::new(code::HOST_CONNECTION, text).retry());
    }
    store::set_status(tx, host, &[Status::Connecting, Status::Disconnected], Status::Connected, None)?;
    Ok(())
}
