//! Results until they are acknowledged, epochs and targets: what makes commands happen once across restarts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_api::agent::{Command, Target};
use cairn_types::{Fault, code};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::write_file;

/// Results of reads that are remembered without being written; older ones may be read again.
const READS: usize = 256;
/// Lines of forgotten results after which the file is written anew.
const SLACK: usize = 1000;

/// One line of `results.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    /// The result; none: acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Outcome>,
}

#[derive(Clone, Serialize, Deserialize)]
enum Outcome {
    Ok(Value),
    Err(Box<Fault>),
}

#[derive(Default)]
struct Inner {
    results: HashMap<String, Outcome>,
    reads: VecDeque<String>,
    log: Option<File>,
    dead_lines: usize,
    epochs: BTreeMap<String, u64>,
}

/// What is kept in the state folder.
pub struct Kept {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

impl Kept {
    /// Reads what an earlier process kept.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let epochs =
            std::fs::read(folder.join("epochs.json")).ok().and_then(|b| serde_json::from_slice(&b).ok());
        let inner = Inner {
            results: read_results(&folder.join("results.jsonl"))?,
            epochs: epochs.unwrap_or_default(),
            ..Inner::default()
        };
        let this = Self { folder: folder.to_owned(), inner: Mutex::new(inner) };
        this.rewrite(&mut this.inner())?;
        Ok(this)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a command of this epoch pass, or tells why not. A higher epoch is written down before anything is done.
    pub fn admit_epoch(&self, target: &str, epoch: u64) -> Result<(), Fault> {
        let mut inner = self.inner();
        let seen = inner.epochs.get(target).copied().unwrap_or(0);
        if epoch < seen {
            let text = format!("epoch {epoch} of {target} is over; the agent obeys epoch {seen}");
            return Err(Fault::new(code::AGENT_OLD_EPOCH, text).with("epoch", epoch).with("seen", seen));
        }
        if epoch > seen {
            inner.epochs.insert(target.to_owned(), epoch);
            let written = write_file(&self.folder.join("epochs.json"), &json(&inner.epochs)?, 0o600);
            if let Err(e) = written {
                inner.epochs.insert(target.to_owned(), seen);
                return Err(crate::process::io_fault(
                    code::INTERNAL,
                    "the agent could not keep its epoch",
                    &e,
                ));
            }
        }
        Ok(())
    }

    /// The result of a command that has ended.
    pub fn result(&self, id: &str) -> Option<Result<Value, Fault>> {
        self.inner().results.get(id).map(|o| o.clone().into())
    }

    /// All results that are not acknowledged.
    pub fn results(&self) -> Vec<(String, Result<Value, Fault>)> {
        self.inner().results.iter().map(|(id, o)| (id.clone(), o.clone().into())).collect()
    }

    /// Keeps the end of a command: durably when a workflow asked, in memory when it was a read.
    pub fn keep(&self, command: &Command, result: &Result<Value, Fault>) -> io::Result<()> {
        let outcome = match result {
            Ok(v) => Outcome::Ok(v.clone()),
            Err(f) => Outcome::Err(Box::new(f.clone())),
        };
        let mut inner = self.inner();
        inner.results.insert(command.id.clone(), outcome.clone());
        if !command.run.is_empty() {
            return self.append(&mut inner, &[Line { id: command.id.clone(), result: Some(outcome) }]);
        }
        inner.reads.push_back(command.id.clone());
        if inner.reads.len() > READS
            && let Some(old) = inner.reads.pop_front()
        {
            inner.results.remove(&old);
        }
        Ok(())
    }

    /// Forgets acknowledged results.
    pub fn forget(&self, ids: &[String]) -> io::Result<()> {
        let mut inner = self.inner();
        let mut lines = Vec::new();
        for id in ids {
            if inner.results.remove(id).is_none() {
                continue;
            }
            let before = inner.reads.len();
            inner.reads.retain(|r| r != id);
            if inner.reads.len() == before {
                lines.push(Line { id: id.clone(), result: None });
            }
        }
        inner.dead_lines += 2 * lines.len();
        if inner.dead_lines > SLACK {
            return self.rewrite(&mut inner);
        }
        self.append(&mut inner, &lines)
    }

    fn append(&self, inner: &mut Inner, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        let log = match &mut inner.log {
            Some(log) => log,
            none => {
                let file =
                    File::options().append(true).create(true).open(self.folder.join("results.jsonl"))?;
                none.insert(file)
            }
        };
        log.write_all(&text)?;
        log.sync_data()
    }

    fn rewrite(&self, inner: &mut Inner) -> io::Result<()> {
        let mut text = Vec::new();
        for (id, outcome) in &inner.results {
            if !inner.reads.contains(id) {
                serde_json::to_writer(&mut text, &Line { id: id.clone(), result: Some(outcome.clone()) })?;
                text.push(b'\n');
            }
        }
        inner.log = None;
        inner.dead_lines = 0;
        write_file(&self.folder.join("results.jsonl"), &text, 0o600)
    }

    /// The targets served last.
    pub fn targets(&self) -> Vec<Target> {
        let bytes = std::fs::read(self.folder.join("targets.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Keeps the targets served now.
    pub fn set_targets(&self, targets: &[Target]) -> io::Result<()> {
        write_file(&self.folder.join("targets.json"), &serde_json::to_vec(targets)?, 0o600)
    }
}

impl From<Outcome> for Result<Value, Fault> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok(v) => Ok(v),
            Outcome::Err(f) => Err(*f),
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value)
        .map_err(|e| Fault::internal("a state could not be written as JSON").for_operator(e))
}

/// Replays the file. A torn last line (power loss) is skipped: its command runs again, which is safe.
fn read_results(path: &Path) -> io::Result<HashMap<String, Outcome>> {
    let mut results = HashMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(results),
        Err(e) => return Err(e),
    };
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice::<Line>(&line?) {
            Ok(Line { id, result: Some(outcome) }) => results.insert(id, outcome),
            Ok(Line { id, result: None }) => results.remove(&id),
            Err(_) => continue,
        };
    }
    Ok(results)
}
