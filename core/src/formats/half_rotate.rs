//! Rows of query and key projections: formats that turn neighbouring values of a head, and Hugging Face's order, which
//! turns value i with value i + half.

use crate::error::{Error, Result};
use crate::model::interleaved_to_half;
use crate::told::told;

/// Rows of an interleaved query or key projection in the half-rotate layout; `name` is for the error.
///
/// # Errors
/// Another number of rows than that of the heads.
pub(super) fn to_half_rotate(name: &str, values: &[f32], heads: usize, head_dim: usize) -> Result<Vec<f32>> {
    let whole = |rows: &usize| *rows > 0 && !values.is_empty() && values.len().is_multiple_of(*rows);
    let rows = heads.checked_mul(head_dim).filter(whole).filter(|_| head_dim.is_multiple_of(2));
    let rows = rows.ok_or_else(|| {
        Error::Checkpoint(told!(
            "tensor.heads",
            "tensor '{name}' has {values} values, which do not make {heads} heads of {head_dim} rows",
            name,
            values = values.len(),
            heads,
            head_dim
        ))
    })?;
    let width = values.len() / rows;
    let order = interleaved_to_half(heads, head_dim);
    Ok(order.into_iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect())
}

/// Hugging Face turns value i of a head with value i + half. Where GGUF turns neighbours, this is the row of the
/// GGUF tensor that holds the row of Hugging Face's: (head, side, i) stands at (head, i, side).
pub(super) fn row_of_neighbours(row: u64, head_dim: u64) -> u64 {
    let (head, inside, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + inside % half * 2 + inside / half
}

/// The way back: the row of Hugging Face's tensor that a GGUF row holds.
pub(super) fn row_of_halves(row: u64, head_dim: u64) -> u64 {
    let (head, inside, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + inside % 2 * half + inside / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_change_places_as_in_llama_cpp() {
        // LlamaModel.permute of 2 heads of 4: reshape(2, 2, 2).swapaxes(1, 2).
        let gguf: Vec<u64> = (0..8).map(|row| row_of_halves(row, 4)).collect();
        assert_eq!(gguf, [0, 2, 1, 3, 4, 6, 5, 7]);
        for row in 0..24 {
            assert_eq!(row_of_halves(row_of_neighbours(row, 6), 6), row);
        }
    }
}
