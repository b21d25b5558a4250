//! What a robot thinks that there is. It follows from the list of operations alone, never from the answers, so that a seed
//! gives the same list again.

use std::collections::BTreeMap;

use super::dice::Dice;

/// A sort of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Zone,
    Cluster,
    Host,
    PrimaryStorage,
    BackupStorage,
    Image,
    InstanceOffering,
    DiskOffering,
    L2,
    L3,
    Range,
    Vm,
    Account,
    AccessKey,
    WebHook,
}

impl Kind {
    /// Its entity in the API.
    pub const fn entity(self) -> &'static str {
        match self {
            Self::Zone => "ZoneVO",
            Self::Cluster => "ClusterVO",
            Self::Host => "HostVO",
            Self::PrimaryStorage => "PrimaryStorageVO",
            Self::BackupStorage => "BackupStorageVO",
            Self::Image => "ImageVO",
            Self::InstanceOffering => "InstanceOfferingVO",
            Self::DiskOffering => "DiskOfferingVO",
            Self::L2 => "L2NetworkVO",
            Self::L3 => "L3NetworkVO",
            Self::Range => "IpRangeVO",
            Self::Vm => "VmInstanceVO",
            Self::Account => "AccountVO",
            Self::AccessKey => "AccessKeyVO",
            Self::WebHook => "WebhookVO",
        }
    }
}

/// What a VM is thought to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing special, or it runs.
    #[default]
    On,
    /// It is stopped, or disabled.
    Off,
    /// It is paused.
    Paused,
    /// It is destroyed, or deleted and not yet expunged.
    Gone,
}

/// One thing.
#[derive(Debug, Clone)]
pub struct Thing {
    pub uuid: String,
    /// `admin` or the name of an account.
    pub owner: String,
    /// What it lies in, by sort.
    pub within: BTreeMap<Kind, String>,
    pub state: State,
    /// It stays to the end.
    pub is_base: bool,
    /// Numbers that it was given.
    pub number: usize,
}

/// All things.
#[derive(Debug, Clone, Default)]
pub struct Model {
    things: BTreeMap<Kind, Vec<Thing>>,
    next: BTreeMap<Kind, usize>,
}

impl Model {
    /// All things of a sort.
    pub fn all(&self, kind: Kind) -> &[Thing] {
        self.things.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// How many there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.all(kind).len()
    }

    /// Number of the next thing of a sort.
    pub fn number(&mut self, kind: Kind) -> usize {
        let next = self.next.entry(kind).or_default();
        *next += 1;
        *next
    }

    /// Adds a thing.
    pub fn add(&mut self, kind: Kind, thing: Thing) {
        self.things.entry(kind).or_default().push(thing);
    }

    /// A thing that fits.
    pub fn pick(&self, dice: &mut Dice, kind: Kind, fits: impl Fn(&Thing) -> bool) -> Option<Thing> {
        let fitting: Vec<&Thing> = self.all(kind).iter().filter(|t| fits(t)).collect();
        if fitting.is_empty() { None } else { Some(fitting[dice.below(fitting.len())].clone()) }
    }

    /// Changes a thing.
    pub fn set(&mut self, kind: Kind, uuid: &str, state: State) {
        let things = self.things.entry(kind).or_default();
        things.iter_mut().filter(|t| t.uuid == uuid).for_each(|t| t.state = state);
    }

    /// Forgets a thing and what lies in it.
    pub fn remove(&mut self, uuid: &str) {
        for things in self.things.values_mut() {
            things.retain(|t| t.uuid != uuid && !t.within.values().any(|w| w == uuid));
        }
    }

    /// Forgets what an account owned.
    pub fn remove_owned(&mut self, owner: &str) {
        for things in self.things.values_mut() {
            things.retain(|t| t.owner != owner);
        }
    }
}

impl Model {
    /// What is there now stays to the end.
    pub fn keep_all(&mut self) {
        self.things.values_mut().flatten().for_each(|t| t.is_base = true);
    }
}
