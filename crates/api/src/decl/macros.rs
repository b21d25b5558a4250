//! The `operations!` macro and its parts.

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

#[doc(hidden)]
#[macro_export]
macro_rules! json_name {
    ($field:ident $json:literal) => {
        $json
    };
    ($field:ident) => {{
        const RUST: &str = stringify!($field);
        const BYTES: [u8; $crate::decl::macros::camel_len(RUST)] = $crate::decl::macros::camel(RUST);
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
            #[derive(Clone)]
            pub struct $name {
                $(
                    $(#[doc = $field_doc])+
                    pub $field: $ty,
                )*
            }

            // By hand, so that secrets never reach a log.
            impl ::core::fmt::Debug for $name {
                #[allow(unused_mut, unused_variables)]
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    let mut params = Self::PARAMS.iter();
                    let mut out = f.debug_struct(stringify!($name));
                    $( match params.next() {
                        Some(param) if param.secret => out.field(stringify!($field), &"*****"),
                        _ => out.field(stringify!($field), &self.$field),
                    }; )*
                    out.finish()
                }
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
