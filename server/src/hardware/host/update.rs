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
    /// What logged in before; none if that stays.
    #[serde(default)]
    secrets_before: Option<Secrets>,
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
    /// SSH password, sealed. Without a key it is what logs in from then on.
    pub password_sealed: Option<String>,
    /// SSH private key, sealed.
    #[serde(default)]
    pub key_sealed: Option<String>,
    /// Whether a new way to the host is used at once.
    pub reconnects: bool,
}

impl Change {
    fn is_new_way(&self) -> bool {
        self.reconnects
            && (self.management_ip.is_some()
                || self.username.is_some()
                || self.ssh_port.is_some()
                || self.has_secret())
    }

    fn has_secret(&self) -> bool {
        self.password_sealed.is_some() || self.key_sealed.is_some()
    }

    /// What logs in after the change. A password alone replaces a key; a key leaves the password, which sudo may need.
    fn secrets(&self, before: Secrets) -> Secrets {
        match (self.password_sealed.clone(), self.key_sealed.clone()) {
            (None, None) => before,
            (None, key_sealed) => Secrets { key_sealed, ..before },
            (password_sealed, key_sealed) => Secrets { password_sealed, key_sealed },
        }
    }

    fn columns(&self) -> [(&'static str, Option<Sql>); 5] {
        [
            ("name", self.name.clone().map(Into::into)),
            ("description", self.description.clone().map(Into::into)),
            ("management_ip", self.management_ip.clone().map(Into::into)),
            ("username", self.username.clone().map(Into::into)),
            ("ssh_port", self.ssh_port.map(Into::into)),
        ]
    }
}

/// What logs in to a host, sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Secrets {
    password_sealed: Option<String>,
    key_sealed: Option<String>,
}

impl Secrets {
    fn of(row: &HostRow) -> Self {
        Self { password_sealed: row.password_sealed.clone(), key_sealed: row.key_sealed.clone() }
    }

    fn columns(&self) -> [(&'static str, Option<Sql>); 2] {
        let column = |sealed: &Option<String>| Some(sealed.clone().map_or(Sql::Null, Into::into));
        [("password_sealed", column(&self.password_sealed)), ("private_key_sealed", column(&self.key_sealed))]
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
        About::resource(self.host, ENTITY)
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
        Self { host, change, before: None, secrets_before: None }
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
        let needs_ssh =
            self.change.username.is_some() || self.change.ssh_port.is_some() || self.change.has_secret();
        if needs_ssh && !is_ssh {
            let text = format!(
                "host {} is not reached by SSH, so it has neither user, port, password nor key",
                row.name
            );
            return Err(Fault::argument(text).with("parameter", "username"));
        }
        // A host that is not reached by SSH can't be reached anew: its new address is only a new name for it.
        self.change.reconnects &= is_ssh;
        self.secrets_before = self.change.has_secret().then(|| Secrets::of(&row));
        self.before = Some(Change {
            name: self.change.name.as_ref().map(|_| row.name),
            description: None,
            management_ip: self.change.management_ip.as_ref().map(|_| row.management_ip),
            username: self.change.username.as_ref().and(row.username),
            ssh_port: self.change.ssh_port.and(row.ssh_port),
            ..Change::default()
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
        let secrets = change.secrets(Secrets::of(&row));
        let how = How::Ssh {
            username: change.username.or(row.username).unwrap_or_else(|| "root".into()),
            ssh_port: port.unwrap_or(22),
            password_sealed: secrets.password_sealed,
            key_sealed: secrets.key_sealed,
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
        let mut columns = self.change.columns().to_vec();
        if self.change.has_secret() {
            let now = Secrets::of(&HostRow::load(tx, self.host)?);
            columns.extend(self.change.secrets(now).columns());
        }
        rows::update(tx, ENTITY, self.host, &columns).map_err(|f| store::taken(f, &address))
    }

    fn restore(&mut self, tx: &mut dyn Tx) -> Result<()> {
        match &self.before {
            Some(before) if rows::exists(tx, ENTITY, &self.host.to_string())? => {
                let mut columns = before.columns().to_vec();
                columns.extend(self.secrets_before.iter().flat_map(Secrets::columns));
                rows::update(tx, ENTITY, self.host, &columns)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(password: Option<&str>, key: Option<&str>) -> Secrets {
        Secrets { password_sealed: password.map(Into::into), key_sealed: key.map(Into::into) }
    }

    #[test]
    fn host_02_a_password_alone_replaces_a_key_and_a_key_leaves_the_password_to_sudo() {
        let change = |password: Option<&str>, key: Option<&str>| Change {
            password_sealed: password.map(Into::into),
            key_sealed: key.map(Into::into),
            ..Change::default()
        };
        let before = || secrets(Some("p"), Some("k"));
        assert_eq!(change(None, None).secrets(before()), before());
        assert_eq!(change(Some("q"), None).secrets(before()), secrets(Some("q"), None));
        assert_eq!(change(None, Some("l")).secrets(before()), secrets(Some("p"), Some("l")));
        assert_eq!(change(Some("q"), Some("l")).secrets(before()), secrets(Some("q"), Some("l")));
    }

    #[test]
    fn a_run_of_an_earlier_version_goes_on() {
        let kept = serde_json::json!({
            "host": Id::<kind::Host>::default(), "before": null,
            "change": { "name": "n", "description": null, "management_ip": null, "username": null, "ssh_port": null,
                "password_sealed": null, "reconnects": true },
        });
        let run: UpdateHost = serde_json::from_value(kept).unwrap();
        assert!(!run.change.has_secret() && run.secrets_before.is_none());
    }
}
