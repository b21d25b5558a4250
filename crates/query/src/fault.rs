//! What can be wrong with a query, said so that the reader can mend it.

use cairn_api::resource::Resource;
use cairn_types::{Fault, code};

/// Every name a condition on the resource may begin with.
pub(crate) fn known_names(resource: &Resource) -> Vec<&'static str> {
    let below = resource.subtypes.iter().flat_map(|s| s.of.iter()).flat_map(|(_, r)| r.fields.iter());
    let mut names: Vec<&'static str> =
        resource.fields().chain(below).filter(|f| f.queryable).map(|f| f.name).collect();
    names.extend(resource.lists().map(|l| l.name));
    names.extend(resource.nested().map(|n| n.name));
    names.extend(resource.joins().filter(|j| !j.hidden).map(|j| j.name));
    names.extend(resource.aliases().map(|(name, _)| *name));
    if has_tags(resource) {
        names.extend(["__systemTag__", "__userTag__"]);
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether rows of the resource can have tags.
pub(crate) fn has_tags(resource: &Resource) -> bool {
    resource.keys == ["uuid"]
        && !matches!(resource.table, "resource" | "system_tag" | "user_tag" | "shared_resource")
}

/// `SYS.1007`: the resource has no such field.
pub(crate) fn unknown_field(resource: &Resource, name: &str, known: Vec<&'static str>) -> Fault {
    let short = resource.short_name();
    let shown: String = name.chars().take(60).collect();
    let near = nearest(&shown, &known);
    let hint = near.map_or_else(|| ".".to_owned(), |n| format!("; did you mean {n}?"));
    let list = known.join(", ");
    let mut fault = Fault::argument(format!("{short} has no field {shown:?}{hint} Known fields: {list}"))
        .with("field", shown)
        .with("resource", short)
        .with("known", known);
    if let Some(near) = near {
        fault = fault.with("suggestion", near);
    }
    fault
}

/// `SYS.1007`: the value does not fit the field.
pub(crate) fn wrong_value(field: &str, value: &str, wanted: &str) -> Fault {
    let shown: String = value.chars().take(60).collect();
    Fault::argument(format!("{field} is compared with {wanted}, not {shown:?}"))
        .with("field", field)
        .with("value", shown)
}

/// `QUERY.8000`: more than a query may ask.
pub(crate) fn too_much(text: impl Into<String>) -> Fault {
    Fault::new(code::QUERY_TOO_DEEP, text)
}

/// The known name that needs the fewest changes, if it needs few.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let limit = (name.chars().count() / 3).max(2);
    let best = known.iter().map(|k| (distance(name, k), *k)).min()?;
    (best.0 <= limit).then_some(best.1)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
            row.push(change.min(swap).min(rows[i - 1][j] + 1).min(row[j - 1] + 1));
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_suggested() {
        let known = ["name", "hostUuid", "createDate"];
        assert_eq!(nearest("nmae", &known), Some("name"));
        assert_eq!(nearest("nam", &known), Some("name"));
        assert_eq!(nearest("hostuuid", &known), Some("hostUuid"));
        assert_eq!(nearest("createdate", &known), Some("createDate"));
        assert_eq!(nearest("colour", &known), None);
    }
}
