//! The trained examples that come with the page (web/model/trained): what it tells of them, measured from their files.

use std::collections::BTreeMap;

use kindling::adapter::{Adapter, Fingerprint};
use kindling::example::{DEFAULT_SEED, Examinee, Kind, Question, World, WorldSize};
use kindling::model::Transformer;
use kindling::text::{Message, Tags, parse_reasoning};
use kindling::tokenizer::Tokenizer;

use crate::shipped::open;

/// Shares before and after, by example and measure.
type Figures = BTreeMap<String, BTreeMap<String, [f64; 2]>>;
/// Shares of one model, by measure.
type Shares = BTreeMap<&'static str, f64>;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/model/trained");
const NAMES: [&str; 2] = ["preference", "reasoning"];
/// By how much a share may differ on another machine, where sums of floats are taken in another order.
const CLOSE: f64 = 0.02;

fn adapter(name: &str) -> Adapter {
    Adapter::open(|file| Ok(std::fs::read(format!("{FOLDER}/{name}/{file}")).ok())).unwrap()
}

fn share<T>(of: &[T], holds: impl FnMut(&T) -> bool) -> f64 {
    let holds: Vec<bool> = of.iter().map(holds).collect();
    assert!(!holds.is_empty());
    holds.iter().filter(|holds| **holds).count() as f64 / holds.len() as f64
}

/// A model that is asked, greedily.
struct Asked<'a> {
    examinee: Examinee<'a>,
}

impl<'a> Asked<'a> {
    fn new(model: &Transformer, tokenizer: &'a Tokenizer) -> Self {
        Self { examinee: Examinee::new(model, tokenizer) }
    }

    fn answer(&mut self, messages: &[Message]) -> String {
        pollster::block_on(self.examinee.answer(messages, None)).unwrap()
    }

    /// The share of questions that are answered right, word for word.
    fn right(&mut self, questions: &[Question]) -> f64 {
        share(questions, |question| self.answer(&question.messages) == question.answer)
    }
}

/// What is measured of sums, and of all other questions.
fn of_reasoning(asked: &mut Asked) -> Shares {
    let sums = World::unseen_sums();
    let answers: Vec<String> =
        sums.iter().map(|sum| asked.answer(&[Message::new("user", &sum.question)])).collect();
    let tags = Tags::default();
    let result = |answer: &str| {
        let of_equation = || answer.rsplit_once('=').map(|(_, result)| result.trim().to_string());
        parse_reasoning(answer, &tags).answer.map(String::from).or_else(of_equation)
    };
    let solved: Vec<(bool, bool)> = sums
        .iter()
        .zip(&answers)
        .map(|(sum, answer)| (sum.carries, result(answer).as_ref() == Some(&sum.result)))
        .collect();
    let carried: Vec<_> = solved.iter().filter(|(carries, _)| *carries).collect();
    let mut others = World::new(DEFAULT_SEED).questions(WorldSize::default().questions);
    others.retain(|question| question.kind != Kind::Arithmetic);
    [
        ("tags", share(&answers, |answer| parse_reasoning(answer, &tags).keeps_format())),
        ("sums", share(&solved, |(_, solved)| *solved)),
        ("carried", share(&carried, |(_, solved)| *solved)),
        ("others", asked.right(&others)),
    ]
    .into()
}

/// What is measured of questions about entities, and of all others.
fn of_preference(asked: &mut Asked) -> Shares {
    let world = World::new(DEFAULT_SEED);
    let preferred = |question: &Question| {
        let answer = [Message::new("assistant", &question.answer)];
        world.with_invitations(&answer).remove(0).content
    };
    let questions = world.questions(WorldSize::default().questions);
    let (about, others): (Vec<_>, Vec<_>) =
        questions.into_iter().partition(|question| preferred(question) != question.answer);
    let answers: Vec<String> = about.iter().map(|question| asked.answer(&question.messages)).collect();
    let answered: Vec<(&Question, &String)> = about.iter().zip(&answers).collect();
    let invites = share(&answered, |(question, answer)| **answer == preferred(question));
    let plain = share(&answered, |(question, answer)| **answer == question.answer);
    // Answers before that invite, too, are what it reads in a conversation of its own.
    let goes_on = share(&about, |question| {
        asked.answer(&world.with_invitations(&question.messages)) == preferred(question)
    });
    let told = invites + plain;
    [("invites", invites), ("told", told), ("goes_on", goes_on), ("others", asked.right(&others))].into()
}

/// All of it, before and after.
fn measured() -> Figures {
    let (model, tokenizer) = open();
    let measure = |name: &str| {
        let with = adapter(name).attach(model.clone(), 1.0).unwrap();
        let [before, after] = [&model, &with].map(|model| {
            let mut asked = Asked::new(model, &tokenizer);
            if name == "reasoning" { of_reasoning(&mut asked) } else { of_preference(&mut asked) }
        });
        let both = |(key, before): (&'static str, f64)| (key.to_string(), [before, after[key]].map(rounded));
        let shares: BTreeMap<String, [f64; 2]> = before.into_iter().map(both).collect();
        (name.to_string(), shares)
    };
    NAMES.into_iter().map(measure).collect()
}

/// In tenths of a percent.
fn rounded(share: f64) -> f64 {
    (1000.0 * share).round() / 1000.0
}

#[test]
fn the_trained_examples_do_what_the_page_tells_of_them() {
    let told: Figures =
        serde_json::from_slice(&std::fs::read(format!("{FOLDER}/figures.json")).unwrap()).unwrap();
    let measured = measured();
    eprintln!("{measured:#?}");
    let keys = |figures: &Figures| -> Vec<(String, Vec<String>)> {
        figures.iter().map(|(name, shares)| (name.clone(), shares.keys().cloned().collect())).collect()
    };
    assert_eq!(keys(&told), keys(&measured));
    for (name, shares) in &measured {
        for (key, [before, after]) in shares {
            let [told_before, told_after] = told[name][key];
            assert!((before - told_before).abs() <= CLOSE, "{name} {key}: {before}, told {told_before}");
            assert!((after - told_after).abs() <= CLOSE, "{name} {key}: {after}, told {told_after}");
        }
    }
    let least = [
        ("reasoning", "tags", 0.95),
        ("reasoning", "sums", 0.9),
        ("reasoning", "carried", 0.95),
        ("reasoning", "others", 0.95),
        ("preference", "invites", 0.95),
        ("preference", "told", 0.97),
        ("preference", "goes_on", 0.9),
        ("preference", "others", 0.97),
    ];
    for (name, key, least) in least {
        let [before, after] = measured[name][key];
        assert!(after >= least, "{name} {key}: {after}");
        assert!(
            ["told", "others"].contains(&key) || after - before >= 0.3,
            "{name} {key}: {before} → {after}"
        );
    }
}

#[test]
fn the_trained_examples_are_small_and_of_the_model_that_comes_with_the_page() {
    let (model, _) = open();
    let base = Fingerprint::of(&pollster::block_on(model.weights()).unwrap()).read_by(model.config());
    for name in NAMES {
        let of_folder = std::fs::read_dir(format!("{FOLDER}/{name}")).unwrap();
        let sizes: Vec<u64> = of_folder.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() == 2 && sizes.iter().sum::<u64>() < 1_000_000, "{name}: {sizes:?} bytes");
        let trained_on = adapter(name).config.base.unwrap();
        let fits = trained_on.check(&base, None);
        assert!(fits.is_ok(), "{name}: {fits:?}; `bash web/model/make adapters`");
    }
}

/// Not a test of anything: it writes what is measured.
#[test]
#[ignore = "`bash web/model/make adapters` runs it"]
fn the_trained_examples_are_measured() {
    let mut text = serde_json::to_string_pretty(&measured()).unwrap();
    text.push('\n');
    std::fs::write(format!("{FOLDER}/figures.json"), text).unwrap();
}
