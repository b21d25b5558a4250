//! `cairn-ctl`: the server on its own machine. Everything works on the data folder, so it works when the server does not.

pub mod daemon;
pub mod database;
pub mod home;
pub mod password;
pub mod process;
pub mod status;
pub mod systemd;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::output::{self, Format};
use crate::{Failure, Result};
use home::Home;

/// The command tree of `cairn-ctl`.
pub fn tree() -> Command {
    let data_dir = Arg::new("data-dir")
        .long("data-dir")
        .global(true)
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("Folder of database, keys and log [env: CAIRN_HOME] [default: /var/lib/cairn]");
    let format = Arg::new("output")
        .long("output")
        .short('o')
        .global(true)
        .value_name("FORMAT")
        .value_parser(["table", "json", "yaml"])
        .default_value("table")
        .help("How to print a status");
    let timeout = || {
        let arg = Arg::new("timeout").long("timeout").value_name("SECONDS").value_parser(value_parser!(u64));
        arg.default_value("60").help("How long to wait for the server")
    };
    let file = |help: &'static str| {
        Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("cairn-ctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Look after the Cairn server on this machine.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args([data_dir, format])
        .subcommand(Command::new("status").about("Show server, page and files; exit code 0 if the server runs, 1 if not"))
        .subcommand(Command::new("ui-status").about("Show the page's address; exit code 0 if it is served, 1 if not"))
        .subcommand(Command::new("start").about("Start the server and wait until it takes calls").arg(timeout()))
        .subcommand(
            Command::new("stop").about("Stop the server; unfinished operations go on at the next start").arg(timeout()),
        )
        .subcommand(Command::new("restart").about("Stop and start the server").arg(timeout()))
        .subcommand(reset_password())
        .subcommand(Command::new("backup").about("Copy the database into a file; the server may run").arg(file("File to make")))
        .subcommand(
            Command::new("restore")
                .about("Put a backup in the place of the database, which is kept aside; the server must be stopped")
                .arg(file("Backup to restore")),
        )
}

fn reset_password() -> Command {
    Command::new("reset-password")
        .about("Set a forgotten password and end the sessions of the account; the server may run")
        .long_about(
            "Set a forgotten password and end the sessions of the account; the server may run.\n\
             The new password comes from a prompt, from standard input, or from CAIRN_PASSWORD.",
        )
        .arg(
            Arg::new("account")
                .long("account")
                .value_name("NAME")
                .default_value("admin")
                .help("Account to change"),
        )
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Read the new password from standard input"),
        )
}

/// Runs `cairn-ctl` with these arguments and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let matches = match tree().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match dispatch(&matches) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.render());
            failure.exit_code()
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Result<u8> {
    let home = Home::open(matches.get_one::<PathBuf>("data-dir"))?;
    let format = Format::parse(matches.get_one::<String>("output").map_or("table", String::as_str));
    let Some((verb, matches)) = matches.subcommand() else { return Ok(0) };
    let timeout = || Duration::from_secs(matches.get_one::<u64>("timeout").copied().unwrap_or(60));
    let file = || matches.get_one::<PathBuf>("file").map_or(Path::new(""), PathBuf::as_path);
    match verb {
        "status" => status::server(&home, format),
        "ui-status" => status::page(&home, format),
        "start" => daemon::start(&home, timeout()).map(|()| 0),
        "stop" => daemon::stop(&home, timeout()).map(|()| 0),
        "restart" => daemon::restart(&home, timeout()).map(|()| 0),
        "reset-password" => password::reset(&home, matches).map(|()| 0),
        "backup" => database::backup(&home, file()).map(|()| 0),
        "restore" => database::restore(&home, file()).map(|()| 0),
        other => Err(Failure::Usage(format!("there is no command {other}"))),
    }
}

/// Says what was done.
fn say(text: &str) -> Result<()> {
    output::write(&format!("{text}\n"))
}

/// A file operation that failed, with what to do about the usual reason.
fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let hint =
        if error.kind() == std::io::ErrorKind::PermissionDenied { "; run cairn-ctl as root" } else { "" };
    Failure::Failed(format!("cannot {what} {}: {error}{hint}", path.display()))
}
