//! Durations and what is said about many of them.

use std::time::Duration;

/// Measured values, in the order in which they came.
#[derive(Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds a duration, in ms.
    pub fn push(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1000.0);
    }

    /// Adds a plain value.
    pub fn push_value(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that this share of all values does not exceed; the mean of the middle two for a half of an even count.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let even_half = share == 0.5 && sorted.len().is_multiple_of(2);
        if even_half {
            return sorted[last / 2].midpoint(sorted[last / 2 + 1]);
        }
        let wanted = share * sorted.len() as f64;
        let at = (1..=last).take_while(|&i| (i as f64) < wanted).count();
        sorted[at]
    }

    /// The middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_values() {
        let sample = |n: u32| Sample((1..=n).rev().map(f64::from).collect());
        for (n, share, value) in
            [(100, 0.5, 50.5), (100, 0.99, 99.0), (100, 1.0, 100.0), (5, 0.5, 3.0), (1, 0.99, 1.0)]
        {
            assert_eq!(sample(n).quantile(share), value, "{share} of {n}");
        }
        assert!(Sample::default().median().is_nan());
    }
}
