//! `cairn-load`: fills the database of a server that is stopped.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use cairn_load::{Size, load};
use cairn_store::{PostgresUrl, Store};
use clap::{Arg, ArgMatches, Command};

const ABOUT: &str = "Clones a zone that the API made, with its cluster, network, host and VM, until there are as many hosts and VMs as \
    wanted. No server may be at work on the database.";

fn flags() -> Command {
    let flag =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).value_name("VALUE").help(help);
    let number = |name, help| flag(name, help).value_parser(clap::value_parser!(usize));
    Command::new("cairn-load").version(env!("CARGO_PKG_VERSION")).about(ABOUT).args([
        flag("data-dir", "folder of the server's data")
            .conflicts_with("store")
            .required_unless_present("store"),
        flag("store", "a PostgreSQL database instead: postgres://user@host/name"),
        flag("vm", "uuid of the VM that is cloned, with all around it: it has one NIC with one IPv4 address")
            .required(true),
        number("hosts", "hosts to add").required(true),
        number("vms", "VMs to add").required(true),
        number("hosts-per-cluster", "hosts of a cluster").default_value("1000"),
        number("clusters-per-zone", "clusters of a zone").default_value("100"),
    ])
}

fn open(args: &ArgMatches) -> Result<Store> {
    if let Some(url) = args.get_one::<String>("store") {
        return Ok(Store::connect(&url.parse::<PostgresUrl>()?, 1)?);
    }
    let folder = args.get_one::<String>("data-dir").map(PathBuf::from).unwrap_or_default();
    let file = folder.join("cairn.db");
    anyhow::ensure!(file.exists(), "there is no database in {}", folder.display());
    Ok(Store::open(&file, 1)?)
}

fn main() -> Result<()> {
    let args = flags().get_matches();
    let store = open(&args)?;
    let number = |name: &str| args.get_one::<usize>(name).copied().unwrap_or(0);
    let size = Size {
        hosts: number("hosts"),
        vms: number("vms"),
        hosts_per_cluster: number("hosts-per-cluster"),
        clusters_per_zone: number("clusters-per-zone"),
    };
    let vm = args.get_one::<String>("vm").cloned().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let began = Instant::now();
    let told =
        |what: &str, count: usize| println!("{count} {what} after {:.1} s", began.elapsed().as_secs_f64());
    let rows = runtime.block_on(load(&store, &vm, size, told)).context("the database was not filled")?;
    println!("{rows} rows in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}
