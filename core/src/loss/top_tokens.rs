//! How far a student's next token lies from what was kept of a teacher's: its likeliest tokens, and how likely all others are
//! together.

use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor, TensorData, activation};

use crate::batch::TopTokens;
use crate::kernels::{Divergence, apart, in_dtype, token_log_probs};

/// The same as [`crate::kernels::beside_teacher`] where of the teacher's probabilities `p` only those of its `K` likeliest tokens `S` are
/// known. All other tokens count as one outcome: the divergence is that between
///
/// `(p_s for s in S, 1 − Σ_S p_s)` and `(q_s for s in S, Σ_{j not in S} q_j)`,
///
/// with `q` of the student, both over the temperature and the tokens that both models have. No divergence grows where outcomes
/// are joined: it is at most that of all tokens, and equals it where `S` holds them all, as no other outcome is left.
///
/// # Shapes
/// `student [n, vocab]`, `n` targets, of each what is known → two of `[n]`; where nothing is known at all, the divergence is 0.
pub(super) fn beside_top_tokens(
    student: Tensor<2>,
    known: &TopTokens,
    targets: &[u32],
    divergence: Divergence,
    temperature: f32,
) -> [Tensor<1>; 2] {
    let [n, vocab] = student.dims();
    let log_probs = token_log_probs(student.clone().reshape([1, n, vocab]), targets).reshape([n]);
    if known.ids.is_empty() {
        let nothing = log_probs.zeros_like();
        return [log_probs, nothing];
    }
    let (device, top_k, common) = (student.device(), known.top_k, known.vocab.min(vocab));
    let student = in_dtype(student.narrow(1, 0, common), DType::F32) / temperature;
    let q = activation::log_softmax(student, 1);
    let ids: Vec<i32> = known.ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [n, top_k]), &device);
    let p = TensorData::new(known.log_probs.clone(), [n, top_k + 1]);
    let p = in_dtype(Tensor::<2>::from_data(p, &device), DType::F32);
    let of_top = q.clone().gather(1, ids.clone());
    let apart = if top_k == common {
        apart(p.narrow(1, 0, top_k), of_top, divergence)
    } else {
        // Of all tokens those that are known are taken out, on the device: a row of them is as long as the vocabulary.
        let ones = |width: usize| in_dtype(Tensor::<2>::ones([n, width], &device), DType::F32);
        let others = ones(common).scatter(1, ids, ones(top_k).neg(), IndexingUpdateOp::Add);
        // Added up rather than taken from 1, so that nothing is lost where the top holds nearly all.
        let of_rest = (q.exp() * others).sum_dim(1).clamp_min(1e-30).log();
        apart(p, Tensor::cat(vec![of_top, of_rest], 1), divergence)
    };
    let dtype = log_probs.dtype();
    [log_probs, in_dtype(apart, dtype)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{IGNORED, beside_teacher};
    use burn::tensor::Device;

    const ALL: [Divergence; 4] =
        [Divergence::Forward, Divergence::Reverse, Divergence::JensenShannon, Divergence::Skew(0.1)];
    const STUDENT: [[f32; 5]; 2] = [[0.4, -1.0, 2.0, 0.3, 0.0], [-0.7, 0.9, 0.2, -2.5, 1.0]];
    const TEACHER: [[f32; 5]; 2] = [[1.2, 0.1, -0.6, 0.8, 0.5], [0.5, -1.5, 1.9, 0.0, -0.2]];

    fn logits<const V: usize>(rows: &[[f32; V]], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), V]), device)
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn top(top_k: usize, rows: &[&[f32]], temperature: f64) -> TopTokens {
        let mut top = TopTokens::new(top_k, rows[0].len());
        rows.iter().for_each(|row| assert!(top.push(row, temperature)));
        top
    }

    #[test]
    fn the_likeliest_and_one_outcome_of_all_others_by_hand() {
        let device = Device::flex();
        // p = (5/8, 1/8, 1/8, 1/8) and q = (1/4, 1/4, 3/8, 1/8): known is (5/8, 3/8) beside (1/4, 3/4).
        let p = [5f32, 1.0, 1.0, 1.0].map(f32::ln);
        let student = logits(&[[2f32, 2.0, 3.0, 1.0].map(f32::ln)], &device);
        let known = top(1, &[&p], 1.0);
        for (divergence, expected) in [
            // 5/8·ln(5/2) + 3/8·ln(1/2)
            (Divergence::Forward, 0.312_751_5),
            // 1/4·ln(2/5) + 3/4·ln(2)
            (Divergence::Reverse, 0.290_787_7),
        ] {
            let [log_probs, apart] = beside_top_tokens(student.clone(), &known, &[2], divergence, 1.0);
            assert!((numbers(apart)[0] - expected).abs() < 2e-6, "{divergence:?}");
            assert!((numbers(log_probs)[0] - (3f32 / 8.0).ln()).abs() < 2e-6);
        }
    }

    #[test]
    fn all_tokens_give_the_whole_divergence_and_fewer_never_more() {
        let device = Device::flex();
        for divergence in ALL {
            for temperature in [1.0, 1.5] {
                let of = |top_k: usize| {
                    let rows: Vec<&[f32]> = TEACHER.iter().map(|row| &row[..]).collect();
                    let known = top(top_k, &rows, f64::from(temperature));
                    let student = logits(&STUDENT, &device);
                    beside_top_tokens(student, &known, &[1, IGNORED], divergence, temperature).map(numbers)
                };
                let (student, teacher) = (logits(&STUDENT, &device), logits(&TEACHER, &device));
                let whole =
                    beside_teacher(student, teacher, &[1, IGNORED], divergence, temperature).map(numbers);
                let mut before = of(5);
                assert_eq!(before[0], whole[0]);
                for (found, expected) in before[1].iter().zip(&whole[1]) {
                    assert!((found - expected).abs() < 5e-6, "{divergence:?}: {found} {expected}");
                }
                for top_k in [4, 3, 2, 1] {
                    let fewer = of(top_k);
                    let grows = fewer[1].iter().zip(&before[1]).any(|(fewer, more)| *fewer > more + 1e-6);
                    assert!(!grows, "{divergence:?} of {top_k}: {fewer:?} {before:?}");
                    before = fewer;
                }
            }
        }
        let none = TopTokens::new(2, 5);
        let [_, nothing] =
            beside_top_tokens(logits(&STUDENT, &device), &none, &[IGNORED; 2], Divergence::Forward, 1.0);
        assert_eq!(numbers(nothing), [0.0; 2]);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let rows: Vec<&[f32]> = TEACHER.iter().map(|row| &row[..]).collect();
        let known = top(2, &rows, 1.5);
        for divergence in ALL {
            let loss = |student: Tensor<2>| {
                let [log_probs, apart] = beside_top_tokens(student, &known, &[2, IGNORED], divergence, 1.5);
                (apart * 0.7 + log_probs * 0.4).sum()
            };
            let student = logits(&STUDENT, &Device::flex().autodiff()).require_grad();
            let grads = loss(student.clone()).backward();
            for (place, gradient) in numbers(student.grad(&grads).unwrap()).into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut rows = STUDENT;
                    rows[place / 5][place % 5] += by;
                    numbers(loss(logits(&rows, &Device::flex())))[0]
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((gradient - slope).abs() < 2e-3, "{divergence:?} at {place}: {gradient} {slope}");
            }
        }
    }
}
