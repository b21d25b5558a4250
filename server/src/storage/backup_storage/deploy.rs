//! An agent of a store's own, on a machine that is no host: brought there by SSH. It has the store's uuid, so that a
//! deployment that is repeated after a crash is the same one.

use std::sync::Arc;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::RunId;

use crate::app::App;
use crate::hardware::ssh;

/// How to log in to a store's machine; none if nobody said.
fn login(app: &App, tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>) -> Result<Option<ssh::Login>> {
    let sql = "SELECT hostname, username, ssh_port, password_sealed FROM backup_storage WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![uuid])? else { return Ok(None) };
    let (host, user, sealed) =
        (row.opt_text("hostname")?, row.opt_text("username")?, row.opt_text("password_sealed")?);
    let port = u16::try_from(row.opt_int("ssh_port")?.unwrap_or(22)).unwrap_or(22);
    let (Some(host), Some(user), Some(sealed)) = (host, user, sealed) else { return Ok(None) };
    let password = Some(app.secrets.open_sealed(&sealed)?);
    Ok(Some(ssh::Login { host, port, user, password, private_key: None }))
}

async fn find_login(app: &Arc<App>, uuid: Id<kind::BackupStorage>) -> Result<Option<ssh::Login>> {
    let server = app.clone();
    app.store.read(move |tx| login(&server, tx, uuid)).await
}

/// Whether an agent can be brought to the store's machine.
pub(super) async fn is_possible(app: &Arc<App>, uuid: Id<kind::BackupStorage>) -> Result<bool> {
    Ok(find_login(app, uuid).await?.is_some())
}

/// Brings an agent to the store's machine and starts it; tells its uuid. It dials in by itself afterwards.
pub(super) async fn deploy(app: &Arc<App>, run: RunId, uuid: Id<kind::BackupStorage>) -> Result<String> {
    let login = find_login(app, uuid).await?;
    let login = login.ok_or_else(|| {
        Fault::new(code::BS_CONNECT, format!("there is no login for backup storage {uuid}"))
    })?;
    let machine = login.host.clone();
    app.store.read(move |tx| refuse_taken(tx, &machine, uuid)).await?;
    let agent = uuid.to_string();
    let credentials = app.agents.authority().issue(&agent)?;
    let (name, fingerprint) = (agent.clone(), credentials.fingerprint.clone());
    app.store.write(move |tx| admit(tx, &name, &fingerprint)).await?;
    let (hub, towards) = (app.agents.clone(), login.host.clone());
    // May ask the name service, which may take its time.
    let server = tokio::task::spawn_blocking(move || hub.advertised(&towards)).await.unwrap_or_default();
    let engine = app.engine.clone();
    let progress = move |percent: u8, text: &str| engine.note_progress(run, percent, text);
    let deployment = ssh::Deployment {
        data_dir: &app.config.data_dir,
        role: ssh::Role::ImageStore,
        resource: uuid.to_string(),
        agent: &agent,
        server,
        credentials: &credentials,
        progress: &progress,
    };
    ssh::deploy(&deployment, login).await?;
    Ok(agent)
}

/// A machine has one agent: one that belongs to a host or to another store is not overwritten because it is away.
fn refuse_taken(tx: &mut dyn Tx, machine: &str, uuid: Id<kind::BackupStorage>) -> Result<()> {
    let sql = "SELECT 'host' AS what, uuid, name FROM host WHERE management_ip = ? AND agent_uuid IS NOT NULL
               UNION ALL SELECT 'backup storage', uuid, name FROM backup_storage
               WHERE hostname = ? AND uuid <> ? AND agent_uuid IS NOT NULL AND agent_uuid <> ?";
    let Some(row) = tx.query_opt(sql, params![machine, machine, uuid, uuid])? else { return Ok(()) };
    let (what, other, name) = (row.text("what")?, row.text("uuid")?, row.text("name")?);
    let text = format!(
        "{machine} has the agent of {what} {name:?} ({other}), which would serve the backup storage and is not connected; \
         reconnect that first"
    );
    Err(Fault::new(code::BS_CONNECT, text).with("uuid", other))
}

/// Lets only this certificate in for the agent.
fn admit(tx: &mut dyn Tx, agent: &str, fingerprint: &str) -> Result<()> {
    if tx.execute("UPDATE agent SET fingerprint = ? WHERE uuid = ?", params![fingerprint, agent])? == 0 {
        let sql = "INSERT INTO agent (uuid, fingerprint, local, create_ms) VALUES (?, ?, 0, ?)";
        tx.execute(sql, params![agent, fingerprint, time::now_ms()])?;
    }
    Ok(())
}

/// Takes [`deploy`] back, as far as the machine can be reached; does nothing if the store has no agent of its own.
pub(super) async fn dismiss(app: &Arc<App>, uuid: Id<kind::BackupStorage>) -> Result<()> {
    let agent = uuid.to_string();
    let is_own = move |tx: &mut dyn Tx| tx.exists("SELECT 1 FROM agent WHERE uuid = ?", params![&agent]);
    if !app.store.write(is_own).await? {
        return Ok(());
    }
    if let Some(login) = find_login(app, uuid).await?
        && let Err(f) = ssh::remove(&app.config.data_dir, &uuid.to_string(), login).await
    {
        tracing::warn!(store = %uuid, error = %f, "the agent of image store {uuid} could not be removed from its machine");
    }
    ssh::forget(&app.config.data_dir, &uuid.to_string());
    app.agents.drop_link(&uuid.to_string());
    let agent = uuid.to_string();
    app.store.write(move |tx| tx.execute("DELETE FROM agent WHERE uuid = ?", params![&agent])).await?;
    Ok(())
}
