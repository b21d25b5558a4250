//! VM instances, instance offerings and consoles.

use serde_json::{Value, json};

use super::{Act, Maker, act};
use crate::robot::model::{Kind, State};

pub(super) const ACTS: &[Act] = &[
    act("CreateVmInstance", 60, create),
    act("UpdateVmInstance", 8, update),
    act("StartVmInstance", 30, |m| verb(m, State::Off, State::On)),
    act("StopVmInstance", 30, stop),
    act("RebootVmInstance", 15, |m| verb(m, State::On, State::On)),
    act("PauseVmInstance", 10, |m| verb(m, State::On, State::Paused)),
    act("ResumeVmInstance", 10, |m| verb(m, State::Paused, State::On)),
    act("DestroyVmInstance", 30, destroy),
    act("RecoverVmInstance", 8, |m| verb(m, State::Gone, State::Off)),
    act("ExpungeVmInstance", 20, expunge),
    act("SetVmHostname", 4, |m| {
        Some(json!({ "uuid": m.any(Kind::Vm)?.uuid, "hostname": format!("guest-{}", m.dice.below(50)) }))
    }),
    act("DeleteVmHostname", 2, |m| Some(json!({ "uuid": m.any(Kind::Vm)?.uuid }))),
    act("SetVmSshKey", 3, ssh_key),
    act("DeleteVmSshKey", 2, |m| Some(json!({ "uuid": m.any(Kind::Vm)?.uuid }))),
    act("SetVmStaticIp", 6, set_static),
    act("DeleteVmStaticIp", 3, |m| {
        Some(json!({ "vmInstanceUuid": m.any(Kind::Vm)?.uuid, "l3NetworkUuid": m.shared(Kind::L3)?.uuid }))
    }),
    act("CreateInstanceOffering", 4, create_offering),
    act("UpdateInstanceOffering", 2, |m| m.renaming(Kind::InstanceOffering)),
    act("ChangeInstanceOfferingState", 2, |m| m.state_event(Kind::InstanceOffering)),
    act("DeleteInstanceOffering", 2, |m| m.deletion(Kind::InstanceOffering)),
    act("RequestConsoleAccess", 4, |m| Some(json!({ "vmInstanceUuid": m.any(Kind::Vm)?.uuid }))),
    act("ReconnectConsoleProxyAgent", 1, |m| {
        m.as_admin();
        Some(json!({}))
    }),
];

fn create(m: &mut Maker) -> Option<Value> {
    let (offering, image, l3) =
        (m.shared(Kind::InstanceOffering)?, m.shared(Kind::Image)?, m.shared(Kind::L3)?);
    let mut networks = vec![l3.clone()];
    if m.dice.percent(15)
        && let Some(second) = m.shared(Kind::L3)
    {
        networks.push(second);
    }
    networks.dedup_by(|a, b| a.uuid == b.uuid);
    let within: Vec<(Kind, &crate::robot::model::Thing)> = Vec::new();
    let vm = m.fresh(Kind::Vm, 34, &within)?;
    let strategy = m.dice.one(&[
        "InstantStart",
        "InstantStart",
        "InstantStart",
        "InstantStart",
        "CreateStopped",
        "JustCreate",
    ]);
    if strategy != "InstantStart" {
        m.model.set(Kind::Vm, &vm.uuid, State::Off);
    }
    let mut params = json!({
        "name": format!("vm-{}", vm.number), "resourceUuid": vm.uuid, "instanceOfferingUuid": offering.uuid,
        "imageUuid": image.uuid, "strategy": strategy, "defaultL3NetworkUuid": networks[0].uuid,
        "l3NetworkUuids": networks.iter().map(|n| n.uuid.clone()).collect::<Vec<_>>(),
    });
    if m.dice.percent(8)
        && let Some(disk) = m.shared(Kind::DiskOffering)
    {
        params["dataDiskOfferingUuids"] = json!([disk.uuid]);
    }
    if m.dice.percent(6)
        && let Some(host) = m.model.pick(&mut m.dice, Kind::Host, |_| true)
    {
        params["hostUuid"] = json!(host.uuid);
    }
    if m.dice.percent(10) {
        params["userTags"] = json!([format!("tag-{}", m.dice.below(20))]);
    }
    Some(params)
}

/// A VM in that state, mostly, which it leaves for another.
fn verb(m: &mut Maker, is: State, becomes: State) -> Option<Value> {
    let strict = m.dice.percent(88);
    let vm = m.any_that(Kind::Vm, |v| !strict || v.state == is)?;
    if vm.state == is {
        m.model.set(Kind::Vm, &vm.uuid, becomes);
    }
    Some(json!({ "uuid": vm.uuid }))
}

fn stop(m: &mut Maker) -> Option<Value> {
    let mut params = verb(m, State::On, State::Off)?;
    params["type"] = json!(m.dice.one(&["cold", "grace"]));
    Some(params)
}

fn destroy(m: &mut Maker) -> Option<Value> {
    let vm = m.any_that(Kind::Vm, |v| v.state != State::Gone)?;
    m.model.set(Kind::Vm, &vm.uuid, State::Gone);
    Some(json!({ "uuid": vm.uuid, "deleteMode": m.dice.one(&["Enforcing", "Permissive"]) }))
}

fn expunge(m: &mut Maker) -> Option<Value> {
    let vm = m.any_that(Kind::Vm, |v| v.state == State::Gone)?;
    m.goes(&vm);
    Some(json!({ "uuid": vm.uuid }))
}

fn update(m: &mut Maker) -> Option<Value> {
    let mut params = m.renaming(Kind::Vm)?;
    if m.dice.percent(40) {
        params["cpuNum"] = json!(1 + m.dice.below(4));
        params["memorySize"] = json!((64 + 64 * m.dice.below(4)) << 20);
    }
    Some(params)
}

fn ssh_key(m: &mut Maker) -> Option<Value> {
    Some(json!({ "uuid": m.any(Kind::Vm)?.uuid, "SshKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC0 robot" }))
}

fn set_static(m: &mut Maker) -> Option<Value> {
    let (vm, l3) = (m.any(Kind::Vm)?, m.shared(Kind::L3)?);
    let ip = format!("10.{}.{}.{}", 20 + l3.number / 250 % 200, l3.number % 250, 10 + m.dice.below(60));
    Some(json!({ "vmInstanceUuid": vm.uuid, "l3NetworkUuid": l3.uuid, "ip": ip }))
}

fn create_offering(m: &mut Maker) -> Option<Value> {
    let offering = m.fresh(Kind::InstanceOffering, 5, &[])?;
    let name = format!("offering-{}", offering.number);
    let memory = (64 + 64 * m.dice.below(4)) << 20;
    Some(
        json!({ "name": name, "cpuNum": 1 + m.dice.below(2), "memorySize": memory, "resourceUuid": offering.uuid }),
    )
}
