//! Work that comes round: expired sessions and results, due clean-ups, capacities, expunging.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use cairn_store::{Tx, params};
use cairn_types::{Result, time};
use futures_util::FutureExt;

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
    as_set(
        app,
        ("identity", "session.cleanup.interval"),
        None,
        |app| async move { expire_sessions(&app).await },
    );
    as_set(app, ("rest", "expiredApi.scanInterval"), None, |app| async move { expire_jobs(&app).await });
    every(app, Duration::from_secs(30), |app| async move { crate::storage::capacity::refresh(&app).await });
    every(app, Duration::from_secs(5), |app| async move { crate::storage::connect::judge_due(&app).await });
    // Expunging looks at the time of each VM, so looking more often than the setting asks for only makes it more exact.
    let soon = Some(Duration::from_secs(10));
    as_set(
        app,
        ("vm", "expungeInterval"),
        soon,
        |app| async move { crate::compute::expunge::due(&app).await },
    );
    every(app, Duration::from_secs(10), |app| async move { crate::storage::image::expunge_due(&app).await });
}

/// Runs something again and again, with the same pause between end and begin. What fails or panics is logged and tried again.
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
            let round = match catch_unwind(AssertUnwindSafe(|| work(app))) {
                Ok(round) => AssertUnwindSafe(round).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            match round {
                Ok(Ok(())) => {}
                Ok(Err(f)) => tracing::warn!(error = %f, "periodic work failed and is tried again"),
                Err(panic) => {
                    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                    tracing::error!(panic = %text, "periodic work panicked and is tried again");
                }
            }
        }
    });
}

/// Runs something as often as a setting says, in seconds, and at least every `most`. The setting is read again and again, so
/// a change of it works at once.
fn as_set<F, Fut>(app: &Arc<App>, setting: (&'static str, &'static str), most: Option<Duration>, work: F)
where
    F: Fn(Arc<App>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let (last, work) = (Arc::new(Mutex::new(Instant::now())), Arc::new(work));
    every(app, Duration::from_secs(1), move |app| {
        let (last, work) = (last.clone(), work.clone());
        async move {
            let set = Duration::from_secs(u64::try_from(app.settings.int(setting.0, setting.1)).unwrap_or(1));
            let pause = most.map_or(set, |most| most.min(set));
            let is_due = {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let is_due = last.elapsed() >= pause;
                if is_due {
                    *last = Instant::now();
                }
                is_due
            };
            if is_due { work(app).await } else { Ok(()) }
        }
    });
}

/// Removes sessions that have expired.
pub async fn expire_sessions(app: &Arc<App>) -> Result<()> {
    app.identity.forget_expired();
    let sql = "DELETE FROM session WHERE expired_ms < ?";
    app.store.write(move |tx| tx.execute(sql, params![time::now_ms()]).map(|_| ())).await
}

/// Removes results of jobs that have had their time.
pub async fn expire_jobs(app: &Arc<App>) -> Result<()> {
    let period = app.settings.int("rest", "completedApi.expiredPeriod");
    app.store.write(move |tx| jobs::expire(tx, period).map(|_| ())).await
}

/// Removes what has had its time in the history: events, audit rows, runs. Notes that this server is there.
pub async fn expire(app: &Arc<App>) -> Result<()> {
    let days = |name: &str| app.settings.int("cairn", name);
    let (event_days, audit_days, run_days) =
        (days("event.keepDays"), days("audit.keepDays"), days("run.keepDays"));
    let node = app.node.clone();
    app.store
        .write(move |tx: &mut dyn Tx| {
            let sql = "UPDATE management_node SET heart_beat_ms = ? WHERE uuid = ?";
            tx.execute(sql, params![time::now_ms(), &node])?;
            events::prune(tx, event_days)?;
            audit::prune(tx, audit_days)?;
            subscriptions::prune(tx)?;
            runs::prune(tx, run_days)?;
            Ok(())
        })
        .await
}
