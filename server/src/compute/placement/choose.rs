//! Choosing a host inside the transaction that takes it, or saying why nobody can be chosen.

use std::time::Instant;

use cairn_store::Tx;
use cairn_types::{Fault, Result, code};
use serde_json::json;

use super::ask::{Ask, Need, Strategy};
use super::judge::Counts;
use super::rows::{self, Candidate, Hosts};
use super::{Pending, Placement, SMALL, State, entry, follow, not_ready};
use crate::app::App;
use crate::platform::settings::Settings;
use crate::platform::sums::Sums;

/// Proposals that are tried before the index is brought up to what the transaction sees.
const TRIES: usize = 4;
/// Proposals of an index that is up to date which rows may refuse; more can't be.
const CORRECTIONS: usize = 64;
/// Rejected candidates that a fault names one by one if there are no more than these; the rest are counted by reason.
const EXAMPLES: usize = 50;
/// Hosts that stand for a reason each where there are many.
const FEW_EXAMPLES: usize = 8;

/// Chooses a host with a storage, or says why nobody can be chosen (`HOST_ALLOCATION.1000`). `NOT_READY` asks the caller to
/// wait for [`Placement::ready`] and to try again. A plan takes nothing.
pub fn choose(app: &App, tx: &mut dyn Tx, ask: &Ask, is_plan: bool) -> Result<Candidate> {
    choose_by(&app.placement, &app.settings, tx, ask, is_plan)
}

/// The same by an index and settings alone.
pub fn choose_by(
    placement: &Placement,
    settings: &Settings,
    tx: &mut dyn Tx,
    ask: &Ask,
    is_plan: bool,
) -> Result<Candidate> {
    let need = Need::load(settings, tx, ask)?;
    // Where only one host will do, or one is preferred, the index has nothing to add.
    for host in [need.host, need.volumes_on, ask.preferred().map(|h| h.as_u128())].into_iter().flatten() {
        if let Some(found) = fitting(tx, placement.sums(), &need, host)? {
            if !is_plan {
                placement.lock().deduct(host, &need);
            }
            return Ok(found);
        }
    }
    // A plan takes the time to look at an index that is up to date, so that it says what a creation after it would do.
    if need.host.is_none() && need.volumes_on.is_none() && !is_plan {
        for _ in 0..TRIES {
            let Some(host) = placement.lock().propose(&need, ask.strategy(), is_plan) else { break };
            if let Some(found) = fitting(tx, placement.sums(), &need, host)? {
                return Ok(found);
            }
            let entry = entry::one(tx, host)?;
            placement.lock().correct(host, entry.as_ref());
        }
    }
    by_all(placement, tx, &need, ask.strategy(), is_plan)
}

/// The first storage with which a host can take it, by its rows.
fn fitting(tx: &mut dyn Tx, sums: &Sums, need: &Need, host: u128) -> Result<Option<Candidate>> {
    Ok(rows::candidates(tx, sums, need, Hosts::One(host))?.into_iter().find(Candidate::is_accepted))
}

/// Looks at all hosts, by an index that is brought up to what this transaction sees first.
fn by_all(
    placement: &Placement,
    tx: &mut dyn Tx,
    need: &Need,
    strategy: Strategy,
    is_plan: bool,
) -> Result<Candidate> {
    let mut state = placement.lock();
    if !state.see(tx, placement.sums())? {
        let is_small = state.index.len() <= SMALL;
        drop(state);
        placement.distrust();
        return if is_small { by_rows(tx, placement.sums(), need, strategy) } else { Err(not_ready()) };
    }
    for _ in 0..CORRECTIONS {
        let Some(host) = state.propose(need, strategy, is_plan) else {
            let counts = state.index.counts(need, false);
            let limit = if counts.total <= EXAMPLES as u64 { EXAMPLES } else { FEW_EXAMPLES };
            let examples = state.index.examples(need, limit);
            drop(state);
            return Err(refused(tx, placement.sums(), need, &counts, &examples)?);
        };
        if let Some(found) = fitting(tx, placement.sums(), need, host)? {
            return Ok(found);
        }
        tracing::error!("the index of hosts differs from the rows of host {host:032x}");
        let entry = entry::one(tx, host)?;
        state.correct(host, entry.as_ref());
    }
    drop(state);
    placement.distrust();
    Err(not_ready())
}

impl State {
    /// A host that fits by the index; what it takes is deducted from it, unless it is only a plan.
    fn propose(&mut self, need: &Need, strategy: Strategy, is_plan: bool) -> Option<u128> {
        let host = self.index.propose(need, strategy, need.seed)?;
        if !is_plan {
            self.deduct(host, need);
        }
        Some(host)
    }

    fn deduct(&mut self, host: u128, need: &Need) {
        self.note_pending(host);
        self.index.deduct(host, need);
    }

    /// The entry of a host is about to be changed to something else than what rows at the cursor say.
    fn note_pending(&mut self, host: u128) {
        let at = Instant::now();
        match self.pending.get_mut(&host) {
            Some(pending) => (pending.at, pending.differs) = (at, true),
            None => {
                let pending = Pending { at, by_rows: self.index.entry(host), differs: true };
                self.pending.insert(host, pending);
            }
        }
    }

    /// Takes over what a transaction sees of a host. It may be taken back, so the host is read again later.
    fn correct(&mut self, host: u128, entry: Option<&entry::Entry>) {
        self.note_pending(host);
        self.index.correct(host, entry);
    }

    /// Brings the index up to what a transaction sees. False if it has to be built anew for that.
    fn see(&mut self, tx: &mut dyn Tx, sums: &Sums) -> Result<bool> {
        let mut touched = follow::since(tx, self.cursor)?;
        touched.resolve(tx)?;
        if touched.everything || !self.is_exact {
            return Ok(false);
        }
        // What another transaction saw may have been taken back. The cursor stays, for so may what this one sees.
        touched.look_also_at(&self.unsure);
        self.unsure.look_also_at(&touched);
        let known = self.known(&touched);
        let topology = touched.topology(tx, sums, &known)?;
        self.index.set_topology(&topology);
        // Whom no entry of the log names since the cursor is what rows said at the cursor. No row has to be read for that.
        for (host, pending) in
            self.pending.iter_mut().filter(|(h, p)| p.differs && !touched.hosts.contains(h))
        {
            self.index.correct(*host, pending.by_rows.as_ref());
            pending.differs = false;
        }
        for host in &touched.hosts {
            let entry = entry::one(tx, *host)?;
            self.correct(*host, entry.as_ref());
        }
        Ok(true)
    }
}

/// Chooses by the rows of all hosts.
fn by_rows(tx: &mut dyn Tx, sums: &Sums, need: &Need, strategy: Strategy) -> Result<Candidate> {
    let all = rows::all(tx, sums, need)?;
    let good: Vec<&Candidate> = all.iter().filter(|c| c.is_accepted()).collect();
    let nth = usize::try_from(need.seed).unwrap_or(0) % good.len().max(1);
    let best = match strategy {
        Strategy::Any => good.get(nth).copied(),
        Strategy::LeastVms => good.iter().min_by_key(|c| (c.vm_count, -c.free_memory)).copied(),
        Strategy::MostFreeMemory => good.iter().max_by_key(|c| c.free_memory).copied(),
    };
    if let Some(best) = best {
        return Ok(best.clone());
    }
    let mut counts = Counts::default();
    all.iter().for_each(|c| counts.note(c.verdict));
    let examples: Vec<Candidate> = all.into_iter().take(EXAMPLES).collect();
    Err(fault(&counts, &examples))
}

/// The refusal, with the rows of some of the rejected.
fn refused(tx: &mut dyn Tx, sums: &Sums, need: &Need, counts: &Counts, examples: &[u128]) -> Result<Fault> {
    let mut shown = Vec::new();
    for host in examples {
        shown.extend(rows::candidates(tx, sums, need, Hosts::One(*host))?);
    }
    shown.truncate(EXAMPLES);
    Ok(fault(counts, &shown))
}

fn fault(counts: &Counts, examples: &[Candidate]) -> Fault {
    let text = if counts.total == 0 {
        "no host fits: there is none in the zone, cluster or host that was asked for; add a host first"
            .to_owned()
    } else {
        let told = |c: &Candidate| format!("{}: {}", c.host_name, c.reasons.join(", "));
        let lines: Vec<String> = examples.iter().take(3).map(told).collect();
        let more = counts.total.saturating_sub(lines.len() as u64);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("no host fits. {}{rest}", lines.join("; "))
    };
    let mut fault = Fault::new(code::NO_AVAILABLE_HOST, text);
    fault.opaque = Some(json!({
        "candidates": examples.iter().map(Candidate::to_json).collect::<Vec<_>>(),
        "rejectedBy": counts.reasons().collect::<std::collections::BTreeMap<_, _>>(), "total": counts.total,
    }));
    fault
}
