//! Whether clones can be told from what the API made.
//!
//! [`zone`] writes down everything that belongs to a zone, whatever the table: a row belongs to it that names it or anything
//! of it. What must differ between two zones is written as what it is: an id by the table of its row, a name, an address, a time. Two zones made in
//! the same way are the same text, line by line.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_store::{Row, Tx, Value, params};
use cairn_types::Result;

use crate::numbers::sort;

/// What tells of calls and of servers, not of resources.
const HISTORY: &[&str] = &["audit", "event", "job", "run", "session", "management_node"];

/// One line for each row that belongs to a zone, in order. For small databases: it reads all rows.
pub fn zone(tx: &mut dyn Tx, zone: &str) -> Result<Vec<String>> {
    let rows = all_rows(tx)?;
    let mut own: BTreeMap<String, &str> = BTreeMap::from([(zone.to_owned(), "zone")]);
    loop {
        let before = own.len();
        for (table, row) in &rows {
            adopt(table, row, &mut own);
        }
        if own.len() == before {
            break;
        }
    }
    let name = rows
        .iter()
        .find(|(t, r)| t == "vm_instance" && belongs(r, &own))
        .and_then(|(_, r)| r.text("name").ok());
    let name = name.unwrap_or_default();
    let mut lines: Vec<String> = rows
        .iter()
        .filter(|(_, row)| belongs(row, &own))
        .map(|(table, row)| format!("{table}: {}", shown(table, row, &own, &name)))
        .collect();
    lines.sort();
    Ok(lines)
}

fn all_rows(tx: &mut dyn Tx) -> Result<Vec<(String, Row)>> {
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut rows = Vec::new();
    for table in tx.query(sql, params![])? {
        let table = table.text("name")?;
        if !HISTORY.contains(&table.as_str()) {
            let found = tx.query(&format!("SELECT * FROM {table}"), params![])?;
            rows.extend(found.into_iter().map(|row| (table.clone(), row)));
        }
    }
    Ok(rows)
}

/// What names something of the zone is of the zone too, and so is the agent of a host.
fn adopt<'r>(table: &'r str, row: &Row, own: &mut BTreeMap<String, &'r str>) {
    if !belongs(row, own) {
        return;
    }
    if let Ok(uuid) = row.text("uuid") {
        // The registry names resources by their own uuids.
        if table != "resource" {
            own.insert(uuid, table);
        }
    }
    if let ("host", Ok(Some(agent))) = (table, row.opt_text("agent_uuid")) {
        own.entry(agent).or_insert("agent");
    }
}

fn belongs(row: &Row, own: &BTreeMap<String, &str>) -> bool {
    row.values().iter().filter_map(Value::as_text).any(|t| own.contains_key(t))
}

fn shown(table: &str, row: &Row, own: &BTreeMap<String, &str>, vm_name: &str) -> String {
    let cells = row.names().iter().zip(row.values()).map(|(column, value)| {
        let value = match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(n) if column.ends_with("_ms") => format!("<time {}>", n.to_string().len()),
            Value::Int(_) if column == "internal_id" => "<number>".to_owned(),
            Value::Int(n) => n.to_string(),
            Value::Real(x) => x.to_string(),
            Value::Text(text) => shown_text(table, column, text, row, own, vm_name),
        };
        format!("{column}={value}")
    });
    cells.collect::<Vec<_>>().join(" ")
}

fn shown_text(
    table: &str,
    column: &str,
    text: &str,
    row: &Row,
    own: &BTreeMap<String, &str>,
    vm_name: &str,
) -> String {
    let is_hex = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match (table, column) {
        (_, "name") if !vm_name.is_empty() && text.ends_with(vm_name) => text.replace(vm_name, "<name>"),
        (_, "name") => "<name>".to_owned(),
        ("agent", "fingerprint") => format!("<{} digits, all hexadecimal: {}>", text.len(), is_hex(text)),
        ("vm_nic", "mac") => {
            let parts: Vec<&str> = text.split(':').collect();
            format!("<mac {} {} {}>", parts.len(), parts[0], parts.iter().all(|p| p.len() == 2 && is_hex(p)))
        }
        (_, sorted) if sorted.ends_with("ip_sort") => {
            let of = row.text(sorted.trim_end_matches("_sort")).ok().and_then(|t| t.parse().ok()).map(sort);
            format!("<sorts as its address: {}>", of.as_deref() == Some(text))
        }
        (_, "netmask") => text.to_owned(),
        (_, "network_cidr") => {
            let (network, length) = text.split_once('/').unwrap_or((text, ""));
            let gateway = row.text("gateway").unwrap_or_default().parse();
            let inside = gateway.is_ok_and(|gateway| cairn_types::address::lies_in(text, gateway));
            format!("<{}/{length} with its gateway: {inside}>", family(network).unwrap_or("no address"))
        }
        _ => match family(text) {
            Some(family) => format!("<{family}>"),
            None => without_ids(text, own),
        },
    }
}

fn family(text: &str) -> Option<&'static str> {
    match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(_) => Some("IPv4"),
        IpAddr::V6(_) => Some("IPv6"),
    }
}

fn without_ids(text: &str, own: &BTreeMap<String, &str>) -> String {
    let mut text = text.to_owned();
    for (id, table) in own {
        text = text.replace(id.as_str(), &format!("<{table}>"));
        if let Some(tail) = id.get(20..).filter(|tail| text.ends_with(tail)) {
            text = text.replace(tail, &format!("<end of {table}>"));
        }
        // The name that a simulated host gives itself.
        if let Some(head) = id.get(..8).filter(|_| *table == "host") {
            text = text.replace(&format!("sim-{head}"), "sim-<start of host>");
        }
    }
    // Addresses in the facts of a host and in tags, and numbers of bridges.
    let parts =
        text.split('"').map(|part| part.split("::").map(without_number).collect::<Vec<_>>().join("::"));
    parts.collect::<Vec<_>>().join("\"")
}

fn without_number(part: &str) -> String {
    if let Some(family) = family(part) {
        return format!("<{family}>");
    }
    let bridge = part.trim_end_matches(|c: char| c.is_ascii_digit());
    if part.starts_with("br_") && bridge.ends_with('_') {
        format!("{bridge}<number>")
    } else {
        part.to_owned()
    }
}
