//! Sums over parts of a batch: what a loss over whole sequences is made of.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::host::{HostOp, Kept, input, run};

/// `Σ weight · value` of each group. On the processor it is added in f64, so that a sequence's length costs no digits.
///
/// # Shapes
/// `values [batch, seq]`, `weights` and the `groups` that the values belong to (below `count`) of `batch · seq` each →
/// `[count]`.
pub fn grouped_sums(values: Tensor<2>, weights: &[f32], groups: &[u32], count: usize) -> Tensor<1> {
    if let Some(a) = input(&values) {
        let op = GroupedSums { weights: weights.into(), groups: groups.into(), count };
        if let Some(sums) = run(op, [a], [count]) {
            return sums;
        }
    }
    let [batch, seq] = values.dims();
    if is_row_by_row(groups, seq, count) {
        let weights =
            Tensor::<2>::from_data(TensorData::new(weights.to_vec(), [batch, seq]), &values.device());
        let weights = weights.cast(values.dtype());
        return (values * weights).sum_dim(1).reshape([count]);
    }
    let mut matrix = vec![0.0; count * batch * seq];
    for (place, (&weight, &group)) in weights.iter().zip(groups).enumerate() {
        matrix[group as usize * batch * seq + place] = weight;
    }
    let matrix = Tensor::<2>::from_data(TensorData::new(matrix, [count, batch * seq]), &values.device());
    let matrix = matrix.cast(values.dtype());
    // Element by element: a device's product of matrices may round its inputs.
    (matrix * values.reshape([1, batch * seq])).sum_dim(1).reshape([count])
}

/// Whether every row is a group of its own.
fn is_row_by_row(groups: &[u32], seq: usize, count: usize) -> bool {
    let rows = groups.chunks(seq.max(1));
    rows.len() == count && (0..).zip(rows).all(|(row, groups)| groups.iter().all(|&group| group == row))
}

#[derive(Clone, Debug)]
struct GroupedSums {
    weights: Arc<[f32]>,
    groups: Arc<[u32]>,
    count: usize,
}

impl HostOp<1> for GroupedSums {
    const KEPT: Kept = Kept::Nothing;

    fn forward(&self, [values]: [&[f32]; 1]) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.count];
        for ((&value, &weight), &group) in values.iter().zip(self.weights.iter()).zip(self.groups.iter()) {
            // What does not count is not looked at, be it infinite.
            if weight != 0.0 {
                sums[group as usize] += f64::from(value) * f64::from(weight);
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    fn backward(&self, _values: [&[f32]; 1], _sums: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let of = |(&weight, &group): (&f32, &u32)| match weight {
            0.0 => 0.0,
            weight => grad[group as usize] * weight,
        };
        [self.weights.iter().zip(self.groups.iter()).map(of).collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn each_group_has_its_sum_and_its_gradient() {
        let device = Device::flex().autodiff();
        let values = TensorData::new(vec![2.0f32, 3.0, f32::NEG_INFINITY, 5.0, 7.0, 11.0], [2, 3]);
        let values = Tensor::<2>::from_data(values, &device).require_grad();
        let sums = grouped_sums(values.clone(), &[1.0, 0.5, 0.0, 2.0, 1.0, 1.0], &[0, 0, 0, 1, 2, 2], 3);
        assert_eq!(sums.clone().into_data().iter::<f32>().collect::<Vec<_>>(), [3.5, 10.0, 18.0]);
        let scale = Tensor::<1>::from_data(TensorData::new(vec![1.0f32, 10.0, 100.0], [3]), &device);
        let grads = (sums * scale).sum().backward();
        let grad: Vec<f32> = values.grad(&grads).unwrap().into_data().iter::<f32>().collect();
        assert_eq!(grad, [1.0, 0.5, 0.0, 20.0, 100.0, 100.0]);
    }

    #[test]
    fn other_types_take_the_plain_operations() {
        let values = TensorData::new(vec![2.0f32, 3.0, 4.0, 5.0], [2, 2]);
        let values = Tensor::<2>::from_data(values, &Device::flex()).cast(DType::BF16);
        let sums = |groups: &[u32], count: usize| {
            let sums = grouped_sums(values.clone(), &[1.0, 0.5, 2.0, 0.0], groups, count);
            sums.into_data().iter::<f32>().collect::<Vec<_>>()
        };
        assert_eq!(sums(&[0, 0, 1, 1], 2), [3.5, 8.0]);
        assert_eq!(sums(&[0, 1, 1, 2], 3), [2.0, 9.5, 0.0]);
    }
}
