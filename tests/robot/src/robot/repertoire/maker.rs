//! Makes lists of operations.

use serde_json::{Value, json};

use super::{acts, trouble};
use crate::robot::dice::Dice;
use crate::robot::model::{Kind, Model, State, Thing};
use crate::robot::op::{Deed, Op};

/// Clients at work at the same time.
pub const CLIENTS: usize = 6;

/// Makes one operation after the other.
pub struct Maker {
    pub dice: Dice,
    pub model: Model,
    /// Who makes the call that is being made.
    pub who: String,
    /// Jobs of calls made lately.
    pub jobs: Vec<String>,
    ops: Vec<Op>,
}

/// A list: what is needed first, then this many operations, with a check after every few.
pub fn generate(seed: u64, count: usize, every: usize, with_kills: bool) -> Vec<Op> {
    let mut maker = Maker {
        dice: Dice::new(seed),
        model: Model::default(),
        who: "admin".into(),
        jobs: Vec::new(),
        ops: Vec::new(),
    };
    maker.found();
    for n in 1..=count {
        maker.one(with_kills);
        if n % every.max(1) == 0 || n == count {
            maker.push(0, Deed::Check);
        }
    }
    maker.ops
}

impl Maker {
    fn push(&mut self, client: usize, deed: Deed) {
        let n = self.ops.len();
        self.ops.push(Op { n, client, deed });
    }

    fn call(&mut self, client: usize, action: &str, params: Value) {
        let job = self.dice.uuid();
        let plan = client > 0 && self.dice.percent(3);
        self.jobs.push(job.clone());
        let who = self.who.clone();
        self.push(client, Deed::Call { who, action: action.into(), params, job, plan });
    }

    /// What everything else stands on; it stays to the end.
    fn found(&mut self) {
        for (name, times) in [
            ("CreateZone", 1),
            ("CreateCluster", 2),
            ("AddLocalPrimaryStorage", 1),
            ("AttachPrimaryStorageToCluster", 2),
            ("AddSimulatorHost", 3),
            ("AddSimulatorBackupStorage", 1),
            ("AttachBackupStorageToZone", 1),
            ("AddImage", 2),
            ("CreateL2NoVlanNetwork", 1),
            ("AttachL2NetworkToCluster", 2),
            ("CreateL3Network", 2),
            ("AddIpRange", 2),
            ("AttachNetworkServiceToL3Network", 2),
            ("CreateInstanceOffering", 2),
            ("CreateDiskOffering", 1),
            ("CreateAccount", 2),
        ] {
            let Some(act) = acts().find(|a| a.name == name) else { continue };
            for _ in 0..times {
                if let Some(params) = (act.make)(self) {
                    self.call(0, name, params);
                }
            }
        }
        // All tenants may use it.
        let kinds = [Kind::InstanceOffering, Kind::DiskOffering, Kind::Image, Kind::L3];
        let all: Vec<String> =
            kinds.iter().flat_map(|k| self.model.all(*k)).map(|t| t.uuid.clone()).collect();
        self.call(0, "ShareResource", json!({ "resourceUuids": all, "toPublic": true }));
        self.push(0, Deed::Check);
        self.model.keep_all();
    }

    fn one(&mut self, with_kills: bool) {
        let lot = self.dice.below(1000);
        if lot < 4 && with_kills {
            let after_ms = self.dice.below(40) as u64;
            return self.push(0, Deed::Kill { after_ms });
        }
        if lot < 60
            && let Some(deed) = trouble::make(self)
        {
            return self.push(0, deed);
        }
        let total: usize = acts().map(|a| a.weight).sum();
        for _ in 0..50 {
            self.choose_caller();
            let mut left = self.dice.below(total);
            let chosen = acts().find(|a| {
                let is_it = left < a.weight;
                left = left.saturating_sub(a.weight);
                is_it
            });
            let Some(act) = chosen else { continue };
            if let Some(params) = (act.make)(self) {
                // Mostly one client works on a thing, so that what follows finds it done; sometimes two do.
                let named =
                    params.as_object().and_then(|p| p.values().find_map(Value::as_str)).unwrap_or_default();
                let client = match self.dice.percent(80) {
                    true => 1 + named.bytes().map(usize::from).sum::<usize>() % (CLIENTS - 1),
                    false => 1 + self.dice.below(CLIENTS - 1),
                };
                return self.call(client, act.name, params);
            }
        }
    }

    fn choose_caller(&mut self) {
        self.who = "admin".into();
        if self.dice.percent(25)
            && let Some(account) = self.model.pick(&mut self.dice, Kind::Account, |_| true)
        {
            self.who = account_name(account.number);
        }
    }

    /// Makes the call one of an administrator's, as it is only for those. A few are left to be refused.
    pub fn as_admin(&mut self) {
        if self.dice.percent(97) {
            self.who = "admin".into();
        }
    }

    /// A thing of that sort: mostly one that the caller owns, sometimes another's.
    pub fn any(&mut self, kind: Kind) -> Option<Thing> {
        self.any_that(kind, |_| true)
    }

    /// The same, and it fits.
    pub fn any_that(&mut self, kind: Kind, fits: impl Fn(&Thing) -> bool) -> Option<Thing> {
        let who = self.who.clone();
        let all = who == "admin" || self.dice.percent(5);
        self.model.pick(&mut self.dice, kind, |t| fits(t) && (all || t.owner == who))
    }

    /// A thing of that sort that can be used by all.
    pub fn shared(&mut self, kind: Kind) -> Option<Thing> {
        let (who, is_safe) = (self.who.clone(), self.dice.percent(70));
        self.model.pick(&mut self.dice, kind, |t| t.is_base || !is_safe && (t.owner == who || who == "admin"))
    }

    /// A thing that may go.
    pub fn doomed(&mut self, kind: Kind) -> Option<Thing> {
        self.any_that(kind, |t| !t.is_base)
    }

    /// A thing that comes into being within others. None if there are that many already.
    pub fn fresh(&mut self, kind: Kind, most: usize, within: &[(Kind, &Thing)]) -> Option<Thing> {
        if self.model.count(kind) >= most {
            return None;
        }
        let mut all = std::collections::BTreeMap::new();
        for (kind, thing) in within {
            all.insert(*kind, thing.uuid.clone());
            all.extend(thing.within.clone());
        }
        let number = self.model.number(kind);
        let thing = Thing {
            uuid: self.dice.uuid(),
            owner: self.who.clone(),
            within: all,
            state: State::On,
            is_base: false,
            number,
        };
        self.model.add(kind, thing.clone());
        Some(thing)
    }

    /// A thing goes; mostly the robot forgets it.
    pub fn goes(&mut self, thing: &Thing) {
        if self.dice.percent(85) {
            self.model.remove(&thing.uuid);
        }
    }

    /// `uuid` and `deleteMode` of a deletion.
    pub fn deletion(&mut self, kind: Kind) -> Option<Value> {
        let thing = self.doomed(kind)?;
        self.goes(&thing);
        let mode = self.dice.one(&["Enforcing", "Enforcing", "Permissive"]);
        Some(json!({ "uuid": thing.uuid, "deleteMode": mode }))
    }

    /// `uuid`, `name` and `description` of a change.
    pub fn renaming(&mut self, kind: Kind) -> Option<Value> {
        let thing = self.any(kind)?;
        let name = format!("renamed {}", self.dice.below(1000));
        Some(json!({ "uuid": thing.uuid, "name": name, "description": "by a robot" }))
    }

    /// `uuid` and `stateEvent`; mostly things are enabled, or nothing would work.
    pub fn state_event(&mut self, kind: Kind) -> Option<Value> {
        let thing = self.any(kind)?;
        let is_off = self.dice.percent(if thing.is_base { 8 } else { 25 });
        let event = if is_off { "disable" } else { "enable" };
        Some(json!({ "uuid": thing.uuid, "stateEvent": event }))
    }
}

/// Name of an account by its number.
pub fn account_name(number: usize) -> String {
    format!("tenant-{number}")
}
