//! Under construction.

pub(super) fn handlers(_h: &mut crate::handlers::Handlers) {}
