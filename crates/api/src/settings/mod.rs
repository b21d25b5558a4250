//! Global settings: which there are, their defaults, and which values they take.

mod forms;
mod own;
mod table_a_to_l;
mod table_m_to_z;

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
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn set_01_every_default_is_a_value_that_the_setting_takes() {
        let mut seen = HashSet::new();
        for setting in all() {
            assert!(
                seen.insert((setting.category, setting.name)),
                "{}/{} twice",
                setting.category,
                setting.name
            );
            assert!(!setting.description.is_empty());
            if let Some(default) = setting.default {
                assert_eq!(
                    setting.accept(default).as_deref(),
                    Ok(default),
                    "{}/{}",
                    setting.category,
                    setting.name
                );
            }
        }
        let original = all().iter().filter(|s| !s.is_ours()).count();
        assert_eq!(original, 140, "143 of the original, less three that it never registered");
    }

    #[test]
    fn set_01_values_are_checked_and_normalised() {
        for (category, name, value, stored) in [
            ("vm", "deletionPolicy", "Direct", Some("Direct")),
            ("vm", "deletionPolicy", "direct", None),
            ("vm", "deletionPolicy", "", None),
            ("vm", "expungePeriod", "0", Some("0")),
            ("vm", "expungePeriod", " 5 ", Some("5")),
            ("vm", "expungePeriod", "-1", None),
            ("vm", "expungePeriod", "1.5", None),
            ("vm", "expungePeriod", "99999999999999999999", None),
            ("vm", "numa", "TRUE", Some("true")),
            ("vm", "numa", "yes", None),
            ("kvm", "reservedMemory", "2g", Some("2g")),
            ("kvm", "reservedMemory", "2X", None),
            ("kvm", "reservedMemory", "2T", None),
            ("kvm", "reservedMemory", "1T", Some("1T")),
            ("kvm", "reservedCpu", "-1", Some("-1")),
            ("kvm", "host.syncLevel", "1", None),
            ("kvm", "dataVolume.maxNum", "24", Some("24")),
            ("kvm", "dataVolume.maxNum", "25", None),
            ("identity", "session.timeout", "31536000", Some("31536000")),
            ("identity", "session.timeout", "31536001", None),
            ("identity", "account.api.control", "", Some("")),
            ("identity", "account.api.control", "APIQueryHostMsg, rm -rf", None),
            ("nfsPrimaryStorage", "mount.base", "relative", None),
            ("notification", "webhook.url", "http://a/b", Some("http://a/b")),
            ("notification", "webhook.url", "null", Some("null")),
            ("notification", "webhook.url", "file:///etc", None),
            ("virtualRouter", "vrouter.password", "a-b_c#1", Some("a-b_c#1")),
            ("virtualRouter", "vrouter.password", "$(reboot)", None),
            ("cairn", "api.timeZone", "480", Some("480")),
            ("cairn", "api.timeZone", "1000", None),
            ("cairn", "image.fileFolder", "", Some("")),
            ("cairn", "image.fileFolder", "/srv/../etc", None),
            ("cairn", "image.fileFolder", "/srv/images", Some("/srv/images")),
            ("mevoco", "overProvisioning.memory", "1.5", Some("1.5")),
            ("mevoco", "overProvisioning.memory", "0", None),
            ("mevoco", "overProvisioning.memory", "NaN", None),
            ("host", "cpu.overProvisioning.ratio", "2147483648", None),
        ] {
            assert_eq!(
                validate(category, name, value).ok().as_deref(),
                stored,
                "{category}/{name} = {value:?}"
            );
        }
    }

    #[test]
    fn set_01_unknown_settings_and_those_never_registered_are_refused() {
        for (category, name) in
            [("vm", "nothing"), ("nothing", "deletionPolicy"), ("salt", "minion.setupInJob")]
        {
            assert_eq!(validate(category, name, "1").unwrap_err().code, "SYS.1007");
        }
    }
}
