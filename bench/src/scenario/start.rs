//! Process start to first answer. The first start on an empty folder also makes the schema, keys, certificates and the
//! password's hash; the second one finds them.

use anyhow::Result;

use crate::interrupt;
use crate::report::Report;
use crate::sample::Sample;
use crate::server::{Server, data_dir};

const RUNS: usize = 10;

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let (mut first, mut second) = (Sample::default(), Sample::default());
    for _ in 0..RUNS {
        interrupt::check()?;
        let dir = data_dir()?;
        first.push(Server::start(dir.path())?.took);
        second.push(Server::start(dir.path())?.took);
    }
    let how = format!(
        "median of {RUNS} first starts (makes schema, keys and password hash; slowest {:.0} ms); second start {:.0} ms",
        first.quantile(1.0),
        second.median()
    );
    report.put("server_start_ms", first.median(), how);
    let how = format!("median of {RUNS} starts on the database of an earlier one, without resources");
    report.put("restart_empty_ms", second.median(), how);
    Ok(())
}
