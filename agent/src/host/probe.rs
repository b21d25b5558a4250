//! Whether guests run on KVM, by proof.
//!
//! A `/dev/kvm` alone proves nothing: some machines have one without the processor features that every guest kernel
//! needs. So: the processor shows `vmx` or `svm`, and a guest of one sector (`scripts/kvm-probe.S`) really gets into
//! 64-bit mode with paging on it, as a kernel does. The answer holds until the next boot and is kept.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::Tool;
use crate::state::write_file;

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// Guests run on KVM.
    pub kvm: bool,
    /// Why, for people.
    pub why: String,
    /// Boot id of the kernel it was found under.
    boot: String,
    /// Whether `/dev/kvm` was there.
    device: bool,
}

/// The accelerator of this host, from the cache of this boot or by a run of a few hundred milliseconds.
pub async fn accelerator(state: &Path) -> Accelerator {
    let boot =
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let device = Path::new("/dev/kvm").exists();
    let file = state.join("accelerator.json");
    let kept = std::fs::read(&file).ok().and_then(|b| serde_json::from_slice::<Accelerator>(&b).ok());
    if let Some(kept) = kept.filter(|k| k.boot == boot && k.device == device && !boot.is_empty()) {
        return kept;
    }
    let (kvm, why) = match prove(device).await {
        Ok(()) => (true, "a guest ran on KVM".to_owned()),
        Err(why) => (false, why),
    };
    let found = Accelerator { kvm, why, boot, device };
    let written =
        serde_json::to_vec(&found).map_err(std::io::Error::other).and_then(|b| write_file(&file, &b, 0o600));
    if let Err(e) = written {
        tracing::warn!("the result of the KVM probe could not be kept: {e}");
    }
    found
}

/// `vmx`, `svm` or empty.
pub fn hvm_flag(cpuinfo: &str) -> &'static str {
    let flags = cpuinfo.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    let has = |flag| flags.split_whitespace().any(|f| f == flag);
    if has("vmx") {
        "vmx"
    } else if has("svm") {
        "svm"
    } else {
        ""
    }
}

async fn prove(device: bool) -> Result<(), String> {
    if !device {
        return Err("there is no /dev/kvm".into());
    }
    if hvm_flag(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()).is_empty() {
        return Err("the processor shows neither vmx nor svm".into());
    }
    let disk = std::env::temp_dir().join(format!("cairn-kvm-probe-{}", cairn_types::random_uuid()));
    std::fs::write(&disk, GUEST).map_err(|e| format!("the test guest could not be written: {e}"))?;
    let drive = format!("file={},format=raw,if=ide", disk.display());
    let args = [
        "-accel",
        "kvm",
        "-m",
        "64",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-drive",
        &drive,
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
    ];
    let run = Tool::new("qemu-system-x86_64", &args).limit(Duration::from_secs(3)).run_any().await;
    let _ = std::fs::remove_file(&disk);
    match run {
        Ok((Some(GUEST_SAYS_WELL), ..)) => Ok(()),
        Ok((_, _, error)) => {
            Err(format!("a test guest did not run on KVM: {}", error.lines().last().unwrap_or("no output")))
        }
        Err(e) => Err(format!("a test guest did not run on KVM: {}", e.text)),
    }
}

/// The boot sector of `scripts/kvm-probe.S`, assembled.
const GUEST: &[u8] = include_bytes!("kvm-probe.bin");
/// Status with which QEMU ends when the guest got to its end.
const GUEST_SAYS_WELL: i32 = 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_found_once_per_boot() {
        let tmp = tempfile::tempdir().unwrap();
        let first = accelerator(tmp.path()).await;
        let started = std::time::Instant::now();
        assert_eq!(accelerator(tmp.path()).await, first);
        assert!(started.elapsed() < Duration::from_millis(500));
        assert!(!first.why.is_empty());
    }

    #[test]
    fn flags_are_whole_words() {
        assert_eq!(hvm_flag("processor: 0\nflags\t\t: fpu vmx_x sse\n"), "");
        assert_eq!(hvm_flag("flags : fpu svm\n"), "svm");
        assert_eq!(hvm_flag("flags : vmx\n"), "vmx");
    }
}
