//! The agent against the real libvirt, QEMU, dnsmasq and nft. Needs root and a machine of its own:
//!
//! ```text
//! CAIRN_GUEST_IMAGE=$(scripts/guest-image.sh) scripts/test-host.sh \
//!     cargo test -p cairn-agent --features lab --test real -- --test-threads=1
//! ```

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod guest;
mod host;
mod server;
mod sniff;
mod vm;
