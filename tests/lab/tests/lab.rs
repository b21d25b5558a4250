//! Cases on real guests. `cargo test -p cairn-lab -- vm_04` runs those whose names contain a text.

mod faults;
mod images;
mod life;
mod services;

use cairn_lab::{Case, run};

fn main() {
    let mut cases: Vec<Case> = Vec::new();
    for group in [life::CASES, services::CASES, faults::CASES, images::CASES] {
        cases.extend(group.iter().map(|c| Case { name: c.name, run: c.run }));
    }
    std::process::exit(run(&cases));
}
