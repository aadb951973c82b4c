//! From the losses of a run to the points of a drawing.

/// The most points that a line is drawn with; more would only be drawn over each other.
const MOST: usize = 400;

/// Losses over steps.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<(f64, f64)>);

impl Series {
    /// Adds the loss of a step; what is no number is left out.
    pub fn push(&mut self, step: f64, loss: f64) {
        if step.is_finite() && loss.is_finite() {
            self.0.push((step, loss));
            if self.0.len() > 2 * MOST {
                self.0 = self.thinned();
            }
        }
    }

    /// The first point.
    pub fn first(&self) -> Option<(f64, f64)> {
        self.0.first().copied()
    }

    /// The last point.
    pub fn last(&self) -> Option<(f64, f64)> {
        self.0.last().copied()
    }

    // Pairs become their means, so that the line keeps its shape.
    fn thinned(&self) -> Vec<(f64, f64)> {
        let mean = |pair: &[(f64, f64)]| {
            let count = pair.len() as f64;
            (pair.iter().map(|p| p.0).sum::<f64>() / count, pair.iter().map(|p| p.1).sum::<f64>() / count)
        };
        self.0.chunks(2).map(mean).collect()
    }
}

/// The part of the plane that a drawing shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// The last step.
    pub steps: f64,
    /// The lowest loss.
    pub low: f64,
    /// The highest loss.
    pub high: f64,
}

impl Frame {
    /// Around all series, with whole tenths above and below; at least up to `steps`.
    pub fn around(series: &[&Series], steps: f64) -> Self {
        let points = || series.iter().flat_map(|series| series.0.iter());
        let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let steps = points().map(|point| point.0).fold(steps.max(1.0), f64::max);
        if low > high {
            return Self { steps, low: 0.0, high: 1.0 };
        }
        let low = (low * 10.0).floor() / 10.0;
        Self { steps, low, high: ((high * 10.0).ceil() / 10.0).max(low + 0.1) }
    }

    /// The `points` of a polyline in a drawing so wide and high; the lowest loss is at the bottom.
    pub fn points(&self, series: &Series, width: f64, height: f64) -> String {
        let place = |(step, loss): &(f64, f64)| {
            let x = step / self.steps * width;
            let y = (self.high - loss) / (self.high - self.low) * height;
            format!("{x:.1},{y:.1}")
        };
        series.0.iter().map(place).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Series {
        let mut series = Series::default();
        points.iter().for_each(|(step, loss)| series.push(*step, *loss));
        series
    }

    #[test]
    fn the_frame_holds_all_series() {
        let frame = Frame::around(&[&series(&[(1.0, 4.02)]), &series(&[(5.0, 1.96)])], 10.0);
        assert_eq!(frame, Frame { steps: 10.0, low: 1.9, high: 4.1 });
    }

    #[test]
    fn an_empty_drawing_and_a_flat_line_have_a_frame() {
        assert_eq!(Frame::around(&[], 0.0), Frame { steps: 1.0, low: 0.0, high: 1.0 });
        let flat = Frame::around(&[&series(&[(1.0, 2.0)])], 1.0);
        assert!(flat.high > flat.low);
    }

    #[test]
    fn points_run_from_top_to_bottom() {
        let line = series(&[(0.0, 3.0), (5.0, 2.0), (10.0, 1.0)]);
        let frame = Frame::around(&[&line], 10.0);
        assert_eq!((line.first(), line.last()), (Some((0.0, 3.0)), Some((10.0, 1.0))));
        assert_eq!(frame.points(&line, 100.0, 50.0), "0.0,0.0 50.0,25.0 100.0,50.0");
    }

    #[test]
    fn long_runs_stay_short_and_keep_their_ends() {
        let mut line = Series::default();
        (0..10_000).for_each(|step| line.push(f64::from(step), 1.0));
        assert!(line.0.len() <= 2 * MOST);
        assert!(line.last().is_some_and(|(step, _)| step > 9_990.0));
        line.push(1.0, f64::NAN);
        assert!(line.last().is_some_and(|(_, loss)| loss == 1.0));
    }
}
