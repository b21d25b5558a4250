//! Settings, tags, web hooks, runs; and reads, which must answer whatever goes on.

use serde_json::{Value, json};

use super::hardware::admins;
use super::{Act, Maker, act};
use crate::robot::model::Kind;

pub(super) const ACTS: &[Act] = &[
    act("GetVersion", 1, |_| Some(json!({}))),
    act("GetCurrentTime", 1, |_| Some(json!({}))),
    act("UpdateGlobalConfig", 3, |m| admins(m, update_setting)),
    act("ResetGlobalConfig", 3, |m| admins(m, reset_setting)),
    act("CreateSystemTag", 5, system_tag),
    act("UpdateSystemTag", 3, update_system_tag),
    act("CreateUserTag", 8, user_tag),
    act("DeleteTag", 5, delete_tag),
    act("CreateWebhook", 2, create_hook),
    act("UpdateWebhook", 2, |m| admins(m, |m| m.renaming(Kind::WebHook))),
    act("DeleteWebhook", 2, |m| admins(m, |m| m.deletion(Kind::WebHook))),
    act("CancelRun", 6, cancel),
    act("RetryRun", 2, |m| admins(m, cancel)),
    act("QueryVmInstance", 8, |m| Some(json!({ "q": [format!("uuid={}", m.any(Kind::Vm)?.uuid)] }))),
    act("QueryVmNic", 3, |m| Some(json!({ "q": [format!("vmInstanceUuid={}", m.any(Kind::Vm)?.uuid)] }))),
    act("QueryHost", 4, |_| Some(json!({ "q": ["status=Connected"], "count": "true" }))),
    act("QueryVolume", 3, |_| Some(json!({ "limit": 5, "sort": "+createDate" }))),
    act("QueryCairnRun", 3, |_| Some(json!({ "limit": 5 }))),
    act("QueryAudit", 2, |_| Some(json!({ "limit": 3 }))),
    act("GetVmStartingCandidateClustersHosts", 3, |m| Some(json!({ "uuid": m.any(Kind::Vm)?.uuid }))),
    act("ExplainAllocation", 3, |m| Some(json!({ "vmInstanceUuid": m.any(Kind::Vm)?.uuid }))),
];

/// Settings whose values change how things go and nothing that the checks stand on.
const SETTINGS: &[(&str, &str, &[&str])] = &[
    ("vm", "deletionPolicy", &["Delay", "Direct", "Delay"]),
    ("image", "deletionPolicy", &["Delay", "Direct", "Delay"]),
    ("vm", "cleanTraffic", &["true", "false"]),
];

fn update_setting(m: &mut Maker) -> Option<Value> {
    let (category, name, values) = m.dice.one(SETTINGS);
    Some(json!({ "category": category, "name": name, "value": m.dice.one(values) }))
}

fn reset_setting(m: &mut Maker) -> Option<Value> {
    let (category, name, _) = m.dice.one(SETTINGS);
    Some(json!({ "category": category, "name": name }))
}

fn system_tag(m: &mut Maker) -> Option<Value> {
    let (vm, name) = (m.any(Kind::Vm)?, format!("hostname::guest-{}", m.dice.below(50)));
    Some(json!({ "resourceType": "VmInstanceVO", "resourceUuid": vm.uuid, "tag": name }))
}

fn update_system_tag(m: &mut Maker) -> Option<Value> {
    let (vm, name) = (m.any(Kind::Vm)?, format!("hostname::guest-{}", m.dice.below(50)));
    Some(json!({ "uuid": format!("$systemTag:{}", vm.uuid), "tag": name }))
}

fn user_tag(m: &mut Maker) -> Option<Value> {
    let kind =
        m.dice.one(&[Kind::Vm, Kind::Image, Kind::L3, Kind::Host, Kind::InstanceOffering, Kind::Cluster]);
    let (thing, tag) = (m.any(kind)?, format!("tag-{}", m.dice.below(20)));
    Some(json!({ "resourceType": kind.entity(), "resourceUuid": thing.uuid, "tag": tag }))
}

fn delete_tag(m: &mut Maker) -> Option<Value> {
    let kind = m.dice.one(&[Kind::Vm, Kind::Vm, Kind::Image, Kind::L3, Kind::Host, Kind::InstanceOffering]);
    Some(json!({ "uuid": format!("$userTag:{}", m.any(kind)?.uuid) }))
}

fn create_hook(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let hook = m.fresh(Kind::WebHook, 3, &[])?;
    Some(json!({
        "name": format!("hook-{}", hook.number), "url": "http://127.0.0.1:9/nobody", "type": "vm", "resourceUuid": hook.uuid,
    }))
}

/// The run of a call made lately.
fn cancel(m: &mut Maker) -> Option<Value> {
    let back = 1 + m.dice.below(8);
    let job = m.jobs.get(m.jobs.len().checked_sub(back)?)?.clone();
    Some(json!({ "uuid": format!("$run:{job}") }))
}
