//! What a deletion takes with it: the one table of which resource depends on which, and what happens to it.

use cairn_types::Result;
use cairn_workflow::Cx;

use crate::app::App;

/// What happens to a dependent resource when the one it depends on is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted too, by its own workflow.
    Delete,
    /// Only the link between the two goes.
    Detach,
    /// The deletion is refused while there is one.
    Refuse,
}

/// One dependency.
#[derive(Debug)]
pub struct Edge {
    /// What is deleted.
    pub parent: &'static str,
    /// What depends on it.
    pub child: &'static str,
    /// Finds the dependents' uuids (column `uuid`); one parameter, the parent's uuid.
    pub find: &'static str,
    /// What happens to them.
    pub fate: Fate,
}

/// Every dependency, in the order in which the dependents go.
pub static EDGES: &[Edge] = &[];

/// Deals with everything that depends on a resource.
pub async fn dependents(_cx: &mut Cx<App>, _entity: &str, _uuid: &str) -> Result<()> {
    Ok(())
}
