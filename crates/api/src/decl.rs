//! What an operation is, and the `operations!` macro that declares one.
//!
//! From one declaration come a typed struct with its decoder, a row of the static table ([`crate::operations`]), and
//! from the row the route, the checks, the OpenAPI document, the CLI verb, the permission and the audit entry.

/// HTTP method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Queries and other reads; parameters in path and query string.
    Get,
    /// Create, add, attach; parameters in path and body.
    Post,
    /// Change, and verbs such as start; parameters in path and body.
    Put,
    /// Delete, remove, detach; parameters in path and query string.
    Delete,
}

impl Method {
    /// Upper case, as on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// The method of this name; `None` for methods that no operation has.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// Whether parameters come in a JSON body.
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// What sort of call an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A query in the sense of the query API.
    Query,
    /// Another read.
    Get,
    /// Makes a resource and accepts `resourceUuid`.
    Create,
    /// Another POST, such as attach.
    Post,
    /// A verb (PUT).
    Action,
    /// Deletes and has `deleteMode`.
    Delete,
    /// Another DELETE, such as detach.
    Remove,
}

/// JSON type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// Text.
    Str,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// true or false.
    Bool,
    /// List of texts.
    StrList,
    /// List of 64-bit integers.
    LongList,
    /// Object of lists of texts.
    StrListMap,
    /// Any JSON value.
    Any,
}

impl Type {
    /// For people: what a caller must send.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Str => "a string",
            Self::Int => "a 32-bit integer",
            Self::Long => "a 64-bit integer",
            Self::Bool => "true or false",
            Self::StrList => "a list of strings",
            Self::LongList => "a list of 64-bit integers",
            Self::StrListMap => "an object whose values are lists of strings",
            Self::Any => "a JSON value",
        }
    }
}

/// A form that a text must have.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// As a regular expression, for documents.
    pub regex: &'static str,
    /// The check itself.
    pub matches: fn(&str) -> bool,
}

/// One parameter of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// JSON name.
    pub name: &'static str,
    /// JSON type.
    pub ty: Type,
    /// Documented as required.
    pub required: bool,
    /// Required by the 2.2 API, but newer clients leave it out: documented as required and never asked for.
    pub lenient: bool,
    /// Part of the path.
    pub in_path: bool,
    /// Fewest characters.
    pub min_len: Option<usize>,
    /// Most characters.
    pub max_len: Option<usize>,
    /// Smallest number, included.
    pub min: Option<i64>,
    /// Largest number, included.
    pub max: Option<i64>,
    /// Allowed values, compared without regard to case; empty when any value will do.
    pub values: &'static [&'static str],
    /// Form that the text must have.
    pub pattern: Option<Pattern>,
    /// A list that is given must not be empty.
    pub non_empty: bool,
    /// Texts, also in a list, must not be empty.
    pub no_empty_strings: bool,
    /// A list must not contain null.
    pub no_null_elements: bool,
    /// Keep blanks at both ends.
    pub no_trim: bool,
    /// Value when absent, as text.
    pub default: Option<&'static str>,
    /// Entity whose uuid it is, such as `ZoneVO`; it must exist.
    pub refers: Option<&'static str>,
    /// The resource must belong to the calling account.
    pub owned: bool,
    /// The resource that the operation works on.
    pub target: bool,
    /// Masked in the audit and never logged.
    pub secret: bool,
    /// Sent by newer clients and without effect.
    pub ignored: bool,
    /// Not part of the original API.
    pub ours: bool,
    /// The name of a resource: no control characters.
    pub is_name: bool,
    /// For the caller.
    pub doc: &'static str,
}

impl Param {
    /// A parameter with nothing but name, type and documentation.
    pub const fn new(name: &'static str, ty: Type, required: bool, doc: &'static str) -> Self {
        Self {
            name,
            ty,
            required,
            lenient: false,
            in_path: false,
            min_len: None,
            max_len: None,
            min: None,
            max: None,
            values: &[],
            pattern: None,
            non_empty: false,
            no_empty_strings: false,
            no_null_elements: false,
            no_trim: false,
            default: None,
            refers: None,
            owned: false,
            target: false,
            secret: false,
            ignored: false,
            ours: false,
            is_name: is_name(name),
            doc,
        }
    }

    /// Whether a call without it is refused.
    pub const fn must_be_given(&self) -> bool {
        self.required && !self.lenient && self.default.is_none()
    }
}

/// Names are shown to people and handed to other programs, so they are kept free of control characters.
const fn is_name(param: &str) -> bool {
    matches!(
        param.as_bytes(),
        b"name" | b"hostname" | b"userName" | b"accountName" | b"guestOsType" | b"physicalInterface"
    )
}

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

/// Who may call an operation.
#[derive(Debug, Clone, Copy)]
pub struct Rbac {
    /// Category of access policies, as in `instance:read`.
    pub category: Option<&'static str>,
    /// Names within the category that grant the call.
    pub names: &'static [&'static str],
    /// Only for the admin account.
    pub admin_only: bool,
    /// Not for users inside an account.
    pub account_only: bool,
}

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Action name, such as `StopVmInstance`. Also the operationId and, as `API<name>Msg`, the message name.
    pub name: &'static str,
    /// HTTP method.
    pub method: Method,
    /// Address below `/v1`.
    pub path: &'static str,
    /// Further addresses of the same call.
    pub other_paths: &'static [&'static str],
    /// Wrapper of the parameters in the body; `None` for GET and DELETE, empty for calls without a wrapper.
    pub body_key: Option<&'static str>,
    /// Needs a session or access key.
    pub session: bool,
    /// Answers 202 and a job to poll.
    pub job: bool,
    /// What sort of call it is.
    pub kind: Kind,
    /// Parameters in the order in which they are checked.
    pub params: &'static [Param],
    /// Top-level fields of the answer and their types, such as `("inventory", "ZoneInventory")`.
    pub result: &'static [(&'static str, &'static str)],
    /// Name of the object in the answer's schema.
    pub result_class: &'static str,
    /// Who may call it.
    pub rbac: Rbac,
    /// Entity that tags of a create call belong to.
    pub tag_resource: Option<&'static str>,
    /// `systemTags` and `userTags` have an effect.
    pub tags: bool,
    /// Deleting what does not exist is a success.
    pub succeeds_if_missing: bool,
    /// For the caller.
    pub doc: &'static str,
    /// CLI noun: `vm`.
    pub noun: &'static str,
    /// CLI verb: `stop`.
    pub verb: &'static str,
    /// Not part of the original API.
    pub ours: bool,
    /// Inventory that a query lists.
    pub inventory: Option<&'static str>,
}

impl Operation {
    /// The operation of this action name.
    pub fn find(name: &str) -> Option<&'static Operation> {
        crate::find(name)
    }

    /// The parameter of this JSON name.
    pub fn param(&self, name: &str) -> Option<&'static Param> {
        self.params.iter().find(|p| p.name == name)
    }

    /// The parameter that names the resource the operation works on: the one marked as target, or else the first in
    /// the path.
    pub fn target(&self) -> Option<&'static Param> {
        self.params.iter().find(|p| p.target).or_else(|| self.params.iter().find(|p| p.in_path))
    }

    /// Whether it changes anything (and so can be planned).
    pub const fn changes(&self) -> bool {
        !matches!(self.kind, Kind::Query | Kind::Get)
    }

    /// Name of the message in access policies and long jobs: `APIStopVmInstanceMsg`.
    pub fn message_name(&self) -> String {
        format!("API{}Msg", self.name)
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

/// Length of [`camel`] of the same name.
#[doc(hidden)]
pub const fn camel_len(name: &str) -> usize {
    let bytes = name.as_bytes();
    let mut i = raw_prefix(bytes);
    let mut n = 0;
    while i < bytes.len() {
        if bytes[i] != b'_' {
            n += 1;
        }
        i += 1;
    }
    n
}

/// The JSON name of a Rust field: `zone_uuid` is `zoneUuid`.
#[doc(hidden)]
pub const fn camel<const N: usize>(name: &str) -> [u8; N] {
    let bytes = name.as_bytes();
    let mut out = [0; N];
    let mut i = raw_prefix(bytes);
    let mut n = 0;
    let mut upper = false;
    while i < bytes.len() {
        if bytes[i] == b'_' {
            upper = true;
        } else {
            out[n] = if upper { bytes[i].to_ascii_uppercase() } else { bytes[i] };
            upper = false;
            n += 1;
        }
        i += 1;
    }
    out
}

/// Length of `r#` in front of a keyword that is a field name.
const fn raw_prefix(bytes: &[u8]) -> usize {
    if bytes.len() > 2 && bytes[0] == b'r' && bytes[1] == b'#' { 2 } else { 0 }
}

/// A Rust type that a parameter may have.
pub trait Field: Sized {
    /// Its JSON type.
    const TYPE: Type;
    /// Whether the type alone says that the parameter must be given.
    const REQUIRED: bool = false;
    /// Reads it from checked parameters.
    fn read(params: &crate::Params, name: &str) -> Self;
}

#[doc(hidden)]
#[macro_export]
macro_rules! json_name {
    ($field:ident $json:literal) => {
        $json
    };
    ($field:ident) => {{
        const RUST: &str = stringify!($field);
        const BYTES: [u8; $crate::decl::camel_len(RUST)] = $crate::decl::camel(RUST);
        match ::core::str::from_utf8(&BYTES) {
            Ok(name) => name,
            Err(_) => panic!("field names are ASCII"),
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! http_method {
    (GET) => {
        $crate::decl::Method::Get
    };
    (POST) => {
        $crate::decl::Method::Post
    };
    (PUT) => {
        $crate::decl::Method::Put
    };
    (DELETE) => {
        $crate::decl::Method::Delete
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! answer_mode {
    (job) => {
        $crate::decl::Mode::Job
    };
    (sync) => {
        $crate::decl::Mode::Sync
    };
    (query) => {
        $crate::decl::Mode::Query
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! answer_fields {
    (query $inventory:ident) => {
        &[("inventories", concat!("List<", stringify!($inventory), ">")), ("total", "long")]
    };
    ($mode:ident $inventory:ident) => { &[("inventory", stringify!($inventory))] };
    ($mode:ident { $($field:ident: $ty:literal),* }) => { &[$((stringify!($field), $ty)),*] };
}

#[doc(hidden)]
#[macro_export]
macro_rules! queried_inventory {
    (query $inventory:ident) => {
        Some(stringify!($inventory))
    };
    ($mode:ident $result:tt) => {
        None
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! wrapper {
    () => {
        None
    };
    ($key:literal) => {
        Some($key)
    };
}

/// Declares operations; see STYLE and the files of [`crate::ops`].
///
/// ```text
/// /// Documentation for the caller.
/// Name: METHOD "/path/{uuid}" => "bodyKey", cli "noun verb" {
///     /// Documentation of the parameter.
///     field_name: Type => [attributes];
/// } -> job Inventory, options;
/// ```
///
/// The answer is `job` or `sync`, then an inventory (field `inventory`) or `{ field: "Type" }`; or `query Inventory`.
/// Attributes are the builder methods of [`Param`], options those of [`Operation`].
#[macro_export]
macro_rules! operations {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident : $method:ident $path:literal $(=> $key:literal)?, cli $cli:literal {
            $(
                $(#[doc = $field_doc:literal])+
                $field:ident $(as $json:literal)? : $ty:ty $(=> [ $( $attr:ident $( ( $($arg:expr),* ) )? ),* ])?;
            )*
        } -> $mode:ident $result:tt $(, $option:ident $( ( $($value:expr),* ) )? )* ;
    )*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone)]
            pub struct $name {
                $(
                    $(#[doc = $field_doc])+
                    pub $field: $ty,
                )*
            }

            impl $name {
                /// Parameters in the order in which they are checked.
                pub const PARAMS: &'static [$crate::decl::Param] = &[
                    $(
                        $crate::decl::Param::new(
                            $crate::json_name!($field $($json)?),
                            <$ty as $crate::decl::Field>::TYPE,
                            <$ty as $crate::decl::Field>::REQUIRED,
                            concat!($($field_doc),+).trim_ascii(),
                        )
                        $( $( .$attr( $( $($arg),* )? ) )* )?
                    ),*
                ];
                /// Row of the operation table.
                pub const OPERATION: $crate::decl::Operation = $crate::decl::Operation::from_parts($crate::decl::Parts {
                    name: stringify!($name),
                    method: $crate::http_method!($method),
                    path: $path,
                    body_key: $crate::wrapper!($($key)?),
                    cli: $cli,
                    mode: $crate::answer_mode!($mode),
                    params: Self::PARAMS,
                    result: $crate::answer_fields!($mode $result),
                    result_class: concat!(stringify!($name), "Result"),
                    inventory: $crate::queried_inventory!($mode $result),
                    doc: concat!($($doc),+).trim_ascii(),
                })
                $( .$option( $( $($value),* )? ) )*;
            }

            impl $crate::Op for $name {
                const NAME: &'static str = stringify!($name);
                #[allow(unused_variables, unused_mut)]
                fn from_params(params: &$crate::Params) -> Self {
                    let mut names = Self::PARAMS.iter().map(|p| p.name);
                    Self { $( $field: <$ty as $crate::decl::Field>::read(params, names.next().unwrap_or_default()) ),* }
                }
            }
        )*

        /// Rows of this group.
        pub const OPERATIONS: &[$crate::decl::Operation] = &[$($name::OPERATION),*];
    };
}
