//! Commands on their way to agents.

use std::time::Duration;

use cairn_api::agent::AgentOp;
use cairn_api::agent::storage::UncacheImage;
use cairn_server::agents::CallOptions;
use cairn_testkit::Cloud;

/// A step that is repeated while its first try still waits asks under the same id.
#[tokio::test]
async fn bey_02_all_who_wait_for_one_command_get_its_result_and_it_is_done_once() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let machine = cloud.machines.host(&world.hosts[0]);
    let before = machine.commands();
    machine.hang(UncacheImage::NAME);
    let op = UncacheImage { storage_path: "/ps".into(), image: "none".into() };
    let ask = |timeout| {
        let options = CallOptions {
            id: "one".into(),
            timeout: Some(Duration::from_millis(timeout)),
            ..CallOptions::default()
        };
        cloud.app().agents.call(&world.hosts[0], &op, options)
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        machine.release();
    };
    let (first, impatient, last, ()) = tokio::join!(ask(10_000), ask(50), ask(10_000), release);
    assert!(impatient.is_err(), "it waits for 50 ms");
    assert!(first.is_ok() && last.is_ok(), "{first:?} {last:?}");
    assert_eq!(machine.commands(), before + 1);
    // Once nobody is left who waits for it, it is cancelled.
    machine.hang(UncacheImage::NAME);
    let (one, other) = tokio::join!(ask(50), ask(80));
    assert!(one.is_err() && other.is_err());
    machine.release();
}
