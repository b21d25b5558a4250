//! Settings that the original has not. Category `mevoco` is where clients of the extended edition look for
//! overcommitment.

use super::Form;

super::settings! {
    "cairn" {
        /// Minutes east of UTC of the zone that dates in answers and query conditions are written in
        "api.timeZone" = Some("0"), Form::between(-720, 840);
        /// Seconds between heartbeats of agents; after three missed ones a host is Disconnected. Agents hear of a change when
        /// they connect
        "agent.heartbeatInterval" = Some("10"), Form::between(1, 300);
        /// Write an audit row for reading calls too
        "audit.reads" = Some("true"), Form::Bool;
        /// Days that audit rows are kept
        "audit.keepDays" = Some("90"), Form::between(1, 3650);
        /// Days that the event stream can be resumed from
        "event.keepDays" = Some("7"), Form::between(1, 365);
        /// Days that finished workflow runs are kept
        "run.keepDays" = Some("30"), Form::between(1, 3650);
        /// Folder that `file:` addresses of images must lie in; empty refuses them all
        "image.fileFolder" = Some(""), Form::PathOrEmpty;
        /// Let tenants add images from addresses of this machine, of its links and of management networks
        "image.tenantMayReachInternal" = Some("false"), Form::Bool;
        /// Seconds that a guest has to shut down before a stop with `grace` powers it off
        "vm.stopTimeout" = Some("60"), Form::between(1, 3600);
        /// Let web hooks post to addresses of this machine
        "webHook.mayReachLoopback" = Some("true"), Form::Bool;
        /// Let web hooks of tenants post to addresses of this machine, of private and of management networks
        "webHook.tenantMayReachInternal" = Some("false"), Form::Bool;
    }
    "mevoco" {
        /// How much memory may be promised per byte that a host has
        "overProvisioning.memory" = Some("1.0"), Form::Factor;
        /// How much disk may be promised per byte that a primary storage has
        "overProvisioning.primaryStorage" = Some("1.0"), Form::Factor;
    }
}
