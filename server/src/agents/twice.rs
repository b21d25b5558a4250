//! How often the log says that an agent replaced a connection that stood.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// An agent is named at most once in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// When agents were named last, none longer ago than a pause.
#[derive(Default)]
pub(super) struct Twice {
    told: HashMap<String, Instant>,
    swept: Option<Instant>,
}

impl Twice {
    /// Whether the agent is to be named now; it counts as named then.
    pub(super) fn is_due(&mut self, agent: &str, now: Instant) -> bool {
        if self.told.get(agent).is_some_and(|&at| now < at + PAUSE) {
            return false;
        }
        if self.swept.is_none_or(|at| now >= at + PAUSE) {
            self.told.retain(|_, at| now < *at + PAUSE);
            self.swept = Some(now);
        }
        self.told.insert(agent.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_15_an_agent_is_named_once_a_minute_and_forgotten_after_that() {
        let (mut twice, begin) = (Twice::default(), Instant::now());
        let at = |s: u64| begin + Duration::from_secs(s);
        assert!(twice.is_due("a", at(0)));
        assert!(!twice.is_due("a", at(59)));
        assert!(twice.is_due("b", at(59)));
        assert!(twice.is_due("a", at(60)));
        assert!(!twice.is_due("b", at(118)));
        assert!(twice.is_due("c", at(125)));
        assert_eq!(twice.told.len(), 1, "what is over is forgotten");
    }
}
