//! Builders that the `operations!` macro calls, all at compile time.

use super::{Kind, Method, Operation, Param, Pattern, Rbac, Type};

/// The attributes of a parameter as the macro writes them: `[path, refers("ZoneVO")]`.
impl Param {
    /// Part of the path.
    #[must_use]
    pub const fn path(mut self) -> Self {
        self.in_path = true;
        self
    }
    /// Must be given.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    /// Required by 2.2 but not by newer servers.
    #[must_use]
    pub const fn once_required(mut self) -> Self {
        self.required = true;
        self.lenient = true;
        self
    }
    /// A 32-bit integer.
    #[must_use]
    pub const fn int(mut self) -> Self {
        self.ty = Type::Int;
        self
    }
    /// Fewest and most characters.
    #[must_use]
    pub const fn len(mut self, min: usize, max: usize) -> Self {
        self.min_len = Some(min);
        self.max_len = Some(max);
        self
    }
    /// Most characters.
    #[must_use]
    pub const fn max_len(mut self, max: usize) -> Self {
        self.max_len = Some(max);
        self
    }
    /// Number range, both ends included.
    #[must_use]
    pub const fn range(mut self, min: i64, max: i64) -> Self {
        self.min = Some(min);
        self.max = Some(max);
        self
    }
    /// Allowed values.
    #[must_use]
    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }
    /// Form of the text.
    #[must_use]
    pub const fn pattern(mut self, pattern: Pattern) -> Self {
        self.pattern = Some(pattern);
        self
    }
    /// A list that is given must not be empty.
    #[must_use]
    pub const fn non_empty(mut self) -> Self {
        self.non_empty = true;
        self
    }
    /// No empty texts.
    #[must_use]
    pub const fn no_empty_strings(mut self) -> Self {
        self.no_empty_strings = true;
        self
    }
    /// No null in the list.
    #[must_use]
    pub const fn no_null_elements(mut self) -> Self {
        self.no_null_elements = true;
        self
    }
    /// Keep blanks at both ends.
    #[must_use]
    pub const fn no_trim(mut self) -> Self {
        self.no_trim = true;
        self
    }
    /// Value when absent.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self.required = false;
        self
    }
    /// Entity whose uuid it is.
    #[must_use]
    pub const fn refers(mut self, entity: &'static str) -> Self {
        self.refers = Some(entity);
        self
    }
    /// Must belong to the calling account.
    #[must_use]
    pub const fn owned(mut self) -> Self {
        self.owned = true;
        self
    }
    /// The resource that the operation works on.
    #[must_use]
    pub const fn target(mut self) -> Self {
        self.target = true;
        self
    }
    /// Masked in audit and logs.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self.no_trim = true;
        self
    }
    /// Sent by newer clients and without effect.
    #[must_use]
    pub const fn ignored(mut self) -> Self {
        self.ignored = true;
        self
    }
    /// Not part of the original API.
    #[must_use]
    pub const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }
    /// The uuid of what is created.
    #[must_use]
    pub const fn new_uuid(self) -> Self {
        self.pattern(crate::patterns::RESOURCE_UUID)
    }
}

/// The parts that the macro hands over; the rest follows by rule or by the options after the result.
#[doc(hidden)]
pub struct Parts {
    pub name: &'static str,
    pub method: Method,
    pub path: &'static str,
    pub body_key: Option<&'static str>,
    pub cli: &'static str,
    pub mode: Mode,
    pub params: &'static [Param],
    pub result: &'static [(&'static str, &'static str)],
    pub result_class: &'static str,
    pub inventory: Option<&'static str>,
    pub doc: &'static str,
}

/// How an operation answers.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Job,
    Sync,
    Query,
}

/// The options of an operation as the macro writes them: `, rbac("instance"), tags("VmInstanceVO")`.
impl Operation {
    /// The operation of these parts.
    #[doc(hidden)]
    pub const fn from_parts(p: Parts) -> Self {
        let (noun, verb) = split_cli(p.cli);
        Self {
            name: p.name,
            method: p.method,
            path: p.path,
            other_paths: &[],
            body_key: p.body_key,
            session: true,
            job: matches!(p.mode, Mode::Job),
            kind: kind_of(p.method, p.mode, p.params),
            params: p.params,
            result: p.result,
            result_class: p.result_class,
            rbac: Rbac { category: None, names: &[], admin_only: false, account_only: false },
            tag_resource: None,
            tags: p.method.has_body(),
            succeeds_if_missing: false,
            doc: p.doc,
            noun,
            verb,
            ours: false,
            inventory: p.inventory,
        }
    }
    /// Further addresses.
    #[must_use]
    pub const fn also(mut self, paths: &'static [&'static str]) -> Self {
        self.other_paths = paths;
        self
    }
    /// Needs no session.
    #[must_use]
    pub const fn no_session(mut self) -> Self {
        self.session = false;
        self
    }
    /// Category of access policies.
    #[must_use]
    pub const fn rbac(mut self, category: &'static str) -> Self {
        self.rbac.category = Some(category);
        self
    }
    /// Category of access policies, granted by its `read` too.
    #[must_use]
    pub const fn read(mut self, category: &'static str) -> Self {
        self.rbac.category = Some(category);
        self.rbac.names = &["read"];
        self
    }
    /// Only for the admin account.
    #[must_use]
    pub const fn admin(mut self) -> Self {
        self.rbac.admin_only = true;
        self
    }
    /// Not for users inside an account.
    #[must_use]
    pub const fn account_only(mut self) -> Self {
        self.rbac.account_only = true;
        self
    }
    /// Entity that tags of a create call belong to.
    #[must_use]
    pub const fn tags(mut self, entity: &'static str) -> Self {
        self.tag_resource = Some(entity);
        self
    }
    /// Deleting what does not exist is a success.
    #[must_use]
    pub const fn missing_ok(mut self) -> Self {
        self.succeeds_if_missing = true;
        self
    }
    /// Name of the answer's object where it is not `<action>Result`.
    #[must_use]
    pub const fn class(mut self, name: &'static str) -> Self {
        self.result_class = name;
        self
    }
    /// Not part of the original API.
    #[must_use]
    pub const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }
}

const fn kind_of(method: Method, mode: Mode, params: &[Param]) -> Kind {
    match (method, mode) {
        (_, Mode::Query) => Kind::Query,
        (Method::Get, _) => Kind::Get,
        (Method::Put, _) => Kind::Action,
        (Method::Post, _) => {
            if has_optional(params, b"resourceUuid") {
                Kind::Create
            } else {
                Kind::Post
            }
        }
        (Method::Delete, _) => {
            if has_optional(params, b"deleteMode") {
                Kind::Delete
            } else {
                Kind::Remove
            }
        }
    }
}

const fn has_optional(params: &[Param], name: &[u8]) -> bool {
    let mut i = 0;
    while i < params.len() {
        if same(params[i].name.as_bytes(), name) {
            return !params[i].required;
        }
        i += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// `vm stop` into noun and verb.
const fn split_cli(cli: &'static str) -> (&'static str, &'static str) {
    let bytes = cli.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b' ' {
            let (noun, rest) = cli.split_at(i);
            return (noun, rest.trim_ascii());
        }
        i += 1;
    }
    (cli, "")
}
