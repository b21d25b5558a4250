//! What the platform adds to the creation of a VM: pairs of the same VM, once through the API and once by bare `qemu-img
//! create` and `virsh create` of the same domain, one after the other. The image is in the host's cache in both cases.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::Lab;
use cairn_lab::installation::sh;
use serde_json::{Value, json};

use crate::http::Client;
use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;

const PAIRS: usize = 15;
const URI: &str = "qemu:///system";

pub(super) fn measure(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The first VM fills the cache, and lends its description to the bare ones.
    let (model, _) = runtime.block_on(through_the_api(lab, "model"))?;
    let bare = Bare::like(lab, &model)?;
    remove(lab, &model)?;
    let (mut over, mut api, mut virsh) = (Sample::default(), Sample::default(), Sample::default());
    for n in 0..PAIRS {
        interrupt::check()?;
        let (without, with) = if n % 2 == 0 {
            let without = bare.create()?;
            (without, created_and_removed(lab, &runtime, n)?)
        } else {
            let with = created_and_removed(lab, &runtime, n)?;
            (bare.create()?, with)
        };
        api.push(with);
        virsh.push(without);
        over.push_value((with.as_secs_f64() - without.as_secs_f64()) * 1000.0);
    }
    let how = format!(
        "median difference of {PAIRS} pairs ({:.0} to {:.0}); API {:.0} ms, qemu-img and virsh {:.0} ms (medians)",
        over.quantile(0.0),
        over.quantile(1.0),
        api.median(),
        virsh.median()
    );
    report.put("vm_create_over_virsh_ms", over.median(), how);
    Ok(())
}

fn created_and_removed(lab: &Lab, runtime: &tokio::runtime::Runtime, n: usize) -> Result<Duration> {
    let (vm, took) = runtime.block_on(through_the_api(lab, &format!("bench-{n}")))?;
    remove(lab, &vm)?;
    Ok(took)
}

/// Makes a VM; gives its uuid and the time from the call to the job's end.
async fn through_the_api(lab: &Lab, name: &str) -> Result<(String, Duration)> {
    let address = lab.api.base().trim_start_matches("http://").parse()?;
    let mut client = Client::connect(address, lab.api.session()).await?;
    // The connection and the session are warm, as those of any client at work.
    client.send("GET", &format!("/zstack/v1/images/{}", lab.world.image), "").await?;
    let params = json!({
        "name": name, "instanceOfferingUuid": lab.world.offering, "imageUuid": lab.world.image,
        "l3NetworkUuids": [lab.world.l3],
    });
    let body = json!({ "params": params }).to_string();
    let began = Instant::now();
    let done = client.finish("POST", "/zstack/v1/vm-instances", &body, Duration::from_millis(2)).await?;
    let took = began.elapsed();
    let vm = &done["inventory"];
    ensure!(vm["state"] == "Running", "the job ended and the VM is not running: {vm}");
    Ok((vm["uuid"].as_str().unwrap_or_default().to_owned(), took))
}

/// Removes a VM with its disk.
pub(super) fn remove(lab: &Lab, vm: &str) -> Result<()> {
    lab.api.delete(&format!("/vm-instances/{vm}"))?;
    lab.api.act(&format!("/vm-instances/{vm}/actions"), "expungeVmInstance", json!({}))?;
    Ok(())
}

/// The same VM without the platform.
struct Bare {
    name: &'static str,
    disk: PathBuf,
    backing: String,
    xml: PathBuf,
}

impl Bare {
    /// Describes one like a VM that runs: same devices, same image below the disk.
    fn like(lab: &Lab, vm: &str) -> Result<Self> {
        let xml = sh("virsh", &["-q", "-c", URI, "dumpxml", "--inactive", &domain_of(vm)?])?;
        let model_disk = between(&xml, "<source file='", "'").context("the VM has a disk in a file")?;
        let about = sh("qemu-img", &["info", "-U", "--output=json", model_disk])?;
        let about: Value = serde_json::from_str(&about)?;
        let backing =
            about["full-backing-filename"].as_str().context("the disk has an image below it")?.to_owned();
        let folder = lab.path().join("bare");
        std::fs::create_dir_all(&folder)?;
        let bare = Self {
            name: "cairn-bench-bare",
            disk: folder.join("disk.qcow2"),
            backing,
            xml: folder.join("vm.xml"),
        };
        let mut own = xml.replace(model_disk, &bare.disk.to_string_lossy());
        // The config drive goes with the VM that this is a model of.
        if let Some(drive) = between(&xml, "<source file='", "config.iso'") {
            let (theirs, ours) = (format!("{}config.iso", last_source(drive)), folder.join("config.iso"));
            std::fs::copy(&theirs, &ours)?;
            own = own.replace(&theirs, &ours.to_string_lossy());
        }
        std::fs::write(&bare.xml, anonymous(&own, bare.name))?;
        Ok(bare)
    }

    /// Makes it, measures that, and removes it.
    fn create(&self) -> Result<Duration> {
        let (disk, xml) = (text(&self.disk), text(&self.xml));
        let began = Instant::now();
        sh("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &self.backing, &disk])?;
        sh("virsh", &["-q", "-c", URI, "create", &xml])?;
        let took = began.elapsed();
        self.remove();
        Ok(took)
    }

    fn remove(&self) {
        let _ = sh("virsh", &["-q", "-c", URI, "destroy", self.name]);
        let _ = std::fs::remove_file(&self.disk);
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.remove();
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The domain of a VM, by uuid: the name is the agent's affair.
fn domain_of(vm: &str) -> Result<String> {
    ensure!(vm.len() == 32, "{vm} is no uuid");
    Ok(format!("{}-{}-{}-{}-{}", &vm[..8], &vm[8..12], &vm[12..16], &vm[16..20], &vm[20..]))
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

/// Takes out what only one domain can have: name, uuid, and names of devices on the host.
fn anonymous(xml: &str, name: &str) -> String {
    let lines = xml.lines().filter(|line| {
        let line = line.trim();
        !(line.starts_with("<uuid>")
            || line.starts_with("<target dev='") && line.contains("cairn")
            || line.starts_with("<mac "))
    });
    let lines = lines.map(|line| {
        if line.trim().starts_with("<name>") { format!("  <name>{name}</name>") } else { line.into() }
    });
    lines.collect::<Vec<String>>().join("\n")
}

/// What follows the last opening of a source in a text that spans several disks.
fn last_source(text: &str) -> &str {
    text.rsplit("<source file='").next().unwrap_or(text)
}
