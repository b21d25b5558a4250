//! Accounts, what they own and share, quotas, keys and sessions.

use super::*;

/// Every owned resource can be searched by the fields of its owner, `account.name=…`.
pub(super) const OWNER: (&str, &str) = ("account", "accountRef.account");
/// … and by its uuid, `accountUuid=…`.
pub(super) const OWNER_UUID: (&str, &str) = ("accountUuid", "accountRef.accountUuid");

/// An account.
pub static ACCOUNT: Resource = Resource {
    inventory: "AccountInventory",
    entity: "AccountVO",
    class: "org.zstack.header.identity.AccountInventory",
    table: "account",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("type", "type"),
        CREATED,
        CHANGED,
    ],
    joins: &[join("quota", &QUOTA, "uuid", "identity_uuid")],
    visibility: Visibility::Account("uuid"),
    post: &["type", "deleting_run"],
    ..NONE
};

/// Who owns a resource: a view on the registry.
pub static ACCOUNT_RESOURCE_REF: Resource = Resource {
    inventory: "AccountResourceRefInventory",
    entity: "AccountResourceRefVO",
    class: "org.zstack.header.identity.AccountResourceRefInventory",
    table: "resource",
    fields: &[
        text("accountUuid", "account_uuid"),
        text("resourceUuid", "uuid"),
        text("resourceType", "resource_type"),
        CREATED,
        CHANGED,
    ],
    joins: &[hidden("account", &ACCOUNT, "account_uuid", "uuid")],
    visibility: Visibility::Account("account_uuid"),
    ..NONE
};

/// A resource shared with an account or with all.
pub static SHARED_RESOURCE: Resource = Resource {
    inventory: "SharedResourceInventory",
    entity: "SharedResourceVO",
    class: "org.zstack.header.identity.SharedResourceInventory",
    table: "shared_resource",
    fields: &[
        text("ownerAccountUuid", "")
            .from("(SELECT x.account_uuid FROM resource x WHERE x.uuid = {t}.resource_uuid)"),
        text("receiverAccountUuid", "receiver_account_uuid"),
        boolean("toPublic", "to_public"),
        text("resourceType", "")
            .from("(SELECT x.resource_type FROM resource x WHERE x.uuid = {t}.resource_uuid)"),
        text("resourceUuid", "resource_uuid"),
        CHANGED,
        CREATED,
    ],
    visibility: Visibility::Rule(
        "({t}.receiver_account_uuid = {me} OR {t}.to_public = 1 OR {t}.resource_uuid IN (SELECT x.uuid FROM resource x WHERE x.account_uuid = {me}))",
    ),
    ..NONE
};

/// A limit of an account.
pub static QUOTA: Resource = Resource {
    inventory: "QuotaInventory",
    entity: "QuotaVO",
    class: "org.zstack.header.identity.QuotaInventory",
    table: "quota",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("identityUuid", "identity_uuid"),
        text("identityType", "identity_type"),
        long("value", "value"),
        CHANGED,
        CREATED,
    ],
    joins: &[join("account", &ACCOUNT, "identity_uuid", "uuid")],
    visibility: Visibility::Account("identity_uuid"),
    ..NONE
};

/// An access key. The secret is told once, when the key is made, and never queried.
pub static ACCESS_KEY: Resource = Resource {
    inventory: "AccessKeyInventory",
    entity: "AccessKeyVO",
    class: "org.zstack.accessKey.AccessKeyInventory",
    table: "access_key",
    fields: &[
        text("uuid", "uuid"),
        text("accountUuid", "account_uuid"),
        text("userUuid", "user_uuid"),
        text("description", "description"),
        text("AccessKeyID", "access_key_id"),
        text("state", "state"),
        CREATED,
        CHANGED,
    ],
    joins: &[join("account", &ACCOUNT, "account_uuid", "uuid")],
    visibility: Visibility::Account("account_uuid"),
    post: &["state"],
    ..NONE
};

/// A login. Never queried: its uuid is the token.
pub static SESSION: Resource = Resource {
    inventory: "SessionInventory",
    class: "org.zstack.header.identity.SessionInventory",
    fields: &[
        text("uuid", "uuid"),
        text("accountUuid", "account_uuid"),
        text("userUuid", "user_uuid"),
        date("expiredDate", "expired_ms"),
        CREATED,
    ],
    ..NONE
};

macro_rules! name_in {
    ($first:literal $(, $table:literal)*) => {
        concat!(
            "coalesce((SELECT x.name FROM ", $first, " x WHERE x.uuid = {t}.uuid)",
            $(", (SELECT x.name FROM ", $table, " x WHERE x.uuid = {t}.uuid)",)*
            ")"
        )
    };
}

/// Any registered resource, with its name.
pub static RESOURCE: Resource = Resource {
    inventory: "ResourceInventory",
    entity: "ResourceVO",
    class: "org.zstack.header.vo.ResourceInventory",
    table: "resource",
    fields: &[
        text("uuid", "uuid"),
        text("resourceName", "").from(name_in!(
            "vm_instance",
            "volume",
            "image",
            "host",
            "cluster",
            "zone",
            "l3_network",
            "l2_network",
            "ip_range",
            "instance_offering",
            "disk_offering",
            "primary_storage",
            "backup_storage",
            "account",
            "webhook"
        )),
        text("resourceType", "resource_type"),
    ],
    joins: &[hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid")],
    aliases: &[OWNER, OWNER_UUID],
    visibility: Visibility::Rule(
        "({t}.account_uuid = {me} OR {t}.uuid IN (SELECT x.resource_uuid FROM shared_resource x WHERE x.receiver_account_uuid = {me} OR x.to_public = 1))",
    ),
    ..NONE
};
