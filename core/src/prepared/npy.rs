//! NumPy arrays of token ids: the first seed's cache, `int32 [rows, tokens]`
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::sync::Arc;

use super::shard::{damaged, read};
use crate::data::{RowOrigin, Source, TokenExample, TokenRow, TokenRows};
use crate::error::Result;
use crate::told::{Counted, Told, told};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Headers are short; what says that it has more is damaged.
const LONGEST_HEADER: usize = 1 << 16;

/// The rows of an array, all of whose tokens are targets.
pub struct NpyTokens {
    source: Arc<dyn Source>,
    data_at: u64,
    rows: u64,
    /// Tokens a row.
    len: u64,
}

impl NpyTokens {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// What is no array of the right type and shape, or not whole.
    pub fn open(source: Arc<dyn Source>) -> Result<Self> {
        let mut head = vec![0; LONGEST_HEADER.min(source.len() as usize)];
        read(&*source, 0, &mut head)?;
        let header = Header::read(&head).and_then(|header| header.checked(source.len()));
        let Header { data_at, shape: [rows, len], .. } = header.map_err(|why| damaged(source.name(), why))?;
        Ok(Self { source, data_at, rows, len })
    }

    /// Tokens a row.
    pub fn row_len(&self) -> u64 {
        self.len
    }
}

impl TokenRows for NpyTokens {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn row(&self, row: u64) -> Result<TokenRow> {
        let name = self.source.name();
        let origin = RowOrigin { source: name.to_string(), line: row + 1 };
        if row >= self.rows {
            return Err(damaged(name, told!("prepared.no_row", "row {row} is behind the last one", row)));
        }
        let mut bytes = vec![0; 4 * self.len as usize];
        read(&*self.source, self.data_at + row * 4 * self.len, &mut bytes)?;
        let id = |four: &[u8]| match u32::try_from(i32::from_le_bytes([four[0], four[1], four[2], four[3]])) {
            Ok(id) => Ok(id),
            Err(_) => {
                let row = row + 1;
                Err(damaged(
                    name,
                    told!("npy.negative", "row {row} holds a negative number, which is no token", row),
                ))
            }
        };
        let ids = bytes.chunks_exact(4).map(id).collect::<Result<Vec<u32>>>()?;
        let weights = vec![1.0; ids.len()];
        Ok(TokenRow { examples: vec![TokenExample { ids, weights, warnings: Vec::new() }], origin })
    }
}

/// What a header says.
struct Header {
    data_at: u64,
    dtype: String,
    fortran: bool,
    shape: [u64; 2],
}

impl Header {
    fn read(head: &[u8]) -> Result<Self, Told> {
        if !head.starts_with(MAGIC) || head.len() < 12 {
            return Err(told!("npy.none", "this is no NumPy array"));
        }
        let (length, begins): (usize, usize) = match head[6] {
            1 => (usize::from(u16::from_le_bytes([head[8], head[9]])), 10),
            2 | 3 => (u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize, 12),
            version => {
                return Err(told!(
                    "npy.version",
                    "the array's format has version {version}; 1 to 3 are read",
                    version
                ));
            }
        };
        let text = begins.checked_add(length).and_then(|end| head.get(begins..end));
        let text = text.ok_or_else(|| {
            told!("npy.header_long", "the array's header is longer than the file, or than 64 KiB")
        })?;
        let text = std::str::from_utf8(text)
            .map_err(|_| told!("npy.header_text", "the array's header is not text"))?;
        let field = |name: &str| {
            let (_, behind) = text.split_once(&format!("'{name}':"))?;
            Some(behind.trim_start())
        };
        let lacks = |name: &str| told!("npy.lacks", "the array's header lacks {name}", name);
        let dtype = field("descr").ok_or_else(|| lacks("descr"))?;
        let dtype =
            dtype.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or(dtype).to_string();
        let fortran = field("fortran_order").ok_or_else(|| lacks("fortran_order"))?.starts_with("True");
        let shape = field("shape").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
        let shape = shape.ok_or_else(|| lacks("shape"))?;
        let numbers = shape.split(',').map(str::trim).filter(|number| !number.is_empty());
        let numbers: Option<Vec<u64>> = numbers.map(|number| number.parse().ok()).collect();
        let Some(&[rows, len]) = numbers.as_deref() else {
            return Err(told!(
                "npy.shape",
                "the array has the shape ({shape}); rows of tokens, [N, L], are read",
                shape
            ));
        };
        Ok(Self { data_at: (begins + length) as u64, dtype, fortran, shape: [rows, len] })
    }

    /// The same where its array can be read and is whole.
    fn checked(self, file: u64) -> Result<Self, Told> {
        if self.dtype != "<i4" {
            return Err(told!(
                "npy.dtype",
                "the array holds {dtype}, and int32 (<i4) is read; save it with .astype('<i4')",
                dtype = self.dtype
            ));
        }
        if self.fortran {
            return Err(told!(
                "npy.fortran",
                "the array stands in Fortran's order, column by column; save it with numpy.ascontiguousarray"
            ));
        }
        let [rows, len] = self.shape;
        if rows == 0 || len < 2 {
            return Err(told!(
                "npy.empty",
                "the array has {rows} of {len}; at least one of two is needed",
                rows = Counted::new(rows, ["row", "rows"]),
                len = Counted::new(len, ["token", "tokens"])
            ));
        }
        let whole = rows.checked_mul(len).and_then(|count| count.checked_mul(4)?.checked_add(self.data_at));
        match whole == Some(file) {
            true => Ok(self),
            false => Err(told!(
                "npy.length",
                "the file has {file} bytes, and not those of {rows} rows of {len} numbers",
                file,
                rows,
                len
            )),
        }
    }
}

/// The header of an `int32` array of so many rows of `len` tokens, in version 1: 128 bytes, whatever the numbers.
pub fn npy_header(rows: u64, len: u64) -> Vec<u8> {
    const LENGTH: usize = 128;
    let text = format!("{{'descr': '<i4', 'fortran_order': False, 'shape': ({rows}, {len}), }}");
    let mut header = [MAGIC, &[1, 0], &((LENGTH - 10) as u16).to_le_bytes()].concat();
    header.extend(text.as_bytes());
    header.resize(LENGTH - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    fn open(bytes: Vec<u8>) -> Result<NpyTokens> {
        NpyTokens::open(Arc::new(Memory::new("x.npy", bytes)))
    }

    fn refusal(bytes: Vec<u8>) -> String {
        open(bytes).err().map_or(String::new(), |error| error.to_string())
    }

    fn with_header(version: u8, text: &str, numbers: &[i32]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[version, 0]].concat();
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes
    }

    #[test]
    fn arrays_of_every_version_are_read() {
        let text = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }\n";
        for version in [1, 2, 3] {
            let array = open(with_header(version, text, &[1, 2, 3, 4, 5, 70_000])).unwrap();
            assert_eq!((array.rows(), array.row_len()), (2, 3));
            let row = array.row(1).unwrap();
            assert_eq!(
                (row.examples[0].ids.as_slice(), row.origin.to_string().as_str()),
                (&[4, 5, 70_000][..], "x.npy:2")
            );
            assert_eq!(row.examples[0].weights, [1.0; 3]);
            assert!(array.row(2).is_err());
        }
        let own = [npy_header(1, 2), vec![7, 0, 0, 0, 8, 0, 0, 0]].concat();
        assert_eq!(open(own).unwrap().row(0).unwrap().examples[0].ids, [7, 8]);
        assert_eq!(npy_header(u64::MAX, u64::MAX).len(), 128);
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let six = [1, 2, 3, 4, 5, 6];
        for (text, part) in [
            ("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }", "holds <i8, and int32"),
            ("{'descr': '>i4', 'fortran_order': False, 'shape': (2, 3), }", "holds >i4"),
            ("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran's order"),
            ("{'descr': '<i4', 'fortran_order': False, 'shape': (6,), }", "the shape (6,)"),
            (
                "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 4), }",
                "not those of 2 rows of 4 numbers",
            ),
            ("{'descr': '<i4', 'fortran_order': False, 'shape': (6, 1), }", "6 rows of 1 token;"),
            (
                "{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
                "not those of",
            ),
            ("{'descr': '<i4', 'shape': (2, 3), }", "lacks fortran_order"),
            ("{'fortran_order': False}", "lacks descr"),
        ] {
            let message = refusal(with_header(1, text, &six));
            assert!(message.starts_with("x.npy: ") && message.contains(part), "{message}");
        }
        assert!(refusal(b"PK".to_vec()).contains("no NumPy array"));
        assert!(refusal(with_header(4, "{}", &six)).contains("version 4"));
        assert!(refusal([MAGIC, &[1, 0, 255, 255, 0, 0]].concat()).contains("longer than the file"));
        let text = "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }";
        let negative = open(with_header(1, text, &[1, -1])).unwrap().row(0).unwrap_err().to_string();
        assert!(negative.contains("row 1 holds a negative number"), "{negative}");
    }
}
