//! The console proxy (CON-01): a websocket of the browser on one side, the VNC server of the host on the other, let in by a
//! token that works once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cairn_api::agent::vm::{ConsoleAddress, ReadConsole};
use cairn_api::ops::compute::{GetVmConsoleAddress, ReconnectConsoleProxyAgent, RequestConsoleAccess};
use cairn_store::{Tx, params};
use cairn_types::state::VmAction;
use cairn_types::{Fault, Id, Result, kind, random_uuid, time};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::vm::VmRow;
use crate::agents::CallOptions;
use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::Handlers;

/// A token that nobody has used is worth nothing after this long.
const TOKEN_LIVES: Duration = Duration::from_secs(60);

/// Where a token leads.
#[derive(Debug, Clone)]
pub struct Access {
    /// The VM.
    pub vm: String,
    /// Address of the VNC server.
    pub address: String,
    /// Its port.
    pub port: u16,
    made: Instant,
}

/// Tokens that were given out and not used yet.
#[derive(Default)]
pub struct Consoles {
    tokens: Mutex<HashMap<String, Access>>,
}

impl Consoles {
    /// Gives out a token for one console.
    pub fn open(&self, vm: String, address: String, port: u16) -> String {
        let token = random_uuid();
        let mut all = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, a| a.made.elapsed() < TOKEN_LIVES);
        all.insert(token.clone(), Access { vm, address, port, made: Instant::now() });
        token
    }

    /// Takes a token; it works once.
    pub fn take(&self, token: &str) -> Option<Access> {
        let access = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(token)?;
        (access.made.elapsed() < TOKEN_LIVES).then_some(access)
    }
}

/// `GET /console/{token}` on the page's port.
pub async fn websocket(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(access) = app.consoles.take(&token) else {
        return (StatusCode::FORBIDDEN, "this console token is unknown, used or expired; ask for a new one")
            .into_response();
    };
    let connected = tokio::time::timeout(
        Duration::from_secs(5),
        TcpStream::connect((access.address.as_str(), access.port)),
    );
    let Ok(Ok(vnc)) = connected.await else {
        tracing::warn!(vm = %access.vm, "the console of VM {} can't be reached", access.vm);
        return (StatusCode::BAD_GATEWAY, "the VM's console can't be reached on its host").into_response();
    };
    let idle = Duration::from_secs(
        u64::try_from(app.settings.int("console", "proxy.idleTimeout")).unwrap_or(60).max(1),
    );
    // The setting is in minutes; a console that nobody touches is closed.
    let idle = idle * 60;
    upgrade.protocols(["binary"]).on_upgrade(move |socket| carry(socket, vnc, idle))
}

/// Carries bytes both ways until one side ends or nothing moves for too long.
async fn carry(socket: WebSocket, mut vnc: TcpStream, idle: Duration) {
    let _ = vnc.set_nodelay(true);
    let (mut to_browser, mut from_browser) = socket.split();
    let (mut from_vnc, mut to_vnc) = vnc.split();
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        tokio::select! {
            read = from_vnc.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    let data = Bytes::copy_from_slice(&buffer[..n]);
                    if to_browser.send(Message::Binary(data)).await.is_err() {
                        break;
                    }
                }
            },
            message = from_browser.next() => match message {
                Some(Ok(Message::Binary(data))) => {
                    if to_vnc.write_all(&data).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
            () = tokio::time::sleep(idle) => break,
        }
    }
    let _ = to_browser.close().await;
}

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<RequestConsoleAccess, _>(request_access);
    h.read::<GetVmConsoleAddress, _>(console_address);
    h.change::<ReconnectConsoleProxyAgent>(reconnect);
}

/// Asks the VM's host where its console listens; the VM must be running.
async fn locate(call: &Call, vm: Id<kind::Vm>, action: VmAction) -> Result<ConsoleAddress> {
    let row = call.app.store.read(move |tx| VmRow::load(tx, vm)).await?;
    row.allow(action)?;
    let host = row.host.ok_or_else(|| Fault::operation(format!("VM {vm} is on no host")))?;
    call.app.agents.call(host, &ReadConsole { vm: vm.to_string() }, CallOptions::default()).await
}

/// An address with a token: the proxy on the page's port carries the console.
async fn request_access(call: Call, op: RequestConsoleAccess) -> Result<Value> {
    let vm: Id<kind::Vm> = id("vmInstanceUuid", &op.vm_instance_uuid)?;
    let found = locate(&call, vm, VmAction::RequestConsoleAccess).await?;
    let token = call.app.consoles.open(vm.to_string(), found.address, found.port);
    let host = call.host.rsplit_once(':').map_or(call.host.as_str(), |(h, _)| h);
    let port = call.app.page_port();
    Ok(json!({ "inventory": { "scheme": "ws", "hostname": host, "port": port, "token": token } }))
}

async fn console_address(call: Call, op: GetVmConsoleAddress) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let found = locate(&call, vm, VmAction::GetVmConsoleAddress).await?;
    Ok(json!({ "hostIp": found.address, "port": found.port, "protocol": "vnc" }))
}

/// The proxy is part of this process: it is connected whenever this answers.
fn reconnect(_call: &Call, tx: &mut dyn Tx, op: &ReconnectConsoleProxyAgent) -> Result<Value> {
    let mut done = serde_json::Map::new();
    let rows = tx.query("SELECT uuid FROM console_proxy_agent ORDER BY uuid", params![])?;
    let known = rows.iter().map(|r| r.text("uuid")).collect::<Result<Vec<_>>>()?;
    let wanted = if op.agent_uuids.is_empty() { known.clone() } else { op.agent_uuids.clone() };
    for uuid in wanted {
        if !known.contains(&uuid) {
            return Err(Fault::not_found("ConsoleProxyAgentVO", uuid));
        }
        let sql = "UPDATE console_proxy_agent SET status = 'Connected', last_op_ms = ? WHERE uuid = ?";
        tx.execute(sql, params![time::now_ms(), &uuid])?;
        done.insert(uuid, json!({ "success": true }));
    }
    Ok(json!({ "inventory": done }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn con_01_a_token_works_once() {
        let consoles = Consoles::default();
        let token = consoles.open("vm".into(), "127.0.0.1".into(), 5900);
        assert!(consoles.take("other").is_none());
        assert_eq!(consoles.take(&token).unwrap().port, 5900);
        assert!(consoles.take(&token).is_none());
    }
}
