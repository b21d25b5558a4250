//! VMs of the lab and what can be asked of their guests.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::installation::Lab;

impl Lab {
    /// Makes a VM with the lab's SSH key; `more` is merged into the parameters.
    pub fn create_vm(&self, name: &str, more: Value, tags: &[&str]) -> Result<Value> {
        let mut params = json!({
            "name": name, "instanceOfferingUuid": self.world.offering, "imageUuid": self.world.image,
            "l3NetworkUuids": [self.world.l3],
        });
        if let (Some(all), Value::Object(more)) = (params.as_object_mut(), more) {
            all.extend(more);
        }
        let public = std::fs::read_to_string(self.key.with_extension("pub"))?;
        let mut system_tags = vec![format!("sshkey::{}", public.trim())];
        system_tags.extend(tags.iter().map(|t| (*t).to_owned()));
        let body = json!({ "params": params, "systemTags": system_tags });
        Ok(self.api.call("POST", "/vm-instances", Some(body))?["inventory"].clone())
    }

    /// A verb on a VM.
    pub fn vm_act(&self, vm: &Value, verb: &str, params: Value) -> Result<Value> {
        self.api.act(&format!("/vm-instances/{}/actions", text(vm, "uuid")), verb, params)
    }

    /// The VM as it is now.
    pub fn vm(&self, vm: &Value) -> Result<Value> {
        self.api.get("/vm-instances", text(vm, "uuid"))
    }

    /// Waits for a state of a VM.
    pub fn wait_vm(&self, vm: &Value, state: &str, seconds: u64) -> Result<Value> {
        self.api.wait_field("/vm-instances", text(vm, "uuid"), "state", state, Duration::from_secs(seconds))
    }

    /// Destroys and expunges a VM.
    pub fn remove_vm(&self, vm: &Value) -> Result<()> {
        let uuid = text(vm, "uuid");
        self.api.delete(&format!("/vm-instances/{uuid}"))?;
        if !self.api.list(&format!("/vm-instances/{uuid}"), "")?.is_empty() {
            self.vm_act(vm, "expungeVmInstance", json!({}))?;
        }
        Ok(())
    }

    /// Runs a command in the guest by SSH, waiting until it lets us in.
    pub fn ssh(&self, vm: &Value, command: &str, seconds: u64) -> Result<String> {
        let ip = vm["vmNics"][0]["ip"].as_str().context("the VM has no address")?.to_owned();
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let out = Command::new("ssh")
                .args(["-i", &self.key.to_string_lossy()])
                .args([
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                    "-o",
                    "ConnectTimeout=3",
                ])
                .args(["-o", "BatchMode=yes", "-o", "LogLevel=ERROR", &format!("root@{ip}"), command])
                .stdin(Stdio::null())
                .output()?;
            if out.status.code() != Some(255) {
                ensure!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
                return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
            }
            if Instant::now() > end {
                bail!("the guest at {ip} lets nobody in: {}", String::from_utf8_lossy(&out.stderr));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// A text field.
pub fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}
