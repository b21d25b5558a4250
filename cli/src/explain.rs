//! Errors in the words of the command that was typed: names for uuids, flags for parameters, verbs for actions, each thing
//! said once, and what can be done next, as the server knows it.

use std::collections::BTreeSet;

use cairn_api::{Operation, Param, operations};
use cairn_types::code;
use clap::ArgMatches;
use serde_json::{Value, json};

use crate::arguments::{self, Params};
use crate::client::Client;
use crate::command::{in_flags, kebab, place, positionals, shown_flag, shown_value, spoken};
use crate::known::{self, Names};
use crate::session::simple;
use crate::{Failure, call, names};

/// How many commands an error suggests; the server tells the most useful ones first.
const COMMANDS: usize = 4;

/// A call as it was typed and as it was sent.
pub struct Typed<'a> {
    /// The operation.
    pub op: &'static Operation,
    /// Parameters with the names that were typed.
    pub said: &'a Params,
    /// The same with uuids.
    pub sent: &'a Params,
}

impl Typed<'_> {
    /// Names by uuid, as they were typed.
    fn names(&self) -> Names {
        let mut names = Names::default();
        for (key, sent) in self.sent {
            match (self.said.get(key), sent) {
                (Some(Value::String(said)), Value::String(sent)) if said != sent => names.add(sent, said),
                (Some(Value::Array(said)), Value::Array(sent)) => {
                    for (said, sent) in said.iter().zip(sent).filter(|(a, b)| a != b) {
                        names.add(sent.as_str().unwrap_or_default(), said.as_str().unwrap_or_default());
                    }
                }
                _ => (),
            }
        }
        names
    }
}

/// The failure of a call in the caller's words.
pub fn explain(client: &Client, typed: &Typed<'_>, failure: Failure) -> Failure {
    let Failure::Api(mut error) = failure else { return failure };
    let hint = next_step(client, typed, &error);
    let mut names = typed.names();
    let mut unknown = BTreeSet::new();
    known::uuids(&error, &mut unknown);
    names.learn(client, &unknown);
    // What was to be made is gone again, and its name is what was typed.
    if let (Some(name), true) = (typed.said.get("name").and_then(Value::as_str), typed.op.target().is_none())
    {
        for uuid in &unknown {
            if names.get(uuid).is_none() {
                names.add(uuid, name);
            }
        }
    }
    word(&mut error, typed.op, &names);
    if let (Some(hint), Value::Object(map)) = (hint, &mut error) {
        map.insert("hint".to_owned(), json!(hint));
    }
    Failure::Api(error)
}

/// Rewrites every text for people in an error.
fn word(error: &mut Value, op: &Operation, names: &Names) {
    match error {
        Value::String(text) => *text = in_words(text, op, names),
        Value::Array(list) => list.iter_mut().for_each(|v| word(v, op, names)),
        Value::Object(map) => {
            let texts = map.iter_mut().filter(|(key, _)| *key != "code" && *key != "params");
            texts.for_each(|(_, value)| word(value, op, names));
        }
        _ => (),
    }
}

fn in_words(text: &str, op: &Operation, names: &Names) -> String {
    let one = |word: &str| {
        if let Some(name) = names.get(word) {
            return name.to_owned();
        }
        // Names with a capital inside are no words of a language.
        if !word.chars().skip(1).any(|c| c.is_ascii_uppercase()) {
            return word.to_owned();
        }
        if let Some(param) = op.params.iter().find(|p| p.name == word) {
            return format!("--{}", shown_flag(op, param));
        }
        match Operation::find(word) {
            Some(op) => format!("{} {}", op.noun, op.verb),
            None => entity_in_words(word).unwrap_or_else(|| word.to_owned()),
        }
    };
    known::words(text).map(one).collect()
}

/// `VmInstanceVO` is a VM.
pub fn entity_in_words(entity: &str) -> Option<String> {
    entity.strip_suffix("VO")?;
    let query = call::query_of(entity);
    let by_noun = query.filter(|op| op.verb == "list").map(|op| spoken(op.noun));
    Some(by_noun.unwrap_or_else(|| spoken(&kebab(entity.trim_end_matches("VO")))))
}

/// What the server says that can be done instead, or what was not given.
fn next_step(client: &Client, typed: &Typed<'_>, error: &Value) -> Option<String> {
    let codes: Vec<&str> = chain(error).filter_map(|e| e.get("code")?.as_str()).collect();
    if codes.contains(&code::INVALID_ARGUMENT) {
        let lacking: Vec<&Param> = typed
            .op
            .params
            .iter()
            .filter(|p| p.required && p.lenient && !typed.said.contains_key(p.name))
            .collect();
        return (!lacking.is_empty())
            .then(|| format!("not given:\n{}", list(Some(client), typed.op, &lacking)));
    }
    chain(error).find(|e| e.pointer("/opaque/params/allowedStates").is_some())?;
    possible(client, typed)
}

/// The error and those below it, by first causes.
fn chain(error: &Value) -> impl Iterator<Item = &Value> {
    std::iter::successors(Some(error), |e| e.get("cause").filter(|c| c.is_object()))
}

/// The commands that the resource allows now.
fn possible(client: &Client, typed: &Typed<'_>) -> Option<String> {
    let target =
        typed.op.params.iter().find(|p| names::takes_uuid(typed.op, p) && typed.sent.contains_key(p.name))?;
    let uuid = typed.sent.get(target.name)?.as_str()?;
    let name = typed.said.get(target.name)?.as_str()?;
    let query = call::query_of(target.refers?)?;
    let answer = simple(client, query.name, json!({"q": [format!("uuid={uuid}")]})).ok()?;
    let allowed = answer.pointer("/inventories/0/allowedActions")?.as_array()?;
    let commands: Vec<String> = allowed
        .iter()
        .filter_map(|action| operations().iter().find(|op| Some(op.name) == action.as_str()))
        .filter(|op| op.noun == query.noun && op.changes())
        .filter(|op| op.params.iter().filter(|p| p.must_be_given()).count() <= 1)
        .take(COMMANDS)
        .map(|op| format!("cairn {} {} {}", op.noun, op.verb, quoted(name)))
        .collect();
    (!commands.is_empty()).then(|| format!("possible now:\n  {}", commands.join("\n  ")))
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@');
    if name.chars().all(is_plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

/// The failure of a command without parameters that it needs: all of them, with what there is to choose from.
pub fn missing(client: Option<&Client>, op: &'static Operation, matches: &ArgMatches) -> Option<Failure> {
    let lacking = arguments::missing(op, matches);
    if lacking.is_empty() {
        return None;
    }
    let list = list(client, op, &lacking);
    Some(Failure::Usage(format!("{} {} needs what was not given:\n{list}", op.noun, op.verb)))
}

fn list(client: Option<&Client>, op: &'static Operation, params: &[&Param]) -> String {
    let bare = |param: &Param| positionals(op).iter().any(|p| p.name == param.name);
    let left = |param: &Param| match bare(param) {
        true => place(param),
        false => format!("--{} {}", shown_flag(op, param), shown_value(param)),
    };
    let widest = params.iter().map(|p| left(p).len()).max().unwrap_or(0);
    let line = |param: &&Param| {
        let mut text =
            format!("  {:widest$}  {}", left(param), in_flags(op, param.doc.trim_end_matches('.')));
        let there = client
            .zip(param.refers.and_then(call::query_of))
            .map(|(c, query)| names::existing(c, query, &[]));
        if let Some(there) = there.filter(|t| !t.is_empty()) {
            text.push_str(&format!("; there is: {there}"));
        }
        text
    };
    params.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_01_errors_speak_of_flags_verbs_and_names() {
        let op = Operation::find("CreateVmInstance").unwrap();
        let mut names = Names::default();
        names.add("0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4", "web-1");
        for (text, words) in [
            (
                "l3NetworkUuids must name at least one L3 network",
                "--l3-network must name at least one L3 network",
            ),
            (
                "VM 0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4 is Paused and can't do StartVmInstance",
                "VM web-1 is Paused and can't do vm start",
            ),
            ("there is no InstanceOfferingVO with uuid x", "there is no instance offering with uuid x"),
            ("type is needed, description too", "type is needed, description too"),
        ] {
            assert_eq!(in_words(text, op, &names), words);
        }
        assert_eq!(quoted("web 1"), "'web 1'");
    }
}
