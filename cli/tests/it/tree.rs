//! Every operation of the table has its place in the command tree.

use std::collections::BTreeSet;

use cairn_api::{Kind, operations};
use cairn_cli::command::{OWN, kebab, positional_id, positionals, tree};

#[test]
fn cli_01_every_operation_has_a_unique_documented_verb() {
    let tree = tree();
    let mut seen = BTreeSet::new();
    for op in operations() {
        assert!(!op.noun.is_empty() && !op.verb.is_empty(), "{} has no CLI name", op.name);
        assert!(seen.insert((op.noun, op.verb)), "{} {} stands for two operations", op.noun, op.verb);
        assert!(!OWN.contains(&op.noun), "{} hides a command of the CLI itself", op.noun);
        let words = format!("{} {}", op.noun, op.verb);
        assert!(
            words.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | ' ')),
            "{words}"
        );
        let noun = tree.find_subcommand(op.noun).unwrap();
        let verb = noun.find_subcommand(op.verb).unwrap_or_else(|| panic!("{words} is missing"));
        assert!(!op.doc.is_empty() && verb.get_about().is_some(), "{words} has no documentation");
        let long = verb.get_long_about().unwrap().to_string();
        assert!(long.contains(op.name), "the help of {words} does not name the action");
    }
}

#[test]
fn cli_01_every_parameter_can_be_given() {
    let tree = tree();
    for op in operations() {
        let verb = tree.find_subcommand(op.noun).unwrap().find_subcommand(op.verb).unwrap();
        for param in op.params.iter().filter(|p| !p.ignored) {
            let full = kebab(param.name);
            let names = |a: &&clap::Arg| {
                let mut all = a.get_all_aliases().unwrap_or_default();
                all.extend(a.get_long());
                [full.as_str(), param.name].iter().all(|name| all.contains(name))
            };
            let flag = verb.get_arguments().find(names);
            let flag = flag.unwrap_or_else(|| panic!("{} has no flag for {}", op.name, param.name));
            assert!(flag.get_help().is_some_and(|h| !h.to_string().is_empty()), "{} {}", op.name, param.name);
        }
        for param in positionals(op) {
            assert!(verb.get_arguments().any(|a| a.get_id() == positional_id(param).as_str()), "{}", op.name);
        }
        let has = |long: &str| verb.get_arguments().any(|a| a.get_long() == Some(long));
        assert_eq!(has("plan"), op.changes(), "{}", op.name);
        assert_eq!(has("no-wait"), op.job, "{}", op.name);
        assert_eq!(has("query"), op.kind == Kind::Query, "{}", op.name);
    }
}

#[test]
fn cli_01_the_tree_is_sound() {
    // Checks every command for flags that stand twice, positions in a wrong order and the like.
    tree().debug_assert();
    cairn_cli::ctl::tree().debug_assert();
}

#[test]
fn cli_01_completion_is_made_for_three_shells() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let ran = crate::mock::Ran::from(
            crate::mock::program(home.path()).args(["completion", shell]).output().unwrap(),
        );
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        for word in ["vm", "console-url", "instance-offering", "primary-storage"] {
            assert!(ran.out.contains(word), "{shell} does not complete {word}");
        }
    }
}
