//! Uuids as the API writes them: 32 lower-case hexadecimal digits without dashes.
//!
//! Resources get time-ordered ids (UUID version 7) so that rows land at the end of their indexes; whatever works as a
//! secret (sessions, tokens) gets a random one (version 4), and jobs get both: time, and more random bits than a counter leaves.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The uuid of one `T`. An `Id<Host>` cannot be passed where an `Id<Vm>` is due.
pub struct Id<T> {
    uuid: u128,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// A new time-ordered id, for resources.
    pub fn new() -> Self {
        Self::from_u128(version7())
    }

    /// A new random id, for sessions and tokens.
    pub fn random() -> Self {
        Self::from_u128(version4())
    }

    /// The id with exactly these bits; used for constants and derived ids.
    pub const fn from_u128(uuid: u128) -> Self {
        Self { uuid, of: PhantomData }
    }

    /// The bits of the id.
    pub const fn as_u128(self) -> u128 {
        self.uuid
    }

    /// The same uuid, read as the id of something else (a resource in a table of all resources).
    pub const fn cast<U>(self) -> Id<U> {
        Id::from_u128(self.uuid)
    }

    /// With dashes, as libvirt writes uuids.
    pub fn dashed(self) -> String {
        let s = self.to_string();
        format!("{}-{}-{}-{}-{}", &s[..8], &s[8..12], &s[12..16], &s[16..20], &s[20..])
    }
}

impl<T> Default for Id<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.uuid)
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.uuid)
    }
}

/// A text that is no uuid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAUuid;

impl fmt::Display for NotAUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a uuid of 32 lower-case hexadecimal digits")
    }
}
impl std::error::Error for NotAUuid {}

impl<T> FromStr for Id<T> {
    type Err = NotAUuid;
    fn from_str(s: &str) -> Result<Self, NotAUuid> {
        if !is_uuid(s) {
            return Err(NotAUuid);
        }
        u128::from_str_radix(s, 16).map(Self::from_u128).map_err(|_| NotAUuid)
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether `s` has the form of a uuid of this API.
pub fn is_uuid(s: &str) -> bool {
    s.len() == 32 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A new time-ordered uuid as text.
pub fn new_uuid() -> String {
    format!("{:032x}", version7())
}

/// A new random uuid as text.
pub fn random_uuid() -> String {
    format!("{:032x}", version4())
}

/// A new uuid as text for a job: in the order of time, so that its row lands at the end of the index, and with 74 random bits, since
/// whoever knows it may read the result.
pub fn job_uuid() -> String {
    let now = u64::try_from(crate::time::now_ms()).unwrap_or(0);
    format!("{:032x}", with_version((u128::from(now) << 80) | (random_bits() >> 48), 7))
}

/// Random bytes are asked of the kernel by so many: a system call for each id is a good part of what an id costs.
const AHEAD: usize = 1024;

struct Ahead {
    bytes: [u8; AHEAD],
    used: usize,
}

fn random_bits() -> u128 {
    thread_local! {
        static AHEAD_OF_USE: RefCell<Ahead> = const { RefCell::new(Ahead { bytes: [0; AHEAD], used: AHEAD }) };
    }
    AHEAD_OF_USE.with_borrow_mut(|ahead| {
        if ahead.used + 16 > AHEAD {
            getrandom::fill(&mut ahead.bytes).expect("the operating system gives random bytes");
            ahead.used = 0;
        }
        let (begin, end) = (ahead.used, ahead.used + 16);
        ahead.used = end;
        let mut bits = [0; 16];
        bits.copy_from_slice(&ahead.bytes[begin..end]);
        // What was given out is kept nowhere else.
        ahead.bytes[begin..end].fill(0);
        u128::from_be_bytes(bits)
    })
}

fn with_version(bits: u128, version: u128) -> u128 {
    (bits & !(0xf << 76) & !(0x3 << 62)) | (version << 76) | (0x2 << 62)
}

fn version4() -> u128 {
    with_version(random_bits(), 4)
}

/// Version 7: 48 bits of milliseconds, a 12-bit counter within the millisecond, 62 random bits. Strictly increasing
/// within one process, also when the clock steps back.
fn version7() -> u128 {
    static LAST: Mutex<(u64, u16)> = Mutex::new((0, 0));
    let now = u64::try_from(crate::time::now_ms()).unwrap_or(0);
    let (ms, count) = {
        let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = match *last {
            (ms, _) if now > ms => (now, 0),
            (ms, 0xfff) => (ms + 1, 0),
            (ms, n) => (ms, n + 1),
        };
        *last
    };
    let bits = (u128::from(ms) << 80) | (u128::from(count) << 64) | (random_bits() >> 66);
    with_version(bits, 7)
}

/// What an [`Id`] can be the id of. These types have no values; they only name a kind of resource.
pub mod kind {
    macro_rules! kinds {
        ($($name:ident),* $(,)?) => { $(
            #[doc = concat!("Names the resource kind ", stringify!($name), " in an id.")]
            pub enum $name {}
        )* };
    }
    kinds!(
        Account,
        AnyResource,
        BackupStorage,
        Cluster,
        DiskOffering,
        Host,
        Image,
        InstanceOffering,
        IpRange,
        Job,
        L2Network,
        L3Network,
        ManagementNode,
        Nic,
        PrimaryStorage,
        Run,
        Session,
        Tag,
        Vm,
        Volume,
        Webhook,
        Zone,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_01_job_ids_follow_time_and_cannot_be_guessed() {
        let ids: Vec<String> = (0..10_000).map(|_| job_uuid()).collect();
        assert!(ids.iter().all(|id| is_uuid(id)));
        assert!(ids.windows(2).all(|w| w[0][..12] <= w[1][..12]));
        let random: std::collections::BTreeSet<&str> = ids.iter().map(|id| &id[13..]).collect();
        assert_eq!(random.len(), ids.len());
        // Each of the 74 bits is as often one as not.
        for bit in (0..62).chain(64..76) {
            let ones = ids.iter().filter(|id| u128::from_str_radix(id, 16).unwrap() >> bit & 1 == 1).count();
            assert!((4_600..5_400).contains(&ones), "bit {bit}: {ones} of 10000");
        }
    }

    #[test]
    fn ids_are_ordered_and_have_the_form_the_api_asks_for() {
        let ids: Vec<Id<kind::Vm>> = (0..10_000).map(|_| Id::new()).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1]));
        let text = ids[0].to_string();
        assert!(is_uuid(&text));
        assert_eq!(&text[12..13], "7");
        assert!(matches!(&text[16..17], "8" | "9" | "a" | "b"));
        assert_eq!(text.parse::<Id<kind::Vm>>().unwrap(), ids[0]);
    }

    #[test]
    fn random_ids_are_version_4_and_differ() {
        let (a, b) = (random_uuid(), random_uuid());
        assert_ne!(a, b);
        assert_eq!(&a[12..13], "4");
    }

    #[test]
    fn dashes_and_capitals_are_no_uuid() {
        for bad in [
            "",
            "36C27E8FF05C4780BF6D2FA65700F22E",
            "36c27e8f-f05c-4780-bf6d-2fa65700f22e",
            "../../etc/passwd",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}
