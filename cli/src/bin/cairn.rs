//! `cairn`: the cloud on the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cairn_cli::run::main(std::env::args_os()))
}
