//! How a token's spelling in the vocabulary stands for bytes.

use serde_json::Value;

/// The spelling, told from the decoder in `tokenizer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pieces {
    /// GPT-2's alphabet: every byte has a printable character of its own.
    ByteLevel,
    /// SentencePiece: `▁` is a space, `<0x41>` a byte; `strip` spaces at the start of a text are dropped.
    Sentence { strip: usize },
    /// Another decoder, which only whole texts can go through.
    Other,
}

impl Pieces {
    /// Recognises the decoders of causal language models; `decoder` is the JSON of `tokenizer.json`.
    pub(super) fn of_decoder(decoder: &Value) -> Self {
        match decoder["type"].as_str() {
            Some("ByteLevel") => Self::ByteLevel,
            Some("Sequence") => decoder["decoders"].as_array().map_or(Self::Other, |steps| sentence(steps)),
            _ => Self::Other,
        }
    }

    /// The bytes of one token.
    pub(super) fn bytes(self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel => {
                let bytes: Option<Vec<u8>> = token.chars().map(byte_of).collect();
                // Added tokens may hold characters outside the alphabet; the decoder then takes them as they
                // are.
                bytes.unwrap_or_else(|| token.as_bytes().to_vec())
            }
            Self::Sentence { .. } => match fallback_byte(token) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into_bytes(),
            },
            Self::Other => token.as_bytes().to_vec(),
        }
    }
}

/// Replace `▁`, bytes, fuse, and perhaps strip: Llama's and Gemma's decoder.
fn sentence(steps: &[Value]) -> Pieces {
    let mut strip = 0;
    let mut fused = false;
    for step in steps {
        match step["type"].as_str() {
            Some("Replace") if step["pattern"]["String"] == "▁" && step["content"] == " " => {}
            Some("ByteFallback") => {}
            Some("Fuse") => fused = true,
            Some("Strip") if fused && step["content"] == " " && step["stop"] == 0 => {
                strip = step["start"].as_u64().unwrap_or(0) as usize;
            }
            _ => return Pieces::Other,
        }
    }
    if fused { Pieces::Sentence { strip } } else { Pieces::Other }
}

/// The byte a character of GPT-2's alphabet stands for
/// (<https://github.com/openai/gpt-2/blob/master/src/encoder.py>): printable ones are themselves, the others
/// were moved to U+0100 and on, in order.
fn byte_of(character: char) -> Option<u8> {
    let code = character as u32;
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// `<0x41>` is the byte 0x41.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_byte_alphabet_is_a_permutation_of_all_bytes() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(|code| byte_of(char::from_u32(code)?)).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn byte_level_tokens() {
        assert_eq!(Pieces::ByteLevel.bytes("Ġw"), b" w");
        assert_eq!(Pieces::ByteLevel.bytes("Ċ"), b"\n");
        assert_eq!(Pieces::ByteLevel.bytes("ä½łå¥½"), "你好".as_bytes());
        assert_eq!(Pieces::ByteLevel.bytes("你"), "你".as_bytes());
    }

    #[test]
    fn sentence_tokens() {
        let pieces = Pieces::Sentence { strip: 1 };
        assert_eq!(pieces.bytes("▁the"), b" the");
        assert_eq!(pieces.bytes("<0xE4>"), [0xE4]);
        assert_eq!(pieces.bytes("<0xE4"), b"<0xE4");
        assert_eq!(pieces.bytes("<0x€>"), "<0x€>".as_bytes());
    }

    #[test]
    fn decoders_are_recognised() {
        let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let bytes = json!({"type": "ByteFallback"});
        let fuse = json!({"type": "Fuse"});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let sequence = |steps: &[&Value]| Pieces::of_decoder(&json!({"type": "Sequence", "decoders": steps}));
        assert_eq!(sequence(&[&replace, &bytes, &fuse, &strip]), Pieces::Sentence { strip: 1 });
        assert_eq!(sequence(&[&replace, &bytes, &fuse]), Pieces::Sentence { strip: 0 });
        assert_eq!(sequence(&[&replace, &bytes, &strip]), Pieces::Other);
        assert_eq!(Pieces::of_decoder(&json!({"type": "ByteLevel"})), Pieces::ByteLevel);
        assert_eq!(Pieces::of_decoder(&Value::Null), Pieces::Other);
    }
}
