//! Texts in other encodings than UTF-8, decoded while they are read.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::not_utf8::utf16_without_mark;

/// How the characters of a text are written in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

/// Names that are in use beside the labels of the Encoding Standard.
const ALIASES: [(&str, &str); 8] = [
    ("cp936", "gbk"),
    ("cp950", "big5"),
    ("cp932", "shift_jis"),
    ("utf16", "utf-16"),
    ("utf-16-le", "utf-16le"),
    ("utf-16-be", "utf-16be"),
    ("utf-8-sig", "utf-8"),
    ("latin-1", "latin1"),
];

impl FromStr for TextEncoding {
    type Err = String;

    /// Any label of the Encoding Standard (<https://encoding.spec.whatwg.org/#names-and-labels>), and Python's names.
    fn from_str(label: &str) -> Result<Self, String> {
        let plain = label.trim().to_ascii_lowercase();
        let found = [plain.clone(), plain.replace('_', "-")].iter().find_map(|label| {
            let alias = ALIASES.iter().find(|(alias, _)| alias == label).map(|(_, name)| *name);
            Encoding::for_label_no_replacement(alias.unwrap_or(label).as_bytes())
        });
        found.map(Self).ok_or_else(|| {
            format!(
                "unknown encoding '{label}'; known are gbk, gb18030, big5, shift_jis, euc-jp, euc-kr, utf-8, utf-16, \
                 windows-1252 and the others of the web's Encoding Standard"
            )
        })
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl TextEncoding {
    /// UTF-16, if a file begins with its byte order mark. The first four bytes tell it from UTF-32.
    pub fn of_mark(head: &[u8]) -> Option<Self> {
        match head {
            [0xFF, 0xFE, 0, 0, ..] => None,
            [0xFF, 0xFE, ..] => Some(Self(UTF_16LE)),
            [0xFE, 0xFF, ..] => Some(Self(UTF_16BE)),
            _ => None,
        }
    }

    /// Its name in the Encoding Standard.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Why a text that begins with these bytes does not look like one in it, as a sentence's end; `None` where it may be.
    fn doubt(self, head: &[u8]) -> Option<String> {
        let is_wide = self.0 == UTF_16LE || self.0 == UTF_16BE;
        if is_wide {
            let other = utf16_without_mark(head).and_then(|name| name.parse::<Self>().ok());
            let other = other.filter(|other| *other != self)?.name().to_ascii_lowercase();
            return Some(format!(
                "looks like {other}, and is read as {self}; if that is wrong, try --encoding {other}"
            ));
        }
        let whole = match std::str::from_utf8(head) {
            Ok(text) => text.len(),
            // The block may end inside a character.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => 0,
        };
        let is_utf8 = head[..whole].iter().any(|byte| !byte.is_ascii());
        is_utf8.then(|| {
            format!("is UTF-8 as far as its beginning shows, and is read as {self}; leave out --encoding")
        })
    }

    /// Whether bytes in it are read as they are.
    pub fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }
}

/// A byte that no UTF-8 has stands for what means nothing in the encoding, so that its row is a bad one.
const MEANS_NOTHING: u8 = 0xFF;

/// Gives the bytes of a text in UTF-8.
pub struct Utf8Reader<R> {
    input: R,
    encoding: Option<TextEncoding>,
    /// What decodes, once the first bytes are seen; `None` for what is UTF-8.
    decoder: Option<Decoder>,
    /// What is odd about the encoding that was asked for.
    doubt: Option<String>,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// How much of the text is given out.
    given: usize,
    begun: bool,
    ended: bool,
}

impl<R: Read> Utf8Reader<R> {
    /// Reads a text in this encoding; without one it is UTF-8, or UTF-16 with its byte order mark.
    pub fn new(input: R, encoding: Option<TextEncoding>) -> Self {
        const CHUNK: usize = 1 << 16;
        Self {
            input,
            encoding: encoding.filter(|encoding| !encoding.is_utf8()),
            decoder: None,
            doubt: None,
            raw: vec![0; CHUNK],
            text: Vec::new(),
            given: 0,
            begun: false,
            ended: false,
        }
    }

    /// What the text was decoded from; known once its first bytes are read, and `None` for UTF-8.
    pub fn encoding(&self) -> Option<TextEncoding> {
        self.encoding
    }

    /// Why the encoding that was asked for may not be the text's, or is not used; known once the first bytes are read.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Decides what the text is decoded from: a mark goes before what was asked for.
    fn settle(&mut self, count: usize) {
        let head = &self.raw[..count];
        let marked = match head {
            [0xEF, 0xBB, 0xBF, ..] => Some(TextEncoding(UTF_8)),
            // UTF-32 is refused by its name where the rows are read.
            [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some(TextEncoding(UTF_8)),
            _ => TextEncoding::of_mark(head),
        };
        self.doubt = self.encoding.and_then(|asked| match marked {
            None => asked.doubt(head),
            Some(marked) if marked == asked || asked.0 == UTF_16LE && marked.0 == UTF_16BE => None,
            Some(marked) => Some(format!(
                "begins with the byte order mark of {marked}, and is read so and not as {asked}"
            )),
        });
        self.encoding = marked.or(self.encoding).filter(|encoding| !encoding.is_utf8());
        self.decoder = self.encoding.map(|encoding| encoding.0.new_decoder());
    }

    /// Makes the text of the next block.
    fn fill(&mut self) -> io::Result<()> {
        let mut count = 0;
        while count < self.raw.len() && !self.ended {
            match self.input.read(&mut self.raw[count..]) {
                Ok(0) => self.ended = true,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.settle(count);
        }
        (self.given, self.text) = (0, Vec::new());
        match &mut self.decoder {
            Some(decoder) => decode(decoder, &self.raw[..count], self.ended, &mut self.text),
            None => self.text.extend_from_slice(&self.raw[..count]),
        }
        Ok(())
    }
}

fn decode(decoder: &mut Decoder, mut raw: &[u8], last: bool, text: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    loop {
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(raw, &mut buffer, last);
        text.extend_from_slice(&buffer[..written]);
        raw = &raw[read..];
        match result {
            DecoderResult::InputEmpty => return,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(MEANS_NOTHING),
        }
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let count = (&self.text[self.given..]).read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of some bytes, and what it was decoded from.
    fn read(bytes: &[u8], label: Option<&str>) -> (Vec<u8>, Option<&'static str>) {
        let encoding = label.map(|label| label.parse().unwrap());
        let mut reader = Utf8Reader::new(bytes, encoding);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        (text, reader.encoding().map(TextEncoding::name))
    }

    #[test]
    fn texts_are_decoded() {
        for (bytes, label, text, name) in [
            (&b"\xc4\xe3\xba\xc3"[..], Some("gbk"), "你好", Some("GBK")),
            (b"\xc4\xe3\xba\xc3", Some("GB2312"), "你好", Some("GBK")),
            (b"\x94\x39\xda\x33", Some("gb18030"), "💩", Some("gb18030")),
            (b"\xa7\x41\xa6\x6e", Some("big5"), "你好", Some("Big5")),
            (b"\x82\xb1\x82\xf1", Some("cp932"), "こん", Some("Shift_JIS")),
            (b"caf\xe9", Some("latin1"), "café", Some("windows-1252")),
            (b"`O}Y", Some("utf-16le"), "你好", Some("UTF-16LE")),
            (b"\xff\xfe`O}Y", None, "你好", Some("UTF-16LE")),
            (b"\xfe\xffO`Y}", None, "你好", Some("UTF-16BE")),
            (b"\xfe\xffO`Y}", Some("utf-16"), "你好", Some("UTF-16BE")),
            (b"\xff\xfe`O}Y", Some("gbk"), "你好", Some("UTF-16LE")),
            (b"O`Y}", Some("utf_16_be"), "你好", Some("UTF-16BE")),
            (b"caf\xe9", Some("latin_1"), "café", Some("windows-1252")),
            ("你好".as_bytes(), None, "你好", None),
            ("你好".as_bytes(), Some("utf-8"), "你好", None),
            (b"", Some("gbk"), "", Some("GBK")),
        ] {
            assert_eq!(read(bytes, label), (text.as_bytes().to_vec(), name), "{bytes:x?} {label:?}");
        }
    }

    #[test]
    fn an_encoding_that_is_not_the_texts_is_told() {
        let told = |bytes: &[u8], label: &str| {
            let mut reader = Utf8Reader::new(bytes, Some(label.parse().unwrap()));
            reader.read_to_end(&mut Vec::new()).unwrap();
            reader.doubt().map(String::from)
        };
        let marked = told("\u{FEFF}你好".as_bytes(), "gbk").unwrap();
        assert_eq!(marked, "begins with the byte order mark of UTF-8, and is read so and not as GBK");
        assert!(told(b"\xff\xfe`O}Y", "gbk").unwrap().contains("mark of UTF-16LE"));
        assert!(told(b"\xff\xfe`O}Y", "utf-16be").unwrap().contains("mark of UTF-16LE"));
        let utf8 = told("café".as_bytes(), "windows-1252").unwrap();
        assert!(utf8.starts_with("is UTF-8 as far") && utf8.contains("leave out --encoding"), "{utf8}");
        let swapped: Vec<u8> = "lamp\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(told(&swapped, "utf-16").unwrap().contains("try --encoding utf-16be"));
        assert_eq!(told(&swapped, "utf-16-be"), None);
        for (bytes, label) in [
            (&b"\xc4\xe3\xba\xc3"[..], "gbk"),
            (b"caf\xe9", "latin1"),
            (b"plain", "gbk"),
            (b"\xfe\xffO`Y}", "utf-16"),
            ("café".as_bytes(), "utf8"),
        ] {
            assert_eq!(told(bytes, label), None, "{bytes:x?}");
        }
    }

    #[test]
    fn utf32_is_passed_on_as_it_is() {
        for bytes in [&b"\xff\xfe\0\0a\0\0\0"[..], b"\0\0\xfe\xff\0\0\0a"] {
            for label in [None, Some("utf-16"), Some("gbk")] {
                assert_eq!(read(bytes, label), (bytes.to_vec(), None), "{label:?}");
            }
        }
    }

    #[test]
    fn characters_across_blocks_are_whole_and_memory_is_bounded() {
        let text = "a".to_string() + &"你好，世界\n".repeat(100_000);
        let (bytes, ..) = encoding_rs::GBK.encode(&text);
        let mut reader = Utf8Reader::new(&bytes[..], Some("gbk".parse().unwrap()));
        let mut decoded = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            decoded.extend_from_slice(&buffer[..count]);
            assert!(reader.text.capacity() <= 1 << 18);
        }
        assert!(decoded == text.as_bytes());
    }

    #[test]
    fn what_means_nothing_is_marked() {
        let (text, _) = read(b"\xc4\xe3\xff\n\xba\xc3\xc4", Some("gbk"));
        assert_eq!(text, ["你".as_bytes(), b"\xff\n", "好".as_bytes(), b"\xff"].concat());
    }

    #[test]
    fn an_unknown_label_is_refused_with_those_that_are_known() {
        for label in ["gbkk", "", "iso-2022-cn"] {
            let error = label.parse::<TextEncoding>().unwrap_err();
            assert!(error.starts_with(&format!("unknown encoding '{label}'; known are gbk")), "{error}");
        }
    }
}
