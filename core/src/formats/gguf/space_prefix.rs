//! Where a tokenizer of SentencePiece puts a space before a text. GGUF has a flag for it; `tokenizer.json` says it by a
//! normalizer (transformers 4), or by Metaspace (transformers 5), which has ways that the flag cannot tell apart.

use serde_json::{Value as Json, json};

use super::vocabulary::TOKENIZER;
use super::{Metadata, MetadataValue};
use crate::error::{Error, Result};
use crate::told::told;

/// SentencePiece's space.
pub(super) const SPACE: &str = "▁";
/// Which of Metaspace's ways it is. llama.cpp does not know the name, and does the same for all that set the flag.
const SCHEME: &str = "kindling.prepend_scheme";
/// `prepend_scheme`.
const SCHEMES: [(&str, SpacePrefix); 3] =
    [("first", SpacePrefix::First), ("always", SpacePrefix::Always), ("never", SpacePrefix::Never)];

/// Where the space goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpacePrefix {
    /// Before a text, and before what stands behind a special token: llama.cpp's way, and that of the normalizer.
    Everywhere,
    /// The same, but not before what begins with a space: Metaspace's `always`.
    Always,
    /// Before a text that does not begin with a space, and not behind special tokens: Metaspace's `first`.
    First,
    /// Nowhere.
    Never,
}

impl SpacePrefix {
    /// The way of a `tokenizer.json`; `None` where it prepares texts otherwise.
    pub(super) fn of_json(tokenizer: &Json) -> Option<Self> {
        let found = match (&tokenizer["normalizer"], &tokenizer["pre_tokenizer"]) {
            (Json::Null, pre_tokenizer) => metaspace(pre_tokenizer)?,
            (steps, Json::Null) if *steps == normalizer(true) => Self::Everywhere,
            (steps, Json::Null) if *steps == normalizer(false) => Self::Never,
            _ => return None,
        };
        (tokenizer["decoder"] == decoder(found.is_any())).then_some(found)
    }

    /// The way of a GGUF file.
    ///
    /// # Errors
    /// A way of Kindling's that is not known.
    pub(super) fn of_gguf(metadata: &Metadata) -> Result<Self> {
        let any = metadata.flag(&format!("{TOKENIZER}add_space_prefix"))?.unwrap_or(true);
        match metadata.text(SCHEME)? {
            _ if !any => Ok(Self::Never),
            None => Ok(Self::Everywhere),
            Some(name) => by_name(name).filter(|found| found.is_any()).ok_or_else(|| {
                Error::Checkpoint(told!(
                    "gguf.scheme",
                    "the GGUF file's {scheme} is '{name}'; 'first' and 'always' can be read: take a newer Kindling, or \
                    export the model again",
                    scheme = SCHEME,
                    name
                ))
            }),
        }
    }

    /// Adds it to a file's metadata.
    pub(super) fn write(self, metadata: &mut Metadata) {
        metadata.insert(format!("{TOKENIZER}add_space_prefix"), MetadataValue::Bool(self.is_any()));
        if let Some(scheme) = self.scheme() {
            metadata.insert(SCHEME, MetadataValue::Text(scheme.into()));
        }
    }

    /// `normalizer`, `pre_tokenizer` and `decoder` in `tokenizer.json`.
    pub(super) fn parts(self) -> [Json; 3] {
        let [normalizer, pre_tokenizer] = match self.scheme() {
            None => [normalizer(self.is_any()), Json::Null],
            Some(scheme) => {
                let metaspace = json!({
                    "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false,
                });
                [Json::Null, metaspace]
            }
        };
        [normalizer, pre_tokenizer, decoder(self.is_any())]
    }

    fn is_any(self) -> bool {
        self != Self::Never
    }

    /// The name of what the flag alone does not tell.
    fn scheme(self) -> Option<&'static str> {
        let named = SCHEMES.iter().find(|(_, way)| *way == self && way.is_any());
        named.map(|(name, _)| *name)
    }
}

fn by_name(name: &str) -> Option<SpacePrefix> {
    SCHEMES.iter().find(|(known, _)| *known == name).map(|(_, way)| *way)
}

/// The way of a `pre_tokenizer`, with the defaults of the package `tokenizers`.
fn metaspace(json: &Json) -> Option<SpacePrefix> {
    if json["type"] != "Metaspace" || json["replacement"] != SPACE {
        return None;
    }
    let scheme = match &json["prepend_scheme"] {
        Json::Null => SpacePrefix::Always,
        name => by_name(name.as_str()?)?,
    };
    // What contradicts itself cannot be opened either.
    (json["add_prefix_space"] != false || scheme == SpacePrefix::Never).then_some(scheme)
}

/// Whether words are cut apart at spaces, so that nothing merges across them. llama.cpp does not cut.
pub(super) fn cuts_words(tokenizer: &Json) -> bool {
    let pre_tokenizer = &tokenizer["pre_tokenizer"];
    pre_tokenizer["type"] == "Metaspace" && pre_tokenizer["split"] != false
}

/// `normalizer` in `tokenizer.json`; with a prefix, every text begins with a space.
pub(in crate::formats) fn normalizer(prefix: bool) -> Json {
    let mut steps = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})];
    if prefix {
        steps.insert(0, json!({"type": "Prepend", "prepend": SPACE}));
    }
    json!({"type": "Sequence", "normalizers": steps})
}

/// `decoder` in `tokenizer.json`.
pub(in crate::formats) fn decoder(prefix: bool) -> Json {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [SpacePrefix; 4] =
        [SpacePrefix::Everywhere, SpacePrefix::Always, SpacePrefix::First, SpacePrefix::Never];

    fn tokenizer(way: SpacePrefix) -> Json {
        let [normalizer, pre_tokenizer, decoder] = way.parts();
        json!({"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder})
    }

    #[test]
    fn every_way_is_found_again_in_both_formats() {
        for way in WAYS {
            assert_eq!(SpacePrefix::of_json(&tokenizer(way)), Some(way));
            let mut metadata = Metadata::default();
            way.write(&mut metadata);
            assert_eq!(SpacePrefix::of_gguf(&metadata).unwrap(), way);
            let flag = metadata.flag("tokenizer.ggml.add_space_prefix").unwrap();
            assert_eq!(flag, Some(way != SpacePrefix::Never));
        }
        assert_eq!(SpacePrefix::of_gguf(&Metadata::default()).unwrap(), SpacePrefix::Everywhere);
    }

    #[test]
    fn metaspace_is_read_as_the_package_reads_it() {
        let with = |changes: &[(&str, Json)]| {
            let mut json = tokenizer(SpacePrefix::First);
            for (key, value) in changes {
                json["pre_tokenizer"][*key] = value.clone();
            }
            (SpacePrefix::of_json(&json), cuts_words(&json))
        };
        assert_eq!(with(&[]), (Some(SpacePrefix::First), false));
        assert_eq!(with(&[("split", true.into())]), (Some(SpacePrefix::First), true));
        let old = [("prepend_scheme", Json::Null), ("split", Json::Null), ("add_prefix_space", true.into())];
        assert_eq!(with(&old), (Some(SpacePrefix::Always), true));
        assert_eq!(with(&[("add_prefix_space", false.into())]).0, None);
        assert_eq!(with(&[("replacement", "_".into())]).0, None);
        assert_eq!(with(&[("prepend_scheme", "last".into())]).0, None);
        // Its decoder drops a first space that is not put there.
        assert_eq!(with(&[("prepend_scheme", "never".into())]).0, None);
        let mut both = tokenizer(SpacePrefix::First);
        both["normalizer"] = normalizer(true);
        assert_eq!(SpacePrefix::of_json(&both), None);
        assert_eq!(SpacePrefix::of_json(&Json::Null), None);
    }

    #[test]
    fn the_flag_rules_and_strange_ways_are_refused() {
        let mut metadata = Metadata::default();
        SpacePrefix::First.write(&mut metadata);
        metadata.insert("tokenizer.ggml.add_space_prefix", MetadataValue::Bool(false));
        assert_eq!(SpacePrefix::of_gguf(&metadata).unwrap(), SpacePrefix::Never);
        for name in ["never", "last"] {
            metadata.insert("tokenizer.ggml.add_space_prefix", MetadataValue::Bool(true));
            metadata.insert(SCHEME, MetadataValue::Text(name.into()));
            let message = SpacePrefix::of_gguf(&metadata).unwrap_err().to_string();
            assert!(message.contains(&format!("is '{name}'")), "{message}");
        }
    }
}
