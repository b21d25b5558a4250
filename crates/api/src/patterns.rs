//! Forms that texts must have.

use crate::decl::Pattern;

/// Uuid that a caller chooses for a new resource.
pub const RESOURCE_UUID: Pattern =
    Pattern { regex: "^[0-9a-f]{12}[1-8][0-9a-f]{3}[89ab][0-9a-f]{15}$", matches: is_resource_uuid };

/// Whether a caller may choose this uuid: the form of a uuid of version 1 to 8. (The original takes 1 to 5; our own
/// clients choose time-ordered ones, of version 7.)
pub fn is_resource_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    cairn_types::id::is_uuid(text)
        && matches!(bytes[12], b'1'..=b'8')
        && matches!(bytes[16], b'8' | b'9' | b'a' | b'b')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_01_chosen_uuids_have_the_form_of_the_conventions() {
        assert!(is_resource_uuid("0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4"));
        assert!(is_resource_uuid(&cairn_types::new_uuid()));
        for bad in [
            "",
            "x",
            "0f6f3c7be3a90dcdb8b7f5b0c2a1d9e4",
            "0f6f3c7be3a94dcd78b7f5b0c2a1d9e4",
            "0F6F3C7BE3A94DCDB8B7F5B0C2A1D9E4",
        ] {
            assert!(!is_resource_uuid(bad), "{bad}");
        }
    }
}
