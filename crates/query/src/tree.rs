//! Conditions sorted by the way they go: those through the same join end up at one node and speak of one related row.

use cairn_api::resource::Resource;
use cairn_types::Result;

use crate::path::{Leaf, Step, resolve};
use crate::query::{Condition, Op};

/// The conditions on a row, and on rows related to it.
pub(crate) struct Node {
    pub resource: &'static Resource,
    pub tests: Vec<Test>,
    pub related: Vec<(Step, Node)>,
}

/// A condition whose field is resolved.
pub(crate) struct Test {
    pub leaf: Leaf,
    pub field: String,
    pub op: Op,
    pub value: String,
}

impl Node {
    pub fn new(resource: &'static Resource) -> Self {
        Self { resource, tests: Vec::new(), related: Vec::new() }
    }

    /// Puts a condition where it belongs.
    pub fn add(&mut self, condition: &Condition) -> Result<()> {
        let path = resolve(self.resource, &condition.field)?;
        let mut node = self;
        for step in path.steps {
            let at = match node.related.iter().position(|(s, _)| s.name == step.name) {
                Some(at) => at,
                None => {
                    node.related.push((step, Node::new(step.to)));
                    node.related.len() - 1
                }
            };
            node = &mut node.related[at].1;
        }
        let Condition { field, op, value } = condition.clone();
        node.tests.push(Test { leaf: path.leaf, field, op, value });
        Ok(())
    }

    /// True when few rows can match: one is named by a value of which there are few, or something of it is.
    pub fn is_pinned(&self) -> bool {
        let names = |test: &Test| {
            matches!(test.op, Op::Eq | Op::In) && matches!(test.leaf, Leaf::Field(f) if FEW.contains(&f.name))
        };
        self.tests.iter().any(names) || self.related.iter().any(|(_, related)| related.is_pinned())
    }
}

/// Fields with an index of whose values few rows have the same.
const FEW: &[&str] = &["uuid", "name", "ip", "mac", "managementIp"];
