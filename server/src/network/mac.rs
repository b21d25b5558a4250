//! Hardware addresses of NICs.

use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, random_uuid};

/// A hardware address that no NIC has, `fa:…`: locally administered, so it meets no real card.
pub fn fresh(tx: &mut dyn Tx) -> Result<String> {
    // A million NICs take one in a million of the 2^40 addresses: a second try is rare, a third one never seen.
    for _ in 0..16 {
        let random = random_uuid();
        let bytes = (22..32).step_by(2).filter_map(|i| random.get(i..i + 2));
        let mac = bytes.fold("fa".to_owned(), |mac, byte| mac + ":" + byte);
        let taken = "SELECT 1 FROM vm_nic WHERE mac = ? UNION ALL SELECT 1 FROM departed_nic WHERE mac = ?";
        if !tx.exists(taken, params![&mac, &mac])? {
            return Ok(mac);
        }
    }
    Err(Fault::new("VM.1009", "no hardware address is free; try again").retry())
}
