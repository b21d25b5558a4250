//! What an operation is, and the `operations!` macro that declares one.
//!
//! From one declaration come a typed struct with its decoder, a row of the static table ([`crate::operations`]), and
//! from the row the route, the checks, the OpenAPI document, the CLI verb, the permission and the audit entry.

mod build;
#[doc(hidden)]
pub mod macros;

#[doc(hidden)]
pub use build::{Mode, Parts};

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

/// A Rust type that a parameter may have.
pub trait Field: Sized {
    /// Its JSON type.
    const TYPE: Type;
    /// Whether the type alone says that the parameter must be given.
    const REQUIRED: bool = false;
    /// Reads it from checked parameters.
    fn read(params: &crate::Params, name: &str) -> Self;
}
