//! Curves made smooth, and made of fewer points.

use crate::runs::Curve;

/// An exponential mean without the pull towards zero of its beginning: `s = β·s + (1 − β)·y`, divided by `1 − βⁿ`.
/// `beta` is at least 0 and below 1.
pub fn smooth(curve: &Curve, beta: f64) -> Curve {
    let (mut sum, mut left) = (0.0, 1.0);
    let next = |&(x, y): &(f64, f64)| {
        sum = beta * sum + (1.0 - beta) * y;
        left *= beta;
        (x, sum / (1.0 - left))
    };
    curve.iter().map(next).collect()
}

/// A curve of about `most` points: of every stretch the lowest and the highest stay, so that no peak is lost.
pub fn thin(curve: &Curve, most: usize) -> Curve {
    if curve.len() <= most.max(2) {
        return curve.clone();
    }
    let stretch = (2 * curve.len()).div_ceil(most.max(2));
    let ends = |part: &[(f64, f64)]| {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (part.iter().min_by(by_height), part.iter().max_by(by_height));
        let mut both: Curve = low.into_iter().chain(high).copied().collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        both.dedup();
        both
    };
    curve.chunks(stretch).flat_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_begins_at_the_first_value_and_follows_slowly() {
        let curve = vec![(1.0, 1.0), (2.0, 3.0), (3.0, 3.0)];
        // 0.5 / 0.5; (0.25 + 1.5) / 0.75; (0.875 + 1.5) / 0.875.
        assert_eq!(smooth(&curve, 0.5), [(1.0, 1.0), (2.0, 1.75 / 0.75), (3.0, 2.375 / 0.875)]);
        assert_eq!(smooth(&curve, 0.0), curve);
        assert!(smooth(&Vec::new(), 0.9).is_empty());
    }

    #[test]
    fn peaks_stay_where_points_go() {
        let mut curve: Curve = (0..1000).map(|i| (f64::from(i), 1.0)).collect();
        (curve[503].1, curve[777].1) = (9.0, -4.0);
        let thinned = thin(&curve, 100);
        assert!(thinned.len() <= 100, "{}", thinned.len());
        assert!(thinned.contains(&(503.0, 9.0)) && thinned.contains(&(777.0, -4.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thin(&curve, 1000), curve);
    }
}
