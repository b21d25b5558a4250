//! Connects a host again (HOST-02): its agent dials anew; where it does not, or is of another version, it is deployed again.

use std::time::Duration;

use cairn_store::{Tx, params};
use cairn_types::state::{HostState, Status};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ENTITY;
use super::agent::{self, How, Machine, Papers};
use super::connect::ConnectHost;
use super::store::{self, HostRow};
use crate::app::App;
use crate::compute::vm::track;

/// An agent that is there dials again within this time.
const REDIAL: Duration = Duration::from_secs(10);

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReconnectHost {
    host: Id<kind::Host>,
    /// Deploy the agent whatever its version: the way to the machine has changed.
    deploys: bool,
    address: String,
    agent: String,
    how: Option<How>,
    #[serde(default)]
    is_simulated: bool,
    papers: Option<Papers>,
    old_fingerprint: Option<String>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connecting.
    Begin,
    /// The agent dials again, or does not.
    Redial,
    /// It gets a new certificate, if it is deployed.
    Certify,
    /// It gets there.
    Deploy,
    /// It dials in.
    AwaitAgent,
    /// Read, prepared, Connected: the end.
    Connect,
}

use Step::{AwaitAgent, Begin, Certify, Connect, Deploy, Redial};

impl Workflow for ReconnectHost {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "host.reconnect/1";
    const STEPS: &'static [Step] = &[Begin, Redial, Certify, Deploy, AwaitAgent, Connect];

    fn about(&self) -> About {
        About::resource(self.host, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Begin, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.begin(tx)).await,
            (Begin, Dir::Undo) => self.give_up(cx).await,

            (Redial, Dir::Do) => self.redial(cx).await,
            (Redial, Dir::Plan) => {
                cx.tell("Redial", "close the connection to the agent and wait for it to dial again", "");
                Ok(())
            }
            // A connection that was closed is dialled again by the agent.
            (Redial, Dir::Undo) => Ok(()),

            (Certify, Dir::Do) => self.certify(cx).await,
            (Certify, Dir::Plan) => Ok(()),
            (Certify, Dir::Undo) => {
                cx.tx(self, |w, tx| {
                    let sql = "UPDATE agent SET fingerprint = ? WHERE uuid = ?";
                    if let (Some(old), Some(_)) = (&w.old_fingerprint, &w.papers) {
                        tx.execute(sql, params![old, &w.agent])?;
                    }
                    Ok(())
                })
                .await
            }

            (Deploy, Dir::Do) => self.deploy(cx).await,
            (Deploy, Dir::Plan) => {
                cx.tell("Deploy", "deploy the agent if it does not dial or is of another version", "");
                Ok(())
            }
            // An agent that was copied or started is what should be there.
            (Deploy, Dir::Undo) => Ok(()),

            (AwaitAgent, Dir::Do) => {
                cx.progress(85, "waiting for the agent to call back");
                cx.effect().await?;
                let how = self.how.clone().unwrap_or(How::Local);
                self.machine(&how).wait(cx.env()).await
            }
            (AwaitAgent, Dir::Plan) => Ok(()),
            // It only waited.
            (AwaitAgent, Dir::Undo) => Ok(()),

            (Connect, Dir::Do) => cx.child(ConnectHost::new(self.host)).await.map(|_| ()),
            (Connect, Dir::Plan) => {
                cx.tell(
                    "Connect",
                    "read what the host is, and compare what is there with what should be",
                    "",
                );
                Ok(())
            }
            // `Begin` says what the host is then.
            (Connect, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, env: &App, tx: &mut dyn Tx) -> Result<Value> {
        agent::answer(env, tx, self.host)
    }

    fn failure(&self, cause: Fault) -> Fault {
        let text = format!("host {} could not be connected: {}", self.host, cause.details);
        Fault::new(code::HOST_RECONNECT, text).with("uuid", self.host.to_string()).caused_by(cause)
    }
}

impl ReconnectHost {
    /// Connects a host again.
    pub fn new(host: Id<kind::Host>) -> Self {
        Self {
            host,
            deploys: false,
            address: String::new(),
            agent: String::new(),
            how: None,
            is_simulated: false,
            papers: None,
            old_fingerprint: None,
        }
    }

    /// Deploys the agent in any case: the machine may be another one now.
    #[must_use]
    pub fn with_deployment(mut self) -> Self {
        self.deploys = true;
        self
    }

    fn machine<'a>(&'a self, how: &'a How) -> Machine<'a> {
        Machine { host: self.host, agent: &self.agent, address: &self.address, how }
    }

    fn begin(&mut self, tx: &mut dyn Tx) -> Result<()> {
        crate::rows::claim(tx, ENTITY, self.host)?;
        let row = HostRow::load(tx, self.host)?;
        if matches!(row.state, HostState::PreMaintenance | HostState::Maintenance) {
            let text =
                format!("host {} is in {}; enable it before it is connected again", row.name, row.state);
            return Err(Fault::operation(text));
        }
        self.how = How::of(&row);
        self.is_simulated = row.hypervisor_type == "Simulator";
        self.address.clone_from(&row.management_ip);
        self.agent = row.agent.unwrap_or_default();
        store::set_status(
            tx,
            self.host,
            &[Status::Connected, Status::Disconnected],
            Status::Connecting,
            None,
        )?;
        Ok(())
    }

    async fn give_up(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let error = cx.info().error.clone();
        let why = error.as_ref().map_or_else(|| "it could not be connected".to_owned(), store::reason);
        let lost = cx
            .tx(self, move |w, tx| {
                store::set_status(tx, w.host, &[Status::Connecting], Status::Disconnected, Some(&why))
            })
            .await?;
        cx.env().agents.doubt(self.host);
        if lost { track::hosts_lost(cx.env(), &[self.host]).await } else { Ok(()) }
    }

    /// Decides whether the agent must be deployed.
    async fn redial(&mut self, cx: &mut Cx<App>) -> Result<()> {
        cx.progress(5, "waiting for the agent to dial again");
        cx.effect().await?;
        let app = cx.env().clone();
        if self.how.is_none() && self.shares_its_agent(cx).await? && app.agents.is_connected(self.host) {
            // A new connection would cut off every other host of the agent, and would tell no more of this one.
            return Ok(());
        }
        app.agents.drop_link(&self.agent);
        // The old connection must be seen to end, or its end would be taken for the new one's.
        for _ in 0..400 {
            if !app.agents.is_connected(self.host) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let is_simulated = matches!(self.how, Some(How::Simulator));
        if is_simulated && !app.hardware.has(&self.agent) {
            self.deploys = true;
            return Ok(());
        }
        if !app.agents.wait_for(self.host, REDIAL).await {
            self.deploys = true;
        } else if !is_simulated {
            let agent = self.agent.clone();
            let sql = "SELECT version FROM agent WHERE uuid = ?";
            let row = cx.read(move |tx| tx.query_opt(sql, params![&agent])).await?;
            let version = row.map(|r| r.opt_text("version")).transpose()?.flatten();
            self.deploys |= version.is_some_and(|v| v != env!("CARGO_PKG_VERSION"))
                && matches!(self.how, Some(How::Ssh { .. }));
        }
        if self.deploys && self.how.is_none() && !app.agents.is_connected(self.host) {
            let text = if self.is_simulated {
                "its agent does not dial in; start cairn-agent --simulate with its credentials"
            } else {
                "its agent does not dial in, and neither password nor private key is kept for the host; give one with \
                 UpdateKVMHost, or start the agent there"
            };
            return Err(Fault::new(code::HOST_NO_CALLBACK, text));
        }
        Ok(())
    }

    /// Whether the agent serves other hosts too.
    async fn shares_its_agent(&self, cx: &Cx<App>) -> Result<bool> {
        let agent = self.agent.clone();
        let sql = "SELECT uuid FROM host WHERE agent_uuid = ? LIMIT 2";
        cx.read(move |tx| Ok(tx.query(sql, params![&agent])?.len() > 1)).await
    }

    async fn certify(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if !self.deploys || matches!(self.how, None | Some(How::Simulator)) {
            return Ok(());
        }
        let papers = Papers::issue(cx.env(), &self.agent)?;
        cx.tx(self, move |w, tx| {
            let before = agent::admit(tx, &w.agent, &papers.fingerprint, matches!(w.how, Some(How::Local)))?;
            w.old_fingerprint = before;
            w.papers = Some(papers.clone());
            Ok(())
        })
        .await
    }

    async fn deploy(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (true, Some(how)) = (self.deploys, self.how.clone()) else { return Ok(()) };
        cx.effect().await?;
        let (app, run) = (cx.env().clone(), cx.run());
        self.machine(&how).enrol(&app, run, self.papers.as_ref()).await?;
        if !matches!(how, How::Simulator) && app.agents.is_connected(self.host) {
            // The agent of the old certificate makes room for the new one.
            app.agents.drop_link(&self.agent);
        }
        Ok(())
    }
}
