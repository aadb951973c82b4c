//! An axis: where a value lies on it, and which values are written beside it.

use clap::ValueEnum;

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Axis {
    /// Evenly
    Linear,
    /// By their orders of magnitude, for values above 0
    Log,
}

/// An axis from a lowest to a highest value, between two places of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    axis: Axis,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// The axis of these values; a single value gets room on both sides. On a logarithmic one only values above 0 count.
    pub fn new(axis: Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let counts = |value: &f64| value.is_finite() && (axis == Axis::Linear || *value > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(counts) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 2.0);
        }
        if low == high {
            let room = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
            (low, high) = (low - room, high + room);
        }
        Self { axis, low, high, from, to }
    }

    /// Where a value lies; none for one that has no place on it.
    pub fn at(&self, value: f64) -> Option<f64> {
        let share = match self.axis {
            Axis::Linear => (value - self.low) / (self.high - self.low),
            Axis::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Axis::Log => return None,
        };
        let place = self.from + share * (self.to - self.from);
        place.is_finite().then_some(place)
    }

    /// Round values on it, about `count` of them.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        match self.axis {
            Axis::Linear => even(self.low, self.high, count),
            Axis::Log => {
                let orders = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                // Over many orders of magnitude the whole ones are enough.
                let digits: &[f64] = if orders.clone().count() > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let all = orders.flat_map(|order| digits.iter().map(move |digit| digit * 10f64.powi(order)));
                all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
            }
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn even(low: f64, high: f64, count: usize) -> Vec<f64> {
    let least = (high - low) / count.max(1) as f64;
    let power = 10f64.powf(least.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= least * 0.999_999);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil();
    (0..=2 * count)
        .map(|i| (first + i as f64) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        .collect()
}

/// A value as it is written beside an axis.
pub fn written(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        // Three digits are enough: 1.25e-5.
        return format!("{value:.2e}")
            .parse::<f64>()
            .map_or_else(|_| value.to_string(), |short| format!("{short:e}"));
    }
    let rounded = (value * 1e6).round() / 1e6;
    // No minus before a zero.
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(axis: Axis, values: &[f64]) -> Scale {
        Scale::new(axis, values.iter().copied(), 0.0, 100.0)
    }

    #[test]
    fn values_lie_where_they_belong() {
        let linear = scale(Axis::Linear, &[2.0, 6.0, f64::NAN]);
        assert_eq!([2.0, 3.0, 6.0].map(|value| linear.at(value)), [Some(0.0), Some(25.0), Some(100.0)]);
        let log = scale(Axis::Log, &[1.0, 100.0, 0.0]);
        assert_eq!(
            [1.0, 10.0, 100.0, 0.0].map(|value| log.at(value)),
            [Some(0.0), Some(50.0), Some(100.0), None]
        );
        // Upside down, as heights are in a picture; one value lies in the middle.
        let one = Scale::new(Axis::Linear, [4.0].into_iter(), 100.0, 0.0);
        assert_eq!(one.at(4.0), Some(50.0));
        assert_eq!(scale(Axis::Linear, &[]).at(1.5), Some(50.0));
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(scale(Axis::Linear, &[0.0, 10.0]).ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(scale(Axis::Linear, &[1.3, 4.1]).ticks(3), [2.0, 3.0, 4.0]);
        assert_eq!(scale(Axis::Linear, &[-0.5, 0.5]).ticks(2), [-0.5, 0.0, 0.5]);
        assert_eq!(scale(Axis::Log, &[1.0, 30.0]).ticks(5), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(scale(Axis::Log, &[1.0, 1e5]).ticks(5), [1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0]);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-1e-9, "-1e-9"),
            (0.30000000000000004, "0.3"),
            (2.5, "2.5"),
            (120_000.0, "120000"),
            (1.2345e-5, "1.23e-5"),
            (2e6, "2e6"),
        ] {
            assert_eq!(written(value), text, "{value}");
        }
    }
}
