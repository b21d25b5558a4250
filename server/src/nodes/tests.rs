//! Membership on the rules of the rows alone; time is moved by moving the rows.

use cairn_store::{Store, Tx, params};
use cairn_types::code;

use super::store::{self, Addresses, Me, View};

const LEASE_MS: i64 = 5000;

fn me(n: usize) -> Me {
    Me {
        uuid: format!("018f3c7be3a97dcdb8b7f5b0c2a1d9e{n}"),
        host_name: format!("m{n}"),
        addresses: Addresses {
            agents: format!("m{n}:7443"),
            peers: format!("m{n}:7444"),
            ..Addresses::default()
        },
        lease_ms: LEASE_MS,
    }
}

struct Stage {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn with(nodes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cairn.db"), 1).unwrap();
        for n in 1..=nodes {
            store.write(move |tx| store::join(tx, &me(n))).await.unwrap();
        }
        Self { store, _folder: folder }
    }

    async fn tick(&self, n: usize, held: Option<i64>) -> View {
        self.store.write(move |tx| store::tick(tx, &me(n), held)).await.unwrap()
    }

    /// All leases end this much earlier, as if time had passed.
    async fn passes(&self, ms: i64) {
        self.store
            .write(move |tx: &mut dyn Tx| {
                tx.execute("UPDATE leadership SET lease_until_ms = lease_until_ms - ?", params![ms])?;
                tx.execute("UPDATE management_node SET lease_until_ms = lease_until_ms - ?", params![ms])
            })
            .await
            .unwrap();
    }

    /// Ticks all that do not lead until one does; the others see the same leader.
    async fn elect(&self, nodes: &[usize]) -> (usize, i64) {
        for _ in 0..2 {
            for n in nodes {
                let view = self.tick(*n, None).await;
                if view.is_mine {
                    return (*n, view.leader.unwrap().epoch);
                }
            }
            self.passes(LEASE_MS + 1).await;
        }
        panic!("nobody leads");
    }

    async fn may_write(&self, n: usize, epoch: i64) -> bool {
        let uuid = me(n).uuid;
        let asked = self.store.write(move |tx| store::still_leads(tx, &uuid, epoch)).await;
        assert!(asked.as_ref().err().is_none_or(|f| f.code == code::NOT_READY && f.retryable));
        asked.is_ok()
    }
}

#[tokio::test]
async fn ops_14_one_of_three_leads_and_the_others_know_where() {
    let stage = Stage::with(3).await;
    let (leader, epoch) = stage.elect(&[1, 2, 3]).await;
    assert!(stage.may_write(leader, epoch).await);
    for n in (1..=3).filter(|n| *n != leader) {
        let view = stage.tick(n, None).await;
        assert!(!view.is_mine && !stage.may_write(n, epoch).await);
        let seen = view.leader.unwrap();
        assert_eq!((seen.node, seen.epoch, seen.peers), (me(leader).uuid, epoch, format!("m{leader}:7444")));
        assert_eq!(view.agents, ["m1:7443", "m2:7443", "m3:7443"]);
    }
    let again = stage.tick(leader, Some(epoch)).await;
    assert!(again.is_mine && again.leader.unwrap().epoch == epoch, "it goes on in its epoch");
}

#[tokio::test]
async fn ops_14_a_leader_that_is_silent_is_followed_by_another_and_can_write_no_more() {
    let stage = Stage::with(3).await;
    let (first, epoch) = stage.elect(&[1, 2, 3]).await;
    stage.passes(LEASE_MS - 1000).await;
    let others: Vec<usize> = (1..=3).filter(|n| *n != first).collect();
    assert!(!stage.tick(others[0], None).await.is_mine, "the lease holds still");
    assert!(stage.may_write(first, epoch).await);
    stage.passes(1001).await;
    assert!(!stage.may_write(first, epoch).await, "over, though nobody has it yet");
    for n in &others {
        stage.tick(*n, None).await;
    }
    let (second, later) = {
        let views = [stage.tick(others[0], None).await, stage.tick(others[1], None).await];
        let leader = views[0].leader.clone().or(views[1].leader.clone()).expect("one of the two that live");
        (leader.node, leader.epoch)
    };
    assert!(later > epoch && second != me(first).uuid);
    let late = stage.tick(first, Some(epoch)).await;
    assert!(!late.is_mine && !stage.may_write(first, epoch).await);
    assert_eq!(late.leader.map(|l| l.epoch), Some(later));
}

#[tokio::test]
async fn ops_14_a_leader_that_was_late_goes_on_when_nobody_followed() {
    let stage = Stage::with(1).await;
    let (leader, epoch) = stage.elect(&[1]).await;
    stage.passes(3 * LEASE_MS).await;
    assert!(!stage.may_write(leader, epoch).await);
    let view = stage.tick(leader, Some(epoch)).await;
    assert!(view.is_mine && view.leader.unwrap().epoch == epoch && stage.may_write(leader, epoch).await);
}

#[tokio::test]
async fn ops_14_one_that_lost_its_lead_does_not_take_it_again_as_the_same() {
    let stage = Stage::with(2).await;
    let (first, epoch) = stage.elect(&[1, 2]).await;
    let other = 3 - first;
    stage.passes(2 * LEASE_MS).await;
    assert!(stage.tick(other, None).await.is_mine);
    stage.passes(3 * LEASE_MS).await;
    assert!(!stage.tick(first, Some(epoch)).await.is_mine, "it must start again first");
    assert!(stage.tick(first, None).await.is_mine);
}

#[tokio::test]
async fn ops_14_one_that_starts_again_within_its_lease_leads_on_in_a_new_epoch() {
    let stage = Stage::with(2).await;
    let (first, epoch) = stage.elect(&[1, 2]).await;
    stage.store.write(move |tx| store::join(tx, &me(first))).await.unwrap();
    let view = stage.tick(first, None).await;
    assert!(view.is_mine && view.leader.unwrap().epoch > epoch);
    assert!(!stage.may_write(first, epoch).await, "its last life writes nothing more");
}

#[tokio::test]
async fn ops_14_one_that_leaves_is_followed_at_once() {
    let stage = Stage::with(2).await;
    let (first, epoch) = stage.elect(&[1, 2]).await;
    let uuid = me(first).uuid;
    stage.store.write(move |tx| store::leave(tx, &uuid, Some(epoch))).await.unwrap();
    let view = stage.tick(3 - first, None).await;
    assert!(view.is_mine && view.leader.unwrap().epoch > epoch);
    assert_eq!(view.agents.len(), 1);
}

#[tokio::test]
async fn ops_14_the_next_one_follows_at_once_and_another_only_if_that_is_silent_too() {
    let stage = Stage::with(3).await;
    let (first, _) = stage.elect(&[1, 2, 3]).await;
    stage.passes(LEASE_MS + 1).await;
    let others: Vec<usize> = (1..=3).filter(|n| *n != first).collect();
    // Both live again before either looks whose turn it is.
    for n in others.clone() {
        stage.store.write(move |tx| store::join(tx, &me(n))).await.unwrap();
    }
    let turns = [stage.tick(others[0], None).await.is_mine, stage.tick(others[1], None).await.is_mine];
    assert_eq!(turns.iter().filter(|t| **t).count(), 1, "one takes over, whoever looks first");
}

#[tokio::test]
async fn ops_14_servers_with_another_key_are_not_let_in_and_the_gone_are_forgotten() {
    let stage = Stage::with(2).await;
    let agree = |print: &'static str| stage.store.write(move |tx| store::agree(tx, "secret.key", print));
    agree("a").await.unwrap();
    agree("a").await.unwrap();
    assert!(agree("b").await.unwrap_err().details.contains("copy secret.key"));
    stage.passes(3 * LEASE_MS + 1).await;
    stage.tick(1, None).await;
    stage.store.write(|tx| store::tidy(tx, LEASE_MS)).await.unwrap();
    let left = stage.store.read(|tx| tx.query("SELECT uuid FROM management_node", params![])).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(stage.tick(2, None).await.agents.len(), 2, "it enters anew");
}
