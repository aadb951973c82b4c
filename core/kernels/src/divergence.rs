//! How far a student's next token lies from a teacher's, beside how likely it holds the token of the data: what distillation
//! is made of.

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use burn_flex::FlexTensor;

use super::host::{HostOp, Input, Kept, input, run};
use super::slices::{exp, ln, max, rows, sum};
use super::token_log_probs;

/// A measure of how far two distributions lie apart, 0 where they are equal: `p` is the teacher's, `q` the student's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divergence {
    /// `KL(p ‖ q) = Σ p ln(p/q)`: the student covers all that the teacher says.
    Forward,
    /// `KL(q ‖ p)`: the student says nothing that the teacher would not.
    Reverse,
    /// Jensen–Shannon: `½ KL(p ‖ m) + ½ KL(q ‖ m)` with `m = ½(p + q)`.
    JensenShannon,
    /// `KL(p ‖ λp + (1 − λ)q)` (DistiLLM, Ko et al., 2024, <https://arxiv.org/abs/2402.03898>), with this λ.
    Skew(f32),
}

/// Of every position `log softmax(student)[target]` ([`super::IGNORED`] gives 0) and the divergence between
/// `softmax(teacher / temperature)` and `softmax(student / temperature)`. A gradient flows to the student only.
///
/// Of unequal vocabularies the divergence looks at the tokens that both have.
///
/// # Shapes
/// `student [n, vocab]`, `teacher [n, vocab]`, `n` targets → two of `[n]`.
pub fn beside_teacher(
    student: Tensor<2>,
    teacher: Tensor<2>,
    targets: &[u32],
    divergence: Divergence,
    temperature: f32,
) -> [Tensor<1>; 2] {
    let [n, vocab] = student.dims();
    let [_, teacher_vocab] = teacher.dims();
    let teacher = teacher.inner();
    if let (Some(a), Some(Input::Plain(b))) = (input(&student), input(&teacher)) {
        let (sharpness, teacher, targets) = (1.0 / temperature, b.to_contiguous(), targets.into());
        let op = BesideTeacher { teacher, targets, vocab, teacher_vocab, divergence, sharpness };
        if let Some(both) = run(op, [a], [n, 2]) {
            return [0, 1].map(|side| both.clone().narrow(1, side, 1).reshape([n]));
        }
    }
    let log_probs = token_log_probs(student.clone().reshape([1, n, vocab]), targets).reshape([n]);
    [log_probs, plain(student, teacher, divergence, temperature)]
}

/// The divergence out of the backend's operations.
fn plain(student: Tensor<2>, teacher: Tensor<2>, divergence: Divergence, temperature: f32) -> Tensor<1> {
    let common = student.dims()[1].min(teacher.dims()[1]);
    let log = |logits: Tensor<2>| activation::log_softmax(logits.narrow(1, 0, common) / temperature, 1);
    apart(log(teacher), log(student), divergence)
}

/// The divergence of two distributions over the same outcomes by their log-probabilities, the teacher's first: of `[n, outcomes]`
/// each, `[n]`.
pub fn apart(p: Tensor<2>, q: Tensor<2>, divergence: Divergence) -> Tensor<1> {
    let n = p.dims()[0];
    // What lies farther apart than this is as good as nothing on one side.
    let ahead = || (p.clone() - q.clone()).clamp(-80.0, 80.0);
    let mixed = |share: f32, ahead: Tensor<2>| (ahead.neg().exp() * (1.0 - share) + share).log();
    let terms = match divergence {
        Divergence::Forward => p.clone().exp() * (p.clone() - q.clone()),
        Divergence::Reverse => q.clone().exp() * (q.clone() - p.clone()),
        Divergence::JensenShannon => {
            (p.clone().exp() * mixed(0.5, ahead()) + q.clone().exp() * mixed(0.5, ahead().neg())) * -0.5
        }
        Divergence::Skew(share) => (p.clone().exp() * mixed(share, ahead())).neg(),
    };
    terms.sum_dim(1).reshape([n])
}

#[derive(Clone, Debug)]
struct BesideTeacher {
    teacher: FlexTensor,
    targets: Arc<[u32]>,
    vocab: usize,
    teacher_vocab: usize,
    divergence: Divergence,
    /// One by the temperature.
    sharpness: f32,
}

/// The logits of one position, and what makes probabilities of them.
struct Position<'a> {
    student: &'a [f32],
    teacher: &'a [f32],
    sharpness: f32,
    highest: [f32; 2],
    /// One by the sum of the exponentials.
    share: [f32; 2],
    /// What is added to a difference of logits to give one of log-probabilities.
    offset: f32,
}

impl<'a> Position<'a> {
    #[inline(always)]
    fn new(student: &'a [f32], teacher: &'a [f32], sharpness: f32) -> Self {
        let total = |x: &[f32], highest: f32| sum(x.len(), |j| exp((x[j] - highest) * sharpness));
        let highest = [max(student), max(teacher)];
        let totals = [total(student, highest[0]), total(teacher, highest[1])];
        let log = [0, 1].map(|side| highest[side] * sharpness + ln(totals[side]));
        Self { student, teacher, sharpness, highest, share: totals.map(f32::recip), offset: log[0] - log[1] }
    }

    /// Teacher's and student's probability of a token, and the difference of their logarithms.
    #[inline(always)]
    fn at(&self, j: usize) -> [f32; 3] {
        let (student, teacher) = (self.student[j], self.teacher[j]);
        let p = exp((teacher - self.highest[1]) * self.sharpness) * self.share[1];
        let q = exp((student - self.highest[0]) * self.sharpness) * self.share[0];
        [p, q, (teacher - student) * self.sharpness + self.offset]
    }

    #[inline(always)]
    fn value(&self, term: impl Fn([f32; 3]) -> f32) -> f32 {
        sum(self.student.len(), |j| term(self.at(j)))
    }

    /// Adds `scale · dD/dx` to `dx`, where `slope` is `q · dD/dq`: softmax makes `q·(h − Σ q·h)` of any slope `h`.
    #[inline(always)]
    fn add_slope(&self, dx: &mut [f32], scale: f32, slope: impl Fn([f32; 3]) -> f32) {
        let len = self.student.len();
        let (mut slopes, mut student) = (vec![0.0; len], vec![0.0; len]);
        for (j, (a, b)) in slopes.iter_mut().zip(&mut student).enumerate() {
            let [p, q, ahead] = self.at(j);
            (*a, *b) = (slope([p, q, ahead]), q);
        }
        let (all, scale) = (sum(len, |j| slopes[j]), scale * self.sharpness);
        for ((dx, slope), q) in dx.iter_mut().zip(&slopes).zip(&student) {
            *dx += scale * (slope - q * all);
        }
    }
}

/// `ln(p/m)` and `ln(q/m)` with `m = ½(p + q)`, from `ln(p/q)`; both 0 where that is.
#[inline(always)]
fn beside_mean(ahead: f32) -> [f32; 2] {
    let base = -ln(0.5 + 0.5 * exp(-ahead.abs()));
    [base + ahead.min(0.0), base - ahead.max(0.0)]
}

/// `m/p` with `m = λp + (1 − λ)q`, from `ln(p/q)`; 1 where that is 0.
#[inline(always)]
fn skewed(share: f32, ahead: f32) -> f32 {
    let ratio = exp(-ahead);
    // Two ways to write it: each is exact where it is used.
    let near = 1.0 + (1.0 - share) * (ratio - 1.0);
    if ratio < 0.5 { share + (1.0 - share) * ratio } else { near }
}

impl BesideTeacher {
    #[inline(always)]
    fn position<'a>(&self, student: &'a [f32], teacher: &'a [f32], i: usize) -> Position<'a> {
        let common = self.vocab.min(self.teacher_vocab);
        let student = &student[i * self.vocab..][..common];
        Position::new(student, &teacher[i * self.teacher_vocab..][..common], self.sharpness)
    }

    #[inline(always)]
    fn value(&self, position: &Position) -> f32 {
        match self.divergence {
            Divergence::Forward => position.value(|[p, _, ahead]| p * ahead),
            Divergence::Reverse => position.value(|[_, q, ahead]| -q * ahead),
            Divergence::JensenShannon => position.value(|[p, q, ahead]| {
                let [of_p, of_q] = beside_mean(ahead);
                0.5 * (p * of_p + q * of_q)
            }),
            Divergence::Skew(share) => position.value(|[p, _, ahead]| -p * ln(skewed(share, ahead))),
        }
    }

    #[inline(always)]
    fn add_slope(&self, position: &Position, dx: &mut [f32], scale: f32) {
        match self.divergence {
            Divergence::Forward => position.add_slope(dx, scale, |[p, _, _]| -p),
            Divergence::Reverse => position.add_slope(dx, scale, |[_, q, ahead]| -q * ahead),
            Divergence::JensenShannon => {
                position.add_slope(dx, scale, |[_, q, ahead]| 0.5 * q * beside_mean(ahead)[1]);
            }
            Divergence::Skew(share) => {
                position.add_slope(dx, scale, |[_, q, ahead]| -(1.0 - share) * q / skewed(share, ahead))
            }
        }
    }
}

impl HostOp<1> for BesideTeacher {
    const KEPT: Kept = Kept::Inputs;

    fn forward(&self, [student]: [&[f32]; 1]) -> Vec<f32> {
        let mut both = vec![0.0; 2 * self.targets.len()];
        let Some(teacher) = self.teacher.as_slice::<f32>() else { return both };
        rows(&mut both, 2, |i, both| {
            let x = &student[i * self.vocab..][..self.vocab];
            if let Some(logit) = x.get(self.targets[i] as usize) {
                let highest = max(x);
                both[0] = logit - highest - sum(x.len(), |j| exp(x[j] - highest)).ln();
            }
            both[1] = self.value(&self.position(student, teacher, i));
        });
        both
    }

    /// Of the log-probability `g · (one_hot(target) − softmax(x))`, of the divergence what [`Position::add_slope`] says; in
    /// one gradient, since a vocabulary for every position is the largest tensor there is.
    fn backward(&self, [student]: [&[f32]; 1], _both: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let mut dx = vec![0.0; student.len()];
        let Some(teacher) = self.teacher.as_slice::<f32>() else { return [dx] };
        rows(&mut dx, self.vocab, |i, dx| {
            let (target, of_target, of_teacher) = (self.targets[i] as usize, grad[2 * i], grad[2 * i + 1]);
            if target < dx.len() && of_target != 0.0 {
                let x = &student[i * self.vocab..][..self.vocab];
                let highest = max(x);
                for (dx, &x) in dx.iter_mut().zip(x) {
                    *dx = exp(x - highest);
                }
                let scale = -of_target / sum(x.len(), |j| dx[j]);
                dx.iter_mut().for_each(|dx| *dx *= scale);
                dx[target] += of_target;
            }
            if of_teacher != 0.0 {
                let position = self.position(student, teacher, i);
                self.add_slope(&position, &mut dx[..position.student.len()], of_teacher);
            }
        });
        [dx]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IGNORED;
    use burn::tensor::{Device, TensorData};

    const ALL: [Divergence; 4] =
        [Divergence::Forward, Divergence::Reverse, Divergence::JensenShannon, Divergence::Skew(0.1)];

    fn logits<const V: usize>(rows: &[[f32; V]], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), V]), device)
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn divergences_by_hand() {
        let device = Device::flex();
        // Softmax gives (1/4, 3/4) for the student and (1/2, 1/2) for the teacher, whatever is added to the logits.
        let (two, halves) = (logits(&[[5.0, 5.0 + 3f32.ln()]], &device), logits(&[[-2.0, -2.0]], &device));
        let three = |weights: [f32; 3]| logits(&[weights.map(f32::ln)], &device);
        let (student, teacher) = (three([0.2, 0.3, 0.5]), three([0.7, 0.2, 0.1]));
        for (student, teacher, temperature, expected) in [
            (&two, &halves, 1.0, [0.143_841_04, 0.130_812_04, 0.033_822_076, 0.113_136_72]),
            // The student's is (1, √3)/(1 + √3) then.
            (&two, &halves, 2.0, [0.037_252_286, 0.036_340_783, 0.009_168_753, 0.029_957_484]),
            (&student, &teacher, 1.0, [0.634_897_3, 0.675_805_9, 0.151_358_11, 0.493_815_25]),
            (&student, &teacher, 2.0, [0.173_585_87, 0.173_212_49, 0.042_465_11, 0.138_567_24]),
        ] {
            for (divergence, expected) in ALL.into_iter().zip(expected) {
                let [_, kernel] =
                    beside_teacher(student.clone(), teacher.clone(), &[IGNORED], divergence, temperature);
                let plain = plain(student.clone(), teacher.clone(), divergence, temperature);
                for found in [values(kernel)[0], values(plain)[0]] {
                    assert!((found - expected).abs() < 2e-6, "{divergence:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn log_probabilities_stand_beside_and_equal_ones_lie_nowhere_apart() {
        let device = Device::flex();
        let rows = [[0.3f32, -1.7, 4.0, 0.1, 2.2], [9.0, -30.0, 0.5, 80.0, -80.0]];
        for divergence in ALL {
            for temperature in [1.0, 1.5] {
                let (student, teacher) = (logits(&rows, &device), logits(&rows, &device));
                let [log_probs, apart] =
                    beside_teacher(student.clone(), teacher, &[2, IGNORED], divergence, temperature);
                assert_eq!(values(apart), [0.0; 2], "{divergence:?}");
                let expected = token_log_probs(student.reshape([1, 2, 5]), &[2, IGNORED]).reshape([2]);
                assert_eq!(values(log_probs), values(expected));
            }
        }
    }

    #[test]
    fn tokens_that_one_of_them_lacks_are_left_out() {
        let device = Device::flex();
        let (short, long) = ([[0.0f32, 1.0, -0.5]], [[0.0f32, 1.0, -0.5, 7.0, 3.0]]);
        for divergence in ALL {
            let apart = |student, teacher| {
                let [log_probs, apart] = beside_teacher(student, teacher, &[1], divergence, 1.0);
                (values(log_probs)[0], values(apart)[0])
            };
            let (of_short, none) = apart(logits(&short, &device), logits(&long, &device));
            let (of_long, nothing) = apart(logits(&long, &device), logits(&short, &device));
            assert_eq!((none, nothing), (0.0, 0.0));
            assert!(of_long < of_short, "all of the student's tokens count for the target's");
            assert_eq!(
                values(plain(logits(&short, &device), logits(&long, &device), divergence, 1.0)),
                [0.0]
            );
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences_and_of_plain_operations() {
        let graph = Device::flex().autodiff();
        let rows = [[0.4f32, -1.0, 2.0, 0.3], [-0.7, 0.9, 0.2, -2.5]];
        let teacher = [[1.2f32, 0.1, -0.6, 0.8], [0.5, -1.5, 1.9, 0.0]];
        let (targets, scales) = ([2, IGNORED], [0.7f32, -1.3]);
        for divergence in ALL {
            for temperature in [1.0, 1.7] {
                let loss = |student: Tensor<2>, as_kernel: bool| {
                    let teacher = logits(&teacher, &Device::flex());
                    let [log_probs, kernel] =
                        beside_teacher(student.clone(), teacher.clone(), &targets, divergence, temperature);
                    let apart =
                        if as_kernel { kernel } else { plain(student, teacher, divergence, temperature) };
                    let scale =
                        Tensor::<1>::from_data(TensorData::new(scales.to_vec(), [2]), &apart.device());
                    (apart * scale + log_probs * 0.4).sum()
                };
                let gradient = |as_kernel: bool| {
                    let student = logits(&rows, &graph).require_grad();
                    let grads = loss(student.clone(), as_kernel).backward();
                    values(student.grad(&grads).unwrap().reshape([8]))
                };
                let (kernel, plain) = (gradient(true), gradient(false));
                for (place, (kernel, plain)) in kernel.iter().zip(&plain).enumerate() {
                    let moved = |by: f32| {
                        let mut rows = rows;
                        rows[place / 4][place % 4] += by;
                        values(loss(logits(&rows, &Device::flex()), true))[0]
                    };
                    let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                    assert!((kernel - plain).abs() < 1e-5, "{divergence:?} at {place}: {kernel} {plain}");
                    assert!((kernel - slope).abs() < 2e-3, "{divergence:?} at {place}: {kernel} {slope}");
                }
            }
        }
    }
}
