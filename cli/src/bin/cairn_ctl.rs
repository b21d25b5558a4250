//! `cairn-ctl`: the server on its own machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cairn_cli::ctl::main(std::env::args_os()))
}
