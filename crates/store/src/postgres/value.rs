//! Values to and from PostgreSQL.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::Value;

type Wrong = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(n) => n.to_sql(ty, out),
            Self::Real(x) => x.to_sql(ty, out),
            // No text there holds the character NUL. One that is looked for is compared as a character that no text has.
            Self::Text(s) if s.contains('\0') => s.replace('\0', "\u{ffff}").to_sql(ty, out),
            Self::Text(s) => s.to_sql(ty, out),
        }
    }

    /// Parameters have the types that `text::types` gave them.
    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::FLOAT8, Type::TEXT].contains(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        Ok(match *ty {
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::NUMERIC => numeric(raw)?,
            // The first byte is the version of the format, 1; the rest is text.
            Type::JSONB => Self::Text(String::from_utf8(raw.get(1..).unwrap_or_default().to_vec())?),
            _ => Self::Text(String::from_utf8(raw.to_vec())?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Wrong> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::FLOAT4
                | Type::FLOAT8
                | Type::NUMERIC
                | Type::JSON
                | Type::JSONB
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
                | Type::UNKNOWN
        )
    }
}

/// A sum of BIGINT is NUMERIC there. One without digits behind the point is a whole number here, as on SQLite.
///
/// The format: number of digits, weight of the first, sign, digits behind the point (16 bits each), then the digits to the
/// base 10,000.
fn numeric(raw: &[u8]) -> Result<Value, Wrong> {
    let word = |at: usize| -> Result<i16, Wrong> {
        let bytes = raw.get(2 * at..2 * at + 2).ok_or("a number is too short")?;
        Ok(i16::from_be_bytes(bytes.try_into()?))
    };
    let (count, weight, sign, scale) = (word(0)?, i32::from(word(1)?), word(2)?, word(3)?);
    let negative = match sign {
        0 => false,
        0x4000 => true,
        _ => return Err("the database calculated no number".into()),
    };
    let count = usize::try_from(count)?;
    let digits = (0..count).map(|n| word(4 + n)).collect::<Result<Vec<_>, _>>()?;
    if scale > 0 {
        let powers = (0..).map(|n| f64::powi(10_000.0, weight - n));
        let value: f64 = digits.iter().zip(powers).map(|(digit, power)| f64::from(*digit) * power).sum();
        return Ok(Value::Real(if negative { -value } else { value }));
    }
    let mut value = 0_i128;
    for n in 0..usize::try_from(weight + 1).unwrap_or(0) {
        let digit = digits.get(n).copied().unwrap_or(0);
        value =
            value.checked_mul(10_000).and_then(|v| v.checked_add(digit.into())).ok_or("integer overflow")?;
    }
    let value = if negative { -value } else { value };
    Ok(Value::Int(i64::try_from(value).map_err(|_| "integer overflow")?))
}
