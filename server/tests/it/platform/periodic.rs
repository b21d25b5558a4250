use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_server::platform::periodic;
use cairn_testkit::Cloud;
use cairn_types::Fault;

/// Work that panics, before and after it gives its future, and fails, goes on all the same.
#[tokio::test]
async fn bey_02_periodic_work_that_panics_goes_on() {
    let cloud = Cloud::start().await;
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = rounds.clone();
    let start = move |app: Arc<cairn_server::app::App>| async move {
        periodic::every(&app, Duration::from_millis(1), move |_| {
            let round = counted.fetch_add(1, Ordering::Relaxed);
            assert!(round != 1, "this round panics at once");
            async move {
                assert!(round != 3, "this round panics later");
                if round == 5 { Err(Fault::internal("this round fails")) } else { Ok(()) }
            }
        });
    };
    cloud.inside(start).await;
    let end = Instant::now() + Duration::from_secs(10);
    while rounds.load(Ordering::Relaxed) < 10 {
        assert!(Instant::now() < end, "it stopped after round {}", rounds.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
