//! The loss of a step, told apart from that of the rows that are mixed in to be kept.

use burn::tensor::Tensor;

use crate::loss::Metric;

/// The key under which the mean loss of kept rows is reported.
const KEEP_LOSS: &str = "keep_loss";

/// The losses of a step's parts, each divided by the whole step's weight.
#[derive(Default)]
pub(super) struct Losses {
    lesson: Option<Tensor<1>>,
    kept: Option<Tensor<1>>,
}

impl Losses {
    /// Adds a part's loss, `[1]`.
    pub(super) fn add(&mut self, loss: Tensor<1>, kept: bool) {
        let sum = if kept { &mut self.kept } else { &mut self.lesson };
        *sum = Some(match sum.take() {
            Some(sum) => sum + loss,
            None => loss,
        });
    }

    /// The lesson's, and that of the rows that are kept, as far as there are any.
    pub(super) fn sums(&self) -> [Option<Tensor<1>>; 2] {
        [self.lesson.clone(), self.kept.clone()]
    }

    /// What [`Self::sums`] gave.
    pub(super) fn of([lesson, kept]: [Option<Tensor<1>>; 2]) -> Self {
        Self { lesson, kept }
    }

    /// The lesson's mean loss, and that of the rows that are kept where there are any: of the whole step's `weight` so
    /// much is theirs.
    pub(super) fn means(self, weight: f64, kept: f64) -> (Option<Tensor<1>>, Option<Metric>) {
        let Some(sum) = self.kept else { return (self.lesson, None) };
        let lesson = self.lesson.map(|lesson| lesson * (weight / (weight - kept)));
        (lesson, Some(Metric { name: KEEP_LOSS, sum: sum * weight, weight: kept }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn loss(value: f32) -> Tensor<1> {
        Tensor::full([1], value, &Device::flex())
    }

    fn value(tensor: Option<Tensor<1>>) -> f32 {
        tensor.unwrap().into_scalar::<f32>()
    }

    #[test]
    fn the_lessons_loss_and_that_of_kept_rows_are_means_of_their_own() {
        // 6 targets of the lesson with a summed loss of 3 in two parts, and 2 that are kept with one of 1.6.
        let mut losses = Losses::default();
        for (sum, kept) in [(1.0, false), (1.6, true), (2.0, false)] {
            losses.add(loss(sum / 8.0), kept);
        }
        let (lesson, keep_loss) = losses.means(8.0, 2.0);
        assert!((value(lesson) - 0.5).abs() < 1e-6);
        let Metric { name, sum, weight } = keep_loss.unwrap();
        assert_eq!(name, "keep_loss");
        assert!((value(Some(sum)) / weight as f32 - 0.8).abs() < 1e-6);
    }

    #[test]
    fn without_kept_rows_the_sum_stays_as_it_is() {
        let mut losses = Losses::default();
        losses.add(loss(0.25), false);
        losses.add(loss(0.5), false);
        let (lesson, keep_loss) = losses.means(8.0, 0.0);
        assert_eq!(value(lesson), 0.75);
        assert!(keep_loss.is_none());
    }
}
