//! The nested fields that clients of the original know, for every resource that exists.

use cairn_api::resource::{find, find_by_name, ALL};
use cairn_query::{Options, Query, Viewer, compile};

use crate::fixture::Db;

#[test]
fn placeholder() {
    let _ = (find("x").is_none(), find_by_name("x").is_none(), ALL.len());
    let _ = (Db::empty, compile, Query::default(), Options::default(), Viewer::EVERYTHING);
}
