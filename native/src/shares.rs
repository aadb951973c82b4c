//! `--data FILE=SHARE`: how much of what is drawn comes from each source.

use std::path::Path;

use kindling::error::{Error, Result};

use crate::hub;

/// The name and the share of a `--data`: the last `=` with a number behind it parts them, but where the whole is the name
/// of what is there.
pub fn parted(data: &str) -> (&str, Option<f64>) {
    let parts = data.rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let share = parts.and_then(|(name, share)| Some((name, share.parse::<f64>().ok()?)));
    match share {
        Some((name, share)) if !is_there(data) => (name, Some(share)),
        _ => (data, None),
    }
}

/// The name alone.
pub fn name_of(data: &str) -> &str {
    parted(data).0
}

/// Whether a path or a pattern leads to something.
fn is_there(name: &str) -> bool {
    !hub::is_address(name)
        && (Path::new(name).exists() || glob::glob(name).is_ok_and(|mut found| found.next().is_some()))
}

/// The names and shares of all sources, where any has one; else none.
///
/// # Errors
/// Names those without, where others have one.
pub fn of_all(data: &[String]) -> Result<Option<Vec<(&str, f64)>>> {
    let parts: Vec<(&str, Option<f64>)> = data.iter().map(|data| parted(data)).collect();
    let without: Vec<&str> =
        parts.iter().filter(|(_, share)| share.is_none()).map(|(name, _)| *name).collect();
    match without.len() {
        0 => Ok(Some(parts.into_iter().map(|(name, share)| (name, share.unwrap_or_default())).collect())),
        all if all == data.len() => Ok(None),
        _ => Err(Error::Config(vec![
            format!(
                "--data {} has no share, and others have one; write a share behind each, as in --data {}=0.3",
                without.join(", "),
                without[0]
            )
            .into(),
        ])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_behind_a_sign_is_a_share_unless_it_is_a_name() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().join("a=0.5");
        std::fs::write(&real, "x").unwrap();
        let real = real.display().to_string();
        assert_eq!(parted(&real), (real.as_str(), None));
        let shared = format!("{real}=0.25");
        assert_eq!(parted(&shared), (real.as_str(), Some(0.25)));
        let pattern = place.path().join("*=0.5").display().to_string();
        assert_eq!(parted(&pattern), (pattern.as_str(), None));
        for (data, name, share) in [
            ("a.jsonl=0.7", "a.jsonl", Some(0.7)),
            ("x=1=2", "x=1", Some(2.0)),
            ("b/*.txt=1e-3", "b/*.txt", Some(0.001)),
            ("hub:o/n@main=3", "hub:o/n@main", Some(3.0)),
            ("-=0.5", "-", Some(0.5)),
            ("a.jsonl=-1", "a.jsonl", Some(-1.0)),
            ("a.jsonl", "a.jsonl", None),
            ("a=b", "a=b", None),
            ("=0.5", "=0.5", None),
            ("-", "-", None),
        ] {
            assert_eq!(parted(data), (name, share), "{data}");
        }
        assert!(
            parted("a=nan").1.is_some_and(f64::is_nan),
            "it is refused by name, and not looked for as a file"
        );
    }

    #[test]
    fn all_have_a_share_or_none() {
        let data = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<String>>();
        assert_eq!(of_all(&data(&["a", "b"])).unwrap(), None);
        assert_eq!(of_all(&data(&["a=1", "b=2"])).unwrap().unwrap(), [("a", 1.0), ("b", 2.0)]);
        let message = of_all(&data(&["a=1", "b", "c"])).unwrap_err().to_string();
        assert!(
            message.contains("--data b, c has no share") && message.contains("--data b=0.3"),
            "{message}"
        );
    }
}
