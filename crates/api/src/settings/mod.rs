//! Global settings: which there are, their defaults, and which values they take.

mod forms;
mod own;
mod table_a_to_l;
mod table_m_to_z;
mod unused;

use std::sync::LazyLock;

use cairn_types::{Fault, Result};

pub use forms::Form;

/// One global setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Category, such as `vm`.
    pub category: &'static str,
    /// Name within the category, such as `deletionPolicy`.
    pub name: &'static str,
    /// Value when it was never changed; `None` for secrets that each installation makes itself.
    pub default: Option<&'static str>,
    /// Which values it takes.
    pub form: Form,
    /// For people.
    pub description: &'static str,
}

impl Setting {
    /// Default as text; empty where each installation makes its own.
    pub fn default_value(&self) -> &'static str {
        self.default.unwrap_or_default()
    }

    /// Holds a secret: shown to nobody but the admin.
    pub const fn is_secret(&self) -> bool {
        self.default.is_none()
    }

    /// Whether this version acts on it.
    pub fn is_used(&self) -> bool {
        let Self { category, name, .. } = self;
        !unused::UNUSED.iter().any(|u| u.split_once('/') == Some((category, name)))
    }

    /// The description as the API shows it: it says so if the setting has no effect.
    pub fn shown_description(&self) -> String {
        let note = if self.is_used() { "" } else { " (Kept, but this version does not act on it.)" };
        format!("{}{note}", self.description)
    }

    /// Not part of the original API.
    pub fn is_ours(&self) -> bool {
        matches!(self.category, "cairn" | "mevoco")
    }

    /// The value as it is stored, or why it is refused (`SYS.1007`).
    pub fn accept(&self, value: &str) -> Result<String> {
        self.form.accept(value).map_err(|why| {
            Fault::argument(format!("setting {}/{} {why}", self.category, self.name))
                .with("category", self.category)
                .with("name", self.name)
        })
    }
}

/// Rows of one category.
macro_rules! settings {
    ($( $category:literal {
        $( $(#[doc = $doc:literal])+ $name:literal = $default:expr, $form:expr; )*
    } )*) => {
        pub(super) const SETTINGS: &[super::Setting] = &[ $( $( super::Setting {
            category: $category,
            name: $name,
            default: $default,
            form: $form,
            description: concat!($($doc),+).trim_ascii(),
        }, )* )* ];
    };
}
use settings;

static ALL: LazyLock<Vec<Setting>> =
    LazyLock::new(|| [table_a_to_l::SETTINGS, table_m_to_z::SETTINGS, own::SETTINGS].concat());

/// Every setting, in the order of category and name.
pub fn all() -> &'static [Setting] {
    &ALL
}

/// The setting of this category and name.
pub fn find(category: &str, name: &str) -> Option<&'static Setting> {
    ALL.iter().find(|s| s.category == category && s.name == name)
}

/// The value as it is stored; `SYS.1007` if there is no such setting or it does not take the value.
pub fn validate(category: &str, name: &str, value: &str) -> Result<String> {
    let setting = find(category, name).ok_or_else(|| {
        Fault::argument(format!("there is no global setting {category}/{name}"))
            .with("category", category)
            .with("name", name)
    })?;
    setting.accept(value)
}

#[cfg(test)]
mod tests;
