//! Accounts, sessions, access keys, sharing and quotas.

use serde_json::Value;

crate::operations! {
    /// Log in with account name and password. The answer holds the session that every other call carries.
    LogInByAccount: PUT "/accounts/login" => "logInByAccount", cli "account login" {
        /// Name of the account.
        account_name: String => [max_len(255)];
        /// Lower-case hexadecimal SHA-512 of the password.
        password: String => [secret, max_len(255)];
        /// Kind of account.
        account_type: Option<String> => [ignored];
        /// Uuid of a captcha.
        captcha_uuid: Option<String> => [ignored];
        /// Answer to the captcha.
        verify_code: Option<String> => [ignored];
        /// Facts about the client.
        client_info: Value => [ignored];
    } -> sync SessionInventory, no_session, class("LogInResult");

    /// End a session. Ending a session that does not exist is a success.
    LogOut: DELETE "/accounts/sessions/{sessionUuid}", cli "account logout" {
        /// Session to end.
        session_uuid: String => [path, secret];
        /// Facts about the client.
        client_info: Value => [ignored];
    } -> sync {}, no_session;

    /// Say whether a session exists and has not expired.
    ValidateSession: GET "/accounts/sessions/{sessionUuid}/valid", cli "session validate" {
        /// Session to look at.
        session_uuid: String => [path, secret];
    } -> sync { valid: "boolean" }, no_session;

    /// Create an account, the unit that owns resources and has quotas.
    CreateAccount: POST "/accounts" => "params", cli "account create" {
        /// Name of the account; need not be unique.
        name: String => [max_len(255)];
        /// Lower-case hexadecimal SHA-512 of the password.
        password: String => [max_len(255), secret];
        /// `Normal`, or `SystemAdmin` for a second administrator. `Normal` if absent.
        r#type: Option<String> => [values(&["SystemAdmin", "Normal"])];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Uuid that the new account shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job AccountInventory, admin, tags("AccountVO");

    /// Change name, description or password of an account. An account may change itself, the admin account all.
    UpdateAccount: PUT "/accounts/{uuid}" => "updateAccount", cli "account update" {
        /// Account to change.
        uuid: String => [path, refers("AccountVO"), owned, target];
        /// Lower-case hexadecimal SHA-512 of the new password.
        password: Option<String> => [max_len(255), secret];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job AccountInventory, rbac("identity"), account_only;

    /// Delete an account and everything it owns.
    DeleteAccount: DELETE "/accounts/{uuid}", cli "account delete" {
        /// Account to delete.
        uuid: String => [path, refers("AccountVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("identity"), account_only, missing_ok;

    /// List accounts.
    QueryAccount: GET "/accounts", cli "account list" {
    } -> query AccountInventory, also(&["/accounts/{uuid}"]), admin;

    /// List which account owns which resource.
    QueryAccountResourceRef: GET "/accounts/resources/refs", cli "account list-resources" {
    } -> query AccountResourceRefInventory, read("identity");

    /// List which resource is shared with whom.
    QuerySharedResource: GET "/accounts/resources", cli "resource list-shared" {
    } -> query SharedResourceInventory, admin;

    /// List the quotas of accounts.
    QueryQuota: GET "/accounts/quotas", cli "quota list" {
    } -> query QuotaInventory, read("identity");

    /// Change one quota of an account. It limits what comes later, not what exists.
    UpdateQuota: PUT "/accounts/quotas/actions" => "updateQuota", cli "quota update" {
        /// Account whose quota to change.
        identity_uuid: String => [refers("AccountVO")];
        /// Name of the quota, such as `vm.num`.
        name: String;
        /// New limit; sizes in bytes.
        value: i64;
    } -> job QuotaInventory, admin;

    /// Show how much of its quotas an account uses.
    GetAccountQuotaUsage: GET "/accounts/quota/{uuid}/usages", cli "quota show-usage" {
        /// Account to look at.
        uuid: String => [path, refers("AccountVO"), owned, target];
    } -> sync { usages: "List<QuotaUsage>" }, read("identity");

    /// Give a resource, with what belongs to it, to another account.
    ChangeResourceOwner: POST "/account/{accountUuid}/resources" => "params", cli "resource change-owner" {
        /// Account that gets the resource.
        account_uuid: String => [path, refers("AccountVO")];
        /// Resource to give.
        resource_uuid: String;
    } -> job AccountResourceRefInventory, admin;

    /// Let other accounts, or all, use resources.
    ShareResource: PUT "/accounts/resources/actions" => "shareResource", cli "resource share" {
        /// Resources to share.
        resource_uuids: Vec<String> => [required, non_empty, owned, target];
        /// Accounts to share with.
        account_uuids: Vec<String> => [refers("AccountVO")];
        /// Share with every account.
        to_public: bool;
    } -> job {}, rbac("identity");

    /// Take back what was shared. What other accounts have made from it stays.
    RevokeResourceSharing: PUT "/accounts/resources/actions" => "revokeResourceSharing",
    cli "resource revoke-sharing" {
        /// Resources to take back.
        resource_uuids: Vec<String> => [required, non_empty];
        /// Take back what every account was given.
        to_public: bool;
        /// Accounts to take it back from.
        account_uuids: Vec<String> => [refers("AccountVO")];
        /// Take it back from everybody.
        all: bool;
    } -> job {}, rbac("identity");

    /// Say for each named call whether the caller, or one of its users, may make it.
    CheckApiPermission: PUT "/accounts/permissions/actions" => "checkApiPermission",
    cli "account check-permission" {
        /// User to check instead of the caller.
        user_uuid: Option<String> => [refers("UserVO")];
        /// Calls to check, such as `APIStartVmInstanceMsg` or `StartVmInstance`.
        api_names: Vec<String> => [required, non_empty];
    } -> sync { inventory: "Map<String, String>" }, read("identity");

    /// Show the account that owns each resource.
    GetResourceAccount: GET "/resources/accounts", cli "resource show-owner" {
        /// Resources to look up.
        resource_uuids: Vec<String> => [required, non_empty];
    } -> sync { inventories: "Map<String, AccountInventory>" }, read("resource");

    /// Create an access key: programs sign each request with it instead of logging in.
    CreateAccessKey: POST "/accesskeys" => "params", cli "access-key create" {
        /// Account that the key belongs to.
        account_uuid: String => [max_len(32), refers("AccountVO"), owned];
        /// User that the key acts for; the account itself if it has the uuid of the account.
        user_uuid: String => [max_len(32)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Id to use instead of a random one.
        access_key_id as "AccessKeyID": Option<String> => [len(10, 20)];
        /// Secret to use instead of a random one.
        access_key_secret as "AccessKeySecret": Option<String> => [len(10, 40), secret];
        /// Uuid that the new access key shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job AccessKeyInventory, rbac("identity");

    /// Delete an access key. Requests signed with it fail from now on.
    DeleteAccessKey: DELETE "/accesskeys/{uuid}", cli "access-key delete" {
        /// Access key to delete.
        uuid: String => [path, refers("AccessKeyVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("identity");

    /// Enable or disable an access key.
    ChangeAccessKeyState: PUT "/accesskeys/{uuid}/actions" => "changeAccessKeyState",
    cli "access-key change-state" {
        /// Access key to change.
        uuid: String => [path, refers("AccessKeyVO"), owned, target];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job AccessKeyInventory, rbac("identity");

    /// List access keys, without their secrets.
    QueryAccessKey: GET "/accesskeys", cli "access-key list" {
    } -> query AccessKeyInventory, read("identity");
}
