//! Where SQLite and PostgreSQL differ in what queries need.

use crate::sql::Fragment;

/// The database that a query is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// A JSON list of these expressions.
    pub(crate) fn array(self, expressions: &[String]) -> String {
        let function = match self {
            Self::Sqlite => "json_array",
            Self::Postgres => "json_build_array",
        };
        format!("{function}({})", expressions.join(", "))
    }

    /// A JSON list of one expression over all rows, in an order; `[]` for no rows.
    pub(crate) fn collect(self, expression: &str, order: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array({expression} ORDER BY {order})"),
            Self::Postgres => format!("coalesce(json_agg({expression} ORDER BY {order}), '[]')"),
        }
    }

    /// A subquery with the elements of a JSON list that is bound as one parameter, so that a list may be of any length.
    pub(crate) fn elements(self, numbers: bool) -> &'static str {
        match (self, numbers) {
            (Self::Sqlite, _) => "(SELECT value FROM json_each(?))",
            (Self::Postgres, true) => {
                "(SELECT CAST(e AS BIGINT) FROM json_array_elements_text(CAST(? AS json)) e)"
            }
            (Self::Postgres, false) => "(SELECT e FROM json_array_elements_text(CAST(? AS json)) e)",
        }
    }

    /// Comparison with a pattern, without regard to case (on SQLite that of the letters A to Z). Connections to SQLite
    /// compare patterns exactly, so both sides are lowered.
    pub(crate) fn like(self, expression: &str) -> String {
        match self {
            Self::Sqlite => format!("lower({expression}) LIKE lower(?) ESCAPE '\\'"),
            Self::Postgres => format!("{expression} ILIKE ? ESCAPE '\\'"),
        }
    }

    /// UTC milliseconds as `2018-01-02 15:04:05`, for patterns; the parameter is the zone in minutes.
    pub(crate) fn date_text(self, expression: &str, offset_minutes: i64) -> Fragment {
        let seconds = format!("({expression} / 1000 + ?)");
        let text = match self {
            Self::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch')"),
            Self::Postgres => {
                format!("to_char(to_timestamp({seconds}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')")
            }
        };
        Fragment::with(text, (offset_minutes * 60).into())
    }

    /// Rows handed over as a JSON list of objects in one parameter.
    pub(crate) fn given(self, columns: &[&str]) -> String {
        let column = |name: &&str| match self {
            Self::Sqlite => format!("json_extract(value, '$.{name}') AS {name}"),
            Self::Postgres => format!("e ->> '{name}' AS {name}"),
        };
        let columns = columns.iter().map(column).collect::<Vec<_>>().join(", ");
        match self {
            Self::Sqlite => format!("(SELECT {columns} FROM json_each(?))"),
            Self::Postgres => format!("(SELECT {columns} FROM json_array_elements(CAST(? AS json)) e)"),
        }
    }

    /// Where rows without a value stand: first in rising order, on both databases.
    pub(crate) fn nulls(self, descending: bool) -> &'static str {
        match (self, descending) {
            (Self::Sqlite, _) => "",
            (Self::Postgres, false) => " NULLS FIRST",
            (Self::Postgres, true) => " NULLS LAST",
        }
    }
}
