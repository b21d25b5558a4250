//! How the answer of a workflow is written: kept with the workflow, because the call may be long gone when it ends.

use cairn_query::DateStyle;
use serde::{Deserialize, Serialize};

/// How dates are written in the answer: minutes east of UTC, or RFC 3339.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Dates(Option<i64>);

impl From<DateStyle> for Dates {
    fn from(style: DateStyle) -> Self {
        match style {
            DateStyle::Legacy { offset_minutes } => Self(Some(offset_minutes)),
            DateStyle::Rfc3339 => Self(None),
        }
    }
}

impl From<Dates> for DateStyle {
    fn from(dates: Dates) -> Self {
        dates.0.map_or(Self::Rfc3339, |offset_minutes| Self::Legacy { offset_minutes })
    }
}
