//! The calls about hosts.

use cairn_api::ops::hardware as ops;
use cairn_store::Tx;
use cairn_types::state::HostState;
use cairn_types::{Fault, Id, Result, kind};
use serde_json::Value;

use super::ENTITY;
use super::add::{AddHost, Wanted};
use super::agent::{How, own_address};
use super::delete::DeleteHost;
use super::reconnect::ReconnectHost;
use super::store::{self, HostRow};
use super::update::{Change, UpdateHost};
use crate::call::{Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::hardware::ssh::{check_address, check_user};
use crate::{inventory, rows};

pub(in crate::hardware) fn handlers(h: &mut Handlers) {
    h.run(add_kvm);
    h.run(add_local);
    h.run(add_simulator);
    h.run(update);
    h.run(update_kvm);
    h.change(change_state);
    h.run(reconnect);
    h.run(delete);
}

/// An empty secret is none.
fn seal(call: &Call, secret: Option<String>) -> Result<Option<String>> {
    secret.filter(|s| !s.is_empty()).map(|s| call.app.secrets.seal(&s)).transpose()
}

async fn add_kvm(call: Call, op: ops::AddKVMHost) -> Result<Launch> {
    check_address("managementIp", &op.management_ip)?;
    check_user(&op.username)?;
    let (password_sealed, key_sealed) = (seal(&call, op.password)?, seal(&call, op.private_key)?);
    if password_sealed.is_none() && key_sealed.is_none() {
        return Err(
            Fault::argument("give the password of the user, or a privateKey").with("parameter", "password")
        );
    }
    let how = How::Ssh {
        username: op.username,
        ssh_port: u16::try_from(op.ssh_port).unwrap_or(22),
        password_sealed,
        key_sealed,
    };
    let wanted = Wanted {
        uuid: opt_id("resourceUuid", op.resource_uuid.as_deref())?,
        cluster: id("clusterUuid", &op.cluster_uuid)?,
        name: &op.name,
        description: op.description,
        management_ip: op.management_ip,
        how,
    };
    Ok(Launch::run(AddHost::new(wanted, &call)))
}

async fn add_local(call: Call, op: ops::AddLocalHost) -> Result<Launch> {
    let management_ip = op.management_ip.filter(|a| !a.is_empty()).unwrap_or_else(own_address);
    check_address("managementIp", &management_ip)?;
    let wanted = Wanted {
        uuid: opt_id("resourceUuid", op.resource_uuid.as_deref())?,
        cluster: id("clusterUuid", &op.cluster_uuid)?,
        name: &op.name,
        description: op.description,
        management_ip,
        how: How::Local,
    };
    Ok(Launch::run(AddHost::new(wanted, &call)))
}

async fn add_simulator(call: Call, op: ops::AddSimulatorHost) -> Result<Launch> {
    let wanted = Wanted {
        uuid: opt_id("resourceUuid", op.resource_uuid.as_deref())?,
        cluster: id("clusterUuid", &op.cluster_uuid)?,
        name: &op.name,
        description: op.description,
        management_ip: op.management_ip,
        how: How::Simulator,
    };
    let mut add = AddHost::new(wanted, &call);
    let positive = |name: &str, n: i64| match u64::try_from(n) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(Fault::argument(format!("parameter {name} must be more than 0")).with("parameter", name)),
    };
    let cpus = positive("cpuCapacity", op.cpu_capacity)?;
    add.size =
        Some((u32::try_from(cpus).unwrap_or(u32::MAX), positive("memoryCapacity", op.memory_capacity)?));
    Ok(Launch::run(add))
}

async fn update(_call: Call, op: ops::UpdateHost) -> Result<Launch> {
    let change = Change {
        name: op.name,
        description: op.description,
        management_ip: op.management_ip,
        ..Change::default()
    };
    if let Some(address) = &change.management_ip {
        check_address("managementIp", address)?;
    }
    Ok(Launch::run(UpdateHost::new(id("uuid", &op.uuid)?, change)))
}

async fn update_kvm(call: Call, op: ops::UpdateKVMHost) -> Result<Launch> {
    if let Some(address) = &op.management_ip {
        check_address("managementIp", address)?;
    }
    if let Some(user) = &op.username {
        check_user(user)?;
    }
    let change = Change {
        name: op.name,
        description: op.description,
        management_ip: op.management_ip,
        username: op.username,
        ssh_port: op.ssh_port,
        password_sealed: seal(&call, op.password)?,
        key_sealed: seal(&call, op.private_key)?,
        reconnects: true,
    };
    Ok(Launch::run(UpdateHost::new(id("uuid", &op.uuid)?, change)))
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ops::ChangeHostState) -> Result<Value> {
    let host: Id<kind::Host> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, host)?;
    let row = HostRow::load(tx, host)?;
    let to = match op.state_event.to_ascii_lowercase().as_str() {
        "enable" => HostState::Enabled,
        "disable" => HostState::Disabled,
        _ => {
            let text =
                "maintenance comes with a later version: stop or delete the VMs of the host, then disable it";
            return Err(Fault::operation(text).with("uuid", host.to_string()));
        }
    };
    if row.state != to {
        store::set_state(tx, host, row.state, to)?;
    }
    inventory::answer(tx, "HostInventory", host, call.dates)
}

async fn reconnect(_call: Call, op: ops::ReconnectHost) -> Result<Launch> {
    Ok(Launch::run(ReconnectHost::new(id("uuid", &op.uuid)?)))
}

async fn delete(_call: Call, op: ops::DeleteHost) -> Result<Launch> {
    Ok(Launch::run(DeleteHost::new(id("uuid", &op.uuid)?).in_mode(&op.delete_mode)))
}
