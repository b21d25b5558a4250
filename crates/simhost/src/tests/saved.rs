//! Machines that outlive the process that simulates them, and who sees their commands.

use std::sync::{Arc, Mutex};

use cairn_api::agent::image_store::{ConnectImageStore, OpenDownload};
use cairn_api::agent::storage::ReadVolume;

use super::*;
use crate::{Moment, Witness};

#[tokio::test(start_paused = true)]
async fn machines_that_were_saved_come_back_with_all_that_was_on_them() {
    let cloud = SimCloud::new(1);
    let mut server = start(&cloud.agent().host(H1).image_store(BS).build()).accept().await;
    server.epoch = 7;
    server.call(H1, ConnectLocalStorage { path: "/ps".into(), shared: false }).await.unwrap();
    let volume = CreateVolume {
        storage_path: "/ps".into(),
        volume: "v1".into(),
        r#type: "Root".into(),
        size_bytes: GIB,
        image: None,
    };
    server.call(H1, volume.clone()).await.unwrap();
    server.call(H1, ConnectLocalStorage { path: "/shared".into(), shared: true }).await.unwrap();
    let of_all = CreateVolume { storage_path: "/shared".into(), volume: "v2".into(), ..volume.clone() };
    server.call(H1, of_all).await.unwrap();
    server.call(BS, ConnectImageStore { path: "/bs".into() }).await.unwrap();
    let text = cloud.save().unwrap();

    let later = SimCloud::new(2);
    later.restore(&text).unwrap();
    assert_eq!(later.snapshot(), cloud.snapshot());
    assert_eq!(later.snapshot().hosts[H1].volumes.len(), 1);
    // A new process: the server names the targets, and the agent says on its next dial that it has them.
    let agent = later.agent().build();
    let mut listener = start(&agent);
    let mut server = listener.accept().await;
    assert!(server.targets.is_empty());
    let targets = [(H1, TargetKind::Host), (BS, TargetKind::ImageStore)];
    let targets = targets.map(|(uuid, kind)| Target { uuid: uuid.into(), kind }).to_vec();
    server.writer.send(&ServerFrame::Targets { targets: targets.clone() }).await.unwrap();
    server.epoch = 6;
    let old = server.call(H1, ConnectLocalStorage { path: "/ps".into(), shared: false }).await.unwrap_err();
    assert_eq!(old.code, cairn_types::code::AGENT_OLD_EPOCH, "the epoch is saved too");
    server.epoch = 7;
    assert_eq!(server.call(H1, volume).await.unwrap().size_bytes, GIB);
    let of_all = ReadVolume { storage_path: "/shared".into(), volume: "v2".into(), r#type: "Root".into() };
    assert_eq!(server.call(H1, of_all).await.unwrap().size_bytes, GIB, "what hosts share is saved too");
    assert_eq!(later.host(H1).volumes().len(), 2, "the file was there and was not made again");
    let open = OpenDownload { store_path: "/bs".into(), image: "i".into(), token: "t".into(), valid_ms: 0 };
    let missing = server.call(BS, open).await.unwrap_err();
    assert!(missing.details.contains("not in the image store"), "its folder is connected: {missing}");
    later.host(H1).drop_connection();
    assert_eq!(listener.accept().await.targets, targets);
}

#[test]
fn what_is_no_saved_cloud_is_refused() {
    assert!(SimCloud::new(1).restore("{}").is_err());
}

/// Notes what it sees, and what was on the host then.
struct Note(SimCloud, Mutex<Vec<(String, Moment, usize)>>);

impl Witness for Note {
    fn at(&self, target: &str, op: &str, moment: Moment) {
        let volumes = self.0.host(target).volumes().len();
        self.1.lock().unwrap().push((op.to_owned(), moment, volumes));
    }
}

#[tokio::test(start_paused = true)]
async fn a_witness_sees_each_command_before_its_work_and_after_it() {
    let cloud = SimCloud::new(1);
    let note = Arc::new(Note(cloud.clone(), Mutex::default()));
    cloud.watch(note.clone());
    let mut server = start(&cloud.agent().host(H1).build()).accept().await;
    server.call(H1, ConnectLocalStorage { path: "/ps".into(), shared: false }).await.unwrap();
    let volume = |size_bytes| CreateVolume {
        storage_path: "/ps".into(),
        volume: "v1".into(),
        r#type: "Root".into(),
        size_bytes,
        image: None,
    };
    server.call(H1, volume(GIB)).await.unwrap();
    // Failed work is over as well; a command that is refused was never taken in.
    server.call(H1, CreateVolume { r#type: "Odd".into(), ..volume(GIB) }).await.unwrap_err();
    server.call(H2, volume(GIB)).await.unwrap_err();
    let seen = note.1.lock().unwrap();
    let seen: Vec<_> = seen.iter().map(|(op, moment, volumes)| (op.as_str(), *moment, *volumes)).collect();
    let expected = [
        ("storage.connect", Moment::Received, 0),
        ("storage.connect", Moment::Done, 0),
        ("volume.create", Moment::Received, 0),
        ("volume.create", Moment::Done, 1),
        ("volume.create", Moment::Received, 1),
        ("volume.create", Moment::Done, 1),
    ];
    assert_eq!(seen, expected);
}
