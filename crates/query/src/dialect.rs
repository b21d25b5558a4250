//! Where SQLite and PostgreSQL differ in what queries need.

use cairn_store::Dialect;

use crate::sql::Fragment;

/// What the two write differently.
pub(crate) trait Words: Sized {
    /// A JSON list of these expressions.
    fn array(self, expressions: &[String]) -> String;
    /// A JSON list of one expression over all rows, in an order; `[]` for no rows.
    fn collect(self, expression: &str, order: &str) -> String;
    /// Comparison with a pattern, without regard to the case of the letters A to Z.
    fn like(self, expression: &str) -> String;
    /// UTC milliseconds as `2018-01-02 15:04:05`, for patterns; the parameter is the zone in minutes.
    fn date_text(self, expression: &str, offset_minutes: i64) -> Fragment;
    /// Rows handed over as a JSON list of objects in one parameter.
    fn given(self, columns: &[&str]) -> String;
    /// Where rows without a value stand: first in rising order, on both databases.
    fn nulls(self, descending: bool) -> &'static str;
}

impl Words for Dialect {
    fn array(self, expressions: &[String]) -> String {
        let function = match self {
            Self::Sqlite => "json_array",
            Self::Postgres => "json_build_array",
        };
        format!("{function}({})", expressions.join(", "))
    }

    fn collect(self, expression: &str, order: &str) -> String {
        match self {
            Self::Sqlite => format!("json_group_array({expression} ORDER BY {order})"),
            Self::Postgres => format!("coalesce(json_agg({expression} ORDER BY {order}), '[]')"),
        }
    }

    fn like(self, expression: &str) -> String {
        match self {
            // Connections compare patterns exactly, so both sides are lowered.
            Self::Sqlite => format!("lower({expression}) LIKE lower(?) ESCAPE '\\'"),
            Self::Postgres => format!("{expression} ILIKE ? ESCAPE '\\'"),
        }
    }

    fn date_text(self, expression: &str, offset_minutes: i64) -> Fragment {
        let seconds = format!("({expression} / 1000 + ?)");
        let text = match self {
            Self::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch')"),
            Self::Postgres => {
                format!("to_char(to_timestamp({seconds}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')")
            }
        };
        Fragment::with(text, (offset_minutes * 60).into())
    }

    fn given(self, columns: &[&str]) -> String {
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

    fn nulls(self, descending: bool) -> &'static str {
        match (self, descending) {
            (Self::Sqlite, _) => "",
            (Self::Postgres, false) => " NULLS FIRST",
            (Self::Postgres, true) => " NULLS LAST",
        }
    }
}
