//! The same question without taking anything: who could be chosen, who not, and why. Bounded however many hosts there are.

use std::collections::BTreeSet;

use cairn_store::Tx;
use cairn_types::{Id, Result, kind};

use super::ask::{Ask, Need, Strategy};
use super::judge::Counts;
use super::rows::{self, Candidate, Hosts};
use super::{SMALL, not_ready};
use crate::app::App;

/// Hosts with the rejected that an answer names where there are many.
const EXAMPLES: usize = 50;
/// Hosts of those that could be chosen that an answer names.
const LISTED: usize = 1000;

/// All candidates by number, some of them by name.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Counted by reason.
    pub counts: Counts,
    /// The one with most free memory of those that can be chosen.
    pub chosen: Option<Candidate>,
    /// All of them, or examples where there are many.
    pub candidates: Vec<Candidate>,
}

/// What could be chosen.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Zones.
    pub zones: BTreeSet<String>,
    /// Clusters.
    pub clusters: BTreeSet<String>,
    /// Hosts, the first 1000 of them.
    pub hosts: BTreeSet<String>,
    /// Primary storages.
    pub storages: BTreeSet<String>,
    /// How many hosts there are.
    pub total_hosts: u64,
}

/// Judges all candidates.
pub fn explain(app: &App, tx: &mut dyn Tx, ask: &Ask) -> Result<Explained> {
    let need = Need::load(&app.settings, tx, ask)?;
    if app.placement.hosts() <= SMALL {
        let candidates = rows::all(tx, &app.sums, &need)?;
        let mut counts = Counts::default();
        candidates.iter().for_each(|c| counts.note(c.verdict));
        let chosen = candidates.iter().filter(|c| c.is_accepted()).max_by_key(|c| c.free_memory).cloned();
        return Ok(Explained { counts, chosen, candidates });
    }
    current(app, tx)?;
    let (counts, best, examples) = {
        let index = &mut app.placement.lock().index;
        let best = index.propose(&need, Strategy::MostFreeMemory, 0);
        (index.counts(&need, true), best, index.examples(&need, EXAMPLES))
    };
    let mut candidates = Vec::new();
    for host in best.iter().chain(examples.iter().filter(|h| Some(**h) != best)) {
        candidates.extend(rows::candidates(tx, &app.sums, &need, Hosts::One(*host))?);
    }
    let chosen = candidates.iter().find(|c| c.is_accepted() && Some(c.host.as_u128()) == best).cloned();
    Ok(Explained { counts, chosen, candidates })
}

/// Everything that could be chosen.
pub fn choices(app: &App, tx: &mut dyn Tx, ask: &Ask) -> Result<Choices> {
    let need = Need::load(&app.settings, tx, ask)?;
    let mut choices = Choices::default();
    if app.placement.hosts() <= SMALL {
        for c in rows::all(tx, &app.sums, &need)?.into_iter().filter(Candidate::is_accepted) {
            choices.zones.insert(c.zone.to_string());
            choices.clusters.insert(c.cluster.to_string());
            choices.hosts.insert(c.host.to_string());
            choices.storages.extend(c.storage.map(|s| s.to_string()));
        }
        choices.total_hosts = choices.hosts.len() as u64;
        return Ok(choices);
    }
    current(app, tx)?;
    let index = &mut app.placement.lock().index;
    let text = |uuid: u128| Id::<kind::AnyResource>::from_u128(uuid).to_string();
    let (total, clusters, hosts) = index.fitting_hosts(&need, LISTED);
    let rows = index.topology().clusters;
    let mut storages = BTreeSet::new();
    for row in clusters.iter().filter_map(|c| rows.get(c).cloned().flatten()) {
        choices.zones.insert(text(row.zone));
        storages.extend(row.storages);
    }
    for storage in storages.into_iter().filter(|s| need.storage.is_none_or(|w| w == *s)) {
        let only = Need { storage: Some(storage), ..need.clone() };
        if index.propose(&only, Strategy::Any, 0).is_some() {
            choices.storages.insert(text(storage));
        }
    }
    choices.clusters = clusters.into_iter().map(text).collect();
    choices.hosts = hosts.into_iter().map(text).collect();
    choices.total_hosts = total;
    Ok(choices)
}

/// Brings the index up to what this read sees.
fn current(app: &App, tx: &mut dyn Tx) -> Result<()> {
    let is_current = (0..100).any(|_| app.placement.catch_up(tx, false).unwrap_or(false));
    if is_current { Ok(()) } else { Err(not_ready()) }
}
