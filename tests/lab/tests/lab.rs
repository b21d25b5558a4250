//! Cases on real guests. `cargo test -p cairn-lab -- vm_04` runs those whose names contain a text.

mod life;

use cairn_lab::{Case, run};

fn main() {
    let mut cases: Vec<Case> = Vec::new();
    cases.extend(life::CASES.iter().map(|c| Case { name: c.name, run: c.run }));
    std::process::exit(run(&cases));
}
