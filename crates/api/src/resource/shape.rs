//! Short constructors for the tables of this folder.

use super::{Field, FieldType, Join, ListField, Nested, Resource, Sql, Visibility};

/// A resource with nothing in it, to be filled in.
pub const NONE: Resource = Resource {
    inventory: "",
    entity: "",
    class: "",
    table: "",
    keys: &["uuid"],
    fields: &[],
    joins: &[],
    lists: &[],
    nested: &[],
    aliases: &[],
    parent: None,
    only: None,
    subtypes: None,
    visibility: Visibility::AdminOnly,
    post: &[],
    given: false,
};

const fn column(name: &'static str, ty: FieldType, column: &'static str) -> Field {
    Field { name, ty, sql: Sql::Column(column), sort: None, queryable: true, shown: true }
}

/// A text.
pub const fn text(name: &'static str, sql: &'static str) -> Field {
    column(name, FieldType::Str, sql)
}

/// A number of 32 bits.
pub const fn int(name: &'static str, sql: &'static str) -> Field {
    column(name, FieldType::Int, sql)
}

/// A number of 64 bits.
pub const fn long(name: &'static str, sql: &'static str) -> Field {
    column(name, FieldType::Long, sql)
}

/// A truth value.
pub const fn boolean(name: &'static str, sql: &'static str) -> Field {
    column(name, FieldType::Bool, sql)
}

/// A time.
pub const fn date(name: &'static str, sql: &'static str) -> Field {
    column(name, FieldType::Date, sql)
}

/// A JSON value.
pub const fn json(name: &'static str, sql: &'static str) -> Field {
    column(name, FieldType::Json, sql)
}

/// When the row was made.
pub const CREATED: Field = date("createDate", "create_ms");
/// When the row last changed.
pub const CHANGED: Field = date("lastOpDate", "last_op_ms");

impl Field {
    /// Takes the value from an expression; `{t}` is the table's alias.
    pub const fn from(mut self, expression: &'static str) -> Self {
        self.sql = Sql::Expr(expression);
        self
    }

    /// Sorts by another column.
    pub const fn sorted_by(mut self, column: &'static str) -> Self {
        self.sort = Some(column);
        self
    }

    /// Not in answers, though conditions may use it.
    pub const fn unshown(mut self) -> Self {
        self.shown = false;
        self
    }
}

/// A way to another resource.
pub const fn join(
    name: &'static str,
    to: &'static Resource,
    local: &'static str,
    remote: &'static str,
) -> Join {
    Join { name, to, local, remote, hidden: false }
}

/// A way that works but is not shown to users.
pub const fn hidden(
    name: &'static str,
    to: &'static Resource,
    local: &'static str,
    remote: &'static str,
) -> Join {
    Join { name, to, local, remote, hidden: true }
}

/// A list of values of a link table, found by this resource's uuid.
pub const fn list(
    name: &'static str,
    table: &'static str,
    owner: &'static str,
    value: &'static str,
) -> ListField {
    ListField { name, table, local: "uuid", owner, value, order: value }
}

/// A list of inventories, found by this resource's uuid.
pub const fn nested(
    name: &'static str,
    of: &'static Resource,
    remote: &'static str,
    order: &'static str,
) -> Nested {
    Nested { name, of, local: "uuid", remote, order }
}
