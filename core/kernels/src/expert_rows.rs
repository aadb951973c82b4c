//! The rows of a mixture of experts: which go to which expert, there, and back.

use std::sync::Arc;

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::host::{HostOp, Kept, input, run};
use super::slices::{rows, sum};

/// Which experts each token is sent to: the same number for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertRows {
    experts: usize,
    /// The experts of each token, `per_token` each, the likeliest first.
    choices: Vec<u32>,
    per_token: usize,
}

impl ExpertRows {
    /// The `per_token` likeliest experts of each token; of equal ones the first.
    ///
    /// # Shapes
    /// `probabilities`: those of all `experts`, token by token.
    pub fn choose(probabilities: &[f32], experts: usize, per_token: usize) -> Self {
        let per_token = per_token.min(experts);
        let mut choices = Vec::with_capacity(probabilities.len() / experts.max(1) * per_token);
        for probabilities in probabilities.chunks_exact(experts.max(1)) {
            let first = choices.len();
            for _ in 0..per_token {
                let left = (0..experts).filter(|&expert| !choices[first..].contains(&(expert as u32)));
                // Whatever is no number is never larger.
                let better = |best: usize, expert: usize| match probabilities[expert] > probabilities[best] {
                    true => expert,
                    false => best,
                };
                let best = left.reduce(better);
                choices.extend(best.map(|expert| expert as u32));
            }
        }
        Self { experts, choices, per_token }
    }

    /// 1 where an expert is chosen for a token, else 0.
    pub fn chosen(&self) -> Vec<f32> {
        let tokens = self.choices.len() / self.per_token.max(1);
        let mut chosen = vec![0.0; tokens * self.experts];
        for (i, &expert) in self.choices.iter().enumerate() {
            chosen[i / self.per_token * self.experts + expert as usize] = 1.0;
        }
        chosen
    }

    /// The tokens of an expert, in order.
    pub fn of(&self, expert: usize) -> Vec<u32> {
        let own = self.choices.iter().enumerate().filter(|(_, choice)| **choice as usize == expert);
        own.map(|(i, _)| (i / self.per_token) as u32).collect()
    }
}

/// Some rows of a matrix, one below the other.
///
/// # Shapes
/// `x [rows, width]`, `n` places → `[n, width]`.
pub fn take_rows(x: Tensor<2>, places: Vec<u32>) -> Tensor<2> {
    let [all, width] = x.dims();
    if let Some(a) = input(&x) {
        let op = TakeRows { places: places.clone().into(), all, width };
        if let Some(taken) = run(op, [a], [places.len(), width]) {
            return taken;
        }
    }
    let places = indices(places.into_iter(), &x.device());
    x.select(0, places)
}

/// Rows added up where they belong, each times a weight: `out[t] = Σ weights[t, e] · y[i]` over all rows `i` whose place
/// is token `t` and expert `e`. A row without a place counts nothing.
///
/// # Shapes
/// `y [n, width]`, `weights [tokens, experts]`, `n` places → `[tokens, width]`.
pub fn weigh_rows(y: Tensor<2>, weights: Tensor<2>, places: Vec<Option<(u32, u32)>>) -> Tensor<2> {
    let ([n, width], [tokens, experts]) = (y.dims(), weights.dims());
    if let (Some(a), Some(b)) = (input(&y), input(&weights)) {
        let op = WeighRows { places: places.clone().into(), tokens, experts, width };
        if let Some(sums) = run(op, [a, b], [tokens, width]) {
            return sums;
        }
    }
    let (device, dtype) = (y.device(), y.dtype());
    let counts: Vec<f32> = places.iter().map(|place| f32::from(u8::from(place.is_some()))).collect();
    let counts = Tensor::<2>::from_data(TensorData::new(counts, [n, 1]), &device).cast(dtype);
    let at = |place: Option<(u32, u32)>| place.unwrap_or_default();
    let flat = places.iter().map(|&place| at(place).0 * experts as u32 + at(place).1);
    let weights = weights.reshape([tokens * experts]).select(0, indices(flat, &device)).reshape([n, 1]);
    let owners = indices(places.iter().map(|&place| at(place).0), &device);
    let zeros = Tensor::<2>::zeros([tokens, width], &device).cast(dtype);
    zeros.select_assign(0, owners, y * weights * counts, IndexingUpdateOp::Add)
}

fn indices(places: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let places: Vec<i32> = places.map(|place| place as i32).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), device)
}

#[derive(Clone, Debug)]
struct TakeRows {
    places: Arc<[u32]>,
    all: usize,
    width: usize,
}

impl HostOp<1> for TakeRows {
    const KEPT: Kept = Kept::Nothing;

    fn forward(&self, [x]: [&[f32]; 1]) -> Vec<f32> {
        let mut taken = vec![0.0; self.places.len() * self.width];
        rows(&mut taken, self.width, |i, row| {
            row.copy_from_slice(&x[self.places[i] as usize * self.width..][..self.width]);
        });
        taken
    }

    fn backward(&self, _x: [&[f32]; 1], _taken: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        let mut dx = vec![0.0; self.all * self.width];
        for (&place, grad) in self.places.iter().zip(grad.chunks_exact(self.width)) {
            let dx = &mut dx[place as usize * self.width..][..self.width];
            dx.iter_mut().zip(grad).for_each(|(dx, grad)| *dx += grad);
        }
        [dx]
    }
}

#[derive(Clone, Debug)]
struct WeighRows {
    places: Arc<[Option<(u32, u32)>]>,
    tokens: usize,
    experts: usize,
    width: usize,
}

impl WeighRows {
    /// The rows of each token with their experts, in the order of the rows.
    fn of_tokens(&self) -> Vec<Vec<(usize, usize)>> {
        let mut of_tokens = vec![Vec::new(); self.tokens];
        for (row, place) in self.places.iter().enumerate() {
            if let Some((token, expert)) = *place {
                of_tokens[token as usize].push((row, expert as usize));
            }
        }
        of_tokens
    }
}

impl HostOp<2> for WeighRows {
    const KEPT: Kept = Kept::Inputs;

    fn forward(&self, [y, weights]: [&[f32]; 2]) -> Vec<f32> {
        let (width, of_tokens) = (self.width, self.of_tokens());
        let mut sums = vec![0.0; self.tokens * width];
        rows(&mut sums, width, |token, sums| {
            for &(row, expert) in &of_tokens[token] {
                let weight = weights[token * self.experts + expert];
                for (sum, &y) in sums.iter_mut().zip(&y[row * width..][..width]) {
                    *sum += weight * y;
                }
            }
        });
        sums
    }

    /// `dy[i] = weights[t, e] · g[t]`, `dweights[t, e] = Σ y[i] · g[t]`.
    fn backward(&self, [y, weights]: [&[f32]; 2], _sums: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
        let (width, of_tokens) = (self.width, self.of_tokens());
        let mut dy = vec![0.0; y.len()];
        rows(&mut dy, width, |row, dy| {
            if let Some((token, expert)) = self.places[row] {
                let weight = weights[token as usize * self.experts + expert as usize];
                for (dy, &g) in dy.iter_mut().zip(&grad[token as usize * width..][..width]) {
                    *dy = weight * g;
                }
            }
        });
        let mut dweights = vec![0.0; weights.len()];
        rows(&mut dweights, self.experts, |token, dweights| {
            let g = &grad[token * width..][..width];
            for &(row, expert) in &of_tokens[token] {
                let y = &y[row * width..][..width];
                dweights[expert] += sum(width, |j| y[j] * g[j]);
            }
        });
        [dy, dweights]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_experts_are_chosen_and_of_equal_ones_the_first() {
        let probabilities = [0.1, 0.6, 0.3, 0.4, 0.2, 0.4, f32::NAN, f32::NAN, f32::NAN];
        let two = ExpertRows::choose(&probabilities, 3, 2);
        assert_eq!(two.choices, [1, 2, 0, 2, 0, 1]);
        assert_eq!(two.chosen(), [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!([two.of(0), two.of(1), two.of(2)], [vec![1, 2], vec![0, 2], vec![0, 1]]);
        let all = ExpertRows::choose(&probabilities[..3], 3, 9);
        assert_eq!(all.chosen(), [1.0; 3]);
    }

    #[test]
    fn rows_go_and_come_back_weighed() {
        let device = Device::flex().autodiff();
        let matrix = |values: &[f32], shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &device).require_grad()
        };
        let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<f32>>();
        let x = matrix(&[1.0, 2.0, 3.0, 4.0], [2, 2]);
        let weights = matrix(&[0.5, 10.0, 2.0, 20.0], [2, 2]);
        // Expert 0 has both tokens, expert 1 the second; the last row counts nothing.
        let y = take_rows(x.clone(), vec![0, 1, 1, 0]);
        assert_eq!(numbers(y.clone()), [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 1.0, 2.0]);
        let places = vec![Some((0, 0)), Some((1, 0)), Some((1, 1)), None];
        let sums = weigh_rows(y, weights.clone(), places);
        assert_eq!(numbers(sums.clone()), [0.5, 1.0, 66.0, 88.0]);
        let grads = sums.sum().backward();
        assert_eq!(numbers(x.grad(&grads).unwrap()), [0.5, 0.5, 22.0, 22.0]);
        assert_eq!(numbers(weights.grad(&grads).unwrap()), [3.0, 0.0, 7.0, 7.0]);
    }
}
