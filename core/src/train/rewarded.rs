//! Answers of the model to the prompts of a batch, and what rules say of them. The answers to one prompt are drawn side by
//! side, behind a prompt that is read once.

use std::sync::Arc;

use burn::module::Module;

use super::parts::lengths;

use crate::batch::{Batch, Rollouts, row_length};
use crate::device::is_processor;
use crate::error::Result;
use crate::loss::{Answered, GrpoConfig, group_advantages, target_log_probs};
use crate::model::{Noise, Transformer, read};
use crate::platform::{map_in_threads, threads};
use crate::random::Random;
use crate::sample::{
    Flow, Generation, GenerationRequest, SamplingConfig, SideBySide, UnmaskConfig, generate_together,
};
use crate::tokenizer::Tokenizer;

/// Bytes that the keys and values of the answers of a batch may take.
const CACHE: u64 = 1 << 30;
/// Tokens at the end of a prompt in which a tag that the template opens is looked for.
const OPENING: usize = 16;

/// What makes answers, and judges them.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) config: GrpoConfig,
    pub(super) tokenizer: Arc<Tokenizer>,
    /// Tokens that a row may have.
    pub(super) seq_len: usize,
}

/// What is answered.
struct Prompt {
    ids: Vec<u32>,
    /// What the row answers, as text.
    reference: String,
    /// The tag that the template opens behind it, or nothing.
    opened: String,
    /// Tokens that an answer may have.
    most: usize,
}

/// What the model answered.
#[derive(Clone, Default)]
struct Answer {
    tokens: Vec<u32>,
    end: Option<u32>,
}

impl Answers {
    /// The prompts of a batch, each with `group` answers of the model as it is now; `over` says how much of the run is over,
    /// and `random` is `None` where nothing is drawn and answers are only measured.
    pub(super) async fn to(
        &self,
        batch: &Batch,
        group: usize,
        over: f64,
        random: Option<&mut Random>,
        model: &Transformer,
    ) -> Result<Batch> {
        let measured = random.is_none();
        let prompts = self.prompts(batch, &model.config().eos_token_ids)?;
        let answers = self.answers(&prompts, group, random, model).await?;
        let longest = |(at, answer): (usize, &Answer)| {
            prompts[at / group].ids.len() + answer.tokens.len() + usize::from(answer.end.is_some())
        };
        let longest = answers.iter().enumerate().map(longest).max().unwrap_or(2);
        let mut own = Batch {
            group,
            members: group,
            origins: batch.origins.clone(),
            own: true,
            ..Batch::new(row_length(longest.saturating_sub(1), self.seq_len))
        };
        for (at, answer) in answers.iter().enumerate() {
            let prompt = &prompts[at / group].ids;
            let ids: Vec<u32> = prompt.iter().chain(&answer.tokens).copied().chain(answer.end).collect();
            let weights: Vec<f32> = (0..ids.len()).map(|i| f32::from(u8::from(i >= prompt.len()))).collect();
            own.push(&ids, &weights, &vec![1; ids.len()]);
        }
        own.rollouts = Some(self.judged(&prompts, &answers, group, over, measured)?);
        Ok(own)
    }

    /// The tokens before the last answer of each row, and that answer.
    fn prompts(&self, batch: &Batch, end_ids: &[u32]) -> Result<Vec<Prompt>> {
        let mut prompts = Vec::new();
        for row in 0..batch.batch {
            let places = row * batch.seq..(row + 1) * batch.seq;
            let weights = &batch.weights[places.clone()];
            let Some(last) = weights.iter().rposition(|&weight| weight != 0.0) else { continue };
            let first =
                weights[..last].iter().rposition(|&weight| weight == 0.0).map_or(0, |before| before + 1);
            let ids = batch.inputs[places.clone()][..=first].to_vec();
            let mut reference = &batch.targets[places][first..=last];
            while let [before @ .., end] = reference
                && end_ids.contains(end)
            {
                reference = before;
            }
            let before = self.tokenizer.decode(&ids[ids.len().saturating_sub(OPENING)..], false)?;
            prompts.push(Prompt {
                reference: self.tokenizer.decode(reference, false)?,
                opened: self.config.tags.opened_by(&before).to_string(),
                most: self.config.max_new_tokens.min((self.seq_len + 1).saturating_sub(ids.len())),
                ids,
            });
        }
        Ok(prompts)
    }

    /// `group` answers to each prompt in turn: drawn, or the likeliest where there is no `random`.
    async fn answers(
        &self,
        prompts: &[Prompt],
        group: usize,
        random: Option<&mut Random>,
        model: &Transformer,
    ) -> Result<Vec<Answer>> {
        let (mut random, rows) = (random, prompts.len() * group);
        let mut config = |prompt: &Prompt| SamplingConfig {
            temperature: random.as_ref().map_or(0.0, |_| self.config.temperature),
            top_k: 0,
            top_p: 1.0,
            seed: random.as_mut().map_or(0, |random| random.next_u64()),
            max_new_tokens: prompt.most,
            ..SamplingConfig::default()
        };
        let configs: Vec<SamplingConfig> = (0..rows).map(|at| config(&prompts[at / group])).collect();
        // A prompt that fills its row has no answer.
        let numbers: Vec<usize> = (0..rows).filter(|at| prompts[at / group].most > 0).collect();
        let request = |&at: &usize| GenerationRequest {
            prompt: &prompts[at / group].ids,
            reuse: 0,
            end_ids: &model.config().eos_token_ids,
            tokenizer: None,
            config: &configs[at],
            unmask: UnmaskConfig::default(),
        };
        let requests: Vec<GenerationRequest> = numbers.iter().map(request).collect();
        let mut answers = vec![Answer::default(); rows];
        let limit = SideBySide { rows: requests.len(), cache_bytes: CACHE };
        let mut on_done = |request: usize, generation: Generation| {
            answers[numbers[request]] = Answer { tokens: generation.tokens, end: generation.end_token };
            Ok(())
        };
        generate_together(model, &requests, limit, &mut || Flow::Continue, &mut on_done).await?;
        Ok(answers)
    }

    /// What the rules say of the answers, and by how much each is better than its group.
    fn judged(
        &self,
        prompts: &[Prompt],
        answers: &[Answer],
        group: usize,
        over: f64,
        measured: bool,
    ) -> Result<Rollouts> {
        let rules = &self.config.reward;
        let (mut by_rule, mut rewards) = (vec![Vec::new(); rules.len()], Vec::with_capacity(answers.len()));
        for (at, answer) in answers.iter().enumerate() {
            let prompt = &prompts[at / group];
            let text = prompt.opened.clone() + &self.tokenizer.decode(&answer.tokens, false)?;
            let answered = Answered {
                text: &text,
                tokens: &answer.tokens,
                ended: answer.end.is_some(),
                most: prompt.most,
                reference: &prompt.reference,
                tags: &self.config.tags,
            };
            let mut whole = 0.0;
            for (reward, said) in rules.iter().zip(&mut by_rule) {
                let score = reward.rule.score(&answered);
                said.push(score as f32);
                whole += reward.weight(over) * score;
            }
            rewards.push(whole);
        }
        let advantages = rewards.chunks(group).filter(|_| !measured);
        let advantages = advantages.flat_map(|group| group_advantages(group, self.config.scale_rewards));
        Ok(Rollouts {
            advantages: advantages.collect(),
            rewards: rewards.iter().map(|&reward| reward as f32).collect(),
            by_rule,
            old: Vec::new(),
        })
    }

    /// The same batch with how likely the model holds what it wrote, under the noise of the step that learns from it first,
    /// in which `first_row` is the batch's place. So the ratio of that step is 1 whatever is drawn at random, and later ones
    /// tell what the weights learned. (trl's `GRPOTrainer` asks the model in training mode, too, under another noise.)
    pub(super) async fn with_log_probs(
        &self,
        mut batch: Batch,
        model: &Transformer,
        noise: Noise,
        first_row: usize,
    ) -> Result<Batch> {
        let (model, mut place) = (model.valid(), first_row);
        let parts = if is_processor(&model.device()) { threads() } else { 1 };
        let prepare = |part: Batch| {
            let model = model.clone().with_noise(noise, place, lengths(&part, noise));
            place += part.batch;
            (part, model)
        };
        let shares = batch.split(parts).into_iter().map(prepare).collect();
        let temperature = self.config.temperature;
        let found = map_in_threads(shares, |(part, model)| {
            let values = target_log_probs(&model, &part, temperature);
            (part.weights, values)
        });
        let mut old = Vec::with_capacity(batch.weights.len());
        for (weights, values) in found {
            let mut values = read(values).await?.into_iter();
            let known = |weight: &f32| if *weight == 0.0 { 0.0 } else { values.next().unwrap_or(f32::NAN) };
            old.extend(weights.iter().map(known));
        }
        if let Some(rollouts) = &mut batch.rollouts {
            rollouts.old = old;
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Reward;
    use crate::model::{ModelConfig, tiny};
    use crate::tokenizer::{TokenizerTraining, train};
    use burn::tensor::Device;

    fn answers(reward: &[&str]) -> Answers {
        let tokenizer = train(std::iter::once("1+1=2 <think>".into()), &TokenizerTraining::default());
        let reward: Vec<Reward> = reward.iter().map(|text| text.parse().unwrap()).collect();
        let config = GrpoConfig { reward, max_new_tokens: 4, ..GrpoConfig::default() };
        Answers { config, tokenizer: Arc::new(tokenizer.unwrap()), seq_len: 16 }
    }

    fn model(answers: &Answers) -> Transformer {
        let config = ModelConfig { eos_token_ids: vec![0], ..tiny(answers.tokenizer.vocab_size()) };
        Transformer::init(&config, 5, &Device::flex()).unwrap()
    }

    /// A row of two answers, the last of which is "42" with what ends it, and one that fills its row.
    fn batch(answers: &Answers) -> Batch {
        let ids = |text: &str| answers.tokenizer.encode(text).unwrap();
        let (ask, say) = (ids("1+"), ids("42"));
        let parts = [(&ask[..], 0.0), (&[70, 0], 1.0), (&ask, 0.0), (&say, 1.0), (&[0], 1.0)];
        let row: Vec<u32> = parts.iter().flat_map(|(ids, _)| ids.to_vec()).collect();
        let weights: Vec<f32> = parts.iter().flat_map(|(ids, weight)| vec![*weight; ids.len()]).collect();
        let mut batch = Batch::new(16);
        batch.push(&row, &weights, &vec![1; row.len()]);
        batch.push(&[71; 17], &[&[0.0; 16][..], &[1.0]].concat(), &[1; 17]);
        batch
    }

    #[test]
    fn a_prompt_is_what_stands_before_the_last_answer() {
        let answers = answers(&["answer"]);
        let prompts = answers.prompts(&batch(&answers), &[0]).unwrap();
        let ask = answers.tokenizer.encode("1+").unwrap();
        assert_eq!(prompts[0].ids, [&ask[..], &[70, 0], &ask].concat());
        assert_eq!((prompts[0].reference.as_str(), prompts[0].opened.as_str()), ("42", ""));
        assert_eq!((prompts[0].most, prompts[1].ids.len(), prompts[1].most), (4, 16, 1));
    }

    #[test]
    fn answers_are_rewarded_and_compared_with_their_group() {
        let answers = answers(&["answer:1", "tags:2..0.5@0.5"]);
        let prompt = || Prompt {
            ids: vec![1, 2],
            reference: "7".to_string(),
            opened: "<think>".to_string(),
            most: 40,
        };
        let said = |text: &str| Answer { tokens: answers.tokenizer.encode(text).unwrap(), end: Some(0) };
        let given = ["a</think><answer>7</answer>", "a</think><answer>8</answer>", "7", "7"].map(said);
        let judged = |over: f64, measured: bool| {
            answers.judged(&[prompt(), prompt()], &given, 2, over, measured).unwrap()
        };
        let found = judged(0.0, false);
        // The tag that the template opens stands before each answer.
        assert_eq!(found.by_rule, [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.125, 0.125]]);
        assert_eq!(found.rewards, [3.0, 2.0, 1.25, 1.25]);
        let one = (0.5 / (0.5 + 1e-4)) as f32;
        assert_eq!(found.advantages, [one, -one, 0.0, 0.0]);
        assert_eq!(judged(0.25, false).rewards, [2.25, 1.25, 1.156_25, 1.156_25], "halfway");
        let later = judged(0.9, true);
        assert_eq!((later.rewards[0], later.advantages.len()), (1.5, 0));
    }

    #[test]
    fn a_batch_becomes_groups_that_share_their_prompt() {
        let answers = answers(&["repetition"]);
        let (model, batch) = (model(&answers), batch(&answers));
        let to = |group: usize, seed: Option<u64>| {
            let mut random = seed.map(|seed| Random::new(seed, 1));
            pollster::block_on(answers.to(&batch, group, 0.0, random.as_mut(), &model)).unwrap()
        };
        let own = to(3, Some(1));
        assert_eq!((own.batch, own.group, own.members, own.own), (6, 3, 3, true));
        let prompts = answers.prompts(&batch, &[0]).unwrap();
        for row in 0..6 {
            let (prompt, start) = (&prompts[row / 3], row * own.seq);
            assert_eq!(own.inputs[start..][..prompt.ids.len()], prompt.ids);
            let counted: Vec<usize> =
                (0..own.seq).filter(|place| own.weights[start + place] != 0.0).collect();
            assert_eq!(counted.first(), Some(&(prompt.ids.len() - 1)), "row {row}");
            assert!(counted.len() <= prompt.most && counted.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
        let rollouts = own.rollouts.as_ref().unwrap();
        assert_eq!((rollouts.advantages.len(), rollouts.rewards.len(), rollouts.by_rule.len()), (6, 6, 1));
        assert_eq!(to(3, Some(1)), own, "the seed names what is said");
        assert_ne!(to(3, Some(2)).inputs, own.inputs);
        let greedy = to(1, None);
        assert_eq!((greedy.batch, greedy.rollouts.as_ref().unwrap().advantages.len()), (2, 0));
        assert_eq!(to(1, None), greedy);
        // What the answers were written with is what the model holds of them now.
        let known =
            pollster::block_on(answers.with_log_probs(own.clone(), &model, Noise::default(), 0)).unwrap();
        let old = known.rollouts.unwrap().old;
        let now = pollster::block_on(read(target_log_probs(&model, &own, 1.0))).unwrap();
        let counted = old.iter().zip(&own.weights).filter(|(_, weight)| **weight != 0.0);
        let apart = counted.zip(&now).map(|((old, _), now)| (old - now).abs()).fold(0.0, f32::max);
        assert!(old.len() == own.inputs.len() && apart < 1e-5, "{apart}");
    }
}
