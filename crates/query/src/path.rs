//! From the text of a field to the joins it goes through and what stands at its end.

use cairn_api::resource::{Field, ListField, Resource};
use cairn_types::Result;

use crate::fault::{has_tags, known_names, too_much, unknown_field};

/// How many resources a field may go through.
pub(crate) const MAX_DEPTH: usize = 8;

/// One step to a related resource.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub name: &'static str,
    pub to: &'static Resource,
    pub local: &'static str,
    pub remote: &'static str,
}

/// What stands at the end of a path.
#[derive(Clone, Copy)]
pub(crate) enum Leaf {
    /// An own field.
    Field(&'static Field),
    /// A list of values.
    List(&'static ListField),
    /// The tags of a row: the table that holds them.
    Tags(&'static str),
    /// The relation itself: there is such a row, or there is none.
    Relation(Step),
}

/// The steps of a path and its end.
pub(crate) struct Path {
    pub steps: Vec<Step>,
    pub leaf: Leaf,
}

/// Resolves a path such as `vmNics.l3Network.name`.
pub(crate) fn resolve(root: &'static Resource, text: &str) -> Result<Path> {
    let mut names: Vec<&str> = text.split('.').map(str::trim).rev().collect();
    if names.len() > MAX_DEPTH + 1 {
        let shown: String = text.chars().take(80).collect();
        return Err(too_much(format!("{shown:?} goes through more than {MAX_DEPTH} resources")));
    }
    let mut resource = root;
    let mut steps: Vec<Step> = Vec::new();
    while let Some(name) = names.pop() {
        let last = names.is_empty();
        if last && let Some(leaf) = leaf(resource, name) {
            return Ok(Path { steps, leaf });
        }
        if let Some(step) = step(resource, name) {
            if last {
                return Ok(Path { steps, leaf: Leaf::Relation(step) });
            }
            resource = step.to;
            steps.push(step);
        } else if let Some((_, chain)) = resource.aliases().find(|(alias, _)| *alias == name) {
            // No alias leads to another of the same resource, so this ends.
            names.extend(chain.split('.').rev());
        } else {
            return Err(unknown_field(resource, name, known_names(resource)));
        }
    }
    Err(unknown_field(resource, "", known_names(resource)))
}

fn leaf(resource: &'static Resource, name: &str) -> Option<Leaf> {
    if let Some(field) = resource.field(name) {
        return field.queryable.then_some(Leaf::Field(field));
    }
    if let Some(list) = resource.lists().find(|l| l.name == name) {
        return Some(Leaf::List(list));
    }
    match name {
        "__systemTag__" if has_tags(resource) => Some(Leaf::Tags("system_tag")),
        "__userTag__" if has_tags(resource) => Some(Leaf::Tags("user_tag")),
        _ => None,
    }
}

fn step(resource: &'static Resource, name: &str) -> Option<Step> {
    let join = resource.joins().find(|j| j.name == name);
    let join = join.map(|j| Step { name: j.name, to: j.to, local: j.local, remote: j.remote });
    let nested = || resource.nested().find(|n| n.name == name && !n.of.table.is_empty());
    join.or_else(|| nested().map(|n| Step { name: n.name, to: n.of, local: n.local, remote: n.remote }))
}
