//! The counts in pages of delta encoded strings: the parquet crate makes room for as many lengths as they claim.

use parquet::basic::Encoding;
use parquet::column::page::Page;

use super::bytes::Rest;

/// Whether a page of a column with these highest levels of repetition and definition has no more lengths than values.
///
/// The encodings: <https://github.com/apache/parquet-format/blob/master/Encodings.md>.
pub(super) fn counts_fit(page: &Page, highest_levels: [i16; 2]) -> bool {
    let lists = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // How much of the string before is kept, and after that how much is new.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return true,
    };
    let mut bytes = Rest(page.buffer());
    skip_levels(&mut bytes, page, highest_levels).is_some()
        && (0..lists).all(|_| skip_integers(&mut bytes, page.num_values().into()).is_some())
}

/// Passes over what stands before the values.
fn skip_levels(bytes: &mut Rest, page: &Page, highest: [i16; 2]) -> Option<()> {
    let encodings = match page {
        Page::DataPage { rep_level_encoding, def_level_encoding, .. } => {
            [*rep_level_encoding, *def_level_encoding]
        }
        Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
            bytes.take(*rep_levels_byte_len as usize)?;
            bytes.take(*def_levels_byte_len as usize)?;
            return Some(());
        }
        Page::DictionaryPage { .. } => return Some(()),
    };
    for (highest, encoding) in highest.into_iter().zip(encodings) {
        if highest > 0 && encoding == Encoding::RLE {
            let length = u32::from_le_bytes(bytes.take(4)?.try_into().ok()?);
            bytes.take(length as usize)?;
        } else if highest > 0 {
            let bits = highest.ilog2() + 1;
            bytes.take((page.num_values() as usize * bits as usize).div_ceil(8))?;
        }
    }
    Some(())
}

/// Passes over delta encoded integers; `None` if they claim to be more than `most`, or are fewer than they claim.
fn skip_integers(bytes: &mut Rest, most: u64) -> Option<()> {
    let (block, parts, count) = (bytes.varint()?, bytes.varint()?, bytes.varint()?);
    let _first = bytes.varint()?;
    let part = block.checked_div(parts).filter(|part| *part > 0 && count <= most)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = bytes.varint()?;
        for bits in bytes.take(usize::try_from(parts).ok()?)? {
            if left > 0 {
                let bits = part.checked_mul((*bits).into())?;
                bytes.take(usize::try_from(bits / 8).ok()?)?;
                left = left.saturating_sub(part);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of version 1 with 2 values, none of them null; one of the encodings has a second list of lengths.
    fn page(encoding: Encoding, values: &[&[u8]]) -> Page {
        let levels: &[u8] = &[2, 0, 0, 0, 4, 1];
        Page::DataPage {
            buf: [&[levels], values].concat().concat().into(),
            num_values: 2,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    /// Lengths in blocks of 128 in 4 parts, the first of which has 1 bit a length.
    fn lengths(count: u8) -> Vec<u8> {
        [&[0x80, 1, 4, count, 6, 0, 1, 0, 0, 0][..], &[0; 4]].concat()
    }

    #[test]
    fn lengths_must_not_be_more_than_values() {
        let (two, three) = (&lengths(2)[..], &lengths(3)[..]);
        let cut = &two[..12];
        for (encoding, lists, fits) in [
            (Encoding::PLAIN, &[][..], true),
            (Encoding::DELTA_LENGTH_BYTE_ARRAY, &[two], true),
            (Encoding::DELTA_LENGTH_BYTE_ARRAY, &[three], false),
            (Encoding::DELTA_LENGTH_BYTE_ARRAY, &[cut], false),
            (Encoding::DELTA_BYTE_ARRAY, &[two, two, b"oak"], true),
            (Encoding::DELTA_BYTE_ARRAY, &[two, three], false),
            (Encoding::DELTA_BYTE_ARRAY, &[two], false),
        ] {
            assert_eq!(counts_fit(&page(encoding, lists), [0, 1]), fits, "{encoding} {lists:?}");
        }
    }

    #[test]
    fn blocks_without_lengths_end() {
        assert_eq!(skip_integers(&mut Rest(&[0, 4, 2, 6, 0, 0, 0, 0, 0]), 2), None);
        assert_eq!(skip_integers(&mut Rest(&[0x80, 1, 0, 2, 6]), 2), None);
    }
}
