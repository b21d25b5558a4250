//! What goes wrong with simulated machines.

use super::Maker;
use crate::robot::model::{Kind, State};
use crate::robot::op::{Deed, Trouble};

/// Commands of hosts that fail, hang, or get lost.
const HOST_OPS: &[&str] = cairn_simhost::OPERATIONS[0];
const STORE_OPS: &[&str] = cairn_simhost::OPERATIONS[1];

/// Some trouble. None if there is nothing that it could befall.
pub fn make(m: &mut Maker) -> Option<Deed> {
    if m.dice.percent(12) {
        return of_store(m);
    }
    let host = m.model.pick(&mut m.dice, Kind::Host, |_| true)?.uuid;
    // Half of all commands are about VMs and their disks.
    let op = match m.dice.percent(50) {
        true => m.dice.one(&[
            "vm.start",
            "vm.stop",
            "vm.remove",
            "volume.create",
            "volume.delete",
            "network.applyL3",
        ]),
        false => m.dice.one(HOST_OPS),
    };
    let op = if HOST_OPS.contains(&op) { op } else { m.dice.one(HOST_OPS) };
    let nth = 1 + u32::try_from(m.dice.below(3)).unwrap_or(0);
    let what = match m.dice.below(100) {
        0..18 => Trouble::Fail { op: op.into(), nth },
        18..34 => Trouble::FailAfter { op: op.into(), nth },
        34..40 => Trouble::Hang { op: op.into() },
        40..50 => Trouble::DropResult { op: op.into() },
        50..58 => Trouble::RestartAgentAfter { op: op.into() },
        58..64 => Trouble::Delay { op: "*".into(), ms: 5 + m.dice.below(40) as u64 },
        64..70 => Trouble::DropConnection,
        70..74 => Trouble::Disconnect,
        74..77 => Trouble::Freeze,
        77..81 => Trouble::RestartAgent,
        81..83 => Trouble::FailHypervisor,
        83..87 => Trouble::Crash,
        87..90 => Trouble::Vanish,
        _ => return of_guest(m, host),
    };
    Some(Deed::Break { machine: host, what })
}

fn of_guest(m: &mut Maker, host: String) -> Option<Deed> {
    let vm = m.model.pick(&mut m.dice, Kind::Vm, |v| v.state == State::On)?.uuid;
    let what = match m.dice.below(3) {
        0 => Trouble::LoseVm { vm },
        1 => Trouble::PowerOff { vm },
        _ => Trouble::PauseVm { vm },
    };
    Some(Deed::Break { machine: host, what })
}

fn of_store(m: &mut Maker) -> Option<Deed> {
    let store = m.model.pick(&mut m.dice, Kind::BackupStorage, |_| true)?.uuid;
    let op = m.dice.one(STORE_OPS).to_owned();
    let what = match m.dice.below(6) {
        0 => Trouble::Fail { op, nth: 1 },
        1 => Trouble::FailAfter { op, nth: 1 },
        2 => Trouble::DropResult { op },
        3 => Trouble::RestartAgentAfter { op },
        4 => Trouble::DropConnection,
        _ => Trouble::FinishUpload { image: m.model.pick(&mut m.dice, Kind::Image, |_| true)?.uuid },
    };
    Some(Deed::Break { machine: store, what })
}
