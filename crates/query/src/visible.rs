//! Which rows an account may see, as SQL.

use cairn_api::resource::{ADMIN_ACCOUNT, Resource, Visibility};
use cairn_store::{Tx, Value, params};
use cairn_types::Result;

use crate::sql::Fragment;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// The admin account. Without `show_all` it sees its own resources and the infrastructure.
    Admin {
        /// The setting `identity.admin.showAllResource`.
        show_all: bool,
    },
    /// Another account.
    Account(String),
}

impl Viewer {
    /// Sees every row: the platform itself.
    pub const EVERYTHING: Self = Self::Admin { show_all: true };

    fn account(&self) -> &str {
        match self {
            Self::Admin { .. } => ADMIN_ACCOUNT,
            Self::Account(uuid) => uuid,
        }
    }
}

/// Who has so many resources of a type is asked for each row that is looked at, not for a list of all that he has.
const MANY: i64 = 20_000;

/// Whether so much belongs to the viewer that listing it costs more than asking for each row.
pub(crate) fn owns_many(tx: &mut dyn Tx, resource: &Resource, viewer: &Viewer) -> Result<bool> {
    let owned = match &resource.visibility {
        Visibility::Owned => resource,
        Visibility::Parent(_, parent) => parent,
        _ => return Ok(false),
    };
    if *viewer == Viewer::EVERYTHING {
        return Ok(false);
    }
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM resource WHERE account_uuid = ? AND resource_type = ? LIMIT {MANY}) o"
    );
    Ok(tx.query_int(&sql, params![viewer.account(), owned.entity])? >= MANY)
}

/// The condition on rows of the resource under this alias; `None` if all are visible. `pinned`: few rows are looked at, so
/// that asking for each is cheaper than listing all that the account owns.
pub(crate) fn visible(resource: &Resource, alias: &str, viewer: &Viewer, pinned: bool) -> Option<Fragment> {
    if *viewer == Viewer::EVERYTHING {
        return None;
    }
    let admin = matches!(viewer, Viewer::Admin { .. });
    let me = viewer.account();
    match &resource.visibility {
        Visibility::Everyone => None,
        Visibility::AdminOnly => (!admin).then(|| Fragment::new("1 = 0")),
        Visibility::Owned => Some(owned(&format!("{alias}.uuid"), resource, me, pinned)),
        Visibility::Parent(column, parent) => Some(owned(&format!("{alias}.{column}"), parent, me, pinned)),
        Visibility::Account(column) if admin => {
            Some(Fragment::with(format!("{alias}.{column} = ? OR {alias}.{column} IS NULL"), me.into()))
        }
        Visibility::Account(column) => Some(Fragment::with(format!("{alias}.{column} = ?"), me.into())),
        Visibility::Rule(rule) => {
            let params = vec![Value::from(me); rule.matches("{me}").count()];
            Some(Fragment { text: rule.replace("{t}", alias).replace("{me}", "?"), params })
        }
    }
}

/// The resource named by the column belongs to the account or is shared with it.
fn owned(column: &str, resource: &Resource, me: &str, pinned: bool) -> Fragment {
    let text = if pinned {
        format!(
            "EXISTS (SELECT 1 FROM resource o WHERE o.uuid = {column} AND o.account_uuid = ?) OR EXISTS (SELECT 1 FROM \
             shared_resource o WHERE o.resource_uuid = {column} AND (o.receiver_account_uuid = ? OR o.to_public = 1))"
        )
    } else {
        // The entity name comes from a static table, never from a caller.
        let entity = resource.entity;
        format!(
            "{column} IN (SELECT o.uuid FROM resource o WHERE o.account_uuid = ? AND o.resource_type = '{entity}') OR \
             {column} IN (SELECT o.resource_uuid FROM shared_resource o WHERE o.receiver_account_uuid = ? OR o.to_public = 1)"
        )
    };
    Fragment { text, params: vec![me.into(), me.into()] }
}
