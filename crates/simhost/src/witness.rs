//! Who sees commands come and go.

/// A moment of a command that an agent carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It was taken in; nothing is done yet.
    Received,
    /// Its work is done, whether it went well or not; nobody was told.
    Done,
}

/// Sees every command of a cloud's agents just before and just after its work. For tests that stop there; it holds up the
/// agent's connection meanwhile.
pub trait Witness: Send + Sync + 'static {
    /// The command `op` for this host or image store is there.
    fn at(&self, target: &str, op: &str, moment: Moment);
}
