//! Everything of a task asked of a model.

use super::{
    Asking, GSM8K_STOPS, GSM8K_TOKENS, Item, PairOfAnswers, Rows, Sequence, Subject, Task, TaskResult,
    TaskRows, TextResult, gsm8k_judged, gsm8k_prompts, pair_requests, sequences, text_windows,
};
use crate::data::RowOrigin;
use crate::error::{Error, Result};
use crate::sample::SamplingConfig;
use crate::text::{Conversation, Preference, parse_reasoning, same_answer};
use crate::told::{Counted, told};
use crate::train::TaggedQuestion;

/// Tokens that texts are read in windows of, however long the context is.
const LONGEST_WINDOW: usize = 2048;

/// What was asked, with its place: subject, number in it, file and line.
type Place<'a> = (&'a str, usize, &'a RowOrigin);
/// Choices that are judged: where they stand, which is right, and the characters of each.
type Judgeable<'a> = (Place<'a>, usize, Vec<usize>);

impl Asking<'_> {
    /// Asks the model everything of a task; nothing comes of it where the listener wants no more.
    ///
    /// # Errors
    /// A question that cannot be asked, a model that cannot do the task, a device that cannot be read.
    pub async fn ask(&self, rows: &TaskRows) -> Result<Option<TaskResult>> {
        let task = rows.task;
        let shots = self.config.questions.shots_of(task);
        if shots > 0 {
            self.listener.tell(told!(
                "eval.shots_before",
                "{task}: {shots} before each question",
                task,
                shots = Counted::new(shots as u64, ["example", "examples"])
            ));
        }
        let items = match &rows.kind {
            Rows::Questions(subjects) if task == Task::Gsm8k => self.written(subjects).await?,
            Rows::Questions(subjects) => self.chosen(task, subjects).await?,
            Rows::Pairs(pairs) => self.preferred(pairs).await?,
            Rows::Conversations(rows) => self.tagged(rows).await?,
            Rows::Texts(texts) => {
                let texts = self.held_out(texts).await?;
                let result =
                    |texts| TaskResult { task, shots, items: Vec::new(), texts: Some(texts), short: None };
                return Ok(texts.map(result));
            }
        };
        Ok(items.map(|items| TaskResult { task, shots, items, texts: None, short: None }))
    }

    /// Questions with choices, all subjects together, so that no pass waits for the last row of a small one.
    async fn chosen(&self, task: Task, subjects: &[Subject]) -> Result<Option<Vec<Item>>> {
        let (mut groups, mut asked): (Vec<Vec<Sequence>>, Vec<Judgeable>) = (Vec::new(), Vec::new());
        for subject in subjects {
            let config = &self.config.questions;
            groups.extend(sequences(task, subject, config, self.tokenizer, self.longest())?);
            let numbered = subject.questions.iter().enumerate();
            asked.extend(numbered.map(|(id, (origin, question))| {
                ((subject.name.as_str(), id, origin), question.gold, question.characters())
            }));
        }
        self.judged(task, &groups, &asked).await
    }

    async fn judged(
        &self,
        task: Task,
        groups: &[Vec<Sequence>],
        asked: &[Judgeable<'_>],
    ) -> Result<Option<Vec<Item>>> {
        let Some(found) = self.log_likelihoods(groups).await? else { return Ok(None) };
        let mut items = Vec::with_capacity(asked.len());
        for (((place, gold, characters), values), group) in asked.iter().zip(found).zip(groups) {
            let cut = group.iter().map(|sequence| sequence.cut).max().unwrap_or(0);
            items.push(Item::of_choices(*place, (*gold, characters.as_slice()), values, cut));
        }
        self.tell_cut(task, items.iter().filter(|item| item.cut > 0).count());
        Ok(Some(items))
    }

    /// Answers of GSM8K.
    async fn written(&self, subjects: &[Subject]) -> Result<Option<Vec<Item>>> {
        let most = GSM8K_TOKENS.min((self.longest() / 2).max(1));
        let config = SamplingConfig { stop: GSM8K_STOPS.map(String::from).to_vec(), ..greedy(most) };
        let mut items = Vec::new();
        for subject in subjects {
            let own = &self.config.questions;
            let (prompts, cut) = gsm8k_prompts(subject, own, self.tokenizer, self.longest())?;
            self.tell_cut(Task::Gsm8k, cut);
            let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            let Some(answers) = self.answers(Task::Gsm8k, &prompts, &config).await? else { return Ok(None) };
            for (id, ((origin, question), answer)) in subject.questions.iter().zip(answers).enumerate() {
                let text = answer.map_or(String::new(), |answer| answer.text);
                let (found, right) = gsm8k_judged(question, &text);
                items.push(Item::of_answer((subject.name.as_str(), id, origin), found, right));
            }
        }
        Ok(Some(items))
    }

    async fn held_out(&self, texts: &[(RowOrigin, String)]) -> Result<Option<TextResult>> {
        let longest = self.longest().min(LONGEST_WINDOW);
        let (mut groups, mut of_text, mut short) = (Vec::new(), Vec::new(), 0);
        for (_, text) in texts {
            if self.is_stopped() {
                return Ok(None);
            }
            let (windows, bytes) = text_windows(self.tokenizer, text, longest)?;
            short += usize::from(windows.is_empty());
            of_text.push((windows.len(), windows.iter().map(|window| window.judged).sum::<usize>(), bytes));
            groups.extend(windows.into_iter().map(|window| vec![window]));
        }
        if short > 0 {
            self.listener.warn(told!(
                "eval.short_texts",
                "heldout: {count} is predicted",
                count = Counted::written(
                    self.listener.count(short),
                    ["text is too short: nothing of it", "texts are too short: nothing of them"]
                )
            ));
        }
        let Some(found) = self.log_likelihoods(&groups).await? else { return Ok(None) };
        let mut found = found.into_iter().flatten();
        let mut result = TextResult::new(self.model.config().diffusion.is_some());
        for (windows, tokens, bytes) in of_text.into_iter().filter(|(windows, ..)| *windows > 0) {
            let nll = -found.by_ref().take(windows).sum::<f64>();
            result.add(nll, tokens, bytes);
        }
        match result.texts() {
            0 => Err(Error::Data(told!(
                "eval.no_texts",
                "heldout: no text has a token that is predicted; give longer texts"
            ))),
            _ => Ok(Some(result)),
        }
    }

    async fn preferred(&self, pairs: &[(RowOrigin, Preference)]) -> Result<Option<Vec<Item>>> {
        let (mut groups, mut asked): (Vec<Vec<Sequence>>, Vec<Judgeable>) = (Vec::new(), Vec::new());
        for (id, (origin, pair)) in pairs.iter().enumerate() {
            if self.is_stopped() {
                return Ok(None);
            }
            let pair = pair_requests(self.tokenizer, pair).map_err(|error| at(origin, &error))?;
            let ids = pair.requests.iter().map(|request| request.ids(self.tokenizer, self.longest()));
            groups.push(ids.collect::<Result<Vec<_>>>().map_err(|error| at(origin, &error))?);
            asked.push((("", id, origin), PairOfAnswers::BETTER, pair.characters.to_vec()));
        }
        self.judged(Task::Pairs, &groups, &asked).await
    }

    /// Answers that should think first: whether they keep the tags, and whether what stands in them is right.
    async fn tagged(&self, rows: &[(RowOrigin, Conversation)]) -> Result<Option<Vec<Item>>> {
        let tags = &self.config.tags;
        let asked = self.tagged_questions(rows)?;
        let config = greedy(self.config.max_new_tokens);
        let prompts: Vec<&[u32]> = asked.iter().map(|(_, question)| question.prompt.as_slice()).collect();
        let Some(answers) = self.answers(Task::Format, &prompts, &config).await? else { return Ok(None) };
        let mut items = Vec::new();
        for (id, ((origin, question), answer)) in asked.iter().zip(answers).enumerate() {
            // The tags may be special tokens.
            let tokens = answer.map_or(Vec::new(), |answer| answer.tokens);
            let text = question.opened.clone() + &self.tokenizer.decode(&tokens, false)?;
            let parts = parse_reasoning(&text, tags);
            let right = parts.answer.is_some_and(|found| same_answer(found, &question.answer));
            let found = parts.answer.unwrap_or_default().to_string();
            items.push(Item::of_answer(("", id, *origin), found, [parts.keeps_format(), right]));
        }
        Ok(Some(items))
    }

    /// Rows whose own answers keep the tags, as questions.
    fn tagged_questions<'r>(
        &self,
        rows: &'r [(RowOrigin, Conversation)],
    ) -> Result<Vec<(&'r RowOrigin, TaggedQuestion)>> {
        let mut asked = Vec::new();
        for (origin, conversation) in rows {
            let question = TaggedQuestion::of(conversation, self.tokenizer, &self.config.tags);
            let question = question.map_err(|error| at(origin, &error))?;
            asked.extend(question.map(|question| (origin, question)));
        }
        if asked.is_empty() {
            return Err(Error::Data(told!(
                "eval.no_tags",
                "format: no row has thinking and answer between their tags, so there is nothing to compare answers with; \
                 give such rows, or other tags with --think-tags and --answer-tags"
            )));
        }
        if asked.len() < rows.len() {
            self.listener.warn(told!(
                "eval.tags_left_out",
                "format: {count} left out",
                count = Counted::written(
                    self.listener.count(rows.len() - asked.len()),
                    [
                        "row whose own answer does not keep the tags is",
                        "rows whose own answers do not keep the tags are"
                    ]
                )
            ));
        }
        Ok(asked)
    }
}

/// The likeliest token each time.
fn greedy(max_new_tokens: usize) -> SamplingConfig {
    SamplingConfig { temperature: 0.0, repetition_penalty: 1.0, max_new_tokens, ..SamplingConfig::default() }
}

/// What is wrong with a row, by its place.
fn at(origin: &RowOrigin, error: &Error) -> Error {
    Error::Data(told!("row.at", "{origin}: {reason}", origin, reason = error.told()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::evaluate::heard::Heard;
    use crate::evaluate::{AskConfig, EvalConfig, read_question};
    use crate::model::tiny_model;
    use crate::sample::LikelihoodConfig;
    use crate::sample::fake::letters;
    use crate::text::Tags;

    fn config(batch_size: usize) -> AskConfig {
        AskConfig {
            questions: EvalConfig::default(),
            likelihood: LikelihoodConfig::default(),
            tags: Tags::default(),
            max_new_tokens: 4,
            batch_size: Some(batch_size),
            cache_bytes: 1 << 20,
        }
    }

    fn origin(line: u64) -> RowOrigin {
        RowOrigin { source: "a.jsonl".into(), line }
    }

    /// Questions of letters, which is all that the tokenizer knows.
    fn questions() -> TaskRows {
        let question = |(number, stem): (usize, &str)| {
            let row = serde_json::json!({"question": stem, "choices": ["a", "b", "c"], "answer": number % 3});
            let question = read_question(Task::Openbookqa, row.as_object().unwrap()).unwrap().0;
            (origin(number as u64 + 1), question)
        };
        let questions = ["ab", "cd", "ef", "gh"].into_iter().enumerate().map(question).collect();
        let subject = Subject { questions, ..Subject::default() };
        TaskRows { task: Task::Openbookqa, kind: Rows::Questions(vec![subject]) }
    }

    #[test]
    fn questions_are_judged_alike_in_passes_of_any_size_and_a_listener_ends_them() {
        let (model, tokenizer) = (tiny_model(&Device::flex()), letters(None));
        let ask = |batch_size: usize, heard: &Heard| {
            let config = config(batch_size);
            let asking = Asking::new(&config, &model, &tokenizer, heard).unwrap();
            pollster::block_on(asking.ask(&questions())).unwrap()
        };
        let heard = Heard::default();
        let (one, all) = (ask(1, &heard).unwrap(), ask(9, &heard).unwrap());
        assert_eq!(heard.done.get(), [8, 8]);
        assert_eq!(one.items.len(), 4);
        for (one, all) in one.items.iter().zip(&all.items) {
            assert_eq!((one.judgement, &one.origin), (all.judgement, &all.origin));
        }
        let ended = Heard::until(2);
        assert!(ask(1, &ended).is_none());
        assert_eq!(ended.done.get(), [4, 2], "no question after the second");
    }

    #[test]
    fn texts_that_predict_nothing_are_told_and_alone_refused() {
        let (model, tokenizer, heard) = (tiny_model(&Device::flex()), letters(None), Heard::default());
        let config = config(4);
        let asking = Asking::new(&config, &model, &tokenizer, &heard).unwrap();
        let rows = |texts: &[&str]| {
            let text = |(number, text): (usize, &&str)| (origin(number as u64), text.to_string());
            TaskRows { task: Task::HeldOut, kind: Rows::Texts(texts.iter().enumerate().map(text).collect()) }
        };
        let found = pollster::block_on(asking.ask(&rows(&["abc", "d", "efgh"]))).unwrap().unwrap();
        let texts = found.texts.unwrap();
        // Without BOS the first letter of each is not predicted.
        assert_eq!((texts.texts(), texts.totals().1, texts.totals().2), (2, 5, 5));
        assert_eq!(heard.codes(), ["eval.short_texts"]);
        let refused = pollster::block_on(asking.ask(&rows(&["d"]))).unwrap_err();
        assert_eq!(refused.told().code(), "eval.no_texts");
    }

    #[test]
    fn settings_of_masked_predictors_are_refused_for_another_model() {
        let (model, tokenizer, heard) = (tiny_model(&Device::flex()), letters(None), Heard::default());
        let likelihood = LikelihoodConfig { mc: Some(4), ..LikelihoodConfig::default() };
        let config = AskConfig { likelihood, ..config(1) };
        let refused = Asking::new(&config, &model, &tokenizer, &heard).err().unwrap();
        assert!(
            refused.to_string().starts_with("--mc needs a model that predicts masked tokens"),
            "{refused}"
        );
    }
}
