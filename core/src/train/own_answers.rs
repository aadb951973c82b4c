//! Batches whose answers the model writes itself, at the very step that learns from them (on-policy): the prompts are the
//! data's, of conversations what stands before an answer, of texts their beginnings.

use super::{BatchSource, Pending, TrainConfig};
use crate::batch::{Batch, Content, LoaderState, row_length};
use crate::error::Result;
use crate::loss::OwnAnswers;
use crate::model::Transformer;
use crate::random::Random;
use crate::sample::{Flow, GenerationRequest, SamplingConfig, SideBySide, UnmaskConfig, generate_together};

/// Keeps the drawing of answers apart from other uses of the seed.
const STREAM: u64 = 0x6f77_6e61_6e73;
/// Bytes that the keys and values of the answers of a batch may take.
const CACHE: u64 = 1 << 30;

/// A supply of which some batches come with other answers.
pub(super) struct WithOwnAnswers {
    batches: Box<dyn BatchSource>,
    own: OwnAnswers,
    /// What the rows are.
    content: Content,
    seed: u64,
    /// Tokens that a row may have.
    seq_len: usize,
}

/// Random numbers of the batch behind which a supply stands: its place names them, so that a run that goes on draws what
/// it would have drawn. `stream` keeps them apart from other uses of the seed.
pub(super) fn random_of(state: &LoaderState, seed: u64, stream: u64) -> Random {
    let stream = state.place().into_iter().fold(stream, |stream, part| Random::new(part, stream).next_u64());
    Random::new(seed, stream)
}

/// What is answered.
struct Prompt {
    ids: Vec<u32>,
    /// How much the answer's tokens count: as much as those of the data that it replaces.
    weight: f32,
}

impl WithOwnAnswers {
    /// The supply with answers to prompts of rows of this content, for a run of these settings.
    pub(super) fn new(
        batches: Box<dyn BatchSource>,
        own: OwnAnswers,
        content: Content,
        config: &TrainConfig,
    ) -> Self {
        Self { batches, own, content, seed: config.seed, seq_len: config.max_seq_len }
    }

    /// The prompts of a batch with answers of the model, as it is now.
    async fn answered(&self, batch: Batch, model: &Transformer, random: &mut Random) -> Result<Batch> {
        let prompts = prompts(&batch, self.content, random);
        if prompts.is_empty() {
            return Ok(batch);
        }
        let answers = self.answers(&prompts, model, random).await?;
        let longest = prompts.iter().zip(&answers).map(|(prompt, answer)| prompt.ids.len() + answer.len());
        let seq = row_length(longest.max().unwrap_or(1), self.seq_len);
        let mut own = Batch { origins: batch.origins, own: true, ..Batch::new(seq) };
        for (Prompt { ids, weight }, answer) in prompts.into_iter().zip(answers) {
            let weights = [vec![0.0; ids.len()], vec![weight; answer.len() + 1]].concat();
            // What stands behind the answer is told by the teacher; which token stands there is not looked at.
            let ids = [ids, answer, vec![0]].concat();
            own.push(&ids, &weights, &vec![1; ids.len()]);
        }
        Ok(own)
    }

    /// An answer to each prompt, none where a row has no room for one: drawn from the model's own distribution, whatever
    /// its settings for chat are.
    async fn answers(
        &self,
        prompts: &[Prompt],
        model: &Transformer,
        random: &mut Random,
    ) -> Result<Vec<Vec<u32>>> {
        let config = |prompt: &Prompt| SamplingConfig {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: random.next_u64(),
            max_new_tokens: self.own.max_new_tokens.min(self.seq_len.saturating_sub(prompt.ids.len())),
            ..SamplingConfig::default()
        };
        let configs: Vec<SamplingConfig> = prompts.iter().map(config).collect();
        let (mut numbers, mut requests) = (Vec::new(), Vec::new());
        for (number, (prompt, config)) in prompts.iter().zip(&configs).enumerate() {
            if config.max_new_tokens > 0 {
                let end_ids = &model.config().eos_token_ids;
                numbers.push(number);
                requests.push(GenerationRequest {
                    prompt: &prompt.ids,
                    reuse: 0,
                    end_ids,
                    tokenizer: None,
                    config,
                    unmask: UnmaskConfig::default(),
                });
            }
        }
        let mut answers = vec![Vec::new(); prompts.len()];
        let limit = SideBySide { rows: requests.len(), cache_bytes: CACHE };
        let mut on_done = |request: usize, generation: crate::sample::Generation| {
            answers[numbers[request]] = generation.tokens;
            Ok(())
        };
        generate_together(model, &requests, limit, &mut || Flow::Continue, &mut on_done).await?;
        Ok(answers)
    }
}

/// Of each example the tokens before one of its answers, drawn where there are several; of a text the tokens before any of
/// its targets, so that its beginning is as likely to be short as long.
fn prompts(batch: &Batch, content: Content, random: &mut Random) -> Vec<Prompt> {
    let mut prompts = Vec::new();
    for row in 0..batch.batch {
        let places: Vec<usize> = (row * batch.seq..(row + 1) * batch.seq).collect();
        for example in places.chunk_by(|&a, &b| batch.segments[a] == batch.segments[b]) {
            let counts = |place: usize| batch.weights[place] != 0.0;
            let begins = |&&place: &&usize| {
                let goes_on = content != Content::Documents && place != example[0] && counts(place - 1);
                counts(place) && !goes_on
            };
            let answers: Vec<usize> = example.iter().filter(begins).copied().collect();
            if batch.segments[example[0]] == 0 || answers.is_empty() {
                continue;
            }
            let last = *random.choose(&answers);
            prompts
                .push(Prompt { ids: batch.inputs[example[0]..=last].to_vec(), weight: batch.weights[last] });
        }
    }
    prompts
}

impl BatchSource for WithOwnAnswers {
    fn next<'a>(&'a mut self, model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async {
            let Some(batch) = self.batches.next(model).await? else { return Ok(None) };
            let mut random = random_of(&self.batches.state(), self.seed, STREAM);
            match random.uniform() < self.own.share {
                true => self.answered(batch, model, &mut random).await.map(Some),
                false => Ok(Some(batch)),
            }
        })
    }

    fn state(&self) -> LoaderState {
        self.batches.state()
    }

    fn ended(&mut self) -> bool {
        self.batches.ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelConfig, tiny};
    use burn::tensor::Device;

    /// The same batch again and again.
    struct Same(Batch, u64);

    impl BatchSource for Same {
        fn next<'a>(&'a mut self, _model: &'a Transformer) -> Pending<'a, Option<Batch>> {
            self.1 += 1;
            Box::pin(async { Ok(Some(self.0.clone())) })
        }

        fn state(&self) -> LoaderState {
            let mut state = LoaderState::default();
            state.position = self.1;
            state
        }
    }

    fn model() -> Transformer {
        let config = ModelConfig { eos_token_ids: vec![0], ..tiny(32) };
        Transformer::init(&config, 5, &Device::flex()).unwrap()
    }

    /// Two examples in a row, of which the second has two answers, and one that fills a row up to its last token.
    fn batch() -> Batch {
        let mut batch = Batch::new(8);
        let ids = [1, 2, 3, 11, 12, 13, 14, 15, 16];
        batch.push(&ids, &[0.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.0, 2.0, 2.0], &[1, 1, 1, 2, 2, 2, 2, 2, 2]);
        batch.push(&[4; 9], &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], &[1; 9]);
        batch
    }

    fn source(share: f64, position: u64) -> WithOwnAnswers {
        let own = OwnAnswers { share, max_new_tokens: 3 };
        let batches = Box::new(Same(batch(), position));
        WithOwnAnswers { batches, own, content: Content::Conversations, seed: 7, seq_len: 8 }
    }

    fn next(source: &mut WithOwnAnswers, model: &Transformer) -> Batch {
        pollster::block_on(source.next(model)).unwrap().unwrap()
    }

    #[test]
    fn a_prompt_ends_before_one_of_the_answers() {
        let mut seconds = Vec::new();
        for seed in 0..20 {
            let found = prompts(&batch(), Content::Conversations, &mut Random::new(seed, 0));
            let ids: Vec<&[u32]> = found.iter().map(|prompt| prompt.ids.as_slice()).collect();
            assert_eq!((ids.len(), ids[0], found[0].weight), (3, &[1, 2][..], 0.5));
            assert_eq!((ids[2], found[2].weight), (&[4; 8][..], 1.0));
            assert!([(&[11][..], 1.0), (&[11, 12, 13, 14][..], 2.0)].contains(&(ids[1], found[1].weight)));
            seconds.push(ids[1].len());
        }
        assert!(seconds.contains(&1) && seconds.contains(&4), "{seconds:?}");
    }

    #[test]
    fn a_text_is_gone_on_with_from_any_of_its_places() {
        let mut texts = Batch::new(6);
        texts.push(&[1, 2, 3, 11, 12, 13], &[1.0; 6], &[1, 1, 1, 2, 2, 2]);
        let mut lengths = [[0; 4]; 2];
        for seed in 0..60 {
            let found = prompts(&texts, Content::Documents, &mut Random::new(seed, 0));
            assert_eq!(found.len(), 2, "one for each text of a packed row");
            for (text, (prompt, ids)) in found.iter().zip([[1, 2, 3], [11, 12, 13]]).enumerate() {
                assert_eq!((&prompt.ids[..], prompt.weight), (&ids[..prompt.ids.len()], 1.0));
                lengths[text][prompt.ids.len()] += 1;
            }
        }
        assert!(lengths[0][1..3].iter().all(|&count| count > 10), "as often short as long: {lengths:?}");
        assert!(lengths[1][1..3].iter().all(|&count| count > 10), "{lengths:?}");
    }

    #[test]
    fn rows_hold_a_prompt_an_answer_and_what_ends_it() {
        let model = model();
        let own = next(&mut source(1.0, 0), &model);
        assert!(own.own && own.batch == 3 && own.seq <= 16);
        for (row, prompt) in [(0, &[1, 2][..]), (2, &[4; 8][..])] {
            let tokens = &own.segments[row * own.seq..][..own.seq];
            let read = tokens.iter().filter(|segment| **segment != 0).count();
            assert_eq!(&own.inputs[row * own.seq..][..prompt.len()], prompt);
            let counted: Vec<usize> =
                (0..own.seq).filter(|&place| own.weights[row * own.seq + place] != 0.0).collect();
            assert_eq!(counted.first(), Some(&(prompt.len() - 1)));
            assert!(counted.len() <= 4 && counted.windows(2).all(|pair| pair[1] == pair[0] + 1));
            assert!(read <= 9, "{read}");
        }
        let full = &own.weights[2 * own.seq..][..own.seq];
        assert_eq!(full.iter().sum::<f32>(), 1.0, "a row without room has what stands behind its prompt");
    }

    #[test]
    fn where_the_supply_stands_names_the_answers() {
        let model = model();
        let mut whole = source(0.5, 0);
        let batches: Vec<Batch> = (0..12).map(|_| next(&mut whole, &model)).collect();
        let own = batches.iter().filter(|batch| batch.own).count();
        assert!((2..=10).contains(&own), "about half of them: {own}");
        let mut resumed = source(0.5, 5);
        for batch in &batches[5..] {
            assert_eq!(&next(&mut resumed, &model), batch);
        }
        assert!(batches.iter().filter(|batch| !batch.own).all(|given| *given == batch()));
    }
}
