//! Comparing what this server keeps in memory with the rows that it is made of. Each part is compared in a read of its own:
//! what is written between them is in none of the lines. A part that can't be compared in one read, because it is built or
//! moved on meanwhile, is compared in another; one that can't be for seconds is a line of its own.

use std::time::{Duration, Instant};

use cairn_store::{Store, Tx};
use cairn_types::Result;

use crate::app::App;
use crate::compute::placement::Placement;
use crate::platform::counts::Counts;
use crate::platform::sums::Sums;

/// So long it is tried to compare one part.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// One line for each difference of all parts, and for each part that could not be compared.
pub async fn all(app: &App) -> Result<Vec<String>> {
    let mut lines = hosts(&app.placement, &app.store).await?;
    lines.extend(sums(&app.sums, &app.store).await?);
    lines.extend(counts(&app.counts, &app.store).await?);
    lines.extend(app.store.read(crate::network::ip::differences).await?);
    Ok(lines)
}

/// The same for the index of hosts.
pub async fn hosts(placement: &Placement, store: &Store) -> Result<Vec<String>> {
    let placement = placement.clone();
    patiently(store, "the index of hosts", PATIENCE, move |tx| placement.differences(tx)).await
}

/// The same for the sums of VM instances and volumes.
pub async fn sums(sums: &Sums, store: &Store) -> Result<Vec<String>> {
    let sums = sums.clone();
    patiently(store, "the sums of VM instances and volumes", PATIENCE, move |tx| sums.differences(tx)).await
}

/// The same for the numbers of resources.
pub async fn counts(counts: &Counts, store: &Store) -> Result<Vec<String>> {
    let counts = counts.clone();
    patiently(store, "the numbers of resources", PATIENCE, move |tx| counts.differences(tx)).await
}

/// Compares in one read after the other until one can tell.
async fn patiently(
    store: &Store,
    what: &str,
    patience: Duration,
    compare: impl Fn(&mut dyn Tx) -> Result<Option<Vec<String>>> + Clone + Send + 'static,
) -> Result<Vec<String>> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        if let Some(lines) = store.read(compare.clone()).await? {
            return Ok(lines);
        }
        tries += 1;
        if begun.elapsed() > patience {
            return Ok(vec![format!(
                "not compared: {what} was being built or moved on at each of {tries} tries; ask again when less is changed"
            )]);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bey_07_what_could_not_be_compared_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cairn.db"), 2).unwrap();
        let counts = Counts::default();
        let (of, patience) = (counts.clone(), Duration::from_millis(20));
        let compare = move |tx: &mut dyn Tx| of.differences(tx);
        let lines = patiently(&store, "the numbers", patience, compare.clone()).await.unwrap();
        assert!(lines.len() == 1 && lines[0].starts_with("not compared: the numbers"), "{lines:?}");
        counts.count(&store).await.unwrap();
        let lines = patiently(&store, "the numbers", patience, compare).await.unwrap();
        assert_eq!(lines, Vec::<String>::new());
    }

    #[tokio::test]
    async fn bey_07_comparing_waits_for_what_is_built_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cairn.db"), 2).unwrap();
        let of = Counts::default();
        let (later, there) = (of.clone(), store.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            later.count(&there).await.unwrap();
        });
        assert_eq!(counts(&of, &store).await.unwrap(), Vec::<String>::new());
    }
}
