//! Texts in other encodings than UTF-8, decoded while they are read.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// How the characters of a text are written in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

/// Names that are in use beside the labels of the Encoding Standard.
const ALIASES: [(&str, &str); 6] = [
    ("cp936", "gbk"),
    ("cp950", "big5"),
    ("cp932", "shift_jis"),
    ("utf16", "utf-16"),
    ("utf_16", "utf-16"),
    ("utf-8-sig", "utf-8"),
];

impl FromStr for TextEncoding {
    type Err = String;

    /// Any label of the Encoding Standard (<https://encoding.spec.whatwg.org/#names-and-labels>).
    fn from_str(label: &str) -> Result<Self, String> {
        let plain = label.trim().to_ascii_lowercase();
        let alias = ALIASES.iter().find(|(alias, _)| *alias == plain).map(|(_, name)| *name);
        let found = Encoding::for_label_no_replacement(alias.unwrap_or(&plain).as_bytes());
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
    /// UTF-16, if a file begins with its byte order mark.
    pub fn of_mark(head: &[u8]) -> Option<Self> {
        match head {
            [0xFF, 0xFE, ..] => Some(Self(UTF_16LE)),
            [0xFE, 0xFF, ..] => Some(Self(UTF_16BE)),
            _ => None,
        }
    }

    /// Its name in the Encoding Standard.
    pub fn name(self) -> &'static str {
        self.0.name()
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
            self.encoding = self.encoding.or_else(|| TextEncoding::of_mark(&self.raw[..count]));
            self.decoder = self.encoding.map(|encoding| encoding.0.new_decoder());
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
            (b"\xfe\xffO`Y}", Some("utf-16"), "你好", Some("UTF-16LE")),
            ("你好".as_bytes(), None, "你好", None),
            ("你好".as_bytes(), Some("utf-8"), "你好", None),
            (b"", Some("gbk"), "", Some("GBK")),
        ] {
            assert_eq!(read(bytes, label), (text.as_bytes().to_vec(), name), "{bytes:x?} {label:?}");
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
