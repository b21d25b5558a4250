//! Which workflow deletes which kind of dependent.

use cairn_api::agent::vm::StopVm as StopCommand;
use cairn_store::Tx;
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::Cx;

use super::id;
use crate::app::App;
use crate::compute::vm::VmRow;
use crate::compute::vm::delete::DeleteVm;
use crate::compute::vm::stop::StopVm;
use crate::hardware::{cluster, host};
use crate::network::ip_range::delete::DeleteIpRange;
use crate::network::l2::delete::DeleteL2Network;
use crate::network::l3::delete::DeleteL3Network;
use crate::platform::cleanup;
use crate::storage::image::delete::ExpungeImage;
use crate::storage::primary_storage::delete::DeletePrimaryStorage;

/// Deletes a dependent by the workflow of its kind.
pub(super) async fn delete(cx: &mut Cx<App>, entity: &str, uuid: &str) -> Result<()> {
    let deleted = match entity {
        "VmInstanceVO" => cx.child_for(uuid, DeleteVm::cascade(id(uuid)?)).await,
        "ClusterVO" => cx.child_for(uuid, cluster::delete::DeleteCluster::new(id(uuid)?)).await,
        "HostVO" => cx.child_for(uuid, host::delete::DeleteHost::new(id(uuid)?)).await,
        "PrimaryStorageVO" => cx.child_for(uuid, DeletePrimaryStorage::new(id(uuid)?)).await,
        "L2NetworkVO" => cx.child_for(uuid, DeleteL2Network::new(id(uuid)?)).await,
        "L3NetworkVO" => cx.child_for(uuid, DeleteL3Network::new(id(uuid)?)).await,
        "IpRangeVO" => cx.child_for(uuid, DeleteIpRange::new(id(uuid)?)).await,
        "ImageVO" => cx.child_for(uuid, ExpungeImage::new(id(uuid)?)).await,
        other => Err(Fault::internal(format!("no workflow deletes {other}"))),
    };
    deleted.map(|_| ())
}

/// Powers a VM off if it runs. On a host that can't be reached it goes off as soon as the host is back; if the host itself
/// goes for good, it counts as off.
pub(super) async fn stop(cx: &mut Cx<App>, parent: &str, vm: &str) -> Result<()> {
    let vm: Id<kind::Vm> = id(vm)?;
    let found = cx.read(move |tx| VmRow::find(tx, vm)).await?;
    let Some(row) = found.filter(|v| v.state.holds_capacity()) else { return Ok(()) };
    let fault = match cx.child_for(&format!("stop-{vm}"), StopVm::new(vm, true)).await {
        Ok(_) => return Ok(()),
        Err(f) if f.has_code(code::HOST_DISCONNECTED) || f.has_code(code::TIMEOUT) => f,
        Err(f) => return Err(f),
    };
    let Some(host) = row.host.filter(|_| parent != "HostVO") else { return Ok(()) };
    tracing::warn!(%vm, %host, error = %fault, "VM {vm} can't be powered off now; it will be when host {host} is back");
    let op = StopCommand { vm: vm.to_string(), grace_ms: 0 };
    cx.env().store.write(move |tx: &mut dyn Tx| cleanup::later(tx, host, &op)).await
}
