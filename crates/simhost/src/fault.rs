//! Latencies and faults that a test sets, and the seeded dice behind them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_types::Fault;

/// How long a command takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Anything between the two, equally likely.
    Uniform(Duration, Duration),
    /// Mostly short, sometimes long: exponential around the mean, never above ten times the mean.
    Exponential(Duration),
}

impl From<Duration> for Latency {
    fn from(d: Duration) -> Self {
        Self::Fixed(d)
    }
}

impl Latency {
    fn sample(self, dice: &mut Dice) -> Duration {
        match self {
            Self::Fixed(d) => d,
            Self::Uniform(low, high) => low + high.saturating_sub(low).mul_f64(dice.unit()),
            Self::Exponential(mean) => mean.mul_f64((-(1.0 - dice.unit()).ln()).min(10.0)),
        }
    }
}

/// What a faulty command does. See the methods of [`crate::SimTarget`] that set each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing is done, the answer is this fault.
    Fail(Fault),
    /// The work is done, the answer is this fault all the same.
    FailAfter(Fault),
    /// Nothing is done and no answer comes until the target is released.
    Hang,
    /// The work is done; the connection drops before the answer is sent.
    DropResult,
    /// The work is done; the agent's process dies before the answer is sent and starts again without a memory.
    RestartAgent,
}

struct Rule {
    op: String,
    /// Commands that still pass before the rule applies once; `None`: it applies to every command.
    skip: Option<u32>,
    trouble: Trouble,
}

/// Everything that tests have set, by target; `None` stands for all targets.
#[derive(Default)]
pub(crate) struct Rules {
    troubles: HashMap<Option<Arc<str>>, Vec<Rule>>,
    latencies: HashMap<Option<Arc<str>>, HashMap<String, Latency>>,
}

/// Matches every operation.
pub(crate) const ANY: &str = "*";

impl Rules {
    /// Lets the `nth` matching command from now on go wrong, counting from 1; 0: all of them.
    pub(crate) fn add(&mut self, target: Option<Arc<str>>, op: &str, nth: u32, trouble: Trouble) {
        let rule = Rule { op: op.to_owned(), skip: nth.checked_sub(1), trouble };
        self.troubles.entry(target).or_default().push(rule);
    }

    pub(crate) fn delay(&mut self, target: Option<Arc<str>>, op: &str, latency: Latency) {
        self.latencies.entry(target).or_default().insert(op.to_owned(), latency);
    }

    pub(crate) fn clear(&mut self, target: Option<&Arc<str>>) {
        let key = target.cloned();
        self.troubles.remove(&key);
        self.latencies.remove(&key);
    }

    /// How many faults are set that have not applied yet.
    pub(crate) fn waiting(&self, target: Option<&Arc<str>>) -> usize {
        self.troubles.get(&target.cloned()).map_or(0, |r| r.iter().filter(|r| r.skip.is_some()).count())
    }

    /// The trouble for the command that comes now. Counts it.
    pub(crate) fn strike(&mut self, target: &Arc<str>, op: &str) -> Option<Trouble> {
        let own = strike_in(&mut self.troubles, &Some(target.clone()), op);
        let common = strike_in(&mut self.troubles, &None, op);
        own.or(common)
    }

    /// How long the command that comes now takes: the target's own rule goes before the common one.
    pub(crate) fn latency(&self, target: &Arc<str>, op: &str, dice: &mut Dice) -> Duration {
        if self.latencies.is_empty() {
            return Duration::ZERO;
        }
        let find = |key: Option<Arc<str>>| {
            let set = self.latencies.get(&key)?;
            set.get(op).or_else(|| set.get(ANY)).copied()
        };
        let found = find(Some(target.clone())).or_else(|| find(None));
        found.map_or(Duration::ZERO, |l| l.sample(dice))
    }
}

fn strike_in(
    troubles: &mut HashMap<Option<Arc<str>>, Vec<Rule>>,
    key: &Option<Arc<str>>,
    op: &str,
) -> Option<Trouble> {
    if troubles.is_empty() {
        return None;
    }
    let rules = troubles.get_mut(key)?;
    let mut hit = None;
    rules.retain_mut(|rule| {
        if rule.op != op && rule.op != ANY {
            return true;
        }
        match &mut rule.skip {
            None => {
                hit.get_or_insert_with(|| rule.trouble.clone());
                true
            }
            Some(0) if hit.is_none() => {
                hit = Some(rule.trouble.clone());
                false
            }
            // Two rules for the same command: the later one waits for the next.
            Some(0) => true,
            Some(n) => {
                *n -= 1;
                true
            }
        }
    });
    if rules.is_empty() {
        troubles.remove(key);
    }
    hit
}

/// Seeded random numbers (splitmix64): the same seed gives the same run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A fraction from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(text: &str) -> Trouble {
        Trouble::Fail(Fault::operation(text))
    }

    #[test]
    fn the_nth_command_from_now_on_goes_wrong_once() {
        let mut rules = Rules::default();
        let host: Arc<str> = "h".into();
        rules.add(Some(host.clone()), "vm.start", 2, fail("second"));
        assert_eq!(rules.waiting(Some(&host)), 1);
        assert_eq!(rules.strike(&host, "vm.start"), None);
        assert_eq!(rules.strike(&host, "vm.stop"), None);
        assert_eq!(rules.strike(&host, "vm.start"), Some(fail("second")));
        assert_eq!(rules.strike(&host, "vm.start"), None);
        assert_eq!(rules.waiting(Some(&host)), 0);
    }

    #[test]
    fn a_rule_for_all_hosts_counts_over_all_hosts_and_one_without_number_lasts() {
        let mut rules = Rules::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        rules.add(None, ANY, 2, fail("second anywhere"));
        rules.add(Some(b.clone()), "vm.stop", 0, fail("always"));
        assert_eq!(rules.strike(&a, "vm.start"), None);
        assert_eq!(rules.strike(&b, "vm.start"), Some(fail("second anywhere")));
        for _ in 0..3 {
            assert_eq!(rules.strike(&b, "vm.stop"), Some(fail("always")));
        }
        rules.clear(Some(&b));
        assert_eq!(rules.strike(&b, "vm.stop"), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_latencies_within_their_bounds() {
        let host: Arc<str> = "h".into();
        let (low, high) = (Duration::from_millis(5), Duration::from_millis(9));
        let mut rules = Rules::default();
        rules.delay(None, ANY, Latency::Uniform(low, high));
        rules.delay(Some(host.clone()), "vm.start", Latency::Exponential(high));
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..50).map(|_| rules.latency(&host, "vm.stop", &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|d| *d >= low && *d <= high));
        let mut dice = Dice::new(1);
        assert!((0..1000).all(|_| rules.latency(&host, "vm.start", &mut dice) <= high * 10));
    }
}
