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
use cairn_types::{Fault, Id, Result, code, kind, random_uuid, time};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::vm::VmRow;
use crate::agents::CallOptions;
use crate::app::App;
use crate::call::{Call, Caller, id};
use crate::handlers::Handlers;
use crate::platform::events::Event;
use crate::rows;

/// A token that nobody has used is worth nothing after this long.
const TOKEN_LIVES: Duration = Duration::from_secs(60);

/// What a token lets somebody do.
#[derive(Debug, Clone)]
pub struct Access {
    /// The VM.
    pub vm: Id<kind::Vm>,
    /// Who asked for it.
    caller: Caller,
    made: Instant,
}

/// Tokens that were given out and not used yet.
#[derive(Default)]
pub struct Consoles {
    tokens: Mutex<HashMap<String, Access>>,
}

impl Consoles {
    /// Gives out a token for one console.
    pub fn open(&self, vm: Id<kind::Vm>, caller: Caller) -> String {
        let token = random_uuid();
        let mut all = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, a| a.made.elapsed() < TOKEN_LIVES);
        all.insert(token.clone(), Access { vm, caller, made: Instant::now() });
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
    // Followed from before the look at the owner, so that no change of owner falls between the two.
    let events = app.feed.subscribe();
    let vnc = match dial(&app, &access).await {
        Ok(vnc) => vnc,
        Err(fault) => {
            tracing::warn!(vm = %access.vm, error = %fault, "the console of VM {} can't be opened", access.vm);
            let status = if fault.has_code(code::PERMISSION_DENIED) {
                StatusCode::FORBIDDEN
            } else {
                StatusCode::BAD_GATEWAY
            };
            return (status, fault.details).into_response();
        }
    };
    let idle = Duration::from_secs(
        u64::try_from(app.settings.int("console", "proxy.idleTimeout")).unwrap_or(60).max(1),
    );
    // The setting is in minutes; a console that nobody touches is closed.
    let idle = idle * 60;
    upgrade.protocols(["binary"]).on_upgrade(move |socket| async move {
        tokio::select! {
            () = carry(socket, vnc, idle) => {}
            () = given_away(events, access.vm.to_string()) => {}
        }
    })
}

/// Connects to the VNC server of a VM that its caller may still use.
///
/// Ports are used again: a VM that stopped may have left its port to the VM of somebody else. So the host is asked now, and
/// once more when the connection stands; a VM that has the port at both times is the one that answered.
async fn dial(app: &Arc<App>, access: &Access) -> Result<TcpStream> {
    let before = locate(app, access, VmAction::RequestConsoleAccess).await?;
    let unreachable = || Fault::operation("the VM's console can't be reached on its host");
    let connect = TcpStream::connect((before.address.as_str(), before.port));
    let connected = tokio::time::timeout(Duration::from_secs(5), connect).await;
    let stream = connected.map_err(|_| unreachable())?.map_err(|e| unreachable().for_operator(e))?;
    let after = locate(app, access, VmAction::RequestConsoleAccess).await?;
    if (&after.address, after.port) == (&before.address, before.port) {
        Ok(stream)
    } else {
        Err(unreachable())
    }
}

/// Returns when the VM has gone to another account. Its end ends the connection by itself.
async fn given_away(mut events: Receiver<Arc<Event>>, vm: String) {
    loop {
        match events.recv().await {
            Ok(event) if event.uuid == vm && event.data.get("owner").is_some() => return,
            // Too slow to see all of them: better a console opened again than one left open.
            Err(RecvError::Lagged(_) | RecvError::Closed) => return,
            Ok(_) => {}
        }
    }
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

/// Asks the VM's host where its console listens. The VM must be running, and the caller's.
async fn locate(app: &Arc<App>, access: &Access, action: VmAction) -> Result<ConsoleAddress> {
    let (vm, account, is_admin) = (access.vm, access.caller.account, access.caller.is_admin());
    let look = move |tx: &mut dyn Tx| {
        let row = VmRow::load(tx, vm)?;
        if !is_admin && rows::owner(tx, vm)? != Some(account) {
            return Err(Fault::denied(format!("VM {vm} belongs to another account")));
        }
        Ok(row)
    };
    let row = app.store.read(look).await?;
    row.allow(action)?;
    let host = row.host.ok_or_else(|| Fault::operation(format!("VM {vm} is on no host")))?;
    app.agents.call(host, &ReadConsole { vm: vm.to_string() }, CallOptions::default()).await
}

async fn locate_for(call: &Call, vm: Id<kind::Vm>, action: VmAction) -> Result<ConsoleAddress> {
    locate(&call.app, &Access { vm, caller: call.caller.clone(), made: Instant::now() }, action).await
}

/// An address with a token: the proxy on the page's port carries the console.
async fn request_access(call: Call, op: RequestConsoleAccess) -> Result<Value> {
    let vm: Id<kind::Vm> = id("vmInstanceUuid", &op.vm_instance_uuid)?;
    locate_for(&call, vm, VmAction::RequestConsoleAccess).await?;
    let token = call.app.consoles.open(vm, call.caller.clone());
    let host = call.host.rsplit_once(':').map_or(call.host.as_str(), |(h, _)| h);
    let port = call.app.page_port();
    Ok(json!({ "inventory": { "scheme": "ws", "hostname": host, "port": port, "token": token } }))
}

async fn console_address(call: Call, op: GetVmConsoleAddress) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let found = locate_for(&call, vm, VmAction::GetVmConsoleAddress).await?;
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
        let vm = Id::new();
        let token = consoles.open(vm, Caller::system());
        assert!(consoles.take("other").is_none());
        assert_eq!(consoles.take(&token).unwrap().vm, vm);
        assert!(consoles.take(&token).is_none());
    }
}
