//! Changes what a host is called and how it is reached. A new way to a KVM host is tried before it is kept, and used at once.

use cairn_store::{Tx, Value as Sql};
use cairn_types::state::Status;
use cairn_types::{Fault, Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ENTITY;
use super::agent::{self, How};
use super::reconnect::ReconnectHost;
use super::store::{self, HostRow};
use crate::app::App;
use crate::hardware::ssh;
use crate::rows;

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateHost {
    host: Id<kind::Host>,
    change: Change,
    /// What it was before.
    before: Option<Change>,
}

/// What shall be changed; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Change {
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Address.
    pub management_ip: Option<String>,
    /// SSH user.
    pub username: Option<String>,
    /// SSH port.
    pub ssh_port: Option<i64>,
    /// SSH password, sealed.
    pub password_sealed: Option<String>,
    /// Whether a new way to the host is used at once.
    pub reconnects: bool,
}

impl Change {
    fn is_new_way(&self) -> bool {
        self.reconnects
            && (self.management_ip.is_some()
                || self.username.is_some()
                || self.ssh_port.is_some()
                || self.password_sealed.is_some())
    }

    fn columns(&self) -> [(&'static str, Option<Sql>); 6] {
        [
            ("name", self.name.clone().map(Into::into)),
            ("description", self.description.clone().map(Into::into)),
            ("management_ip", self.management_ip.clone().map(Into::into)),
            ("username", self.username.clone().map(Into::into)),
            ("ssh_port", self.ssh_port.map(Into::into)),
            ("password_sealed", self.password_sealed.clone().map(Into::into)),
        ]
    }
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// May it be changed?
    Check,
    /// The new way is tried.
    Verify,
    /// The row.
    Store,
    /// The new way is used: the end.
    Reconnect,
}

use Step::{Check, Reconnect, Store, Verify};

impl Workflow for UpdateHost {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "host.update/1";
    const STEPS: &'static [Step] = &[Check, Verify, Store, Reconnect];

    fn about(&self) -> About {
        let host = self.host.to_string();
        About { queue: host.clone(), resource_uuid: host, resource_type: ENTITY.into() }
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Check, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.check(tx)).await,
            // It only looked.
            (Check, Dir::Undo) => Ok(()),

            (Verify, Dir::Do) => self.verify(cx).await,
            (Verify, Dir::Plan) => {
                if self.change.is_new_way() {
                    cx.tell("Verify", "log in by SSH the new way", "");
                }
                Ok(())
            }
            // It only logged in.
            (Verify, Dir::Undo) => Ok(()),

            (Store, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.store(tx)).await,
            (Store, Dir::Undo) => cx.tx(self, |w, tx| w.restore(tx)).await,

            (Reconnect, Dir::Do) if self.change.is_new_way() => {
                cx.child(ReconnectHost::new(self.host).with_deployment()).await.map(|_| ())
            }
            (Reconnect, Dir::Do) => Ok(()),
            (Reconnect, Dir::Plan) if self.change.is_new_way() => {
                cx.child(ReconnectHost::new(self.host)).await.map(|_| ())
            }
            (Reconnect, Dir::Plan) => Ok(()),
            // The old way is back in the row; the agent comes back by itself.
            (Reconnect, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, env: &App, tx: &mut dyn Tx) -> Result<Value> {
        agent::answer(env, tx, self.host)
    }
}

impl UpdateHost {
    /// Changes a host.
    pub fn new(host: Id<kind::Host>, change: Change) -> Self {
        Self { host, change, before: None }
    }

    fn check(&mut self, tx: &mut dyn Tx) -> Result<()> {
        rows::claim(tx, ENTITY, self.host)?;
        let row = HostRow::load(tx, self.host)?;
        if row.status == Status::Connecting {
            return Err(Fault::operation(format!(
                "host {} is being connected; try again when that has ended",
                row.name
            ))
            .retry());
        }
        let is_ssh = row.username.is_some();
        let needs_ssh = self.change.username.is_some()
            || self.change.ssh_port.is_some()
            || self.change.password_sealed.is_some();
        if needs_ssh && !is_ssh {
            let text =
                format!("host {} is not reached by SSH, so it has neither user, port nor password", row.name);
            return Err(Fault::argument(text).with("parameter", "username"));
        }
        // A host that is not reached by SSH can't be reached anew: its new address is only a new name for it.
        self.change.reconnects &= is_ssh;
        self.before = Some(Change {
            name: self.change.name.as_ref().map(|_| row.name),
            description: None,
            management_ip: self.change.management_ip.as_ref().map(|_| row.management_ip),
            username: self.change.username.as_ref().and(row.username),
            ssh_port: self.change.ssh_port.and(row.ssh_port),
            password_sealed: self.change.password_sealed.as_ref().and(row.password_sealed),
            reconnects: false,
        });
        Ok(())
    }

    async fn verify(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if !self.change.is_new_way() {
            return Ok(());
        }
        cx.progress(5, "logging in by SSH");
        cx.effect().await?;
        let (host, change) = (self.host, self.change.clone());
        let row = cx.read(move |tx| HostRow::load(tx, host)).await?;
        let port = change.ssh_port.or(row.ssh_port).and_then(|p| u16::try_from(p).ok());
        let how = How::Ssh {
            username: change.username.or(row.username).unwrap_or_else(|| "root".into()),
            ssh_port: port.unwrap_or(22),
            password_sealed: change.password_sealed.or(row.password_sealed),
            key_sealed: None,
        };
        let address = change.management_ip.unwrap_or(row.management_ip);
        let app = cx.env().clone();
        match how.login(&app, &address)? {
            Some(login) => ssh::verify(&app.config.data_dir, &host.to_string(), login).await,
            None => Ok(()),
        }
    }

    fn store(&mut self, tx: &mut dyn Tx) -> Result<()> {
        rows::claim(tx, ENTITY, self.host)?;
        let address = self.change.management_ip.clone().unwrap_or_default();
        rows::update(tx, ENTITY, self.host, &self.change.columns()).map_err(|f| store::taken(f, &address))
    }

    fn restore(&mut self, tx: &mut dyn Tx) -> Result<()> {
        match &self.before {
            Some(before) if rows::exists(tx, ENTITY, &self.host.to_string())? => {
                rows::update(tx, ENTITY, self.host, &before.columns())
            }
            _ => Ok(()),
        }
    }
}
