//! The agent that a machine has already: one that serves an image store there, after its host was deleted. A machine has one
//! agent, so a host that is added again takes it up; a second one would cut off what the first one serves.

use std::sync::Arc;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};

use super::agent::{How, Machine};
use crate::agents::targets_of;
use crate::app::App;
use crate::hardware::ssh;
use crate::platform::secrets::write_private;

/// The files that make a local agent who it is. The one that makes it begin comes last.
const FILES: [&str; 4] = ["ca.pem", "cert.pem", "key.pem", "agent.json"];

/// The agent of the machine, if one is known that serves no host.
pub(super) fn find(tx: &mut dyn Tx, how: &How, address: &str) -> Result<Option<String>> {
    match how {
        How::Local => local(tx),
        How::Ssh { .. } => {
            // An agent of the store's own is left alone: see `refuse_store_machine`.
            let sql =
                "SELECT agent_uuid AS uuid FROM backup_storage b WHERE hostname = ? AND agent_uuid <> uuid
                       AND NOT EXISTS (SELECT 1 FROM host h WHERE h.agent_uuid = b.agent_uuid)";
            let row = tx.query_opt(sql, params![address])?;
            row.map(|r| r.text("uuid")).transpose()
        }
        How::Simulator => Ok(None),
    }
}

/// The agent of the server's own machine, wherever it serves something; one without a host is of an image store.
fn local(tx: &mut dyn Tx) -> Result<Option<String>> {
    let sql = "SELECT a.uuid FROM agent a WHERE a.local = 1
               AND EXISTS (SELECT 1 FROM backup_storage b WHERE b.agent_uuid = a.uuid)
               ORDER BY a.create_ms DESC LIMIT 1";
    let row = tx.query_opt(sql, params![])?;
    row.map(|r| r.text("uuid")).transpose()
}

/// Lets the agent, which is connected, serve the host too. A machine that is reached by SSH must let us in all the same.
pub(super) async fn take_up(app: &Arc<App>, machine: &Machine<'_>) -> Result<()> {
    if let Some(login) = machine.how.login(app, machine.address)? {
        ssh::verify(&app.config.data_dir, &machine.host.to_string(), login).await?;
    }
    tell_targets(app, machine.agent, None).await
}

/// Tells the agent what it serves, without this host.
pub(super) async fn tell_targets(app: &Arc<App>, agent: &str, without: Option<Id<kind::Host>>) -> Result<()> {
    let mut targets = targets_of(app, agent.to_owned()).await?;
    targets.retain(|t| without.is_none_or(|host| t.uuid != host.to_string()));
    app.agents.assign(agent, targets);
    Ok(())
}

/// The identity that lies in the local agent's folder, sealed; none if there is none.
pub(super) fn read_local(app: &App) -> Result<Option<String>> {
    let read = |name: &str| std::fs::read_to_string(app.config.local_agent_dir.join(name)).ok();
    let files: Option<Vec<String>> = FILES.iter().map(|name| read(name)).collect();
    let Some(files) = files else { return Ok(None) };
    let text = serde_json::to_string(&files)
        .map_err(|e| Fault::internal("an identity can't be kept").for_operator(e))?;
    app.secrets.seal(&text).map(Some)
}

/// Puts back what [`read_local`] found; removes what is there now if it found nothing.
pub(super) fn restore_local(app: &App, found: Option<&str>) -> Result<()> {
    let Some(sealed) = found else {
        remove_local(app);
        return Ok(());
    };
    let text = app.secrets.open_sealed(sealed)?;
    let files: Vec<String> = serde_json::from_str(&text)
        .map_err(|e| Fault::internal("a kept identity can't be read").for_operator(e))?;
    for (name, content) in FILES.iter().zip(files) {
        write_private(&app.config.local_agent_dir.join(name), content.as_bytes())?;
    }
    Ok(())
}

/// The one that makes the agent begin goes first.
pub(super) fn remove_local(app: &App) {
    for name in FILES.iter().rev() {
        let _ = std::fs::remove_file(app.config.local_agent_dir.join(name));
    }
}

/// There is one machine that the server runs on.
pub(super) fn refuse_second_local(tx: &mut dyn Tx) -> Result<()> {
    // A host that is being added may have no certificate yet: it is known by having no log-in.
    let sql = "SELECT h.uuid, h.name FROM host h LEFT JOIN agent a ON a.uuid = h.agent_uuid
               WHERE a.local = 1 OR (h.hypervisor_type <> 'Simulator' AND h.username IS NULL)";
    let Some(row) = tx.query_opt(sql, params![])? else { return Ok(()) };
    let text = format!("this machine is host {:?} ({}) already", row.text("name")?, row.text("uuid")?);
    Err(Fault::new(code::HOST_DUPLICATE, text).with("uuid", row.text("uuid")?))
}

/// A machine has one agent. One that was deployed for an image store would be overwritten, and the store lost.
pub(super) fn refuse_store_machine(tx: &mut dyn Tx, address: &str) -> Result<()> {
    let sql = "SELECT uuid, name FROM backup_storage WHERE hostname = ? AND agent_uuid = uuid";
    let Some(row) = tx.query_opt(sql, params![address])? else { return Ok(()) };
    let (uuid, name) = (row.text("uuid")?, row.text("name")?);
    let text = format!(
        "{address} has the agent of backup storage {name:?} ({uuid}) already; delete that, add the host, then add the backup \
         storage again: the agent of the host serves it, and the files of its images stay"
    );
    Err(Fault::new(code::HOST_AGENT_TAKEN, text).with("uuid", uuid))
}
