//! OPS-14, servers: three real processes on one PostgreSQL and one NATS server, simulated hosts behind the agent protocol, load over
//! all three; one is killed, or stopped for longer than its lease. And hosts of `cairn-agent --simulate`, a process of its own.
//!
//! Not part of `cargo test`, since it needs the agent's program: `scripts/test.sh ops-14`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod cluster;
mod hosts;
mod kill;
mod load;
mod partition;
mod postgres;
mod simulator;
