//! What libvirt says, in our words.

use cairn_api::agent::vm::{ConsoleAddress, PowerState};
use cairn_types::{Fault, code};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use virt::error::Error;
use virt::sys;

use crate::process::{is_no_space, no_space};

/// Our word for a domain's state.
pub fn power_state(state: sys::virDomainState) -> PowerState {
    match state {
        sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_PMSUSPENDED => PowerState::Paused,
        sys::VIR_DOMAIN_SHUTOFF | sys::VIR_DOMAIN_CRASHED => PowerState::Off,
        // Running, blocked on something, or on its way down but still there.
        _ => PowerState::Running,
    }
}

/// The state that a lifecycle event leads to, and its reason; none when it leads to none.
pub fn event(event: i32, detail: i32) -> Option<(PowerState, String)> {
    let detail = u32::try_from(detail).ok()?;
    Some(match u32::try_from(event).ok()? {
        sys::VIR_DOMAIN_EVENT_STARTED => (PowerState::Running, "started".to_owned()),
        sys::VIR_DOMAIN_EVENT_RESUMED => (PowerState::Running, "resumed".to_owned()),
        sys::VIR_DOMAIN_EVENT_SUSPENDED => (PowerState::Paused, suspended(detail).to_owned()),
        sys::VIR_DOMAIN_EVENT_PMSUSPENDED => (PowerState::Paused, "suspended by the guest".to_owned()),
        sys::VIR_DOMAIN_EVENT_CRASHED => (PowerState::Off, "crashed".to_owned()),
        sys::VIR_DOMAIN_EVENT_STOPPED => (PowerState::Off, stopped(detail).to_owned()),
        _ => return None,
    })
}

fn suspended(detail: u32) -> &'static str {
    match detail {
        sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR => "paused by an I/O error (is the storage full?)",
        sys::VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG => "paused by its watchdog",
        _ => "paused",
    }
}

fn stopped(detail: u32) -> &'static str {
    match detail {
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => "shut down by the guest",
        sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => "powered off",
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => "crashed",
        sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED => "moved to another host",
        sys::VIR_DOMAIN_EVENT_STOPPED_FAILED => "the emulator ended",
        _ => "stopped",
    }
}

/// Parts of libvirt's messages with a meaning for users.
const HINTS: &[(&str, &str)] = &[
    ("Failed to get \"write\" lock", "a disk of it is in use by another process"),
    ("Failed to get shared \"write\" lock", "a disk of it is in use by another process"),
    ("Cannot access storage file", "a file of it is not there"),
    ("Could not open", "a disk of it cannot be opened"),
    ("Cannot get interface MTU", "the bridge of a network is not there"),
    ("Unable to add port", "the bridge of a network is not there"),
    ("cannot set up guest memory", "the host has not enough memory"),
    ("Cannot allocate memory", "the host has not enough memory"),
    ("KVM is not supported", "KVM does not work on the host"),
];

/// The fault for an error about a VM (or about none: "").
pub fn fault(vm: &str, error: &Error) -> Fault {
    let message = error.message();
    let what = if vm.is_empty() {
        "the hypervisor failed".to_owned()
    } else {
        format!("the hypervisor failed on VM {vm}")
    };
    if is_no_space(message) {
        return no_space(what).for_operator(error);
    }
    let hint = HINTS.iter().find(|(part, _)| message.contains(part));
    let details = hint.map_or(what.clone(), |(_, hint)| format!("{what}: {hint}"));
    let fault = Fault::new(code::AGENT_HYPERVISOR, details).for_operator(error);
    if vm.is_empty() { fault } else { fault.with("vm", vm) }
}

/// Calls `look` for each element until it has an answer.
fn find<T>(xml: &str, mut look: impl FnMut(&BytesStart<'_>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event() {
            Ok(Event::Start(e) | Event::Empty(e)) => {
                if let Some(found) = look(&e) {
                    return Some(found);
                }
            }
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => (),
        }
    }
}

fn attribute(e: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = e.try_get_attribute(name).ok()??;
    Some(attribute.unescape_value().ok()?.into_owned())
}

/// Where the VNC server of a running domain listens.
pub fn vnc_address(xml: &str) -> Option<ConsoleAddress> {
    find(xml, |e| {
        if e.name().as_ref() != b"graphics" || attribute(e, "type")? != "vnc" {
            return None;
        }
        let port = attribute(e, "port")?.parse().ok()?;
        Some(ConsoleAddress { address: attribute(e, "listen").unwrap_or_default(), port })
    })
}

/// Whether the guest agent has opened its channel.
pub fn agent_listens(xml: &str) -> bool {
    let connected = |e: &BytesStart<'_>| {
        let is_agent = e.name().as_ref() == b"target" && attribute(e, "name")? == "org.qemu.guest_agent.0";
        is_agent.then(|| attribute(e, "state").is_some_and(|s| s == "connected"))
    };
    find(xml, connected).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_domain_tells_its_console_and_its_agent() {
        let xml = "<domain><devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' \
                   state='connected'/></channel><graphics type='vnc' port='5903' autoport='yes' listen='10.0.0.1'/>\
                   </devices></domain>";
        assert_eq!(vnc_address(xml), Some(ConsoleAddress { address: "10.0.0.1".into(), port: 5903 }));
        assert!(agent_listens(xml));
        assert!(!agent_listens(&xml.replace("connected", "disconnected")));
        assert_eq!(vnc_address("<domain><graphics type='vnc' port='-1'/></domain>"), None);
        assert_eq!(vnc_address("<broken"), None);
    }

    #[test]
    fn events_of_a_guest_that_is_still_there_are_no_end() {
        let shutdown = i32::try_from(sys::VIR_DOMAIN_EVENT_SHUTDOWN).unwrap();
        assert_eq!(event(shutdown, 0), None);
        let stopped = i32::try_from(sys::VIR_DOMAIN_EVENT_STOPPED).unwrap();
        assert_eq!(event(stopped, 0).unwrap().0, PowerState::Off);
    }
}
