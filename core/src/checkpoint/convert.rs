//! A causal checkpoint as a masked predictor: the causal mask and the window go, and a mask token comes.

use serde::{Deserialize, Serialize};

use super::Checkpoint;
use super::converted::{Converted, MaskRow};
use crate::error::{Error, Result};
use crate::model::{DiffusionConfig, ModelConfig};
use crate::told::{Told, told};

/// What a converted model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct ConvertConfig {
    /// Let a position's logits predict the token behind it, as those of the causal model do, and not its own: what the
    /// model has learned stays of use [default: true]
    #[cfg_attr(feature = "cli", arg(long, value_name = "true|false"))]
    pub shift_logits: Option<bool>,
    /// Tokens of a block: a position sees its own block whole and all blocks before it; 0 lets every position see every
    /// position [default: 0]
    #[cfg_attr(feature = "cli", arg(long))]
    pub block_length: Option<usize>,
}

impl Checkpoint {
    /// The checkpoint as a masked predictor. A causal one gets a mask token: the first id behind those of the tokenizer, and
    /// a row of the embedding, and of an untied output projection, that is the mean of the tokens' rows. No other row tells
    /// less of any token: an input in their midst, and logits that are the mean of all others, so that the mask is not what
    /// the model predicts. Where the embedding has rows that no token owns, the first of them becomes the mask's, and the
    /// embedding stays as long as it is. One that is a masked predictor keeps its weights, and gets what `asked` says.
    ///
    /// # Errors
    /// A masked predictor of which nothing else is asked; a block that is longer than the model's positions; a vocabulary
    /// that has no place for a token.
    pub fn to_diffusion(&self, asked: &ConvertConfig) -> Result<Converted<'_>> {
        let context = self.config.context();
        if let Some(length) = asked.block_length.filter(|length| *length > context) {
            return Err(Error::Config(vec![told!(
                "convert.block_length",
                "--block-length is {length}, and the model has {context} positions; take at most that many, or 0 to let every \
                 position see every position",
                length,
                context
            )]));
        }
        let converted = match &self.config.diffusion {
            Some(own) => self.changed(own, asked)?,
            None => self.masked(asked)?,
        };
        converted.config.validate()?;
        Ok(converted)
    }

    /// The checkpoint as it is, to be written in another type.
    pub fn as_it_is(&self) -> Converted<'_> {
        Converted {
            checkpoint: self,
            config: self.config.clone(),
            tokenizer: self.tokenizer.clone(),
            remarks: Vec::new(),
            mask: None,
        }
    }

    /// A masked predictor that reads or predicts in another way.
    fn changed(&self, own: &DiffusionConfig, asked: &ConvertConfig) -> Result<Converted<'_>> {
        if *asked == ConvertConfig::default() {
            return Err(Error::Config(vec![told!(
                "convert.already",
                "this model predicts masked tokens already; --shift-logits or --block-length would change how, and nothing else \
                 is left to convert"
            )]));
        }
        let diffusion = DiffusionConfig {
            mask_token_id: own.mask_token_id,
            block_length: match asked.block_length {
                Some(length) => Some(length).filter(|length| *length > 0),
                None => own.block_length,
            },
            shift_logits: asked.shift_logits.unwrap_or(own.shift_logits),
        };
        let mut converted = self.as_it_is();
        converted.config.diffusion = Some(diffusion);
        converted.remarks.push(told!(
            "convert.changed",
            "this model predicts masked tokens already: its weights stay as they are, and were trained for what it was before; \
             train it on"
        ));
        Ok(converted)
    }

    fn masked(&self, asked: &ConvertConfig) -> Result<Converted<'_>> {
        let rows = self.config.vocab_size;
        let (tokenizer, mask, name) = match &self.tokenizer {
            Some(own) => {
                let (with, id) = own.with_mask_token()?;
                let name = with.token_text(id);
                (Some(with), MaskRow { row: id as usize, tokens: own.vocab_size() }, name)
            }
            None => (None, MaskRow { row: rows, tokens: rows }, String::new()),
        };
        let diffusion = DiffusionConfig {
            mask_token_id: u32::try_from(mask.row).unwrap_or(u32::MAX),
            block_length: asked.block_length.filter(|length| *length > 0),
            shift_logits: asked.shift_logits.unwrap_or(true),
        };
        let config = ModelConfig {
            vocab_size: rows.max(mask.row + 1),
            sliding_window: None,
            diffusion: Some(diffusion),
            ..self.config.clone()
        };
        let remarks = self.remarks_of(mask, &name);
        Ok(Converted { checkpoint: self, config, tokenizer, remarks, mask: Some(mask) })
    }

    fn remarks_of(&self, mask: MaskRow, name: &str) -> Vec<Told> {
        let (MaskRow { row, tokens }, rows) = (mask, self.config.vocab_size);
        let mut remarks = vec![match (&self.tokenizer, row < rows) {
            (None, _) => told!(
                "convert.mask_without_tokenizer",
                "the mask token has the id {row}, behind the {tokens} others, whose mean its rows are; there is no tokenizer \
                 that could name it",
                row,
                tokens
            ),
            (Some(_), false) => told!(
                "convert.mask",
                "the mask token is {name} with the id {row}, behind the {tokens} others, whose mean its rows are",
                name,
                row,
                tokens
            ),
            (Some(_), true) => told!(
                "convert.mask_in_spare_row",
                "the mask token is {name} with the id {row}, behind the {tokens} others, whose mean its rows are; it takes one \
                 of {spare} rows that no token owned",
                name,
                row,
                tokens,
                spare = rows - tokens
            ),
        }];
        remarks.extend(self.config.sliding_window.as_ref().map(|sliding| {
            told!(
                "convert.window",
                "the sliding window of {window} keys is dropped: positions see all that the attention of a masked predictor \
                 shows them",
                window = sliding.window
            )
        }));
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::super::converted::{TABLES, mean};
    use super::*;
    use crate::formats::{Files, StoredFloat, TensorFile, directory_files, write_tensors};
    use crate::model::{NamedTensor, SlidingWindow, fresh_weights, preset};
    use crate::tokenizer::{Tokenizer, TokenizerTraining, train};

    fn tokenizer() -> Tokenizer {
        let settings = TokenizerTraining { vocab_size: 270, ..TokenizerTraining::default() };
        train(["the cat sat on the mat".repeat(3)].into_iter(), &settings).unwrap()
    }

    fn config(rows: usize) -> ModelConfig {
        ModelConfig {
            hidden_size: 8,
            intermediate_size: 12,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 2,
            rope_theta: 12_345.0,
            tie_word_embeddings: false,
            sliding_window: Some(SlidingWindow { window: 7, layers: vec![true, true] }),
            ..preset("nano").unwrap().config(Some(rows))
        }
    }

    fn weights(config: &ModelConfig) -> Vec<NamedTensor> {
        let mut fresh = fresh_weights(config, 5);
        let named = config.weight_shapes().into_iter();
        named
            .map(|(name, shape)| NamedTensor { values: fresh(&name, &shape).unwrap(), name, shape })
            .collect()
    }

    fn files(config: &ModelConfig, tokenizer: Option<&Tokenizer>) -> Files {
        directory_files(config, &weights(config), tokenizer).unwrap()
    }

    fn open(files: &Files) -> Checkpoint {
        Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap()
    }

    fn table(files: &Files, name: &str) -> NamedTensor {
        let all = TensorFile::open("x", files["model.safetensors"].clone()).unwrap().read_all().unwrap();
        all.into_iter().find(|tensor| tensor.name == name).unwrap()
    }

    #[test]
    fn the_tables_grow_by_the_mean_and_all_else_stays() {
        let own = tokenizer();
        let rows = own.vocab_size();
        let before = files(&config(rows), Some(&own));
        let checkpoint = open(&before);
        let converted = checkpoint.to_diffusion(&ConvertConfig::default()).unwrap();
        let told: Vec<&str> = converted.remarks.iter().map(Told::code).collect();
        assert_eq!(told, ["convert.mask", "convert.window"]);
        let after = converted.files(StoredFloat::F32).unwrap();
        let opened = open(&after);
        let diffusion =
            DiffusionConfig { mask_token_id: rows as u32, block_length: None, shift_logits: true };
        let expected = ModelConfig {
            vocab_size: rows + 1,
            sliding_window: None,
            diffusion: Some(diffusion),
            ..checkpoint.config.clone()
        };
        assert_eq!(opened.config, expected);
        assert_eq!(opened.tokenizer.unwrap().token_id("<|mask|>"), Some(rows as u32));
        for tensor in weights(&config(rows)) {
            let found = table(&after, &tensor.name);
            if !TABLES.contains(&tensor.name.as_str()) {
                assert_eq!(found, tensor);
                continue;
            }
            assert_eq!(found.shape, [rows + 1, 8]);
            assert_eq!(found.values[..rows * 8], tensor.values);
            for column in 0..8 {
                let mean: f32 = tensor.values.iter().skip(column).step_by(8).sum::<f32>() / rows as f32;
                let own = found.values[rows * 8 + column];
                assert!((own - mean).abs() < 1e-6, "{own} and {mean}");
            }
        }
    }

    #[test]
    fn a_row_that_no_token_owns_becomes_the_masks() {
        let own = tokenizer();
        let (tokens, rows) = (own.vocab_size(), own.vocab_size() + 6);
        let checkpoint = open(&files(&config(rows), Some(&own)));
        let converted = checkpoint.to_diffusion(&ConvertConfig::default()).unwrap();
        assert_eq!(converted.remarks[0].code(), "convert.mask_in_spare_row");
        assert!(converted.remarks[0].contains("one of 6 rows"), "{}", converted.remarks[0]);
        assert_eq!(converted.config.vocab_size, rows);
        let after = converted.files(StoredFloat::F32).unwrap();
        let before = weights(&config(rows)).remove(0);
        let found = table(&after, TABLES[0]);
        let (at, behind) = (tokens * 8, (tokens + 1) * 8);
        assert_eq!(found.values[..at], before.values[..at]);
        assert_eq!(found.values[behind..], before.values[behind..]);
        assert_eq!(found.values[at..behind], mean(&before.values[..at], 8));
    }

    #[test]
    fn without_a_tokenizer_the_mask_stands_behind_all_rows() {
        let checkpoint = open(&files(&config(20), None));
        let asked = ConvertConfig { shift_logits: Some(false), block_length: Some(4) };
        let converted = checkpoint.to_diffusion(&asked).unwrap();
        assert_eq!(converted.remarks[0].code(), "convert.mask_without_tokenizer");
        let expected = DiffusionConfig { mask_token_id: 20, block_length: Some(4), shift_logits: false };
        assert_eq!(open(&converted.files(StoredFloat::F32).unwrap()).config.diffusion, Some(expected));
    }

    #[test]
    fn a_second_time_only_what_is_asked_for_changes() {
        let checkpoint = open(&files(&config(20), None));
        let once =
            checkpoint.to_diffusion(&ConvertConfig::default()).unwrap().files(StoredFloat::F32).unwrap();
        let again = open(&once);
        let told = again.to_diffusion(&ConvertConfig::default()).err().unwrap().to_string();
        assert!(told.contains("predicts masked tokens already"), "{told}");
        let asked = ConvertConfig { shift_logits: None, block_length: Some(4) };
        let blocks = again.to_diffusion(&asked).unwrap();
        let diffusion = blocks.config.diffusion.clone().unwrap();
        assert_eq!(
            (diffusion.block_length, diffusion.shift_logits, diffusion.mask_token_id),
            (Some(4), true, 20)
        );
        assert_eq!(blocks.remarks[0].code(), "convert.changed");
        let blocks = blocks.files(StoredFloat::F32).unwrap();
        assert!(blocks["model.safetensors"] == once["model.safetensors"]);
        let back = ConvertConfig { shift_logits: None, block_length: Some(0) };
        assert_eq!(open(&blocks).to_diffusion(&back).unwrap().config, again.config);
        let long = ConvertConfig { shift_logits: None, block_length: Some(100_000) };
        let told = again.to_diffusion(&long).err().unwrap().to_string();
        assert!(told.contains("--block-length is 100000"), "{told}");
    }

    #[test]
    fn the_type_is_that_of_the_weights_or_the_one_that_is_asked_for() {
        let checkpoint = open(&files(&config(20), None));
        assert_eq!(checkpoint.stored_float(), StoredFloat::F32);
        let narrow = checkpoint.as_it_is().files(StoredFloat::Bf16).unwrap();
        assert!(String::from_utf8_lossy(&narrow["config.json"]).contains("\"dtype\": \"bfloat16\""));
        let opened = open(&narrow);
        assert_eq!(opened.stored_float(), StoredFloat::Bf16);
        assert_eq!(opened.config, checkpoint.config);
        // Its numbers stay what they are, to the last bit.
        let again = opened.as_it_is().files(opened.stored_float()).unwrap();
        assert!(again["model.safetensors"] == narrow["model.safetensors"]);
    }

    #[test]
    fn divided_weights_convert_as_whole_ones_do() {
        let config = config(20);
        let whole = files(&config, None);
        let mut divided = whole.clone();
        divided.remove("model.safetensors");
        let mut map = serde_json::Map::new();
        for (i, part) in weights(&config).chunks(3).enumerate() {
            let file = format!("part-{i}.safetensors");
            map.extend(part.iter().map(|tensor| (tensor.name.clone(), file.clone().into())));
            divided.insert(file, write_tensors(part, &[]).unwrap());
        }
        let index = serde_json::json!({"weight_map": map}).to_string().into_bytes();
        divided.insert("model.safetensors.index.json".into(), index);
        let convert = |files: &Files, most: u64| {
            let (checkpoint, mut made) = (open(files), Files::new());
            let converted = checkpoint.to_diffusion(&ConvertConfig::default()).unwrap();
            let mut sink = |name: &str, bytes: &[u8]| {
                made.entry(name.to_string()).or_default().extend_from_slice(bytes);
                Ok(())
            };
            converted.write(StoredFloat::F32, most, &mut sink).unwrap();
            made
        };
        let (one, other) = (convert(&whole, u64::MAX), convert(&divided, 1000));
        assert!(other.len() > one.len() + 3, "{:?}", other.keys());
        let (one, other) = (open(&one), open(&other));
        assert_eq!(one.config, other.config);
        for (name, shape) in one.config.weight_shapes() {
            let read = |checkpoint: &Checkpoint| checkpoint.with_weights(|read| read(&name, &shape)).unwrap();
            assert_eq!(read(&one), read(&other), "{name}");
        }
    }
}
