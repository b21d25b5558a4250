//! Settings, tags, web hooks, queries, jobs, runs and audit.

crate::operations! {
    /// Show the version of the API.
    GetVersion: PUT "/management-nodes/actions" => "getVersion", cli "management-node show-version" {
    } -> sync { version: "String" }, no_session;

    /// Show the clock of the server.
    GetCurrentTime: PUT "/management-nodes/actions" => "getCurrentTime", cli "management-node show-time" {
    } -> sync { currentTime: "Map<String, Long>" }, no_session;

    /// Succeed once the server takes calls; fail with `SYS.1010` while it starts.
    IsReadyToGo: GET "/management-nodes/ready", cli "management-node check-ready" {
        /// Management node to ask; the one that answers if absent.
        management_node_id: Option<String>;
    } -> sync {}, no_session;

    /// Say whether this is the open edition. It is.
    IsOpensourceVersion: GET "/meta-data/opensource", cli "management-node check-open-source" {
    } -> sync { opensource: "boolean" }, no_session, read("metadata");

    /// List management nodes.
    QueryManagementNode: GET "/management-nodes", cli "management-node list" {
    } -> query ManagementNodeInventory, also(&["/management-nodes/{uuid}"]), admin;

    /// List global settings.
    QueryGlobalConfig: GET "/global-configurations", cli "global-config list" {
    } -> query GlobalConfigInventory, read("configuration");

    /// Change a global setting. It works at once.
    UpdateGlobalConfig: PUT "/global-configurations/{category}/{name}/actions" => "updateGlobalConfig",
    cli "global-config update" {
        /// Category of the setting, such as `vm`.
        category: String => [path];
        /// Name of the setting within its category, such as `deletionPolicy`.
        name: String => [path];
        /// New value, always as text.
        value: Option<String>;
    } -> job GlobalConfigInventory, admin;

    /// Give a global setting its default value again.
    ResetGlobalConfig: PUT "/global-configurations/{category}/{name}/actions" => "resetGlobalConfig",
    cli "global-config reset" {
        /// Category of the setting.
        category: String => [path];
        /// Name of the setting within its category.
        name: String => [path];
    } -> job GlobalConfigInventory, admin, ours;

    /// Attach a system tag, which has a meaning for the platform, to a resource.
    CreateSystemTag: POST "/system-tags" => "params", cli "system-tag create" {
        /// Entity of the resource, such as `VmInstanceVO`.
        resource_type: String;
        /// Resource to tag.
        resource_uuid: String => [owned];
        /// Tag in one of the known formats.
        tag: String;
    } -> job SystemTagInventory, rbac("tag");

    /// Change the value in a system tag; its format stays.
    UpdateSystemTag: PUT "/system-tags/{uuid}/actions" => "updateSystemTag", cli "system-tag update" {
        /// Tag to change.
        uuid: String => [path, refers("SystemTagVO"), owned, target];
        /// Tag with its new value.
        tag: String;
    } -> job SystemTagInventory, rbac("tag");

    /// List system tags.
    QuerySystemTag: GET "/system-tags", cli "system-tag list" {
    } -> query SystemTagInventory, also(&["/system-tags/{uuid}"]), read("tag");

    /// Attach a tag of your own to a resource.
    CreateUserTag: POST "/user-tags" => "params", cli "user-tag create" {
        /// Entity of the resource, such as `VmInstanceVO`.
        resource_type: String;
        /// Resource to tag.
        resource_uuid: String => [owned];
        /// Any text.
        tag: String;
    } -> job UserTagInventory, rbac("tag");

    /// List user tags.
    QueryUserTag: GET "/user-tags", cli "user-tag list" {
    } -> query UserTagInventory, also(&["/user-tags/{uuid}"]), read("tag");

    /// Remove a system or user tag.
    DeleteTag: DELETE "/tags/{uuid}", cli "tag delete" {
        /// Tag to remove.
        uuid: String => [path, owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("tag");

    /// Have events of a type posted to an address.
    CreateWebhook: POST "/web-hooks" => "params", cli "webhook create" {
        /// Name of the webhook; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Address to post to.
        url: String => [max_len(2048)];
        /// Type of events.
        r#type: String => [max_len(255)];
        /// Text that is sent along.
        opaque: Option<String>;
        /// Uuid that the new webhook shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job WebhookInventory, admin, tags("WebhookVO");

    /// Change a web hook.
    UpdateWebhook: PUT "/web-hooks/{uuid}" => "updateWebhook", cli "webhook update" {
        /// Web hook to change.
        uuid: String => [path, refers("WebhookVO")];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// New address to post to.
        url: Option<String> => [max_len(2048)];
        /// New type of events.
        r#type: Option<String> => [max_len(255)];
        /// New text that is sent along.
        opaque: Option<String>;
    } -> job WebhookInventory, admin;

    /// Delete a web hook.
    DeleteWebhook: DELETE "/web-hooks/{uuid}", cli "webhook delete" {
        /// Web hook to delete.
        uuid: String => [path, refers("WebhookVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, admin, missing_ok;

    /// List web hooks.
    QueryWebhook: GET "/web-hooks", cli "webhook list" {
    } -> query WebhookInventory, also(&["/web-hooks/{uuid}"]), admin;

    /// Run several queries in one call, written as a query script.
    BatchQuery: GET "/batch-queries", cli "query batch" {
        /// Query script.
        script: Option<String>;
    } -> sync { result: "Map<String, Object>" }, read("query");

    /// Run a query in the query language of newer servers.
    ZQLQuery: GET "/zql", cli "query zql" {
        /// Query, as in `query Image where name='a'`; several are separated by `;`.
        zql: Option<String>;
    } -> sync { results: "List" }, read("query");

    /// Show names and types of resources.
    GetResourceNames: GET "/resources/names", cli "resource show-names" {
        /// Resources to look up.
        uuids: Vec<String> => [required, non_empty];
    } -> sync { inventories: "List<ResourceInventory>" }, read("resource");

    /// Show how far a job has come.
    GetTaskProgress: GET "/task-progresses/{apiId}", cli "job show-progress" {
        /// Job to look at.
        api_id: String => [path];
        /// All progress records instead of the latest.
        all: bool;
    } -> sync { inventories: "List<TaskProgressInventory>" };

    /// List workflow runs: what the platform is doing and has done, step by step.
    QueryCairnRun: GET "/cairn/runs", cli "run list" {
    } -> query CairnRunInventory, read("run"), ours;

    /// Cancel a run between two steps. What it did is undone.
    CancelRun: PUT "/cairn/runs/{uuid}/actions" => "cancelRun", cli "run cancel" {
        /// Run to cancel.
        uuid: String => [path, refers("CairnRunVO"), owned, target];
    } -> sync CairnRunInventory, rbac("run"), ours;

    /// Go on with a stuck run.
    RetryRun: PUT "/cairn/runs/{uuid}/actions" => "retryRun", cli "run retry" {
        /// Run to retry.
        uuid: String => [path, refers("CairnRunVO"), owned, target];
    } -> sync CairnRunInventory, admin, ours;

    /// Give up a stuck run: nothing more is undone and its resource is free again.
    AbandonRun: PUT "/cairn/runs/{uuid}/actions" => "abandonRun", cli "run abandon" {
        /// Run to abandon.
        uuid: String => [path, refers("CairnRunVO"), owned, target];
    } -> sync CairnRunInventory, admin, ours;

    /// List the audit: every call with caller, parameters and outcome. Secrets are masked.
    QueryAudit: GET "/cairn/audits", cli "audit list" {
    } -> query AuditInventory, read("audit"), ours;
}
