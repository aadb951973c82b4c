//! A matrix in blocks on the processor: multiplied from its quants by the rows of answers that are written, or by a few; for
//! the many rows of a text that is read some of it is unpacked at a time.

use std::sync::Arc;

use burn::tensor::TensorData;
use burn_backend::ops::FloatTensorOps;
use burn_flex::{Flex, FlexTensor};

use super::activations::{Activations, eight_bits};
use super::blocks::BLOCK;
use super::chunks::for_each_chunk;
use super::dots::{self, Work};
use super::encoded::EncodedBlocks;
use super::host::{HostOp, Kept};
use super::matrix::{Matrix, Target, multiply_alone};
use super::panels::{PANEL, PanelSlice, Panels};

/// Rows of a text that is read from which unpacking pays.
const MANY: usize = 9;
/// Panels that are unpacked at a time.
const UNPACKED: usize = 8;
/// Products that one task makes at least, so that starting it pays: of floats, and of whole numbers.
const TASK: usize = 64 * 1024;
const WHOLE_TASK: usize = 256 * 1024;

/// The blocks of all rows.
#[derive(Debug)]
pub(super) struct BlockMatrix {
    rows: usize,
    panels: Panels,
}

impl BlockMatrix {
    /// Takes encoded rows.
    pub(super) fn new(blocks: &EncodedBlocks, [rows, columns]: [usize; 2]) -> Self {
        Self { rows, panels: Panels::new(blocks, columns / BLOCK) }
    }

    /// Values of a row.
    pub(super) fn columns(&self) -> usize {
        self.panels.columns()
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.panels.bytes()
    }

    /// Unpacks a row.
    pub(super) fn unpack(&self, row: usize, values: &mut [f32]) {
        self.panels.unpack(row, values);
    }

    /// All rows.
    pub(super) fn dense(&self) -> Vec<f32> {
        let columns = self.columns();
        let mut values = vec![0.0; self.rows * columns];
        let rows_a_task = (TASK / columns).max(1);
        for_each_chunk(&mut values, rows_a_task * columns, |task, values| {
            pulp::Arch::new().dispatch(|| {
                for (i, values) in values.chunks_exact_mut(columns).enumerate() {
                    self.panels.unpack(task * rows_a_task + i, values);
                }
            });
        });
        values
    }

    /// All of it, `[rows, columns]`.
    fn tensor(&self) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(self.dense(), [self.rows, self.columns()]))
    }

    /// `x·Wᵀ` from the packed quants, `[n, columns]` → `[n, rows]`. What a row of `x` gives does not depend on the others.
    fn multiply(&self, x: &[f32], activations: Activations) -> Vec<f32> {
        let n = x.len() / self.columns();
        match activations {
            Activations::Exact => self.in_tasks(n, TASK, |matrix, y| {
                pulp::Arch::new().dispatch(|| matrix.multiply(x, y));
            }),
            Activations::EightBits => {
                let x = eight_bits(x);
                self.in_tasks(n, WHOLE_TASK, |matrix, y| dots::multiply(Work { matrix, x: &x, y }))
            }
        }
    }

    /// Products that `multiply` puts into `[panels, n, 8]`, as `[n, rows]`.
    fn in_tasks(
        &self,
        n: usize,
        products_a_task: usize,
        multiply: impl Fn(PanelSlice<'_>, &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let panels = self.rows.div_ceil(PANEL);
        let tasks = (self.rows * self.columns() * n).div_ceil(products_a_task).max(1);
        let panels_a_task = panels.div_ceil(tasks).max(1);
        let mut y = vec![0.0; panels * PANEL * n];
        for_each_chunk(&mut y, panels_a_task * PANEL * n, |task, y| {
            let first = task * panels_a_task;
            multiply(self.panels.slice(first..first + y.len() / (PANEL * n)), y);
        });
        self.row_by_row(y, n, PANEL)
    }

    /// `x·Wᵀ`, `[n, columns]` → `[n, rows]`, as the dense matrix gives it: each task unpacks some panels, which then stand in
    /// the cache.
    fn multiply_unpacked(&self, x: &[f32]) -> Vec<f32> {
        let columns = self.columns();
        let (n, panels) = (x.len() / columns, self.rows.div_ceil(PANEL));
        let step = UNPACKED.min(panels).max(1) * PANEL;
        // [tasks, n, step]
        let mut y = vec![0.0; panels.div_ceil(UNPACKED) * n * step];
        for_each_chunk(&mut y, n * step, |task, y| {
            let first = task * UNPACKED;
            let panels = self.panels.slice(first..(first + UNPACKED).min(panels));
            let mut w = vec![0.0; columns * step];
            pulp::Arch::new().dispatch(|| panels.unpack(&mut w, step));
            let target = Target { values: y, step, adds: false };
            multiply_alone(target, Matrix::new(x, [n, columns]), Matrix::new(&w, [columns, step]));
        });
        self.row_by_row(y, n, step)
    }

    /// Of `[_, n, step]` with so many rows of the matrix side by side, `[n, rows]`.
    fn row_by_row(&self, mut y: Vec<f32>, n: usize, step: usize) -> Vec<f32> {
        if n == 1 {
            y.truncate(self.rows);
            return y;
        }
        let mut rows = vec![0.0; n * self.rows];
        for (i, row) in rows.chunks_exact_mut(self.rows).enumerate() {
            for (part, values) in row.chunks_mut(step).enumerate() {
                values.copy_from_slice(&y[(part * n + i) * step..][..values.len()]);
            }
        }
        rows
    }
}

/// `x·Wᵀ`.
#[derive(Clone, Debug)]
pub(super) struct Multiply {
    pub(super) matrix: Arc<BlockMatrix>,
    /// How those of answers that are written come; none where a text is read.
    pub(super) writes: Option<Activations>,
}

impl HostOp<1> for Multiply {
    const KEPT: Kept = Kept::Nothing;

    fn forward(&self, [x]: [&[f32]; 1]) -> Vec<f32> {
        match (x.len() / self.matrix.columns(), self.writes) {
            (0, _) => Vec::new(),
            (MANY.., None) => self.matrix.multiply_unpacked(x),
            (_, writes) => self.matrix.multiply(x, writes.unwrap_or_default()),
        }
    }

    /// `dx = g·W`.
    fn backward(&self, [_x]: [&[f32]; 1], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [product(grad, self.matrix.tensor())]
    }
}

/// Rows, as wide as `matrix` is high, times `matrix`.
fn product(rows: &[f32], matrix: FlexTensor) -> Vec<f32> {
    let inner = matrix.layout().shape()[0];
    let x = TensorData::new(rows.to_vec(), [rows.len() / inner, inner]);
    let y = Flex::float_matmul(FlexTensor::from_data(x), matrix).to_contiguous();
    y.as_slice().map(<[f32]>::to_vec).unwrap_or_default()
}
