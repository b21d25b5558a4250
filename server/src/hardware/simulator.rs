//! Simulated hosts inside this process: an agent each, over a pipe in memory.

use std::sync::{Arc, Weak};

use cairn_api::agent::{Target, TargetKind};
use cairn_simhost::HostShape;
use cairn_store::{Row, Tx, params};
use cairn_types::{Id, Result, kind};

use crate::app::App;

/// Bytes on their way between server and agent.
const PIPE: usize = 256 << 10;

/// Starts the simulated hosts that the database knows.
pub async fn restart(app: &Arc<App>) -> Result<()> {
    let rows = app.store.read(without_papers).await?;
    for row in &rows {
        start(app, row.id("uuid")?, &row.text("agent_uuid")?).await?;
    }
    super::watch::expect_agents(app);
    Ok(())
}

/// Simulated hosts whose agents have no certificate, with these agents; those that have one live in other processes and dial
/// in by themselves. Goes from agent to agent, of which there are few, not from host to host.
fn without_papers(tx: &mut dyn Tx) -> Result<Vec<Row>> {
    let (mut found, mut last) = (Vec::new(), String::new());
    loop {
        let sql =
            "SELECT h.agent_uuid, a.uuid AS known FROM host h LEFT JOIN agent a ON a.uuid = h.agent_uuid
                   WHERE h.agent_uuid > ? ORDER BY h.agent_uuid LIMIT 1";
        let Some(row) = tx.query_opt(sql, params![&last])? else { return Ok(found) };
        last = row.text("agent_uuid")?;
        if row.opt_text("known")?.is_none() {
            let sql = "SELECT uuid, agent_uuid FROM host WHERE agent_uuid = ? AND hypervisor_type = 'Simulator' ORDER BY uuid";
            found.extend(tx.query(sql, params![&last])?);
        }
    }
}

/// Starts the agent of a simulated host, unless it runs. The host is made of what its row says.
pub async fn start(app: &Arc<App>, host: Id<kind::Host>, agent: &str) -> Result<()> {
    if app.hardware.has(agent) {
        return Ok(());
    }
    let sql = "SELECT total_cpu, total_memory FROM host WHERE uuid = ?";
    let row = app.store.read(move |tx| tx.query_opt(sql, params![host])).await?;
    let mut shape = HostShape::default();
    if let Some(row) = row {
        let (cpus, memory) = (row.int("total_cpu")?, row.bytes("total_memory")?);
        shape.cpu_num = u32::try_from(cpus).unwrap_or(shape.cpu_num);
        shape.memory_bytes = memory;
    }
    if let Some(elsewhere) = &app.hardware.elsewhere {
        let target = Target { uuid: host.to_string(), kind: TargetKind::Host };
        elsewhere.serve(agent, &target, &shape, 0);
        app.hardware.served().insert(agent.to_owned());
        return Ok(());
    }
    let machine = app.hardware.machines.agent().uuid(agent).shape(shape).host(host.to_string()).build();
    let (server, name): (Weak<App>, String) = (Arc::downgrade(app), agent.to_owned());
    let task = machine.spawn(move || {
        let (server, name) = (server.clone(), name.clone());
        async move {
            let app = server.upgrade().ok_or(std::io::ErrorKind::NotConnected)?;
            let (ours, its) = tokio::io::duplex(PIPE);
            app.agents.serve_internal(ours, name);
            Ok(its)
        }
    });
    app.hardware.keep(machine, task);
    Ok(())
}

/// Ends the agent of a simulated host.
pub fn end(app: &App, agent: &str) {
    app.hardware.end(agent);
}
