//! Accounts, sessions, access keys, sharing and quotas.

use serde_json::{Value, json};

use super::hardware::admins;
use super::maker::account_name;
use super::{Act, Maker, act};
use crate::robot::model::Kind;

pub(super) const ACTS: &[Act] = &[
    act("LogInByAccount", 3, |m| {
        let account = m.any(Kind::Account)?;
        Some(
            json!({ "accountName": account_name(account.number), "password": cairn_testkit::digest(cairn_testkit::TEST_PASSWORD) }),
        )
    }),
    act("LogOut", 2, |m| Some(json!({ "sessionUuid": m.dice.uuid() }))),
    act("CreateAccount", 4, create_account),
    act("UpdateAccount", 2, |m| {
        Some(json!({ "uuid": m.any(Kind::Account)?.uuid, "description": "by a robot" }))
    }),
    act("DeleteAccount", 2, delete_account),
    act("UpdateQuota", 3, update_quota),
    act("ChangeResourceOwner", 4, |m| admins(m, change_owner)),
    act("ShareResource", 8, |m| admins(m, share)),
    act("RevokeResourceSharing", 4, |m| admins(m, revoke)),
    act("CheckApiPermission", 2, |_| Some(json!({ "apiNames": ["StartVmInstance", "CreateZone"] }))),
    act("CreateAccessKey", 3, create_key),
    act("DeleteAccessKey", 2, |m| m.deletion(Kind::AccessKey)),
    act("ChangeAccessKeyState", 2, |m| m.state_event(Kind::AccessKey)),
];

fn create_account(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let account = m.fresh(Kind::Account, 4, &[])?;
    Some(json!({
        "name": account_name(account.number), "password": cairn_testkit::digest(cairn_testkit::TEST_PASSWORD),
        "resourceUuid": account.uuid,
    }))
}

fn delete_account(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let account = m.doomed(Kind::Account)?;
    m.model.remove(&account.uuid);
    m.model.remove_owned(&account_name(account.number));
    Some(json!({ "uuid": account.uuid, "deleteMode": "Enforcing" }))
}

fn update_quota(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let account = m.any(Kind::Account)?;
    let (name, value) = m.dice.one(&[
        ("vm.num", 5),
        ("vm.num", 50),
        ("vm.totalNum", 60),
        ("vm.cpuNum", 40),
        ("vm.memorySize", 8 << 30),
        ("image.num", 10),
        ("l3.num", 10),
        ("volume.capacity", 1_i64 << 40),
    ]);
    Some(json!({ "identityUuid": account.uuid, "name": name, "value": value }))
}

/// Something that can have another owner.
fn change_owner(m: &mut Maker) -> Option<Value> {
    let kind = m.dice.one(&[Kind::Vm, Kind::Vm, Kind::Image, Kind::L3, Kind::DiskOffering]);
    let (thing, account) = (m.doomed(kind)?, m.any(Kind::Account)?);
    Some(json!({ "accountUuid": account.uuid, "resourceUuid": thing.uuid }))
}

fn share(m: &mut Maker) -> Option<Value> {
    let kind = m.dice.one(&[Kind::InstanceOffering, Kind::Image, Kind::L3, Kind::DiskOffering, Kind::L2]);
    let resource = m.any(kind)?.uuid;
    if m.dice.percent(70) {
        return Some(json!({ "resourceUuids": [resource], "toPublic": true }));
    }
    Some(json!({ "resourceUuids": [resource], "accountUuids": [m.any(Kind::Account)?.uuid] }))
}

fn revoke(m: &mut Maker) -> Option<Value> {
    let kind = m.dice.one(&[Kind::InstanceOffering, Kind::Image, Kind::L3, Kind::DiskOffering]);
    let thing = m.doomed(kind)?;
    Some(json!({ "resourceUuids": [thing.uuid], "all": true }))
}

fn create_key(m: &mut Maker) -> Option<Value> {
    let account = m.any(Kind::Account)?;
    let key = m.fresh(Kind::AccessKey, 6, &[(Kind::Account, &account)])?;
    Some(json!({ "accountUuid": account.uuid, "userUuid": account.uuid, "resourceUuid": key.uuid }))
}
