//! How large the large scenarios are. `CAIRN_BENCH_SCALE=0.01` makes them a hundredth, to try the program itself; figures of
//! such a run do not get the names of the real ones.

use anyhow::{Context, Result, ensure};

/// The share of the full size, from the environment; 1 without.
pub fn scale() -> Result<f64> {
    let Ok(text) = std::env::var("CAIRN_BENCH_SCALE") else { return Ok(1.0) };
    let scale: f64 =
        text.parse().with_context(|| format!("CAIRN_BENCH_SCALE is {text:?}, which is no number"))?;
    ensure!(scale > 0.0 && scale <= 1.0, "CAIRN_BENCH_SCALE must be above 0 and at most 1, not {scale}");
    Ok(scale)
}

/// A full size, scaled; at least 1.
pub fn scaled(full: usize) -> Result<usize> {
    #[expect(clippy::cast_possible_truncation, reason = "not above the full size")]
    #[expect(clippy::cast_sign_loss, reason = "the scale is positive")]
    let size = (full as f64 * scale()?).round() as usize;
    Ok(size.max(1))
}
