//! Who of several servers gets a key, without asking anybody: each server is given a score for the key, and the highest wins
//! (rendezvous hashing). When a server comes or goes only the keys move that it gets or had.

/// The server that has `key`; none without servers. The order of `nodes` does not matter.
pub fn owner<'a>(key: &str, nodes: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nodes.into_iter().max_by_key(|node| (score(key, node), *node))
}

fn score(key: &str, node: &str) -> u64 {
    // FNV-1a over both, stable over releases and processes, unlike the hashers of the standard library.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key.bytes().chain([0]).chain(node.bytes()) {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    // FNV's last bytes move only low bits; the finish of splitmix64 spreads them over all.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const NODES: [&str; 5] = [
        "018f3c7be3a97dcdb8b7f5b0c2a1d9e1",
        "018f3c7be3a97dcdb8b7f5b0c2a1d9e2",
        "018f3c7be3a97dcdb8b7f5b0c2a1d9e3",
        "018f3c7be3a97dcdb8b7f5b0c2a1d9e4",
        "018f3c7be3a97dcdb8b7f5b0c2a1d9e5",
    ];

    fn spread(nodes: &[&'static str], keys: usize) -> Vec<&'static str> {
        (0..keys).map(|k| owner(&format!("key-{k}"), nodes.iter().copied()).unwrap()).collect()
    }

    #[test]
    fn ops_14_every_server_gets_its_share_of_the_keys() {
        let mut shares: HashMap<&str, usize> = HashMap::new();
        for node in spread(&NODES, 10_000) {
            *shares.entry(node).or_default() += 1;
        }
        // 2,000 each; the spread of a fair choice is 40 (one sigma).
        assert!(shares.len() == 5 && shares.values().all(|n| (1_800..=2_200).contains(n)), "{shares:?}");
    }

    #[test]
    fn ops_14_only_the_keys_of_a_server_that_goes_move_and_all_come_back_to_it() {
        let (all, fewer) = (spread(&NODES, 10_000), spread(&NODES[..4], 10_000));
        for (before, after) in all.iter().zip(&fewer) {
            assert!(before == after || *before == NODES[4], "a key of {before} moved to {after}");
        }
        assert!(fewer.iter().all(|n| *n != NODES[4]));
        assert_eq!(spread(&NODES, 10_000), all);
    }

    #[test]
    fn ops_14_the_order_in_which_servers_are_known_does_not_matter() {
        let reversed: Vec<&str> = NODES.iter().rev().copied().collect();
        for k in 0..1000 {
            let key = format!("key-{k}");
            assert_eq!(owner(&key, NODES), owner(&key, reversed.iter().copied()));
        }
        assert_eq!(owner("key", []), None);
        assert_eq!(owner("key", ["one"]), Some("one"));
    }
}
