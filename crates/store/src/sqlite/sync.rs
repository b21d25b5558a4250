//! Makes commits durable on a thread of its own. The writer goes on with the next batch while the disk works on the last one,
//! and one sync serves every commit that came before it.
//!
//! A COMMIT only appends to the write-ahead log, in order and with a chain of checksums; a sync of the log then makes all of
//! it durable. So answers wait for the sync, not for the writer, and so does a read: what it saw may be committed but not
//! yet on disk, and it leaves only when that is. If a sync fails nobody knows what the disk kept: from then on everything is
//! refused, until a restart reads what is really there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

use cairn_types::{Fault, Result, code};
use tokio::sync::watch;

use super::Request;
use crate::stopped;

/// Makes the log durable.
pub(crate) type Sync = Box<dyn FnMut() -> std::io::Result<()> + Send>;

/// Tells a caller how its commit ended.
pub(crate) type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// What one COMMIT held.
pub(crate) struct Commit {
    /// Its number; they count up by one.
    pub(crate) number: u64,
    /// Whether anything was written, so that there is something to sync.
    pub(crate) wrote: bool,
    /// How the COMMIT itself ended.
    pub(crate) end: Result<()>,
    /// Who waits for it.
    pub(crate) answers: Vec<Answer>,
}

/// What is durable, for whoever waits for it.
#[derive(Clone)]
pub(crate) struct Durable {
    synced: watch::Receiver<u64>,
    broken: Arc<OnceLock<Fault>>,
}

impl Durable {
    /// Waits until this commit and all before it are on disk.
    pub(crate) async fn wait(&self, number: u64) -> Result<()> {
        if *self.synced.borrow() < number {
            self.synced.clone().wait_for(|synced| *synced >= number).await.map_err(|_| stopped())?;
        }
        self.broken.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Changes after every sync.
    pub(crate) fn syncs(&self) -> watch::Receiver<u64> {
        self.synced.clone()
    }
}

/// The log beside a database file.
pub(crate) fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Syncs the log beside a database file.
pub(crate) fn of_log(database: &Path) -> Sync {
    let (path, mut file) = (log_of(database), None::<File>);
    // The log exists from the first commit on and stays the same file as long as the writer has it open.
    Box::new(move || match &file {
        Some(file) => file.sync_data(),
        None => file.insert(File::open(&path)?).sync_data(),
    })
}

/// Starts the thread. It tells the writer what is done, and ends when the sender is dropped and every commit is answered.
pub(crate) fn start(sync: Sync, writer: Sender<Request>) -> Result<(Sender<Commit>, Durable)> {
    let (sender, commits) = channel();
    let (progress, synced) = watch::channel(0);
    let broken = Arc::<OnceLock<Fault>>::default();
    let durable = Durable { synced, broken: broken.clone() };
    std::thread::Builder::new()
        .name("store-sync".into())
        .spawn(move || {
            let synced = |number| {
                progress.send_replace(number);
                // A writer that has stopped needs to know nothing.
                let _ = writer.send(Request::Synced(number));
            };
            serve(sync, &commits, synced, &broken);
        })
        .map_err(|e| Fault::internal(format!("the thread that syncs could not be started: {e}")))?;
    Ok((sender, durable))
}

fn serve(mut sync: Sync, commits: &Receiver<Commit>, synced: impl Fn(u64), broken: &OnceLock<Fault>) {
    while let Ok(first) = commits.recv() {
        let ready: Vec<Commit> = std::iter::once(first).chain(commits.try_iter()).collect();
        if broken.get().is_none()
            && ready.iter().any(|c| c.wrote)
            && let Err(error) = sync()
        {
            tracing::error!(%error, "the database could not be synced; it serves nothing until a restart");
            let text =
                "the disk of the database did not keep what was written; repair it, then restart the server";
            let _ = broken.set(Fault::new(code::STORE, text).for_operator(error));
        }
        let last = ready.last().map(|c| c.number);
        for commit in ready {
            let end = match broken.get() {
                Some(fault) => Err(fault.clone()),
                None => commit.end,
            };
            for answer in commit.answers {
                answer(end.clone());
            }
        }
        if let Some(last) = last {
            synced(last);
        }
    }
}
