//! From the shares of experts to the bars of a drawing.

/// A bar, from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// From the left.
    pub x: f64,
    /// From above.
    pub y: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
}

/// An expert that is used more than any other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fullest {
    /// Its share, as a multiple of an even one.
    pub share: f64,
    /// Its layer, from 1.
    pub layer: usize,
    /// Its number there, from 1.
    pub expert: usize,
}

/// The bars of a layer's shares, each a multiple of an even one: that is half as high as the drawing, and what is more than
/// twice an even one ends at its edge.
pub fn bars(shares: &[f64], step: f64, height: f64) -> Vec<Bar> {
    let bar = |(i, share): (usize, &f64)| {
        let tall = if share.is_finite() { (share / 2.0).clamp(0.0, 1.0) * height } else { 0.0 };
        Bar { x: i as f64 * step + step / 8.0, y: height - tall, width: step * 0.75, height: tall }
    };
    shares.iter().enumerate().map(bar).collect()
}

/// The fullest expert, and the share of the emptiest; `None` where there are no experts.
pub fn extremes(layers: &[Vec<f64>]) -> Option<(Fullest, f64)> {
    let all = layers.iter().zip(1..).flat_map(|(shares, layer)| {
        shares.iter().zip(1..).map(move |(&share, expert)| Fullest { share, layer, expert })
    });
    let fullest = all.clone().max_by(|a, b| a.share.total_cmp(&b.share))?;
    let least = all.map(|expert| expert.share).min_by(f64::total_cmp)?;
    Some((fullest, least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_share_is_half_as_high_and_twice_an_even_one_fills_it() {
        let found = bars(&[1.0, 2.0, 0.0, 3.0, f64::NAN], 8.0, 30.0);
        let sides: Vec<_> = found.iter().map(|bar| (bar.x, bar.y, bar.height)).collect();
        let expected =
            [(1.0, 15.0, 15.0), (9.0, 0.0, 30.0), (17.0, 30.0, 0.0), (25.0, 0.0, 30.0), (33.0, 30.0, 0.0)];
        assert_eq!(sides, expected);
        assert!(found.iter().all(|bar| bar.width == 6.0));
    }

    #[test]
    fn the_fullest_expert_is_told_by_its_place() {
        let layers = [vec![1.0, 1.25, 0.75], vec![0.5, 1.0, 1.5]];
        let (fullest, least) = extremes(&layers).unwrap();
        assert_eq!((fullest, least), (Fullest { share: 1.5, layer: 2, expert: 3 }, 0.5));
        assert_eq!(extremes(&[]), None);
    }
}
