//! Held-out questions answered and counted: greedily and as the page samples, by kind, language and turn.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Map;

use super::question::Question;
use crate::error::Result;
use crate::model::Transformer;
use crate::sample::{Decoder, Flow, GenerationRequest, SamplingConfig, UnmaskConfig, generate};
use crate::text::{Conversation, Message};
use crate::tokenizer::Tokenizer;

/// The right answers are shorter; a longer one is wrong anyway.
const LONGEST_ANSWER: usize = 64;
/// Enough for ten turns and more.
const CONTEXT: usize = 640;

/// A model that is asked questions.
pub struct Examinee<'a> {
    tokenizer: &'a Tokenizer,
    decoder: Decoder,
    end_ids: Vec<u32>,
}

impl<'a> Examinee<'a> {
    /// A model with its tokenizer.
    pub fn new(model: &Transformer, tokenizer: &'a Tokenizer) -> Self {
        let end_ids = model.config().eos_token_ids.clone();
        Self { tokenizer, decoder: Decoder::new(model, CONTEXT), end_ids }
    }

    /// The answer to the last message, without spaces around it: greedy, or sampled with a seed at the settings that
    /// chats begin with.
    ///
    /// # Errors
    /// A tokenizer without a chat template; a conversation longer than the context; a device that cannot be read.
    pub async fn answer(&mut self, messages: &[Message], seed: Option<u64>) -> Result<String> {
        let conversation = Conversation::new(messages.to_vec());
        let prompt = self.tokenizer.render_prompt(&conversation, &Map::new())?;
        let config = SamplingConfig { max_new_tokens: LONGEST_ANSWER, ..SamplingConfig::default() };
        let config = match seed {
            Some(seed) => SamplingConfig { seed, ..config },
            None => SamplingConfig { temperature: 0.0, ..config },
        };
        let (end_ids, tokenizer) = (&self.end_ids[..], Some(self.tokenizer));
        let request = GenerationRequest {
            prompt: &prompt,
            reuse: 0,
            end_ids,
            tokenizer,
            config: &config,
            unmask: UnmaskConfig::default(),
        };
        let generation = generate(&mut self.decoder, &request, &mut |_| Flow::Continue).await?;
        Ok(generation.text.trim().to_string())
    }
}

/// How many questions were answered exactly right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Grade {
    /// Questions.
    pub asked: usize,
    /// Right, greedily.
    pub greedy: usize,
    /// Right, sampled.
    pub sampled: usize,
}

impl Grade {
    fn add(&mut self, greedy: bool, sampled: bool) {
        self.asked += 1;
        self.greedy += usize::from(greedy);
        self.sampled += usize::from(sampled);
    }

    /// The share that greedy answers get right.
    pub fn greedy_share(&self) -> f64 {
        self.greedy as f64 / self.asked.max(1) as f64
    }

    /// The share that sampled answers get right.
    pub fn sampled_share(&self) -> f64 {
        self.sampled as f64 / self.asked.max(1) as f64
    }
}

/// All that was answered.
#[derive(Clone, Debug, Default)]
pub struct Grades {
    /// By kind, language and turn.
    cells: BTreeMap<(&'static str, &'static str, usize), Grade>,
}

impl Grades {
    /// Counts a question with its two answers.
    pub fn add(&mut self, question: &Question, greedy: &str, sampled: &str) {
        let place = (question.kind.name(), question.tongue(), question.turn);
        let cell = self.cells.entry(place).or_default();
        cell.add(greedy == question.answer, sampled == question.answer);
    }

    /// Over all questions.
    pub fn all(&self) -> Grade {
        self.by(|_, _, _| ()).into_values().next().unwrap_or_default()
    }

    /// By [`Kind::name`](super::Kind::name).
    pub fn by_kind(&self) -> BTreeMap<&'static str, Grade> {
        self.by(|kind, _, _| kind)
    }

    /// By `en`, `zh` and `mixed`.
    pub fn by_language(&self) -> BTreeMap<&'static str, Grade> {
        self.by(|_, language, _| language)
    }

    /// By the number of the turn.
    pub fn by_turn(&self) -> BTreeMap<usize, Grade> {
        self.by(|_, _, turn| turn)
    }

    fn by<K: Ord>(&self, key: impl Fn(&'static str, &'static str, usize) -> K) -> BTreeMap<K, Grade> {
        let mut sums: BTreeMap<K, Grade> = BTreeMap::new();
        for (&(kind, language, turn), cell) in &self.cells {
            let sum = sums.entry(key(kind, language, turn)).or_default();
            sum.asked += cell.asked;
            sum.greedy += cell.greedy;
            sum.sampled += cell.sampled;
        }
        sums
    }

    /// A table of percentages, greedy/sampled: kinds with languages as rows, turns as columns.
    pub fn table(&self) -> Vec<String> {
        let turns: Vec<usize> = self.by_turn().into_keys().collect();
        let heads: Vec<String> = turns.iter().map(|turn| format!("as turn {turn}")).collect();
        let mut lines = vec![line("kind", "language", &heads, "all turns")];
        let rows: Vec<_> = self.by(|kind, language, _| (kind, language)).into_iter().collect();
        for ((kind, language), all) in rows {
            let cells: Vec<String> =
                turns.iter().map(|&turn| percent(self.cells.get(&(kind, language, turn)))).collect();
            lines.push(line(kind, language, &cells, &percent(Some(&all))));
        }
        let kinds = self.by_kind().into_iter().map(|(kind, all)| (kind, "all", all));
        let languages = self.by_language().into_iter().map(|(language, all)| ("all", language, all));
        let by_kind_turn = self.by(|kind, _, turn| (kind, turn));
        let by_language_turn = self.by(|_, language, turn| (language, turn));
        for (kind, language, all) in kinds.chain(languages) {
            let cell = |turn: usize| match kind {
                "all" => by_language_turn.get(&(language, turn)),
                _ => by_kind_turn.get(&(kind, turn)),
            };
            let cells: Vec<String> = turns.iter().map(|&turn| percent(cell(turn))).collect();
            lines.push(line(kind, language, &cells, &percent(Some(&all))));
        }
        let cells: Vec<String> = self.by_turn().values().map(|turn| percent(Some(turn))).collect();
        lines.push(line("all", "all", &cells, &percent(Some(&self.all()))));
        lines
    }
}

fn line(kind: &str, language: &str, cells: &[String], all: &str) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
    format!("{kind:12}{language:9}{cells}{all:>14}")
}

fn percent(grade: Option<&Grade>) -> String {
    grade.map_or("–".to_string(), |grade| {
        format!("{:.1}/{:.1}", 100.0 * grade.greedy_share(), 100.0 * grade.sampled_share())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Kind, Language};

    fn question(kind: Kind, mixed: bool, turn: usize) -> Question {
        Question { kind, language: Language::En, mixed, turn, messages: Vec::new(), answer: "Yes.".into() }
    }

    #[test]
    fn right_answers_are_counted_by_kind_language_and_turn() {
        let mut grades = Grades::default();
        grades.add(&question(Kind::Facts, false, 1), "Yes.", "Yes.");
        grades.add(&question(Kind::Facts, false, 5), "Yes.", "No.");
        grades.add(&question(Kind::Facts, true, 5), "No.", "No.");
        grades.add(&question(Kind::Memory, true, 5), "yes.", "Yes.");
        assert_eq!(grades.all(), Grade { asked: 4, greedy: 2, sampled: 2 });
        assert_eq!(grades.by_kind()["facts"], Grade { asked: 3, greedy: 2, sampled: 1 });
        assert_eq!(grades.by_language()["mixed"], Grade { asked: 2, greedy: 0, sampled: 1 });
        assert_eq!(grades.by_turn()[&5], Grade { asked: 3, greedy: 1, sampled: 1 });
        let words = |line: &String| line.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        let table: Vec<Vec<String>> = grades.table().iter().map(words).collect();
        assert_eq!(table[1], ["facts", "en", "100.0/100.0", "100.0/0.0", "100.0/50.0"]);
        assert_eq!(table[2], ["facts", "mixed", "–", "0.0/0.0", "0.0/0.0"]);
        assert_eq!(table.last().unwrap(), &["all", "all", "100.0/100.0", "33.3/33.3", "50.0/50.0"]);
        // A row of each kind and language, of each kind, of each language, and of all.
        assert_eq!(table.len(), 1 + 3 + 2 + 2 + 1);
    }

    #[test]
    fn nothing_asked_is_nothing_right() {
        assert_eq!(Grades::default().all().greedy_share(), 0.0);
        assert_eq!(Grades::default().table().len(), 2);
    }
}
