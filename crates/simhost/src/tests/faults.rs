//! Faults and latencies that tests set.

use cairn_api::agent::vm::{ListVms, PowerState};
use cairn_types::code;

use super::*;

async fn two_hosts() -> (SimCloud, Server, Listener) {
    let cloud = SimCloud::new(1);
    let mut listener = start(&cloud.agent().host(H1).host(H2).build());
    let server = listener.accept().await;
    (cloud, server, listener)
}

async fn lone_host() -> (SimCloud, Server, Listener) {
    let cloud = SimCloud::new(1);
    let mut listener = start(&cloud.agent().host(H1).build());
    let mut server = listener.accept().await;
    server.prepare(H1).await;
    server.boot(H1, "vm1", 1).await.unwrap();
    (cloud, server, listener)
}

#[tokio::test(start_paused = true)]
async fn the_second_start_fails_and_leaves_nothing() {
    let (cloud, mut server, _l) = two_hosts().await;
    server.prepare(H1).await;
    cloud.host(H1).fail("vm.start", 2, Fault::new(code::AGENT_HYPERVISOR, "no luck"));
    server.boot(H1, "vm1", 1).await.unwrap();
    assert_eq!(server.boot(H1, "vm2", 2).await.unwrap_err().details, "no luck");
    assert_eq!(cloud.host(H1).vm_state("vm2"), PowerState::Off);
    assert_eq!(cloud.all().waiting_faults() + cloud.host(H1).waiting_faults(), 0);
    server.boot(H1, "vm2", 2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_says_it_failed_may_have_worked() {
    let (cloud, mut server, _l) = two_hosts().await;
    server.prepare(H1).await;
    cloud.all().fail_after("vm.start", 1, Fault::new(code::TIMEOUT, "who knows"));
    assert_eq!(server.boot(H1, "vm1", 1).await.unwrap_err().code, code::TIMEOUT);
    assert_eq!(cloud.host(H1).vm_state("vm1"), PowerState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_hung_command_holds_up_no_other_and_can_be_released_or_cancelled() {
    let (cloud, mut server, _l) = two_hosts().await;
    cloud.host(H1).hang("vm.list");
    server.send("hung", H1, &ListVms {}).await;
    server.call(H1, ListVms {}).await.unwrap();
    server.call(H2, ListVms {}).await.unwrap();
    assert!(server.is_quiet().await);
    cloud.host(H1).release();
    server.result("hung").await.unwrap();

    cloud.host(H1).hang("vm.list");
    server.send("hung2", H1, &ListVms {}).await;
    server.writer.send(&ServerFrame::Cancel { id: "hung2".into() }).await.unwrap();
    assert_eq!(server.result("hung2").await.unwrap_err().code, code::TIMEOUT);
    cloud.host(H1).release();
    assert!(server.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_about_the_same_thing_waits_and_an_older_server_is_not_obeyed_after_a_newer_one() {
    let (cloud, mut server, mut listener) = two_hosts().await;
    server.prepare(H1).await;
    cloud.host(H1).hang("network.applyL3");
    server.send("hung", H1, &l3(Vec::new())).await;
    server.send("behind", H1, &l3(Vec::new())).await;
    assert!(server.is_quiet().await);
    server.writer.send(&ServerFrame::Cancel { id: "hung".into() }).await.unwrap();
    assert_eq!(server.result("hung").await.unwrap_err().code, code::TIMEOUT);
    server.result("behind").await.unwrap();

    cloud.host(H1).hang("network.applyL3");
    server.send("older", H1, &l3(Vec::new())).await;
    assert!(server.is_quiet().await);
    cloud.host(H1).drop_connection();
    server.wait_for_end().await;
    let mut newer = listener.accept().await;
    newer.epoch = server.epoch + 1;
    newer.call(H1, ListVms {}).await.unwrap();
    cloud.host(H1).release();
    assert_eq!(newer.result("older").await.unwrap_err().code, code::AGENT_OLD_EPOCH);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_comes_with_the_next_connection() {
    let (cloud, mut server, mut listener) = lone_host().await;
    cloud.host(H1).drop_result("vm.list");
    server.send("lost", H1, &ListVms {}).await;
    server.wait_for_end().await;
    assert!(server.results.is_empty());
    let boot = server.boot.clone();
    let mut server = listener.accept().await;
    assert_eq!(server.boot, boot);
    server.result("lost").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarts_forgets_commands_but_keeps_its_vms() {
    let (cloud, mut server, mut listener) = lone_host().await;
    cloud.host(H1).restart_agent_after("vm.start");
    server.call(H1, volume("vm2-root", GIB)).await.unwrap();
    server.send("s", H1, &StartVm { spec: spec("vm2", 2) }).await;
    server.wait_for_end().await;
    let boot = server.boot.clone();
    let mut server = listener.accept().await;
    assert_ne!(server.boot, boot);
    assert!(server.is_quiet().await);
    // Sent again, it finds the VM running.
    server.send("s", H1, &StartVm { spec: spec("vm2", 2) }).await;
    server.result("s").await.unwrap();
    assert_eq!(cloud.host(H1).vms()["vm2"].starts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_host_comes_back_without_running_vms_and_bridges() {
    let (cloud, mut server, mut listener) = lone_host().await;
    let boot = server.boot.clone();
    cloud.host(H1).crash();
    server.wait_for_end().await;
    let mut server = listener.accept().await;
    assert_ne!(server.boot, boot);
    assert_eq!(server.call(H1, ListVms {}).await.unwrap()[0].state, PowerState::Off);
    assert!(cloud.host(H1).bridges().is_empty());
    assert_eq!(cloud.host(H1).volumes().len(), 1);
    server.call(H1, bridge("br0", "eth1")).await.unwrap();
    server.boot(H1, "vm1", 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_vanishes_from_a_shared_connection_is_named_and_silent() {
    let (cloud, mut server, _l) = two_hosts().await;
    cloud.host(H1).vanish();
    server.send("gone", H1, &ListVms {}).await;
    server.call(H2, ListVms {}).await.unwrap();
    assert!(server.is_quiet().await);
    let last = server.heartbeats.last().unwrap();
    assert_eq!((last.len(), last[0].0.as_str()), (1, H1));
    cloud.host(H1).recover();
    cloud.host(H1).release();
    server.result("gone").await.unwrap();
    server.call(H1, ListVms {}).await.unwrap();
    assert!(server.heartbeats.last().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_libvirtd_fails_vm_commands_only() {
    let (cloud, mut server, _l) = lone_host().await;
    cloud.host(H1).fail_hypervisor();
    assert_eq!(server.call(H1, ListVms {}).await.unwrap_err().code, code::AGENT_LIBVIRTD);
    server.call(H1, volume("v", GIB)).await.unwrap();
    cloud.host(H1).recover();
    server.call(H1, ListVms {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_answers_but_sends_no_heartbeat() {
    let (cloud, mut server, _l) = lone_host().await;
    cloud.host(H1).silence(true);
    server.call(H1, ListVms {}).await.unwrap();
    server.heartbeats.clear();
    server.events.clear();
    assert!(server.is_quiet().await);
    assert!(server.heartbeats.is_empty());
    cloud.host(H1).silence(false);
    server.is_quiet().await;
    assert!(!server.heartbeats.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_agent_stays_away_until_it_may_come_back() {
    let (cloud, mut server, mut listener) = lone_host().await;
    cloud.host(H1).disconnect();
    server.wait_for_end().await;
    assert!(!cloud.host(H1).is_connected());
    let nobody = tokio::time::timeout(Duration::from_secs(60), listener.accept()).await;
    assert!(nobody.is_err());
    cloud.host(H1).lose_vm("vm1");
    cloud.host(H1).reconnect();
    let mut server = listener.accept().await;
    assert_eq!(server.call(H1, ListVms {}).await.unwrap(), []);
    assert!(cloud.host(H1).is_connected());
}

#[tokio::test(start_paused = true)]
async fn latencies_run_side_by_side() {
    let (cloud, mut server, _l) = two_hosts().await;
    cloud.all().delay("vm.list", Duration::from_secs(2));
    let begun = tokio::time::Instant::now();
    for n in 0..50 {
        server.send(&n.to_string(), if n % 2 == 0 { H1 } else { H2 }, &ListVms {}).await;
    }
    for n in 0..50 {
        server.result(&n.to_string()).await.unwrap();
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(3), "{took:?}");
}
