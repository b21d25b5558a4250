//! Connecting and measuring a primary storage on its hosts again.

use cairn_api::ops::storage::{ReconnectPrimaryStorage, SyncPrimaryStorageCapacity};
use cairn_store::Tx;
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ENTITY, INVENTORY, SIMULATOR, Storage, hosts};
use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::{Handlers, Launch};
use crate::inventory;
use crate::storage::answer::Dates;
use crate::storage::connect::{self, Measured};

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<ReconnectPrimaryStorage, _>(reconnect);
    h.run::<SyncPrimaryStorageCapacity, _>(sync);
}

async fn reconnect(call: Call, op: ReconnectPrimaryStorage) -> Result<Launch> {
    let storage = id("uuid", &op.uuid)?;
    Ok(Launch::run(MeasurePrimaryStorage { storage, dates: call.dates.into(), verdict: None }))
}

async fn sync(call: Call, op: SyncPrimaryStorageCapacity) -> Result<Launch> {
    let storage = id("primaryStorageUuid", &op.primary_storage_uuid)?;
    Ok(Launch::run(MeasurePrimaryStorage { storage, dates: call.dates.into(), verdict: None }))
}

/// Connects a primary storage on every host that uses it, and measures it there. Succeeds if any host reaches it. What
/// was found is written in either case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MeasurePrimaryStorage {
    storage: Id<kind::PrimaryStorage>,
    dates: Dates,
    /// Why no host reaches it.
    verdict: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Measure,
    Judge,
}
use Step::{Judge, Measure};

impl Workflow for MeasurePrimaryStorage {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "primary-storage.measure/1";
    const STEPS: &'static [Step] = &[Measure, Judge];

    fn about(&self) -> About {
        About::resource(self.storage, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Measure, Dir::Do) => self.measure(cx).await,
            (Measure, Dir::Plan) => {
                let storage = self.storage;
                let hosts = cx.read(move |tx| hosts(tx, storage, None)).await?;
                cx.tell("Measure", format!("{} hosts would be asked", hosts.len()), "");
                Ok(())
            }
            // What hosts said is true whatever becomes of this run.
            (Measure | Judge, Dir::Undo) | (Judge, Dir::Plan) => Ok(()),
            (Judge, Dir::Do) => self.verdict.clone().map_or(Ok(()), Err),
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, INVENTORY, self.storage, self.dates.into())
    }
}

impl MeasurePrimaryStorage {
    async fn measure(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let uuid = self.storage;
        let read = move |tx: &mut dyn Tx| Ok((Storage::find(tx, uuid)?, hosts(tx, uuid, None)?));
        let (storage, hosts) = cx.read(read).await?;
        cx.effect().await?;
        let measured = connect::measure(cx.env(), &storage, hosts).await;
        let verdict = verdict(&storage, &measured);
        cx.tx(self, move |w, tx| {
            w.verdict.clone_from(&verdict);
            connect::note_all(tx, &storage, &measured)
        })
        .await
    }
}

/// Why the storage can't be reached at all; none if a host reaches it, or if there is none that should.
fn verdict(storage: &Storage, measured: &[Measured]) -> Option<Fault> {
    if measured.is_empty() || storage.r#type == SIMULATOR || measured.iter().any(|(_, r)| r.is_ok()) {
        return None;
    }
    let text = format!("none of the {} hosts of primary storage {} reaches it", measured.len(), storage.uuid);
    let mut fault = Fault::new(code::PS_DISCONNECTED, text).with("uuid", storage.uuid.to_string());
    fault.causes = measured.iter().filter_map(|(_, r)| r.clone().err()).take(10).collect();
    Some(fault)
}
