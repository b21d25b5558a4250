//! Every operation and inventory of the API, and the protocol between server and agents.

pub mod agent;
pub mod decl;
pub mod openapi;
pub mod ops;
pub mod params;
pub mod patterns;
pub mod request;
pub mod resource;
pub mod schema;
pub mod settings;
pub mod tags;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use decl::{Kind, Method, Operation, Param, Rbac, Type};
pub use params::Params;

/// A typed operation, made from checked parameters.
pub trait Op: Sized + Send + 'static {
    /// Action name.
    const NAME: &'static str;
    /// Reads the fields. Never fails: the parameters have been checked.
    fn from_params(params: &Params) -> Self;
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| ops::GROUPS.concat());
static BY_NAME: LazyLock<HashMap<&'static str, &'static Operation>> =
    LazyLock::new(|| OPERATIONS.iter().map(|op| (op.name, op)).collect());

/// Every operation, grouped by area.
pub fn operations() -> &'static [Operation] {
    &OPERATIONS
}

pub(crate) fn find(name: &str) -> Option<&'static Operation> {
    BY_NAME.get(name).copied()
}
