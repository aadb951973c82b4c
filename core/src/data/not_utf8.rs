//! What to say of a file or a row whose bytes are no UTF-8.

use crate::told::{Told, told};

/// So many bytes are looked at.
const LOOKED_AT: usize = 4096;

/// Why a file that begins with these bytes holds nothing that is read; `None` for one that may be a text in UTF-8.
pub(super) fn refused(head: &[u8]) -> Option<Told> {
    match head {
        [] => Some(told!("file.empty", "the file is empty")),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            Some(told!("file.utf32", "the file is in UTF-32, which is not read; save it as UTF-8"))
        }
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(told!(
            "file.utf16",
            "the file is in UTF-16; save it as UTF-8, or add --encoding utf-16"
        )),
        [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD, ..] => {
            Some(told!("file.still_packed", "the file is still compressed"))
        }
        _ => utf16_without_mark(head).map(|name| {
            told!(
                "file.utf16_unmarked",
                "the file looks like {name} without a byte order mark; save it as UTF-8, or add --encoding {name}",
                name
            )
        }),
    }
}

/// Why a row cannot be read whose byte `at`, from 0, is the first wrong one.
pub(super) fn reason(row: &[u8], at: usize) -> Told {
    let wrong = told!("row.not_utf8", "byte {byte} of the row is not UTF-8", byte = at + 1);
    let rest = &row[at.min(row.len())..];
    match likely(&rest[..rest.len().min(LOOKED_AT)]) {
        Some(name) => told!(
            "row.not_utf8_maybe",
            "{wrong}; it may be {name}: save the file as UTF-8, or try --encoding {name}",
            wrong,
            name
        ),
        None => told!(
            "row.not_utf8_choose",
            "{wrong}; save the file as UTF-8, or name what it is in with --encoding",
            wrong
        ),
    }
}

/// The UTF-16 without a byte order mark that a file's first bytes look like, as `--encoding` takes it: every second
/// byte of its Latin letters, digits and line ends is 0, and a text in UTF-8 holds no such byte.
pub(super) fn utf16_without_mark(head: &[u8]) -> Option<&'static str> {
    let pairs = head[..head.len().min(LOOKED_AT)].chunks_exact(2);
    let all = pairs.len();
    let mut zeros = [0; 2];
    for pair in pairs {
        zeros.iter_mut().zip(pair).for_each(|(count, byte)| *count += usize::from(*byte == 0));
    }
    let [first, second] = zeros;
    let (few, many) = (first.min(second), first.max(second));
    let clear = many >= 2 && many * 64 >= all && few * 3 <= many;
    clear.then_some(if second > first { "utf-16le" } else { "utf-16be" })
}

/// The bytes above ASCII, by what they would be in some encodings.
#[derive(Default)]
struct Seen {
    /// Not followed by what could be the second byte of a pair.
    alone: usize,
    pairs: usize,
    /// Pairs whose second byte is above ASCII, too.
    high: usize,
    /// Pairs that GB 2312 has for common characters and punctuation.
    common_gb: usize,
    /// Pairs that are Korean syllables, or Chinese ones from the first half of GB 2312.
    hangul: usize,
    /// Pairs that are kana in EUC-JP, and in Shift_JIS.
    kana: [usize; 2],
    /// Pairs that Big5 has for common characters and punctuation.
    common_big5: usize,
}

impl Seen {
    fn pair(&mut self, first: u8, second: u8) {
        let high = second >= 0xA1;
        self.pairs += 1;
        self.high += usize::from(second >= 0x80);
        self.common_gb += usize::from(high && matches!(first, 0xA1..=0xA3 | 0xB0..=0xD7));
        self.hangul += usize::from(high && matches!(first, 0xA1..=0xA3 | 0xB0..=0xC8));
        self.kana[0] += usize::from(high && matches!(first, 0xA4 | 0xA5));
        self.kana[1] += usize::from(matches!((first, second), (0x82, 0x9F..=0xF1) | (0x83, 0x40..=0x96)));
        self.common_big5 += usize::from((high || second < 0x7F) && matches!(first, 0xA1..=0xC6));
    }
}

/// The encoding that these bytes look like, as `--encoding` takes it.
fn likely(bytes: &[u8]) -> Option<&'static str> {
    let mut seen = Seen::default();
    let mut rest = bytes;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match behind.split_first() {
            _ if first < 0x80 => {}
            Some((&second, behind)) if second >= 0x40 => {
                seen.pair(first, second);
                rest = behind;
            }
            _ => seen.alone += 1,
        }
    }
    let Seen { alone, pairs, high, common_gb, hangul, kana, common_big5 } = seen;
    let most = |count: usize| count * 10 >= pairs * 8 && pairs > 0;
    match () {
        // Single letters among ASCII ones.
        () if high == 0 && alone + pairs > 0 => Some("windows-1252"),
        () if alone > pairs => None,
        () if kana[1] * 3 >= pairs => Some("shift_jis"),
        () if kana[0] * 3 >= pairs => Some("euc-jp"),
        () if most(hangul) && hangul == common_gb && pairs > 3 => Some("euc-kr"),
        () if most(common_gb) => Some("gbk"),
        () if most(common_big5) => Some("big5"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_encodings_are_told_apart() {
        for (bytes, name) in [
            // 你好，世界。这是一只猫。
            (
                &b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7\xa1\xa3\xd5\xe2\xca\xc7\xd2\xbb\xd6\xbb\xc3\xa8\xa1\xa3"[..],
                Some("gbk"),
            ),
            // 你好，世界。這是一隻貓。
            (
                b"\xa7\x41\xa6\x6e\xa1\x41\xa5\x40\xac\xc9\xa1\x43\xb3\x6f\xac\x4f\xa4\x40\xb0\xa6\xbf\xdf\xa1\x43",
                Some("big5"),
            ),
            // こんにちは、世界。
            (b"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd\x81\x41\x90\xa2\x8a\x45\x81\x42", Some("shift_jis")),
            (b"\xa4\xb3\xa4\xf3\xa4\xcb\xa4\xc1\xa4\xcf\xa1\xa2\xc0\xa4\xb3\xa6\xa1\xa3", Some("euc-jp")),
            // 안녕하세요 세계
            (b"\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4 \xbc\xbc\xb0\xe8", Some("euc-kr")),
            (b"na\xefve caf\xe9, \xc4pfel", Some("windows-1252")),
            // Привет, мир: a lead of the alphabets that follow each other fits nothing above.
            (b"\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0", None),
            (b"\xff\xfe\xfd\xfc", None),
        ] {
            assert_eq!(likely(bytes), name, "{bytes:x?}");
        }
    }

    #[test]
    fn utf16_shows_by_its_zero_bytes() {
        let le = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let be = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for text in ["{\"text\": \"a\"}\n", "灯塔在夜里亮着。\n猫睡了。\n", "café"] {
            assert_eq!(utf16_without_mark(&le(text)), Some("utf-16le"), "{text}");
            assert_eq!(utf16_without_mark(&be(text)), Some("utf-16be"), "{text}");
        }
        let utf32: Vec<u8> = "lamp".chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
        for other in [&b""[..], b"a", b"a\0", "灯塔 lamp".as_bytes(), &utf32, &[0; 64]] {
            assert_eq!(utf16_without_mark(other), None, "{other:x?}");
        }
    }

    #[test]
    fn the_reason_names_the_byte_and_a_remedy() {
        assert_eq!(
            reason(b"caf\xe9", 3),
            "byte 4 of the row is not UTF-8; it may be windows-1252: save the file as UTF-8, or try --encoding \
             windows-1252"
        );
        assert!(reason(b"\xff\xff\xff", 0).ends_with("or name what it is in with --encoding"));
    }
}
