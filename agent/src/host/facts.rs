//! Facts of the host from `/proc`, `/etc/os-release`, `ip` and the hypervisor.

use std::collections::BTreeSet;
use std::path::PathBuf;

use cairn_api::agent::host::HostFacts;
use cairn_types::{Fault, Result, code};

use super::probe;
use crate::drivers::{Answer, FactReader, Hypervisor};
use crate::network::links::{self, Links};
use crate::process::run;

/// Reads the facts of this machine.
pub struct Facts {
    /// Folder where the probe keeps its answer.
    pub state: PathBuf,
}

impl FactReader for Facts {
    fn read<'a>(&'a self, hypervisor: &'a dyn Hypervisor) -> Answer<'a, HostFacts> {
        Box::pin(self.facts(hypervisor))
    }
}

impl Facts {
    async fn facts(&self, hypervisor: &dyn Hypervisor) -> Result<HostFacts> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = cpu(&read("/proc/cpuinfo"));
        let os = read("/etc/os-release");
        let (links, accelerator, libvirt, qemu, img) = tokio::join!(
            Links::read(),
            probe::accelerator(&self.state),
            hypervisor.version(),
            version("qemu-system-x86_64"),
            version("qemu-img"),
        );
        let links = links?;
        let addresses = links::addresses().await?;
        let memory_kib =
            read("/proc/meminfo").lines().find_map(|l| number(l.strip_prefix("MemTotal:")?)).unwrap_or(0);
        Ok(HostFacts {
            cpu_num: cpu.count,
            cpu_sockets: cpu.sockets,
            cpu_mhz: cpu.mhz,
            cpu_model: cpu.model,
            memory_bytes: memory_kib * 1024,
            hvm_flag: probe::hvm_flag(&read("/proc/cpuinfo")).to_owned(),
            accelerator: if accelerator.kvm { "kvm" } else { "qemu" }.to_owned(),
            libvirt_version: libvirt?,
            qemu_version: qemu?,
            qemu_img_version: img?,
            os_distribution: os_field(&os, "ID"),
            os_version: os_field(&os, "VERSION_ID"),
            os_release: os_field(&os, "VERSION_CODENAME"),
            hostname: nix::unistd::gethostname().ok().and_then(|h| h.into_string().ok()).unwrap_or_default(),
            addresses,
            interfaces: links.uplinks().await?,
            vms: Vec::new(),
        })
    }
}

async fn version(program: &str) -> Result<String> {
    let text = run(program, &["--version"]).await.map_err(|e| {
        e.fault(code::AGENT_HYPERVISOR, format!("{program} is not installed on the host or does not run"))
    })?;
    let found =
        text.split_whitespace().skip_while(|w| *w != "version").nth(1).map(|v| v.trim_end_matches(','));
    found
        .map(str::to_owned)
        .ok_or_else(|| Fault::new(code::AGENT_HYPERVISOR, format!("{program} tells no version")))
}

#[derive(Debug, PartialEq, Eq)]
struct Cpu {
    count: u32,
    sockets: u32,
    mhz: u32,
    model: String,
}

fn cpu(cpuinfo: &str) -> Cpu {
    let values = |name: &'static str| {
        cpuinfo.lines().filter_map(move |l| {
            let (key, value) = l.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let count = u32::try_from(values("processor").count()).unwrap_or(0);
    let sockets = u32::try_from(values("physical id").collect::<BTreeSet<_>>().len()).unwrap_or(0);
    let mhz = values("cpu MHz").find_map(|v| v.split('.').next()?.parse().ok()).unwrap_or(0);
    Cpu {
        count,
        sockets: sockets.max(1),
        mhz,
        model: values("model name").next().unwrap_or_default().to_owned(),
    }
}

fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn os_field(os_release: &str, name: &str) -> String {
    let value =
        os_release.lines().find_map(|l| l.split_once('=').filter(|(k, _)| *k == name).map(|(_, v)| v));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted() {
        let text = "processor\t: 0\nphysical id\t: 0\nmodel name\t: Fast CPU\ncpu MHz\t\t: 2400.123\n\nprocessor\t: 1\nphysical id\t: 1\n";
        assert_eq!(cpu(text), Cpu { count: 2, sockets: 2, mhz: 2400, model: "Fast CPU".into() });
        assert_eq!(cpu("").sockets, 1);
    }

    #[test]
    fn os_release_may_be_quoted() {
        let text = "VERSION_ID=\"12\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!((os_field(text, "ID"), os_field(text, "VERSION_ID")), ("debian".into(), "12".into()));
    }
}
