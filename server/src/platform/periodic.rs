//! Work that comes round: expired sessions and results, due clean-ups, capacities, expunging.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_store::{Tx, params};
use cairn_types::{Result, time};

use crate::app::App;
use crate::platform::{audit, cleanup, events, hooks, jobs, runs, subscriptions};

/// Starts all periodic work. It ends with the server.
pub fn start(app: &Arc<App>) {
    every(app, Duration::from_secs(1), |app| async move {
        cleanup::due(&app).await;
        Ok(())
    });
    // On its own: a receiver that is slow to answer holds up nothing else.
    every(app, Duration::from_secs(1), |app| async move {
        hooks::due(&app).await;
        Ok(())
    });
    every(app, Duration::from_secs(60), |app| async move { expire(&app).await });
    every(app, Duration::from_secs(30), |app| async move { crate::storage::capacity::refresh(&app).await });
    every(app, Duration::from_secs(10), |app| async move { crate::compute::expunge::due(&app).await });
    every(app, Duration::from_secs(10), |app| async move { crate::storage::image::expunge_due(&app).await });
}

/// Runs something again and again, with the same pause between end and begin.
pub fn every<F, Fut>(app: &Arc<App>, pause: Duration, work: F)
where
    F: Fn(Arc<App>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let app: Weak<App> = Arc::downgrade(app);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(app) = app.upgrade() else { return };
            if let Err(f) = work(app).await {
                tracing::warn!(error = %f, "periodic work failed and is tried again");
            }
        }
    });
}

/// Removes what has had its time: sessions, results, events, audit rows, runs.
pub async fn expire(app: &Arc<App>) -> Result<()> {
    let period = app.settings.int("rest", "completedApi.expiredPeriod");
    let (event_days, audit_days) =
        (app.settings.int("cairn", "event.keepDays"), app.settings.int("cairn", "audit.keepDays"));
    app.identity.forget_expired();
    let run_days = app.settings.int("cairn", "run.keepDays");
    app.store
        .write(move |tx: &mut dyn Tx| {
            let now = time::now_ms();
            tx.execute("DELETE FROM session WHERE expired_ms < ?", params![now])?;
            tx.execute("UPDATE management_node SET heart_beat_ms = ?", params![now])?;
            jobs::expire(tx, period)?;
            events::prune(tx, event_days)?;
            audit::prune(tx, audit_days)?;
            subscriptions::prune(tx)?;
            runs::prune(tx, run_days)?;
            Ok(())
        })
        .await
}
