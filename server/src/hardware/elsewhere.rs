//! Simulated machines that live outside this process, so that they are still there when it was killed.

use cairn_api::agent::Target;
use cairn_simhost::HostShape;

/// Where simulated machines run. The server says what shall be served there; each agent dials by itself, now and again after
/// the next start of the server.
pub trait Elsewhere: Send + Sync + 'static {
    /// An agent shall serve this target, made like this if it is new; one that does already goes on. A store gets this much
    /// room in bytes; 0: as much as simulated stores have.
    fn serve(&self, agent: &str, target: &Target, shape: &HostShape, room_bytes: u64);

    /// An agent shall end. What is on its machine stays.
    fn end(&self, agent: &str);
}
