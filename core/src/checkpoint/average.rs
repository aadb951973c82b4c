//! Models of one shape averaged, weight by weight (Wortsman et al., 2022, <https://arxiv.org/abs/2203.05482>).

use serde_json::{Map, Value};

use super::Checkpoint;
use crate::adapter::{AverageConfig, Mean};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, NamedTensor};
use crate::told::{Listed, Told, told};

/// Keys of `config.json` by which no answer's logits change: those of the first model are kept.
const OF_THE_FIRST: [&str; 8] = [
    "attention_dropout",
    "bos_token_id",
    "dropout",
    "embedding_range",
    "eos_token_id",
    "initializer_range",
    "pad_token_id",
    "torch_dtype",
];

/// The mean of several models.
#[derive(Clone, Debug)]
pub struct AveragedModel {
    /// Its weights, in f32.
    pub weights: Vec<NamedTensor>,
    /// What a person should know: what differs beside the weights, of which the first model's is kept.
    pub remarks: Vec<Told>,
}

impl Checkpoint {
    /// The weighted mean of models of one shape and one vocabulary, each with what it is called. No more is held than the mean
    /// and one weight of another.
    ///
    /// # Errors
    /// Settings that do not hold; models that compute otherwise or have other tokens, by name; weights that are missing or
    /// damaged.
    pub fn average(models: &[(String, Self)], config: &AverageConfig) -> Result<AveragedModel> {
        let mut problems = config.problems(models.len());
        if config.rank.is_some() {
            problems.push(told!(
                "average.model_rank",
                "--rank is an adapter's; whole models have none: leave it out"
            ));
        }
        let (Some((first, others)), true) = (models.split_first(), problems.is_empty()) else {
            return Err(Error::Config(problems));
        };
        let mut remarks = Vec::new();
        for other in others {
            same_shape(first, other, &mut remarks)?;
            same_tokens(first, other, &mut remarks)?;
        }
        let (shares, mut weights) = (config.shares(models.len()), Vec::new());
        for (name, shape) in first.1.config.weight_shapes() {
            let mut mean = Mean::default();
            for ((called, model), share) in models.iter().zip(&shares) {
                let read = model.with_weights(|read| read(&name, &shape));
                let values = read.map_err(|error| {
                    Error::Checkpoint(told!("at", "{name}: {why}", name = called, why = error.told()))
                })?;
                let tensor = NamedTensor { name: name.clone(), shape: shape.clone(), values };
                // What was read has this shape.
                let _ = mean.add(&tensor, *share);
            }
            weights.extend(mean.tensor);
        }
        Ok(AveragedModel { weights, remarks })
    }
}

/// The keys of a model's `config.json`.
fn keys(config: &ModelConfig) -> Map<String, Value> {
    match serde_json::from_str(&config.to_hugging_face()) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    }
}

fn same_shape(
    (first, model): &(String, Checkpoint),
    (second, other): &(String, Checkpoint),
    remarks: &mut Vec<Told>,
) -> Result<()> {
    let (own, theirs) = (keys(&model.config), keys(&other.config));
    let mut all: Vec<&String> = own.keys().chain(theirs.keys()).collect();
    all.sort();
    all.dedup();
    let shown =
        |keys: &Map<String, Value>, key: &str| keys.get(key).map_or("none".into(), ToString::to_string);
    let (mut differs, mut kept) = (Vec::new(), Vec::new());
    // What acts in training alone.
    let untrained = |key: &str| [model, other].iter().any(|it| it.config.untrained.contains_key(key));
    for key in all.into_iter().filter(|key| own.get(*key) != theirs.get(*key)) {
        match OF_THE_FIRST.contains(&key.as_str()) || untrained(key) {
            true => kept.push(key.as_str()),
            false => differs.push(told!(
                "average.key",
                "{key} is {own} in the first and {theirs} in the other",
                key,
                own = shown(&own, key),
                theirs = shown(&theirs, key)
            )),
        }
    }
    if !kept.is_empty() {
        remarks.push(told!(
            "average.kept_keys",
            "'{second}' has another {keys} in its config.json than '{first}', whose is kept",
            second,
            keys = kept.join(", "),
            first
        ));
    }
    match differs.is_empty() {
        true => Ok(()),
        false => Err(Error::Checkpoint(told!(
            "average.models",
            "'{first}' and '{second}' are models of different shapes or computations, which have no mean; average models that came \
             of one{differs}",
            first,
            second,
            differs = Listed(differs)
        ))),
    }
}

fn same_tokens(
    (first, model): &(String, Checkpoint),
    (second, other): &(String, Checkpoint),
    remarks: &mut Vec<Told>,
) -> Result<()> {
    let (Some(own), Some(theirs)) = (&model.tokenizer, &other.tokenizer) else {
        if model.tokenizer.is_some() != other.tokenizer.is_some() {
            remarks.push(told!(
                "average.no_tokenizer",
                "of '{first}' and '{second}' one has no tokenizer, so that nobody compared their tokens; what the first has is kept",
                first,
                second
            ));
        }
        return Ok(());
    };
    if own.vocabulary_hash() != theirs.vocabulary_hash() {
        return Err(Error::Checkpoint(told!(
            "average.vocabularies",
            "'{first}' and '{second}' have different vocabularies, so that the rows of their tables mean different tokens; average \
             models of one tokenizer",
            first,
            second
        )));
    }
    if own.chat_template() != theirs.chat_template() {
        remarks.push(told!(
            "average.templates",
            "'{second}' has another chat template than '{first}', whose is kept",
            second,
            first
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::directory_files;
    use crate::model::tiny;

    /// A model all of whose weights are one number.
    fn model(name: &str, config: &ModelConfig, value: f32) -> (String, Checkpoint) {
        let weight = |(name, shape): (String, Vec<usize>)| {
            let values = vec![value; shape.iter().product()];
            NamedTensor { name, shape, values }
        };
        let weights: Vec<NamedTensor> = config.weight_shapes().into_iter().map(weight).collect();
        let files = directory_files(config, &weights, None).unwrap();
        (name.into(), Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap())
    }

    #[test]
    fn every_weight_is_the_mean_by_hand() {
        let config = tiny(32);
        let three = [1.0, 2.0, 7.0].map(|value| model("m", &config, value));
        let mean = |weights: &[f64]| {
            let config = AverageConfig { weights: weights.to_vec(), rank: None };
            Checkpoint::average(&three, &config).unwrap()
        };
        let plain = mean(&[]);
        assert_eq!(plain.weights.len(), config.weight_shapes().len());
        let is = |weights: &[NamedTensor], expected: f32| {
            weights.iter().flat_map(|tensor| &tensor.values).all(|value| (value - expected).abs() < 1e-6)
        };
        assert!(is(&plain.weights, 10.0 / 3.0) && plain.remarks.is_empty(), "{:?}", plain.remarks);
        // (1 + 2·2 + 7) / 4
        assert!(is(&mean(&[1.0, 2.0, 1.0]).weights, 3.0));
        let equal = [0.1, 0.1, 0.1].map(|value| model("m", &config, value));
        let same = Checkpoint::average(&equal, &AverageConfig::default()).unwrap();
        assert!(same.weights.iter().flat_map(|tensor| &tensor.values).all(|value| *value == 0.1));
    }

    #[test]
    fn what_differs_is_refused_or_told_by_its_key() {
        let config = tiny(32);
        let average = |other: ModelConfig, rank: Option<usize>| {
            let two = [model("one", &config, 1.0), model("two", &other, 2.0)];
            Checkpoint::average(&two, &AverageConfig { weights: Vec::new(), rank })
        };
        let theta = ModelConfig { rope_theta: config.rope_theta * 2.0, ..config.clone() };
        let told = average(theta, None).unwrap_err().to_string();
        assert!(told.contains("'one' and 'two'") && told.contains("rope_theta"), "{told}");
        let wide = ModelConfig { intermediate_size: 32, ..config.clone() };
        assert!(average(wide, None).unwrap_err().to_string().contains("intermediate_size is 24"));
        let ends = ModelConfig { eos_token_ids: vec![9], ..config.clone() };
        let told = average(ends, None).unwrap().remarks[0].to_string();
        assert!(told.contains("eos_token_id") && told.contains("whose is kept"), "{told}");
        assert!(average(config.clone(), Some(2)).unwrap_err().to_string().contains("--rank is an adapter's"));
    }
}
