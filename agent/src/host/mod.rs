//! The host itself: what it is and can do.

pub mod facts;
pub mod probe;
