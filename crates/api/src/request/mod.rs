//! From an HTTP request to checked parameters, without any HTTP library.
//!
//! [`route`] finds the operation, [`extract`] takes its parameters from path, query string and body, [`check`] checks
//! them in the order of the conventions, [`refs`] lists the resources that must exist, [`parse_query`] reads a query. [`build`] is
//! the way back, for clients.

mod build;
mod check;
mod extract;
mod query;
#[cfg(test)]
mod query_tests;
mod route;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;

use cairn_types::Fault;

pub use build::{Built, build, encode_path, encode_query, plain_text, take_tags};
pub use check::{Ref, check, refs};
pub use extract::{Request, extract};
pub use query::{Condition, QueryOp, QueryText, Sort, parse_condition, parse_query};
pub use route::{Matched, route};
pub use url::{decode, encode, pairs};

/// A request that could not be mapped to a call: answered in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// 404: no such address.
    NotFound,
    /// 405: the address does not serve this method.
    MethodNotAllowed,
    /// 400: bad syntax, no such verb, bad boolean.
    BadRequest(String),
}

impl Problem {
    /// HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BadRequest(_) => 400,
        }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::BadRequest(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such address"),
            Self::MethodNotAllowed => f.write_str("this address does not serve this method"),
            Self::BadRequest(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Problem {}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// It could not be mapped to a call.
    Problem(Problem),
    /// The call was understood and is wrong.
    Fault(Fault),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}
