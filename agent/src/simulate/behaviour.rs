//! How simulated hosts behave: latencies by command, and faults. Said by flags or in a JSON file, both in the same words; see
//! docs/howto/simulate.md.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cairn_simhost::{Latency, OPERATIONS, SimCloud, SimTarget};
use cairn_types::Fault;
use serde::Deserialize;

/// Latencies and faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Behaviour {
    /// By name of the command; `*` is every other.
    pub latencies: BTreeMap<String, Latency>,
    /// In the order in which they were given.
    pub faults: Vec<FaultRule>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    latency: BTreeMap<String, String>,
    #[serde(default)]
    faults: Vec<String>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// What goes wrong.
    pub kind: FaultKind,
    /// With which hosts.
    pub hosts: Hosts,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// The `nth` such command fails; 0: every one.
    Fail { op: String, nth: u32, code: String },
    /// The `nth` such command is never answered.
    Timeout { op: String, nth: u32 },
    /// Something that happens at a moment and may end at another.
    Timed { event: TimedEvent, after: Duration, until: Option<Duration> },
}

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedEvent {
    /// No heartbeats come from the connections of the hosts.
    Silence,
    /// The hosts are away, and come back with their guests off.
    Vanish,
    /// The hypervisors do not answer.
    Hypervisor,
    /// The hosts come back without their VMs.
    LoseVms,
}

/// Which hosts a fault is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Hosts {
    /// All of them; faults of commands count over all.
    All,
    /// This share of them, chosen by the seed.
    Share(f64),
    /// These.
    Named(Vec<String>),
}

impl Behaviour {
    /// Out of flags and a file; flags go before.
    pub fn read(file: Option<&Path>, latencies: &[String], faults: &[String]) -> anyhow::Result<Self> {
        let mut out = Self::default();
        if let Some(path) = file {
            let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let file: File =
                serde_json::from_slice(&text).with_context(|| format!("{} is not right", path.display()))?;
            for (op, text) in &file.latency {
                out.delay(op, text)?;
            }
            for text in &file.faults {
                out.faults.push(fault(text)?);
            }
        }
        for text in latencies {
            let (op, text) =
                text.split_once('=').context("--latency takes COMMAND=TIME, as in vm.start=200ms")?;
            out.delay(op, text)?;
        }
        for text in faults {
            out.faults.push(fault(text)?);
        }
        Ok(out)
    }

    fn delay(&mut self, op: &str, text: &str) -> anyhow::Result<()> {
        self.latencies.insert(known_op(op)?, latency(text)?);
        Ok(())
    }

    /// Sets everything that is about commands.
    pub fn apply(&self, cloud: &SimCloud) {
        for (op, latency) in &self.latencies {
            cloud.all().delay(op, *latency);
        }
        for rule in &self.faults {
            match &rule.hosts {
                Hosts::All => rule.kind.set(&cloud.all()),
                Hosts::Named(uuids) => uuids.iter().for_each(|uuid| rule.kind.set(&cloud.host(uuid))),
                // A share is drawn when the hosts are known.
                Hosts::Share(_) => {}
            }
        }
    }
}

impl FaultKind {
    /// Sets a fault of a command; one of a moment comes by itself.
    pub fn set(&self, target: &SimTarget) {
        match self {
            Self::Fail { op, nth, code } => {
                let fault = Fault::new(code, format!("{op} failed, as the simulation was told"));
                target.fail(op, *nth, fault);
            }
            Self::Timeout { op, nth } => target.hang_nth(op, *nth),
            Self::Timed { .. } => {}
        }
    }
}

fn known_op(op: &str) -> anyhow::Result<String> {
    let known = op == "*" || OPERATIONS.iter().any(|ops| ops.contains(&op));
    ensure!(
        known,
        "there is no command {op:?}; there are {}, and * for every other",
        OPERATIONS[0].join(", ")
    );
    Ok(op.to_owned())
}

/// `250ms`, `3s`, `2m`.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().with_context(|| format!("{text:?} is no time, such as 250ms or 3s"))?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => bail!("{text:?} is no time; its unit is us, ms, s, m or h"),
    };
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{text:?} is too long"))
}

/// `200ms`, `uniform:50ms..90ms`, `exp:200ms`.
fn latency(text: &str) -> anyhow::Result<Latency> {
    let (form, rest) = text.split_once(':').unwrap_or(("fixed", text));
    Ok(match form {
        "fixed" => Latency::Fixed(duration(rest)?),
        "exp" => Latency::Exponential(duration(rest)?),
        "uniform" => {
            let (low, high) =
                rest.split_once("..").context("uniform takes two times, as in uniform:50ms..90ms")?;
            let (low, high) = (duration(low)?, duration(high)?);
            ensure!(low <= high, "{text:?}: the first time is the shorter one");
            Latency::Uniform(low, high)
        }
        _ => bail!("{text:?} is no latency; give a time, uniform:TIME..TIME or exp:TIME"),
    })
}

/// `fail:vm.start,nth=3,code=AGENT.8002`, `timeout:vm.stop,nth=1,hosts=0.1`, `vanish:after=30s,for=60s,hosts=UUID+UUID`.
fn fault(text: &str) -> anyhow::Result<FaultRule> {
    let parsed = parse_fault(text);
    parsed.with_context(|| format!("the fault {text:?} cannot be read; see docs/howto/simulate.md"))
}

fn parse_fault(text: &str) -> anyhow::Result<FaultRule> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let mut words: BTreeMap<&str, &str> = BTreeMap::new();
    for part in rest.split(',').filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or(("command", part));
        ensure!(words.insert(name, value).is_none(), "{name} stands twice");
    }
    let mut take = |name: &str| words.remove(name);
    let hosts = take("hosts").map_or(Ok(Hosts::All), chosen_hosts)?;
    let kind = match kind {
        "fail" | "timeout" => {
            let op = known_op(take("command").context("it names no command")?)?;
            let nth = take("nth").map_or(Ok(1), str::parse).context("nth is a number")?;
            if kind == "fail" {
                let code = take("code").unwrap_or(cairn_types::code::OPERATION_ERROR).to_owned();
                FaultKind::Fail { op, nth, code }
            } else {
                FaultKind::Timeout { op, nth }
            }
        }
        _ => {
            let event = match kind {
                "silence" => TimedEvent::Silence,
                "vanish" => TimedEvent::Vanish,
                "hypervisor" => TimedEvent::Hypervisor,
                "lose-vms" => TimedEvent::LoseVms,
                _ => bail!("there is no fault {kind:?}"),
            };
            let after = take("after").map_or(Ok(Duration::ZERO), duration)?;
            let until = take("for").map(duration).transpose()?;
            FaultKind::Timed { event, after, until }
        }
    };
    ensure!(words.is_empty(), "it has no {}", words.keys().copied().collect::<Vec<_>>().join(", "));
    Ok(FaultRule { kind, hosts })
}

fn chosen_hosts(text: &str) -> anyhow::Result<Hosts> {
    if text == "all" {
        return Ok(Hosts::All);
    }
    if let Ok(share) = text.parse::<f64>()
        && !cairn_types::is_uuid(text)
    {
        ensure!((0.0..=1.0).contains(&share), "a share of the hosts lies between 0 and 1");
        return Ok(Hosts::Share(share));
    }
    let uuids: Vec<String> = text.split('+').map(str::to_owned).collect();
    let wrong = uuids.iter().find(|u| !cairn_types::is_uuid(u));
    ensure!(
        wrong.is_none(),
        "{} is no uuid of a host, no share such as 0.1, and not all",
        wrong.map_or("", |w| w)
    );
    Ok(Hosts::Named(uuids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_07_latencies_and_faults_are_read_from_flags_and_file() {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("b.json");
        let text =
            r#"{"latency": {"*": "1ms", "vm.start": "exp:1s"}, "faults": ["silence:after=2m,for=90s"]}"#;
        std::fs::write(&file, text).unwrap();
        let flags = ["vm.start=uniform:50ms..90ms".to_owned()];
        let faults = ["fail:vm.start,nth=3,code=AGENT.8003,hosts=0.25".to_owned(), "lose-vms".to_owned()];
        let read = Behaviour::read(Some(&file), &flags, &faults).unwrap();
        let ms = Duration::from_millis;
        assert_eq!(
            read.latencies["vm.start"],
            Latency::Uniform(ms(50), ms(90)),
            "a flag goes before the file"
        );
        assert_eq!(read.latencies["*"], Latency::Fixed(ms(1)));
        let expected = [
            FaultRule {
                kind: FaultKind::Timed {
                    event: TimedEvent::Silence,
                    after: Duration::from_secs(120),
                    until: Some(Duration::from_secs(90)),
                },
                hosts: Hosts::All,
            },
            FaultRule {
                kind: FaultKind::Fail { op: "vm.start".into(), nth: 3, code: "AGENT.8003".into() },
                hosts: Hosts::Share(0.25),
            },
            FaultRule {
                kind: FaultKind::Timed { event: TimedEvent::LoseVms, after: Duration::ZERO, until: None },
                hosts: Hosts::All,
            },
        ];
        assert_eq!(read.faults, expected);
    }

    #[test]
    fn bey_07_what_is_no_latency_or_fault_is_refused_with_a_word_on_what_is() {
        for (latency, wanted) in [
            ("vm.begin=1s", "there is no command"),
            ("vm.start", "COMMAND=TIME"),
            ("vm.start=1", "unit"),
            ("vm.start=uniform:2s..1s", "shorter"),
            ("vm.start=normal:1s", "no latency"),
        ] {
            let error = Behaviour::read(None, &[latency.to_owned()], &[]).unwrap_err();
            assert!(format!("{error:#}").contains(wanted), "{latency}: {error:#}");
        }
        for fault in [
            "explode",
            "fail",
            "fail:vm.begin",
            "fail:vm.start,nth=x",
            "fail:vm.start,when=now",
            "silence:hosts=1.5",
            "silence:hosts=me",
            "vanish:after=soon",
        ] {
            assert!(Behaviour::read(None, &[], &[fault.to_owned()]).is_err(), "{fault}");
        }
    }
}
