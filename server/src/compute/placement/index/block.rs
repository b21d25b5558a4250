//! Up to 1024 hosts of clusters that are alike in columns, with bounds that tell most questions without a look at each host.

use super::super::entry::{Entry, LocalRoom};

/// Hosts of a block at most.
pub(super) const BLOCK: usize = 1024;

/// One bit for each host of a block.
pub(super) type Bits = [u64; BLOCK / 64];

const DISABLED: u8 = 1;
const DISCONNECTED: u8 = 2;
const DELETING: u8 = 4;

/// The columns. The n-th values of all are those of the n-th host.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub(super) hosts: Vec<u128>,
    /// The places of their clusters.
    pub(super) clusters: Vec<u32>,
    pub(super) cpu: Vec<i64>,
    pub(super) memory: Vec<i64>,
    pub(super) vms: Vec<u32>,
    flags: Vec<u8>,
    pub(super) local: Vec<Column>,
    images: Vec<(u128, Bits)>,
    bounds: Bounds,
    is_stale: bool,
}

/// What holds of all hosts of a block.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    pub(super) disabled: u64,
    pub(super) disconnected: u64,
    pub(super) deleting: u64,
    /// Hosts that are enabled, connected and stay.
    pub(super) usable: u64,
    pub(super) cpu: (i64, i64),
    pub(super) memory: (i64, i64),
    /// Most of both among the usable ones, and fewest VMs.
    pub(super) best_cpu: i64,
    pub(super) best_memory: i64,
    pub(super) fewest_vms: u32,
}

/// One local storage on the hosts of a block.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) storage: u128,
    state: Vec<u8>,
    pub(super) free: Vec<i64>,
    pub(super) physical: Vec<i64>,
    /// Hosts on which it was made ready, and is connected.
    pub(super) ready: u64,
    pub(super) connected: u64,
    pub(super) free_bounds: (i64, i64),
    pub(super) physical_bounds: (i64, i64),
    pub(super) best_free: i64,
    pub(super) best_physical: i64,
}

const READY: u8 = 1;
const CONNECTED: u8 = 2;

impl Column {
    fn new(storage: u128, hosts: usize) -> Self {
        Self {
            storage,
            state: vec![0; hosts],
            free: vec![i64::MAX; hosts],
            physical: vec![i64::MAX; hosts],
            ready: 0,
            connected: 0,
            free_bounds: (0, 0),
            physical_bounds: (0, 0),
            best_free: 0,
            best_physical: 0,
        }
    }

    /// Room of the n-th host; none if the storage was not made ready there.
    pub(super) fn room(&self, n: usize) -> Option<LocalRoom> {
        let state = *self.state.get(n)?;
        (state & READY != 0).then(|| LocalRoom {
            storage: self.storage,
            is_connected: state & CONNECTED != 0,
            free: self.free[n],
            free_physical: self.physical[n],
        })
    }

    /// Whether the n-th host can give so much of it.
    pub(super) fn gives(&self, n: usize, free: i64, physical: i64) -> bool {
        self.state[n] == READY | CONNECTED && self.free[n] >= free && self.physical[n] >= physical
    }

    /// Hosts that have not so much are told by this value, so that "less than" never counts them.
    fn set(&mut self, n: usize, room: Option<&LocalRoom>) {
        (self.state[n], self.free[n], self.physical[n]) = match room {
            None => (0, i64::MAX, i64::MAX),
            Some(r) => (READY | if r.is_connected { CONNECTED } else { 0 }, r.free, r.free_physical),
        };
    }

    fn refresh(&mut self) {
        self.ready = count(&self.state, |s| s & READY != 0);
        self.connected = count(&self.state, |s| s == READY | CONNECTED);
        self.free_bounds = bounds(&self.free);
        self.physical_bounds = bounds(&self.physical);
        let best = |values: &[i64]| {
            let connected = values.iter().zip(&self.state).filter(|(_, s)| **s == READY | CONNECTED);
            connected.map(|(v, _)| *v).max().unwrap_or(i64::MIN)
        };
        (self.best_free, self.best_physical) = (best(&self.free), best(&self.physical));
    }
}

fn count(values: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    values.iter().map(|v| u64::from(is(*v))).sum()
}

fn bounds(values: &[i64]) -> (i64, i64) {
    let low = values.iter().copied().min().unwrap_or(0);
    (low, values.iter().copied().max().unwrap_or(0))
}

/// How many values are less than `wanted`; bounds that decide it save the count.
pub(super) fn less(values: &[i64], bounds: (i64, i64), wanted: i64) -> u64 {
    if bounds.0 >= wanted {
        0
    } else if bounds.1 < wanted {
        values.len() as u64
    } else {
        values.iter().map(|v| u64::from(*v < wanted)).sum()
    }
}

impl Block {
    /// Its bounds, made anew if a host has changed.
    pub(super) fn bounds(&mut self) -> &Bounds {
        if self.is_stale {
            self.refresh();
        }
        &self.bounds
    }

    fn refresh(&mut self) {
        let usable = |n: &usize| self.flags[*n] == 0;
        let all = 0..self.hosts.len();
        self.bounds = Bounds {
            disabled: count(&self.flags, |f| f & DISABLED != 0),
            disconnected: count(&self.flags, |f| f & DISCONNECTED != 0),
            deleting: count(&self.flags, |f| f & DELETING != 0),
            usable: count(&self.flags, |f| f == 0),
            cpu: bounds(&self.cpu),
            memory: bounds(&self.memory),
            best_cpu: all.clone().filter(usable).map(|n| self.cpu[n]).max().unwrap_or(i64::MIN),
            best_memory: all.clone().filter(usable).map(|n| self.memory[n]).max().unwrap_or(i64::MIN),
            fewest_vms: all.filter(usable).map(|n| self.vms[n]).min().unwrap_or(u32::MAX),
        };
        self.local.iter_mut().for_each(Column::refresh);
        self.is_stale = false;
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Enabled, connected, and stays.
    pub(super) fn is_usable(&self, n: usize) -> bool {
        self.flags[n] == 0
    }

    /// The column of a local storage.
    pub(super) fn column(&self, storage: u128) -> Option<&Column> {
        self.local.iter().find(|c| c.storage == storage)
    }

    /// The hosts that have an image.
    pub(super) fn with_image(&self, image: u128) -> Option<&Bits> {
        self.images.iter().find(|(i, _)| *i == image).map(|(_, bits)| bits)
    }

    /// Adds a host; its place.
    pub(super) fn push(&mut self, entry: &Entry, cluster: u32) -> usize {
        let n = self.hosts.len();
        self.hosts.push(entry.host);
        self.clusters.push(cluster);
        self.cpu.push(0);
        self.memory.push(0);
        self.vms.push(0);
        self.flags.push(0);
        for column in &mut self.local {
            column.state.push(0);
            column.free.push(i64::MAX);
            column.physical.push(i64::MAX);
        }
        self.set(n, entry);
        n
    }

    /// Replaces what is known of the n-th host.
    pub(super) fn set(&mut self, n: usize, entry: &Entry) {
        self.is_stale = true;
        self.cpu[n] = entry.free_cpu;
        self.memory[n] = entry.free_memory;
        self.vms[n] = u32::try_from(entry.vm_count).unwrap_or(u32::MAX);
        let flag = |holds: bool, bit: u8| if holds { bit } else { 0 };
        self.flags[n] = flag(!entry.is_enabled, DISABLED)
            | flag(!entry.is_connected, DISCONNECTED)
            | flag(entry.is_deleting, DELETING);
        for room in &entry.local {
            if self.column(room.storage).is_none() {
                self.local.push(Column::new(room.storage, self.hosts.len()));
            }
        }
        for column in &mut self.local {
            column.set(n, entry.local.iter().find(|l| l.storage == column.storage));
        }
        self.local.retain(|c| c.state.iter().any(|s| *s != 0));
        for image in &entry.images {
            if self.with_image(*image).is_none() {
                self.images.push((*image, [0; BLOCK / 64]));
            }
        }
        for (image, bits) in &mut self.images {
            set_bit(bits, n, entry.images.binary_search(image).is_ok());
        }
        self.images.retain(|(_, bits)| bits.iter().any(|w| *w != 0));
    }

    /// What is known of the n-th host.
    pub(super) fn entry(&self, n: usize, cluster: u128) -> Entry {
        let flags = self.flags[n];
        let mut local: Vec<LocalRoom> = self.local.iter().filter_map(|c| c.room(n)).collect();
        local.sort_by_key(|l| l.storage);
        let mut images: Vec<u128> =
            self.images.iter().filter(|(_, bits)| bit(bits, n)).map(|(i, _)| *i).collect();
        images.sort_unstable();
        Entry {
            host: self.hosts[n],
            cluster,
            is_enabled: flags & DISABLED == 0,
            is_connected: flags & DISCONNECTED == 0,
            is_deleting: flags & DELETING != 0,
            free_cpu: self.cpu[n],
            free_memory: self.memory[n],
            vm_count: i64::from(self.vms[n]),
            local,
            images,
        }
    }

    /// Takes so much from the n-th host for one more VM.
    pub(super) fn deduct(&mut self, n: usize, cpu: i64, memory: i64, disk: i64) {
        self.is_stale = true;
        self.cpu[n] = (self.cpu[n] - cpu).max(0);
        self.memory[n] = (self.memory[n] - memory).max(0);
        self.vms[n] = self.vms[n].saturating_add(1);
        // On which of its storages the volume comes is not known yet; most hosts have one.
        if let [column] = self.local.as_mut_slice()
            && column.state[n] != 0
        {
            column.free[n] = (column.free[n] - disk).max(0);
        }
    }

    /// Removes the n-th host; the last one takes its place. Which one that is, if it is another one.
    pub(super) fn remove(&mut self, n: usize) -> Option<u128> {
        self.is_stale = true;
        let last = self.hosts.len() - 1;
        self.hosts.swap_remove(n);
        self.clusters.swap_remove(n);
        self.cpu.swap_remove(n);
        self.memory.swap_remove(n);
        self.vms.swap_remove(n);
        self.flags.swap_remove(n);
        for column in &mut self.local {
            column.state.swap_remove(n);
            column.free.swap_remove(n);
            column.physical.swap_remove(n);
        }
        self.local.retain(|c| c.state.iter().any(|s| *s != 0));
        for (_, bits) in &mut self.images {
            let moved = bit(bits, last);
            set_bit(bits, n, moved);
            set_bit(bits, last, false);
        }
        self.images.retain(|(_, bits)| bits.iter().any(|w| *w != 0));
        self.hosts.get(n).copied()
    }
}

/// The n-th bit.
pub(super) fn bit(bits: &Bits, n: usize) -> bool {
    bits.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 != 0)
}

fn set_bit(bits: &mut Bits, n: usize, on: bool) {
    if let Some(word) = bits.get_mut(n / 64) {
        *word = if on { *word | 1 << (n % 64) } else { *word & !(1 << (n % 64)) };
    }
}

/// How many bits are set.
pub(super) fn ones(bits: &Bits) -> u64 {
    bits.iter().map(|w| u64::from(w.count_ones())).sum()
}

/// The places of the bits that are set.
pub(super) fn places(bits: &Bits) -> impl Iterator<Item = usize> + '_ {
    bits.iter().enumerate().flat_map(|(at, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let n = (rest != 0).then(|| at * 64 + rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(n)
        })
    })
}
