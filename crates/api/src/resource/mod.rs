//! What a resource looks like from outside: the fields of each inventory, the column behind each field, and the ways from
//! one resource to another. The query compiler, answers of other calls and the OpenAPI page read these tables.

mod capacity;
mod compute;
mod hardware;
mod identity;
mod network;
mod platform;
mod shape;
mod storage;

pub use capacity::*;
pub use compute::*;
pub use hardware::*;
pub use identity::*;
pub use network::*;
pub use platform::*;
pub use shape::*;
pub use storage::*;

/// The uuid of the admin account. Clients know it.
pub const ADMIN_ACCOUNT: &str = "36c27e8ff05c4780bf6d2fa65700f22e";

/// One inventory.
pub struct Resource {
    /// Name in the API, `VmInstanceInventory`.
    pub inventory: &'static str,
    /// Entity name that tags and shares carry, `VmInstanceVO`.
    pub entity: &'static str,
    /// Java class that answers name under `schema`.
    pub class: &'static str,
    /// Table of the rows; empty for objects that are never stored or queried.
    pub table: &'static str,
    /// Columns that identify a row and give the order when none is asked for.
    pub keys: &'static [&'static str],
    /// Own fields; those of [`Resource::parent`] come first.
    pub fields: &'static [Field],
    /// Ways to other resources.
    pub joins: &'static [Join],
    /// Lists of plain values.
    pub lists: &'static [ListField],
    /// Lists of whole inventories.
    pub nested: &'static [Nested],
    /// Short names for chains of joins.
    pub aliases: &'static [(&'static str, &'static str)],
    /// The inventory this one extends.
    pub parent: Option<&'static Resource>,
    /// Which rows of the parent's table are of this kind: column and value.
    pub only: Option<(&'static str, &'static str)>,
    /// The inventories that extend this one, chosen by the value of a column.
    pub subtypes: Option<Subtypes>,
    /// Who may see a row.
    pub visibility: Visibility,
    /// Columns that whoever completes a row after the query needs, such as the state that `allowedActions` follows from.
    pub post: &'static [&'static str],
    /// True when the rows are handed to the query as JSON because they live in memory.
    pub given: bool,
}

/// One field of an inventory.
#[derive(Clone, Copy)]
pub struct Field {
    /// Name in the API.
    pub name: &'static str,
    /// Type of its values.
    pub ty: FieldType,
    /// Where the value comes from.
    pub sql: Sql,
    /// A column to sort by instead, such as the sortable form of an address.
    pub sort: Option<&'static str>,
    /// Whether conditions may use it.
    pub queryable: bool,
    /// Whether answers have it.
    pub shown: bool,
}

/// Type of a field's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    /// Text.
    Str,
    /// A number of 32 bits in the API.
    Int,
    /// A number of 64 bits in the API.
    Long,
    /// A truth value, stored as 0 or 1.
    Bool,
    /// A time, stored as UTC milliseconds.
    Date,
    /// A JSON value, stored as text.
    Json,
}

/// Where a value comes from.
#[derive(Clone, Copy)]
pub enum Sql {
    /// A column of the resource's table.
    Column(&'static str),
    /// An expression; `{t}` stands for the table's alias.
    Expr(&'static str),
}

/// A way to another resource: its rows whose `remote` column equals the `local` column.
pub struct Join {
    /// Name in a condition.
    pub name: &'static str,
    /// Inventory on the other side.
    pub to: &'static Resource,
    /// Column of this table.
    pub local: &'static str,
    /// Column of the other table.
    pub remote: &'static str,
    /// Works but is not shown to users.
    pub hidden: bool,
}

/// A list of plain values that another table holds.
pub struct ListField {
    /// Name in the API.
    pub name: &'static str,
    /// Table with the values.
    pub table: &'static str,
    /// Column of this resource's table.
    pub local: &'static str,
    /// Column of the other table that must be equal.
    pub owner: &'static str,
    /// Column with the value.
    pub value: &'static str,
    /// Column that orders the list.
    pub order: &'static str,
}

/// A list of whole inventories.
pub struct Nested {
    /// Name in the API.
    pub name: &'static str,
    /// What the elements are.
    pub of: &'static Resource,
    /// Column of this resource's table.
    pub local: &'static str,
    /// Column of the other table that must be equal.
    pub remote: &'static str,
    /// Column that orders the list.
    pub order: &'static str,
}

/// The inventories that extend a base, chosen by a column.
pub struct Subtypes {
    /// Column with the kind.
    pub column: &'static str,
    /// Value of the column and inventory of such rows.
    pub of: &'static [(&'static str, &'static Resource)],
}

/// Who may see a row. The admin account sees every row unless a setting says otherwise.
pub enum Visibility {
    /// The owner in the registry, and those it is shared with.
    Owned,
    /// Everybody who may make the call.
    Everyone,
    /// Admins.
    AdminOnly,
    /// The account named in this column.
    Account(&'static str),
    /// Whoever sees the owned resource that this column names.
    Parent(&'static str, &'static Resource),
    /// A condition; `{t}` is the table's alias, `{me}` the account.
    Rule(&'static str),
}

impl Resource {
    /// All fields, inherited ones first.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.parent.map_or(&[][..], |p| p.fields).iter().chain(self.fields)
    }

    /// The lists of plain values, inherited ones first.
    pub fn lists(&self) -> impl Iterator<Item = &'static ListField> + use<> {
        self.parent.map_or(&[][..], |p| p.lists).iter().chain(self.lists)
    }

    /// The lists of inventories, inherited ones first.
    pub fn nested(&self) -> impl Iterator<Item = &'static Nested> + use<> {
        self.parent.map_or(&[][..], |p| p.nested).iter().chain(self.nested)
    }

    /// The joins, inherited ones first.
    pub fn joins(&self) -> impl Iterator<Item = &'static Join> + use<> {
        self.parent.map_or(&[][..], |p| p.joins).iter().chain(self.joins)
    }

    /// The aliases, inherited ones first.
    pub fn aliases(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> + use<> {
        self.parent.map_or(&[][..], |p| p.aliases).iter().chain(self.aliases)
    }

    /// The field of this name; of a base also those of its subtypes.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let below = || self.subtypes.iter().flat_map(|s| s.of.iter()).flat_map(|(_, r)| r.fields.iter());
        self.fields().find(|f| f.name == name).or_else(|| below().find(|f| f.name == name))
    }

    /// The Java class of a row by the value of its subtype column.
    pub fn class_of(&self, kind: Option<&str>) -> &'static str {
        self.subtype(kind).map_or(self.class, |r| r.class)
    }

    /// The inventory that extends this one for rows with this value in the subtype column.
    pub fn subtype(&self, kind: Option<&str>) -> Option<&'static Resource> {
        let kind = kind?;
        self.subtypes.as_ref()?.of.iter().find(|(value, _)| *value == kind).map(|(_, r)| *r)
    }

    /// Name without the suffix, `VmInstance`: what query scripts call it.
    pub fn short_name(&self) -> &'static str {
        self.inventory.strip_suffix("Inventory").unwrap_or(self.inventory)
    }
}

/// The resource of an inventory name.
pub fn find(inventory: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.inventory == inventory)
}

/// The resource of a name as users write it: `VmInstance`, `vminstance`, `VmInstanceInventory`.
pub fn find_by_name(name: &str) -> Option<&'static Resource> {
    ALL.iter()
        .copied()
        .find(|r| r.short_name().eq_ignore_ascii_case(name) || r.inventory.eq_ignore_ascii_case(name))
}

/// The resource with a registered entity name, `VmInstanceVO`.
pub fn find_by_entity(entity: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.entity == entity && r.parent.is_none())
}

/// Every inventory.
pub static ALL: &[&Resource] = &[
    &ZONE,
    &CLUSTER,
    &HOST,
    &KVM_HOST,
    &SIMULATOR_HOST,
    &PRIMARY_STORAGE,
    &PRIMARY_STORAGE_CLUSTER_REF,
    &LOCAL_STORAGE_RESOURCE_REF,
    &BACKUP_STORAGE,
    &IMAGE_STORE_BACKUP_STORAGE,
    &BACKUP_STORAGE_ZONE_REF,
    &IMAGE,
    &IMAGE_BACKUP_STORAGE_REF,
    &IMAGE_CACHE,
    &VOLUME,
    &L2_NETWORK,
    &L2_NETWORK_CLUSTER_REF,
    &L3_NETWORK,
    &IP_RANGE,
    &NETWORK_SERVICE_PROVIDER,
    &NETWORK_SERVICE_L3_NETWORK_REF,
    &INSTANCE_OFFERING,
    &DISK_OFFERING,
    &VM_INSTANCE,
    &VM_NIC,
    &ACCOUNT,
    &ACCOUNT_RESOURCE_REF,
    &SHARED_RESOURCE,
    &QUOTA,
    &ACCESS_KEY,
    &SESSION,
    &RESOURCE,
    &SYSTEM_TAG,
    &USER_TAG,
    &WEBHOOK,
    &GLOBAL_CONFIG,
    &MANAGEMENT_NODE,
    &CONSOLE_PROXY_AGENT,
    &RUN,
    &AUDIT,
    &CONSOLE,
    &FREE_IP,
    &TASK_PROGRESS,
];

#[cfg(test)]
mod tests;
