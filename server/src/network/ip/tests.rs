use std::collections::BTreeSet;

use cairn_store::Store;
use cairn_types::new_uuid;

use super::*;

/// A database with an L3 network and a VM.
struct Bed {
    store: Store,
    l3: Id<kind::L3Network>,
    vm: String,
    _dir: tempfile::TempDir,
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), 2).unwrap();
        let (l3, vm) = (Id::new(), new_uuid());
        let name = vm.clone();
        let make = move |tx: &mut dyn Tx| {
            for sql in [
                "INSERT INTO zone (uuid, name, create_ms, last_op_ms) VALUES ('z', 'z', 0, 0)",
                "INSERT INTO l2_network (uuid, zone_uuid, name, physical_interface, type, create_ms, last_op_ms)
                 VALUES ('l2', 'z', 'l2', 'eth0', 'L2NoVlanNetwork', 0, 0)",
            ] {
                tx.execute(sql, params![])?;
            }
            let sql =
                "INSERT INTO l3_network (uuid, zone_uuid, l2_network_uuid, name, type, create_ms, last_op_ms)
                       VALUES (?, 'z', 'l2', 'l3', 'L3BasicNetwork', 0, 0)";
            tx.execute(sql, params![l3])?;
            let sql = "INSERT INTO vm_instance (uuid, internal_id, name, memory_size, cpu_num, create_ms, last_op_ms)
                       VALUES (?, 1, 'vm', 1, 1, 0, 0)";
            tx.execute(sql, params![&name]).map(|_| ())
        };
        store.write(make).await.unwrap();
        Self { store, l3, vm, _dir: dir }
    }

    async fn range(&self, first: &str, last: &str, prefix: i64) -> Range {
        let (l3, first, last) = (self.l3, address(first), address(last));
        let add = move |tx: &mut dyn Tx| {
            let sql = "INSERT INTO ip_range (uuid, l3_network_uuid, name, start_ip, end_ip, start_ip_sort, end_ip_sort, netmask,
                       prefix_len, gateway, network_cidr, create_ms, last_op_ms)
                       VALUES (?, ?, 'r', ?, ?, ?, ?, '255.0.0.0', ?, '10.0.0.1', '10.0.0.0/8', 0, 0)";
            let uuid: Id<kind::IpRange> = Id::new();
            let texts =
                params![uuid, l3, first.to_string(), last.to_string(), first.sort(), last.sort(), prefix];
            tx.execute(sql, texts)?;
            Ok(ranges(tx, l3)?.into_iter().find(|r| r.uuid == uuid).unwrap())
        };
        self.store.write(add).await.unwrap()
    }

    /// Takes addresses out of the way, as fast as SQLite can.
    async fn fill(&self, range: &Range, taken: impl Iterator<Item = Address> + Send + 'static) {
        let range = range.clone();
        let taken: Vec<Address> = taken.collect();
        let fill = move |tx: &mut dyn Tx| {
            let sql = "INSERT INTO used_ip (uuid, l3_network_uuid, ip_range_uuid, ip, ip_sort, purpose, create_ms, last_op_ms)
                       VALUES (?, ?, ?, ?, ?, 'reserved', 0, 0)";
            for a in &taken {
                tx.execute(sql, params![new_uuid(), range.l3, range.uuid, a.to_string(), a.sort()])?;
            }
            Ok(())
        };
        self.store.write(fill).await.unwrap();
    }

    async fn nic(&self, device: i64) -> Id<kind::Nic> {
        let (nic, vm, l3) = (Id::new(), self.vm.clone(), self.l3);
        let add = move |tx: &mut dyn Tx| {
            let sql = "INSERT INTO vm_nic (uuid, vm_instance_uuid, l3_network_uuid, mac, device_id, create_ms, last_op_ms)
                       VALUES (?, ?, ?, ?, ?, 0, 0)";
            tx.execute(sql, params![nic, &vm, l3, nic.to_string(), device])
        };
        self.store.write(add).await.unwrap();
        nic
    }

    async fn take(&self, device: i64, wanted: Option<&str>) -> Result<Taken> {
        let (nic, l3) = (self.nic(device).await, self.l3);
        let wanted = wanted.map(str::to_owned);
        self.store.write(move |tx| take(tx, l3, nic, wanted.as_deref())).await
    }

    async fn find(&self, range: &Range, seed: u128) -> Option<Address> {
        let range = range.clone();
        self.store.read(move |tx| find_free(tx, &range, seed)).await.unwrap()
    }
}

/// A small source of numbers that is the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[tokio::test]
async fn l3_05_what_is_handed_out_was_free_and_full_is_said_only_of_full_ranges() {
    let mut numbers = Numbers(5);
    for round in 0..40u64 {
        let bed = Bed::new().await;
        let size = [1, 2, 3, 10, 240, 1023, 1024, 1025, 1500, 3000][usize::try_from(round % 10).unwrap()];
        let first = address("10.3.255.250");
        let range = bed.range("10.3.255.250", &first.plus(size - 1).to_string(), 8).await;
        // From empty to full by way of nearly full.
        let free = [size, size / 2, 3.min(size), 1, 0][usize::try_from(round % 5).unwrap()];
        let mut open = BTreeSet::new();
        while u128::try_from(open.len()).unwrap() < free {
            open.insert(first.plus(u128::from(numbers.below(u64::try_from(size).unwrap()))));
        }
        let closed = open.clone();
        bed.fill(&range, (0..size).map(move |n| first.plus(n)).filter(move |a| !closed.contains(a))).await;
        for _ in 0..5 {
            match bed.find(&range, u128::from(numbers.next())).await {
                Some(found) => assert!(open.contains(&found), "{found} of {size} with {free} free"),
                None => assert_eq!(free, 0, "{size} addresses, {free} free"),
            }
        }
    }
}

#[tokio::test]
async fn l3_05_everything_is_handed_out_once_and_can_be_had_again() {
    let bed = Bed::new().await;
    let range = bed.range("10.0.0.10", "10.0.0.60", 24).await;
    let mut taken = BTreeSet::new();
    let mut nics = Vec::new();
    for device in 0..51 {
        let nic = bed.nic(device).await;
        let l3 = bed.l3;
        let got = bed.store.write(move |tx| take(tx, l3, nic, None)).await.unwrap();
        assert!(range.contains(address(&got.ip)) && taken.insert(got.ip.clone()), "{}", got.ip);
        nics.push((nic, got.ip));
    }
    let fault = bed.take(100, None).await.unwrap_err();
    assert_eq!(fault.code, code::L3_ALLOCATE_IP);
    assert_eq!(fault.params["ranges"][0]["used"], 51);
    assert_eq!(fault.params["ranges"][0]["total"], 51);
    let (nic, ip) = nics.swap_remove(17);
    bed.store.write(move |tx| give_back(tx, nic)).await.unwrap();
    assert_eq!(bed.take(101, None).await.unwrap().ip, ip, "the only free address");
}

#[tokio::test]
async fn l3_05_concurrent_takes_never_double() {
    let bed = std::sync::Arc::new(Bed::new().await);
    bed.range("10.0.0.10", "10.0.0.249", 24).await;
    let all = (0..240).map(|device| {
        let bed = bed.clone();
        tokio::spawn(async move { bed.take(device, None).await.unwrap().ip })
    });
    let mut taken = BTreeSet::new();
    for one in all.collect::<Vec<_>>() {
        assert!(taken.insert(one.await.unwrap()), "an address was handed out twice");
    }
    assert_eq!(taken.len(), 240);
    assert!(bed.take(1000, None).await.is_err());
}

#[tokio::test]
async fn l3_05_a_wanted_address_is_had_or_refused() {
    let bed = Bed::new().await;
    bed.range("10.0.0.10", "10.0.0.20", 24).await;
    bed.range("10.0.0.40", "10.0.0.50", 24).await;
    assert_eq!(bed.take(0, Some("10.0.0.45")).await.unwrap().ip, "10.0.0.45");
    let fault = bed.take(1, Some("10.0.0.45")).await.unwrap_err();
    assert_eq!(fault.code, code::L3_ALLOCATE_IP);
    assert!(fault.details.contains("in use"), "{fault}");
    for outside in ["10.0.0.1", "10.0.0.0", "10.0.0.255", "10.0.0.30", "192.168.0.1"] {
        assert_eq!(bed.take(2, Some(outside)).await.unwrap_err().code, code::L3_ALLOCATE_IP, "{outside}");
        let sql = "DELETE FROM vm_nic WHERE device_id = 2";
        bed.store.write(move |tx| tx.execute(sql, params![])).await.unwrap();
    }
    assert_eq!(bed.take(2, Some("fd00::1")).await.unwrap_err().code, code::INVALID_ARGUMENT);
}

#[tokio::test]
async fn l3_05_a_large_range_with_long_runs_of_used_addresses() {
    let bed = Bed::new().await;
    let range = bed.range("10.0.0.10", "10.255.255.250", 8).await;
    let first = range.start;
    bed.fill(&range, (0..60_000).map(move |n| first.plus(n))).await;
    // A seed within the run: guesses, or the walk, find the way out.
    for seed in [0, 30_000, 59_999] {
        let found = bed.find(&range, seed).await.unwrap();
        assert!(range.contains(found) && found.count_from(first) > 60_000, "{found}");
    }
    // All but one of a range that is too large to look at as a whole.
    let dense = bed.range("10.0.0.2", "10.0.0.9", 8).await;
    assert!(bed.find(&dense, 3).await.is_some());
    let window = Range { end: first.plus(60_000), ..range.clone() };
    for seed in [0, 12_345, 59_000] {
        assert_eq!(bed.find(&window, seed).await, Some(first.plus(60_000)));
    }
    let full = Range { end: first.plus(59_999), ..range };
    assert_eq!(bed.find(&full, 77).await, None);
}

#[tokio::test]
async fn l3_05_free_addresses_are_listed_in_order_from_a_start() {
    let bed = Bed::new().await;
    let range = bed.range("10.0.0.10", "10.0.20.9", 16).await;
    let first = range.start;
    bed.fill(&range, (0..3000).map(move |n| first.plus(n)).filter(|a| !a.to_string().ends_with(".100")))
        .await;
    let list = |start: &'static str, limit: usize| {
        let (range, store) = (range.clone(), bed.store.clone());
        async move {
            let list = store.read(move |tx| list_free(tx, &range, address(start), limit)).await.unwrap();
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        }
    };
    assert_eq!(list("0.0.0.0", 2).await, ["10.0.0.100", "10.0.1.100"]);
    assert_eq!(list("10.0.1.100", 2).await, ["10.0.1.100", "10.0.2.100"]);
    assert_eq!(list("10.0.20.8", 100).await, ["10.0.20.8", "10.0.20.9"]);
    assert_eq!(list("10.0.21.0", 100).await, Vec::<String>::new());
    assert_eq!(list("0.0.0.0", 10_000).await.len(), 5120 - 3000 + 12);
}

/// What a range is thought to be follows what this server and others do to its rows, whatever is taken back.
#[tokio::test]
async fn l3_05_proposals_are_right_whoever_writes_rows() {
    let mut numbers = Numbers(11);
    for size in [1_u64, 2, 60, 1023, 1024, 1025, 2048, 3100] {
        let bed = Bed::new().await;
        let first = address("10.3.255.250");
        let range = bed.range("10.3.255.250", &first.plus(u128::from(size) - 1).to_string(), 8).await;
        let mut open: BTreeSet<Address> = (0..u128::from(size)).map(|n| first.plus(n)).collect();
        let all: Vec<Address> = open.iter().copied().collect();
        // Nearly full, by rows that nothing here was told of.
        let keep = usize::try_from(numbers.below(4)).unwrap();
        let closed: Vec<Address> = all.iter().copied().skip(keep).collect();
        closed.iter().for_each(|a| assert!(open.remove(a)));
        bed.fill(&range, closed.into_iter()).await;
        for step in 0..60 {
            let any = all[usize::try_from(numbers.below(size)).unwrap()];
            match numbers.below(5) {
                // Another server gives an address back.
                0 => {
                    let sql = "DELETE FROM used_ip WHERE ip_sort = ?";
                    bed.store.write(move |tx| tx.execute(sql, params![any.sort()])).await.unwrap();
                    pool::believe_nothing();
                    open.insert(any);
                }
                // Another server takes one.
                1 => {
                    if open.remove(&any) {
                        bed.fill(&range, [any].into_iter()).await;
                    }
                }
                // This server gives one back, or means to.
                2 => {
                    let is_kept = numbers.below(2) == 0;
                    let give = move |tx: &mut dyn Tx| {
                        give_back_where(tx, "ip_sort = ?", params![any.sort()])?;
                        if is_kept { Ok(()) } else { Err(Fault::internal("it is taken back")) }
                    };
                    assert_eq!(bed.store.write(give).await.is_ok(), is_kept);
                    if is_kept {
                        open.insert(any);
                    }
                }
                // It takes one, or means to.
                kind => {
                    let (l3, is_kept) = (bed.l3, kind == 3);
                    let take = move |tx: &mut dyn Tx| {
                        let taken = take_any(tx, l3, Purpose::Dhcp)?;
                        if is_kept {
                            Ok(taken)
                        } else {
                            Err(Fault::internal("it is taken back").with("ip", taken.ip))
                        }
                    };
                    match bed.store.write(take).await {
                        Ok(taken) => assert!(open.remove(&address(&taken.ip)), "{} was taken", taken.ip),
                        Err(f) if f.code == code::L3_ALLOCATE_IP => {
                            assert!(open.is_empty(), "step {step}: {f}")
                        }
                        Err(f) => {
                            let ip = f.params["ip"].as_str().unwrap();
                            assert!(open.contains(&address(ip)), "{ip} was taken");
                        }
                    }
                }
            }
            let (range, limit) = (range.clone(), usize::try_from(numbers.below(5)).unwrap());
            let listed = bed.store.read(move |tx| list_free(tx, &range, first, limit)).await.unwrap();
            assert_eq!(listed.len(), open.len().min(limit), "step {step} of {size}");
            assert!(listed.iter().all(|a| open.contains(a)));
        }
        let lines = bed.store.read(differences).await.unwrap();
        assert!(lines.is_empty(), "{lines:?}");
    }
}

/// The cost of an address in a range with one free address in a thousand: no more rows than a block has, whatever its size.
#[tokio::test]
async fn l3_05_an_address_of_a_large_and_nearly_full_range_is_found_at_once() {
    let bed = Bed::new().await;
    let range = bed.range("10.0.0.0", "10.3.255.255", 8).await;
    let first = range.start;
    bed.fill(&range, (0..1 << 18).filter(|n| n % 1000 != 77).map(move |n| first.plus(n))).await;
    let mut took = Vec::new();
    for _ in 0..263 {
        let l3 = bed.l3;
        let take = move |tx: &mut dyn Tx| {
            let began = std::time::Instant::now();
            take_any(tx, l3, Purpose::Dhcp).map(|_| began.elapsed())
        };
        took.push(bed.store.write(take).await.unwrap());
    }
    let fault = bed
        .store
        .write({
            let l3 = bed.l3;
            move |tx| take_any(tx, l3, Purpose::Dhcp)
        })
        .await
        .unwrap_err();
    assert_eq!(fault.params["ranges"][0]["used"], 1 << 18);
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("median {median:?}, 90 % {:?}, worst {worst:?}", took[took.len() * 9 / 10]);
    assert!(median < std::time::Duration::from_millis(50), "{took:?}");
}

/// What a transaction saw that was taken back, as one of a batch that is run again is, says nothing of the next one.
#[tokio::test]
async fn l3_05_the_last_address_that_was_not_kept_can_be_had_at_once() {
    let bed = Bed::new().await;
    bed.range("10.0.0.10", "10.0.0.12", 24).await;
    for round in 0..20 {
        let (l3, nic) = (bed.l3, bed.nic(round).await);
        // It takes all there is, looks for one more, and fails.
        let all = move |tx: &mut dyn Tx| loop {
            take(tx, l3, nic, None)?;
        };
        let fault = bed.store.write::<(), _>(all).await.unwrap_err();
        assert_eq!(fault.code, code::L3_ALLOCATE_IP);
        // Three who get one and two who do not, in one batch.
        let takes = (0..5).map(|n| bed.take(1000 + 10 * round + n, None));
        let ends = futures_util::future::join_all(takes).await;
        assert_eq!(ends.iter().filter(|e| e.is_ok()).count(), 3, "round {round}: {ends:?}");
        bed.store.write(|tx| give_back_where(tx, "purpose = 'nic'", params![])).await.unwrap();
    }
}
