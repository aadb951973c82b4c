//! Blocks of few bits with eight rows of the matrix side by side: as many sums as a vector has places, and never a sum
//! across one.

use std::ops::Range;

use super::blocks::BLOCK;
use super::encoded::{EncodedBlocks, Quants};

/// Rows side by side.
pub(super) const PANEL: usize = 8;
/// Quants of a row that stand together.
const GROUP: usize = 4;

/// A block of eight rows in 8 bits: by four columns, those of each row.
pub(super) type EightBlock = [[[i8; GROUP]; PANEL]; BLOCK / GROUP];
/// The same in 4 bits; the halves of a byte are the columns `j` and `j + 16`.
pub(super) type FourBlock = [[[u8; GROUP]; PANEL]; BLOCK / GROUP / 2];

/// The blocks of all rows: panel by panel, and in each from left to right. Rows that fill up the last panel are zeros.
#[derive(Debug)]
pub(super) struct Panels {
    /// Blocks of a row.
    width: usize,
    scales: Vec<[f32; PANEL]>,
    quants: Quants<Vec<EightBlock>, Vec<FourBlock>>,
}

/// Some panels of a matrix.
#[derive(Clone, Copy)]
pub(super) struct PanelSlice<'a> {
    /// Blocks of a row.
    pub(super) width: usize,
    pub(super) scales: &'a [[f32; PANEL]],
    pub(super) quants: Quants<&'a [EightBlock], &'a [FourBlock]>,
}

impl Panels {
    /// Puts rows of `width` blocks side by side.
    pub(super) fn new(blocks: &EncodedBlocks, width: usize) -> Self {
        let panels = (blocks.scales.len() / width.max(1)).div_ceil(PANEL);
        let all = 0..panels * width;
        let quants = match &blocks.quants {
            Quants::Eight(quants) => {
                Quants::Eight(all.clone().map(|i| side_by_side(&eight_of(quants, width, i))).collect())
            }
            Quants::Four(quants) => {
                Quants::Four(all.clone().map(|i| side_by_side(&eight_of(quants, width, i))).collect())
            }
        };
        let scales = all.map(|i| eight_of(&blocks.scales, width, i)).collect();
        Self { width, scales, quants }
    }

    /// Values of a row.
    pub(super) fn columns(&self) -> usize {
        self.width * BLOCK
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.scales.as_slice())
            + match &self.quants {
                Quants::Eight(quants) => size_of_val(quants.as_slice()),
                Quants::Four(quants) => size_of_val(quants.as_slice()),
            }
    }

    /// Some of the panels.
    pub(super) fn slice(&self, panels: Range<usize>) -> PanelSlice<'_> {
        let blocks = panels.start * self.width..panels.end * self.width;
        let quants = match &self.quants {
            Quants::Eight(quants) => Quants::Eight(&quants[blocks.clone()]),
            Quants::Four(quants) => Quants::Four(&quants[blocks.clone()]),
        };
        PanelSlice { width: self.width, scales: &self.scales[blocks], quants }
    }

    /// Unpacks a row.
    #[inline(always)]
    pub(super) fn unpack(&self, row: usize, values: &mut [f32]) {
        let (first, row) = (row / PANEL * self.width, row % PANEL);
        let blocks = first..first + self.width;
        let scales = &self.scales[blocks.clone()];
        match &self.quants {
            Quants::Eight(quants) => unpack_row(&quants[blocks], scales, row, values),
            Quants::Four(quants) => unpack_row(&quants[blocks], scales, row, values),
        }
    }
}

/// One row of a panel. What stands apart is first put together: two simple loops become vector instructions, and one does not.
#[inline(always)]
fn unpack_row<B: PanelBlock>(blocks: &[B], scales: &[[f32; PANEL]], row: usize, values: &mut [f32]) {
    let together: Vec<B::Row> = blocks.iter().map(|block| block.row(row)).collect();
    for ((&block, scales), values) in together.iter().zip(scales).zip(values.as_chunks_mut().0) {
        let mut quants = B::unpack(block);
        quants.iter_mut().for_each(|quant| *quant *= scales[row]);
        *values = quants;
    }
}

/// What stands in block `i` of the panels, counted through, of each of its rows.
fn eight_of<T: Copy + Default>(blocks: &[T], width: usize, i: usize) -> [T; PANEL] {
    let first = i / width * PANEL * width + i % width;
    std::array::from_fn(|row| blocks.get(first + row * width).copied().unwrap_or_default())
}

fn side_by_side<T: Copy, const B: usize, const G: usize>(rows: &[[T; B]; PANEL]) -> [[[T; GROUP]; PANEL]; G] {
    std::array::from_fn(|group| {
        std::array::from_fn(|row| std::array::from_fn(|k| rows[row][group * GROUP + k]))
    })
}

/// A block's quants as numbers. Loops over words, because compilers turn those into vector instructions.
pub(super) trait PanelBlock {
    /// Writes those of all rows, column by column.
    fn columns(&self, quants: &mut [[f32; PANEL]; BLOCK]);

    /// Those of one row, packed.
    type Row: Copy;

    /// Takes a row out.
    fn row(&self, row: usize) -> Self::Row;

    /// Those of a row as numbers, in order.
    fn unpack(row: Self::Row) -> [f32; BLOCK];
}

impl PanelBlock for EightBlock {
    #[inline(always)]
    fn columns(&self, quants: &mut [[f32; PANEL]; BLOCK]) {
        for (rows, quants) in self.iter().zip(quants.as_chunks_mut::<GROUP>().0) {
            for (k, quants) in quants.iter_mut().enumerate() {
                for (quant, bytes) in quants.iter_mut().zip(rows) {
                    let word = u32::from_le_bytes(bytes.map(i8::cast_unsigned));
                    *quant = ((word << (24 - 8 * k)).cast_signed() >> 24) as f32;
                }
            }
        }
    }

    type Row = [[i8; GROUP]; BLOCK / GROUP];

    #[inline(always)]
    fn row(&self, row: usize) -> Self::Row {
        self.map(|rows| rows[row])
    }

    #[inline(always)]
    fn unpack(row: Self::Row) -> [f32; BLOCK] {
        let mut quants = [0.0; BLOCK];
        for (quant, &byte) in quants.iter_mut().zip(row.as_flattened()) {
            *quant = f32::from(byte);
        }
        quants
    }
}

impl PanelBlock for FourBlock {
    #[inline(always)]
    fn columns(&self, quants: &mut [[f32; PANEL]; BLOCK]) {
        let (low, high) = quants.split_at_mut(BLOCK / 2);
        for (rows, (low, high)) in
            self.iter().zip(low.as_chunks_mut::<GROUP>().0.iter_mut().zip(high.as_chunks_mut::<GROUP>().0))
        {
            for (k, (low, high)) in low.iter_mut().zip(high).enumerate() {
                for ((low, high), bytes) in low.iter_mut().zip(high).zip(rows) {
                    let word = u32::from_le_bytes(*bytes) >> (8 * k);
                    *low = ((word & 15).cast_signed() - 8) as f32;
                    *high = ((word >> 4 & 15).cast_signed() - 8) as f32;
                }
            }
        }
    }

    type Row = [[u8; GROUP]; BLOCK / GROUP / 2];

    #[inline(always)]
    fn row(&self, row: usize) -> Self::Row {
        self.map(|rows| rows[row])
    }

    #[inline(always)]
    fn unpack(row: Self::Row) -> [f32; BLOCK] {
        let mut quants = [0.0; BLOCK];
        let (low, high) = quants.split_at_mut(BLOCK / 2);
        for (low, &byte) in low.iter_mut().zip(row.as_flattened()) {
            *low = (i32::from(byte & 15) - 8) as f32;
        }
        for (high, &byte) in high.iter_mut().zip(row.as_flattened()) {
            *high = (i32::from(byte >> 4) - 8) as f32;
        }
        quants
    }
}

impl PanelSlice<'_> {
    /// Unpacks all rows side by side, `[columns, step]`.
    #[inline(always)]
    pub(super) fn unpack(self, values: &mut [f32], step: usize) {
        for panel in 0..self.scales.len() / self.width {
            let blocks = panel * self.width..(panel + 1) * self.width;
            let scales = &self.scales[blocks.clone()];
            let values = &mut values[panel * PANEL..];
            match self.quants {
                Quants::Eight(quants) => unpack_panel(&quants[blocks], scales, values, step),
                Quants::Four(quants) => unpack_panel(&quants[blocks], scales, values, step),
            }
        }
    }

    /// Products of all rows with rows of activations as they are, into `y` `[panels, rows of x, 8]`.
    #[inline(always)]
    pub(super) fn multiply(self, x: &[f32], y: &mut [f32]) {
        let rows = x.len() / (self.width * BLOCK);
        for (panel, y) in y.chunks_exact_mut(PANEL * rows).enumerate() {
            let blocks = panel * self.width..(panel + 1) * self.width;
            let scales = &self.scales[blocks.clone()];
            match self.quants {
                Quants::Eight(quants) => panel_of(&quants[blocks], scales, x, y),
                Quants::Four(quants) => panel_of(&quants[blocks], scales, x, y),
            }
        }
    }
}

/// One panel, column by column.
#[inline(always)]
fn unpack_panel<B: PanelBlock>(blocks: &[B], scales: &[[f32; PANEL]], values: &mut [f32], step: usize) {
    let mut quants = [[0.0; PANEL]; BLOCK];
    for ((block, scales), values) in blocks.iter().zip(scales).zip(values.chunks_mut(BLOCK * step)) {
        block.columns(&mut quants);
        for (quants, values) in quants.iter().zip(values.chunks_mut(step)) {
            for ((value, quant), scale) in values[..PANEL].iter_mut().zip(quants).zip(scales) {
                *value = quant * scale;
            }
        }
    }
}

/// One panel with every row of `x`, four at a time.
#[inline(always)]
fn panel_of<B: PanelBlock>(blocks: &[B], scales: &[[f32; PANEL]], x: &[f32], y: &mut [f32]) {
    let columns = blocks.len() * BLOCK;
    let (fours, rest) = y.as_chunks_mut::<PANEL>().0.as_chunks_mut::<4>();
    let (x_fours, x_rest) = x.split_at(fours.len() * 4 * columns);
    for (y, x) in fours.iter_mut().zip(x_fours.chunks_exact(4 * columns)) {
        *y = dot(blocks, scales, x);
    }
    for (y, x) in rest.iter_mut().zip(x_rest.chunks_exact(columns)) {
        [*y] = dot(blocks, scales, x);
    }
}

/// A panel's blocks times each of `N` rows of `x`: in every block four sums of every fourth column, in a fixed order
/// everywhere.
#[inline(always)]
fn dot<B: PanelBlock, const N: usize>(blocks: &[B], scales: &[[f32; PANEL]], x: &[f32]) -> [[f32; PANEL]; N] {
    let columns = blocks.len() * BLOCK;
    let mut totals = [[0.0; PANEL]; N];
    let mut quants = [[0.0; PANEL]; BLOCK];
    for (i, (block, scales)) in blocks.iter().zip(scales).enumerate() {
        block.columns(&mut quants);
        for (n, totals) in totals.iter_mut().enumerate() {
            let x = &x[n * columns + i * BLOCK..][..BLOCK];
            let mut parts = [[0.0_f32; PANEL]; 4];
            for (quants, x) in quants.as_chunks::<4>().0.iter().zip(x.as_chunks::<4>().0) {
                for (part, (quants, x)) in parts.iter_mut().zip(quants.iter().zip(x)) {
                    for (sum, quant) in part.iter_mut().zip(quants) {
                        *sum += quant * x;
                    }
                }
            }
            for (row, total) in totals.iter_mut().enumerate() {
                let sum = (parts[0][row] + parts[1][row]) + (parts[2][row] + parts[3][row]);
                *total += scales[row] * sum;
            }
        }
    }
    totals
}
