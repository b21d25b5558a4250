//! Tags, web hooks, settings, nodes, consoles, workflow runs and the audit log.

use super::*;

const SEES_TAGGED: &str = "({t}.resource_uuid IN (SELECT x.uuid FROM resource x WHERE x.account_uuid = {me}) OR {t}.resource_uuid IN \
     (SELECT x.resource_uuid FROM shared_resource x WHERE x.receiver_account_uuid = {me} OR x.to_public = 1))";

/// A tag that the platform acts on.
pub static SYSTEM_TAG: Resource = Resource {
    inventory: "SystemTagInventory",
    entity: "SystemTagVO",
    class: "org.zstack.header.tag.SystemTagInventory",
    table: "system_tag",
    fields: &[
        text("uuid", "uuid"),
        text("resourceUuid", "resource_uuid"),
        text("resourceType", "resource_type"),
        text("tag", "tag"),
        text("type", "type"),
        CREATED,
        CHANGED,
        boolean("inherent", "inherent"),
    ],
    visibility: Visibility::Rule(SEES_TAGGED),
    ..NONE
};

/// A tag of a user's own.
pub static USER_TAG: Resource = Resource {
    inventory: "UserTagInventory",
    entity: "UserTagVO",
    class: "org.zstack.header.tag.UserTagInventory",
    table: "user_tag",
    fields: &[
        text("uuid", "uuid"),
        text("resourceUuid", "resource_uuid"),
        text("resourceType", "resource_type"),
        text("tag", "tag"),
        text("type", "type"),
        CREATED,
        CHANGED,
    ],
    visibility: Visibility::Rule(SEES_TAGGED),
    ..NONE
};

/// A lasting subscription to events.
pub static WEBHOOK: Resource = Resource {
    inventory: "WebhookInventory",
    entity: "WebhookVO",
    class: "org.zstack.header.core.webhooks.WebhookInventory",
    table: "webhook",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("url", "url"),
        text("type", "type"),
        text("opaque", "opaque"),
        CREATED,
        CHANGED,
    ],
    ..NONE
};

/// A global setting. Its rows live in memory and are handed to the query.
pub static GLOBAL_CONFIG: Resource = Resource {
    inventory: "GlobalConfigInventory",
    entity: "GlobalConfigVO",
    class: "org.zstack.core.config.GlobalConfigInventory",
    table: "global_config",
    keys: &["category", "name"],
    fields: &[
        text("name", "name"),
        text("category", "category"),
        text("description", "description"),
        text("defaultValue", "default_value"),
        text("value", "value"),
    ],
    visibility: Visibility::Everyone,
    given: true,
    ..NONE
};

/// A management server.
pub static MANAGEMENT_NODE: Resource = Resource {
    inventory: "ManagementNodeInventory",
    entity: "ManagementNodeVO",
    class: "org.zstack.header.managementnode.ManagementNodeInventory",
    table: "management_node",
    fields: &[
        text("uuid", "uuid"),
        text("hostName", "host_name"),
        date("joinDate", "join_ms"),
        date("heartBeat", "heart_beat_ms"),
    ],
    visibility: Visibility::AdminOnly,
    ..NONE
};

/// What carries consoles to browsers.
pub static CONSOLE_PROXY_AGENT: Resource = Resource {
    inventory: "ConsoleProxyAgentInventory",
    entity: "ConsoleProxyAgentVO",
    class: "org.zstack.header.console.ConsoleProxyAgentInventory",
    table: "console_proxy_agent",
    fields: &[
        text("uuid", "uuid"),
        text("description", "description"),
        text("managementIp", "management_ip"),
        text("consoleProxyOverriddenIp", "console_proxy_overridden_ip"),
        text("type", "type"),
        text("status", "status"),
        text("state", "state"),
        CREATED,
        CHANGED,
    ],
    post: &["state", "status"],
    ..NONE
};

/// A workflow run.
pub static RUN: Resource = Resource {
    inventory: "CairnRunInventory",
    entity: "CairnRunVO",
    class: "io.cairn.api.CairnRunInventory",
    table: "run",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("resourceUuid", "resource_uuid"),
        text("resourceType", "resource_type"),
        text("accountUuid", "account_uuid"),
        text("state", "state"),
        text("step", "step"),
        json("steps", "steps"),
        int("progress", "progress"),
        text("progressText", "progress_text"),
        text("jobUuid", "job_uuid"),
        text("parentUuid", "parent_uuid"),
        json("error", "error"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("children", &RUN, "uuid", "parent_uuid"),
        join("parent", &RUN, "parent_uuid", "uuid"),
        join("vmInstance", &VM_INSTANCE, "resource_uuid", "uuid"),
    ],
    visibility: Visibility::Account("account_uuid"),
    post: &["state"],
    ..NONE
};

/// An entry of the audit log.
pub static AUDIT: Resource = Resource {
    inventory: "AuditInventory",
    entity: "AuditVO",
    class: "io.cairn.api.AuditInventory",
    table: "audit",
    fields: &[
        text("uuid", "uuid"),
        text("accountUuid", "account_uuid"),
        text("userUuid", "user_uuid"),
        text("action", "action"),
        text("resourceUuid", "resource_uuid"),
        text("resourceType", "resource_type"),
        json("params", "params"),
        text("sourceIp", "source_ip"),
        // Neither is known before the end of the run.
        boolean("success", "success").from("CASE WHEN {t}.took_ms < 0 THEN NULL ELSE {t}.success END"),
        text("errorCode", "error_code"),
        long("tookMs", "took_ms").from("nullif({t}.took_ms, -1)"),
        text("jobUuid", "job_uuid"),
        CREATED,
    ],
    joins: &[hidden("account", &ACCOUNT, "account_uuid", "uuid")],
    visibility: Visibility::Account("account_uuid"),
    ..NONE
};

/// Where to reach a console.
pub static CONSOLE: Resource = Resource {
    inventory: "ConsoleInventory",
    class: "org.zstack.header.console.ConsoleInventory",
    fields: &[text("scheme", ""), text("hostname", ""), int("port", ""), text("token", "")],
    ..NONE
};

/// How far a job is.
pub static TASK_PROGRESS: Resource = Resource {
    inventory: "TaskProgressInventory",
    class: "org.zstack.header.core.progress.TaskProgressInventory",
    fields: &[
        text("taskUuid", ""),
        text("taskName", ""),
        text("parentUuid", ""),
        text("type", ""),
        text("content", ""),
        json("opaque", ""),
        long("time", ""),
    ],
    nested: &[nested("subTasks", &TASK_PROGRESS, "", "")],
    ..NONE
};
