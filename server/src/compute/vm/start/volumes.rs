//! The image in the host's cache, and the files of the volumes.

use cairn_api::agent::storage::{CreateVolume, DeleteVolume};
use cairn_store::{Tx, params};
use cairn_types::Result;
use cairn_workflow::Cx;
use serde_json::json;

use super::place::Missing;
use super::{StartVm, Step};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::{rows, storage};

impl StartVm {
    pub(super) async fn cache_image(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        match place.image.filter(|_| !place.is_cached) {
            Some(image) => storage::cache::ensure(cx, image, place.storage, place.host).await,
            None => Ok(()),
        }
    }

    pub(super) async fn plan_image(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some((image, host)) = self.place.as_ref().and_then(|p| p.image.map(|i| (i, p.host))) else {
            return Ok(());
        };
        let sql = "SELECT 1 FROM image_cache WHERE image_uuid = ? AND host_uuid = ?";
        let there = cx.read(move |tx| tx.exists(sql, params![image, host])).await?;
        let text =
            if there { "use the image in the host's cache" } else { "copy the image to the host first" };
        cx.tell("CacheImage", text, "");
        Ok(())
    }

    pub(super) async fn make_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        for Missing { volume, r#type, size_bytes, image } in &place.missing {
            let op = CreateVolume {
                storage_path: place.storage_path.clone(),
                volume: volume.to_string(),
                r#type: r#type.clone(),
                size_bytes: u64::try_from(*size_bytes).unwrap_or(0),
                image: image.map(|i| i.to_string()),
            };
            self.file = Some(cx.agent(place.host, &format!("create-{volume}"), &op).await?);
        }
        Ok(())
    }

    pub(super) fn plan_volumes(&self, cx: &Cx<App>) -> Result<()> {
        for Missing { volume, r#type, size_bytes, .. } in self.place.iter().flat_map(|p| &p.missing) {
            let size = cairn_types::size::show_size(u64::try_from(*size_bytes).unwrap_or(0));
            cx.tell("MakeVolumes", format!("make {type} volume {volume} of {size}"), "");
        }
        Ok(())
    }

    pub(super) async fn remove_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        for Missing { volume, r#type, .. } in &place.missing {
            let op = DeleteVolume {
                storage_path: place.storage_path.clone(),
                volume: volume.to_string(),
                r#type: r#type.clone(),
            };
            cx.agent_or_later(place.host, &format!("delete-{volume}"), &op).await?;
        }
        Ok(())
    }

    pub(super) async fn note_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        cx.tx_opening(self, Some(Step::PrepareNetworks), |w, tx| {
            let (Some(file), Some(place)) = (&w.file, &w.place) else { return Ok(()) };
            for Missing { volume, .. } in &place.missing {
                let sql = "UPDATE volume SET install_path = ?, format = ?, size = ?, actual_size = ?, status = 'Ready' WHERE uuid = ?";
                tx.execute(sql, params![&file.path, &file.format, file.size_bytes, file.actual_bytes, *volume])?;
                rows::changed(tx, "VolumeVO", *volume, &json!({ "status": "Ready" }))?;
            }
            Ok(())
        })
        .await
    }

    pub(super) fn plan_ready(&self, tx: &mut dyn Tx) -> Result<()> {
        for Missing { volume, .. } in self.place.iter().flat_map(|p| &p.missing) {
            tx.execute("UPDATE volume SET status = 'Ready' WHERE uuid = ?", params![*volume])?;
            rows::changed(tx, "VolumeVO", *volume, &json!({ "status": "Ready" }))?;
        }
        Ok(())
    }
}
