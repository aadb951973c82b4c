//! How a masked predictor fills its masks, as a request says it by the names of `kindling generate`.

use serde_json::Value;

use super::ApiError;
use super::fields::Fields;
use super::served::Served;
use crate::sample::{Remasking, UnmaskConfig};

/// The settings of [`UnmaskConfig`] that a request has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filling {
    config: UnmaskConfig,
    /// The path of the first one, where there is one.
    first: Option<String>,
}

impl Filling {
    /// Takes the fields, each within its limits.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let keys = ["steps", "block_length", "remasking", "cfg_scale", "threshold", "prefix_cache"];
        let first = keys.into_iter().find(|key| fields.has(key)).map(|key| fields.path(key));
        let mut count = |key: &str| fields.whole(key, 1..=i64::from(u32::MAX));
        let (steps, block_length) = (count("steps")?, count("block_length")?);
        let config = UnmaskConfig {
            steps: steps.map(|steps| steps as usize),
            block_length: block_length.map(|length| length as usize),
            remasking: remasking(fields)?,
            cfg_scale: fields.number("cfg_scale", 0.0..=1000.0)?.unwrap_or_default(),
            threshold: fields.number("threshold", 0.0..=1.0)?,
            prefix_cache: fields.flag("prefix_cache")?.unwrap_or_default(),
        };
        if config.threshold.is_some() && config.remasking == Remasking::Random {
            let message = "'threshold' keeps the tokens that the model is sure of, and 'remasking' random keeps any: give \
                           one of them.";
            return Err(ApiError::invalid(&fields.path("threshold"), message));
        }
        Ok(Self { config, first })
    }

    /// What of it this model goes by.
    ///
    /// # Errors
    /// A setting for a model that fills no masks.
    pub(super) fn of(&self, served: &Served) -> Result<UnmaskConfig, ApiError> {
        match &self.first {
            Some(path) if !served.masked => Err(ApiError::unsupported(
                path,
                "this model writes from left to right, and fills no masks; leave it out, or take a model that fills masked \
                 tokens",
            )),
            _ => Ok(self.config),
        }
    }
}

fn remasking(fields: &mut Fields) -> Result<Remasking, ApiError> {
    let path = fields.path("remasking");
    let Some(word) = fields.text("remasking")? else { return Ok(Remasking::default()) };
    serde_json::from_value(Value::String(word.clone())).map_err(|_| {
        let message = format!("Invalid '{path}': it is '{word}', but must be 'low-confidence' or 'random'.");
        ApiError::invalid(&path, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::played::{tokenizer, with_served};

    fn take(body: &str) -> Result<Filling, ApiError> {
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        let filling = Filling::take(&mut fields)?;
        fields.finish().map(|()| filling)
    }

    #[test]
    fn every_setting_is_read_within_its_limits() {
        let whole = take(
            r#"{"steps": 8, "block_length": 16, "remasking": "random", "cfg_scale": 1.5, "prefix_cache": true}"#,
        );
        let expected = UnmaskConfig {
            steps: Some(8),
            block_length: Some(16),
            remasking: Remasking::Random,
            cfg_scale: 1.5,
            threshold: None,
            prefix_cache: true,
        };
        assert_eq!(whole.unwrap().config, expected);
        assert_eq!(take("{}").unwrap(), Filling::default());
        for (body, param) in [
            (r#"{"steps": 0}"#, "steps"),
            (r#"{"block_length": "a"}"#, "block_length"),
            (r#"{"remasking": "some"}"#, "remasking"),
            (r#"{"cfg_scale": 1001}"#, "cfg_scale"),
            (r#"{"threshold": 1.5}"#, "threshold"),
            (r#"{"threshold": 0.5, "remasking": "random"}"#, "threshold"),
            (r#"{"prefix_cache": 1}"#, "prefix_cache"),
        ] {
            assert_eq!(take(body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn a_model_that_fills_no_masks_refuses_them_by_name() {
        let some = take(r#"{"threshold": 0.9, "steps": 4}"#).unwrap();
        with_served(&tokenizer(), 64, |served| {
            let error = some.of(served).unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some("steps")));
            assert_eq!(take("{}").unwrap().of(served), Ok(UnmaskConfig::default()));
            let masked = Served { masked: true, ..*served };
            assert_eq!(some.of(&masked).map(|config| config.threshold), Ok(Some(0.9)));
        });
    }
}
