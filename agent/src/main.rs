//! The program `cairn-agent`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use cairn_agent::agent::{self, Options};
use cairn_agent::config::AgentDir;
use cairn_agent::simulate;
use clap::{Arg, ArgAction, Command};
use tracing_subscriber::EnvFilter;

fn command() -> Command {
    Command::new("cairn-agent")
        .version(cairn_agent::VERSION)
        .about("Runs on a host: carries out what its Cairn server asks and reports what it sees.")
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("FOLDER")
                .required_unless_present("simulate")
                .help("agent.json, certificates and state"),
        )
        .arg(
            Arg::new("libvirt-uri")
                .long("libvirt-uri")
                .value_name("URI")
                .default_value("qemu:///system")
                .help("which libvirt to use"),
        )
        .arg(
            Arg::new("image-store-port")
                .long("image-store-port")
                .value_name("PORT")
                .default_value("8090")
                .value_parser(clap::value_parser!(u16))
                .help("TCP port for uploads and downloads of images"),
        )
        .arg(
            Arg::new("log")
                .long("log")
                .value_name("FILTER")
                .default_value("info")
                .help("what to log, such as debug or cairn_agent::vm=debug"),
        )
        .arg(
            Arg::new("purge")
                .long("purge")
                .action(ArgAction::SetTrue)
                .help("remove the bridges, DHCP servers, namespaces and rules that were made here, and end"),
        )
        .args(simulation_arguments())
}

/// The flags of `--simulate`; see docs/howto/simulate.md.
fn simulation_arguments() -> impl Iterator<Item = Arg> {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).requires("simulate")
    };
    let all = [
        Arg::new("simulate")
            .long("simulate")
            .value_name("N")
            .value_parser(hosts)
            .conflicts_with_all(["dir", "purge"])
            .requires("credentials")
            .help("serve this many hosts that are in memory only, instead of this machine"),
        flag(
            "credentials",
            "FOLDER",
            "files of `cairn host add-simulators --save-credentials`, one for each connection",
        ),
        flag("server", "HOST:PORT", "where the server listens for agents, instead of what the files say"),
        flag("hosts-per-connection", "N", "leave out connections that serve more hosts")
            .value_parser(clap::value_parser!(u64).range(1..=1000))
            .default_value("1000"),
        flag("separate", "", "only connections that serve one host")
            .value_name(None::<&str>)
            .action(ArgAction::SetTrue)
            .conflicts_with("hosts-per-connection"),
        flag("heartbeat", "TIME", "time between heartbeats, such as 60s, instead of the server's choice"),
        flag(
            "latency",
            "COMMAND=TIME",
            "how long a command takes: 200ms, uniform:50ms..90ms or exp:200ms; * is every command",
        )
        .action(ArgAction::Append),
        flag(
            "fault",
            "FAULT",
            "what goes wrong, such as fail:vm.start,nth=3 or vanish:after=30s,for=60s,hosts=0.1",
        )
        .action(ArgAction::Append),
        flag("behaviour", "FILE", "latencies and faults in a JSON file"),
        flag("seed", "N", "decides latencies and which hosts have faults")
            .value_parser(clap::value_parser!(u64))
            .default_value("1"),
    ];
    all.into_iter().map(|arg| arg.help_heading("Simulated hosts"))
}

/// A number of hosts to simulate.
fn hosts(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("there must be at least one host to simulate".to_owned()),
        Ok(hosts) => Ok(hosts),
        Err(_) => Err("this is no number of hosts".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = command().get_matches();
    let text = |name: &str| args.get_one::<String>(name).cloned().unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(text("log")).unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    if args.contains_id("simulate") {
        return ended(simulation(&args).and_then(simulate));
    }
    let options = Options {
        libvirt_uri: text("libvirt-uri"),
        image_store_port: args.get_one::<u16>("image-store-port").copied().unwrap_or(8090),
    };
    ended(run(PathBuf::from(text("dir")), options, args.get_flag("purge")))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn simulation(args: &clap::ArgMatches) -> anyhow::Result<simulate::Options> {
    let texts = |name: &str| args.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let text = |name: &str| args.get_one::<String>(name).cloned();
    let number = |name: &str| args.get_one::<u64>(name).copied();
    let file = text("behaviour").map(PathBuf::from);
    let per_connection = if args.get_flag("separate") { Some(1) } else { number("hosts-per-connection") };
    Ok(simulate::Options {
        hosts: usize::try_from(number("simulate").unwrap_or(0))?,
        credentials: PathBuf::from(text("credentials").unwrap_or_default()),
        server: text("server"),
        hosts_per_connection: usize::try_from(per_connection.unwrap_or(1000))?,
        heartbeat: text("heartbeat").map(|t| simulate::duration(&t)).transpose()?,
        seed: number("seed").unwrap_or(1),
        behaviour: simulate::Behaviour::read(file.as_deref(), &texts("latency"), &texts("fault"))?,
    })
}

fn simulate(options: simulate::Options) -> anyhow::Result<()> {
    // SAFETY: mallopt only sets a parameter of the allocator, before any other thread runs.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(simulate::run(options, stop_signal()))
}

fn run(folder: PathBuf, options: Options, purge: bool) -> anyhow::Result<()> {
    // Each arena of the allocator keeps memory for itself; two are enough for what the agent does.
    // SAFETY: mallopt only sets a parameter of the allocator, before any other thread runs.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
    // Disks and images are nobody else's. QEMU, which may run as another user, passes through folders and is given its files.
    // SAFETY: umask only sets the process's mask.
    unsafe { libc::umask(0o066) };
    let dir =
        AgentDir::open(&folder).with_context(|| format!("the folder {} cannot be used", folder.display()))?;
    let _lock = (dir.lock()?, dir.lock_machine(Path::new("/run/cairn"))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        if purge {
            return agent::purge(&dir).await;
        }
        let agent = Arc::new(agent::Agent::start(dir, options).await?);
        agent.run_until(stop_signal()).await
    });
    // Blocking calls to a libvirtd that hangs must not keep the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    done
}

/// Returns at SIGTERM or SIGINT. Guests, bridges and DHCP servers go on without the agent.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => tracing::info!("stopping on SIGTERM; guests go on"),
        _ = int.recv() => tracing::info!("stopping on SIGINT; guests go on"),
    }
}
