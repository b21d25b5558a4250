//! Network namespaces: one per L3 network, for its DHCP server and metadata service.
//!
//! Entering one changes the calling thread for good, so it is done on a thread that ends afterwards. A socket made there
//! belongs to the namespace wherever it is used later.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cairn_types::{Fault, Result, code};
use nix::sched::{CloneFlags, setns};

use crate::process::run;

/// Where `ip netns` keeps them.
fn path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Whether it is there.
pub fn exists(name: &str) -> bool {
    // The file alone may be left over from before a reboot of the mount; only a namespace can be opened as one.
    path(name).exists() && inside(name, || Ok(())).is_ok()
}

/// Makes it, with its loopback up.
pub async fn ensure(name: &str) -> Result<()> {
    let failed = "a network namespace could not be made on the host";
    if !exists(name) {
        let _ = run("ip", &["netns", "delete", name]).await;
        run("ip", &["netns", "add", name]).await.map_err(|e| e.fault(code::AGENT_NETWORK, failed))?;
    }
    run("ip", &["-n", name, "link", "set", "dev", "lo", "up"])
        .await
        .map_err(|e| e.fault(code::AGENT_NETWORK, failed))?;
    // 169.254.169.254 is an address of the loopback, reached by a route to the service address. Nobody shall find it by
    // ARP: other networks on the same bridge have it too.
    let set = || std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1");
    inside(name, set).map_err(|e| Fault::new(code::AGENT_NETWORK, failed).for_operator(e))
}

/// Removes it with everything in it.
pub async fn remove(name: &str) -> Result<()> {
    if !path(name).exists() {
        return Ok(());
    }
    let done = run("ip", &["netns", "delete", name]).await;
    done.map(drop).map_err(|e| e.fault(code::AGENT_NETWORK, "a network namespace could not be removed"))
}

/// Runs something short inside, on a thread of its own.
pub fn inside<T: Send>(name: &str, run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(path(name))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            run()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}
