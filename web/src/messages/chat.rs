//! Answers and scores: in the shape of OpenAI's API, and as the command line prints them.

use super::diffusion::UnmaskStep;

messages! {
    /// A message of a conversation.
    struct Message {
        /// Who says it.
        role: String as "\"system\" | \"user\" | \"assistant\"",
        /// Its text.
        content: String,
    }

    /// Why an answer ended: by itself or at a stop text, or at the most tokens that it may have.
    enum FinishReason {
        /// By itself, or at a stop text.
        Stop = "stop",
        /// At the most tokens that it may have.
        Length = "length",
    }

    /// A token of an answer and how likely it was; what is impossible has no log-probability.
    struct TokenLogprob {
        /// Its text.
        token: String,
        /// Its id.
        id: u32,
        /// The natural logarithm of its probability.
        logprob: Option<f64>,
        /// The most likely tokens.
        top_logprobs: Vec<Alternative>,
    }

    /// A token that might have come.
    struct Alternative {
        /// Its text.
        token: String,
        /// Its id.
        id: u32,
        /// The natural logarithm of its probability.
        logprob: Option<f64>,
    }

    /// The tokens of an answer or of a part of it.
    struct Logprobs {
        /// One after the other.
        content: Vec<TokenLogprob>,
    }

    /// A part of an answer.
    struct ChatChunk {
        /// The answer's id; all of its parts have it.
        id: String,
        /// Which kind of object it is.
        object: String as "\"chat.completion.chunk\"",
        /// When the answer began, in seconds since 1970.
        created: f64,
        /// The name of the model.
        model: String,
        /// The one answer.
        choices: [ChunkChoice; 1],
        /// On the last chunk.
        usage: Option<Usage> = "Option::is_none",
        /// On a chunk without text: what a step of a masked predictor changed.
        unmasked: Option<UnmaskStep> = "Option::is_none",
    }

    /// The one answer's part.
    struct ChunkChoice {
        /// Its place.
        index: u32 as "0",
        /// What it adds.
        delta: Delta,
        /// Its tokens, where they were asked for.
        logprobs: Option<Logprobs>,
        /// Why the answer ended, on the last chunk.
        finish_reason: Option<FinishReason>,
    }

    /// What a chunk adds.
    struct Delta {
        /// Who speaks, on the first chunk.
        role: Option<String> as "\"assistant\"" = "Option::is_none",
        /// More of the text.
        content: Option<String> = "Option::is_none",
    }

    /// A whole answer.
    struct ChatCompletion {
        /// Its id.
        id: String,
        /// Which kind of object it is.
        object: String as "\"chat.completion\"",
        /// When it began, in seconds since 1970.
        created: f64,
        /// The name of the model.
        model: String,
        /// The one answer.
        choices: [ChatChoice; 1],
        /// What it took.
        usage: Usage,
    }

    /// The one answer.
    struct ChatChoice {
        /// Its place.
        index: u32 as "0",
        /// What was said.
        message: Message,
        /// Its tokens, where they were asked for.
        logprobs: Option<Logprobs>,
        /// Why it ended.
        finish_reason: FinishReason,
    }

    /// What an answer took.
    struct Usage {
        /// Tokens of the conversation.
        prompt_tokens: u32,
        /// Tokens of the answer.
        completion_tokens: u32,
        /// Both.
        total_tokens: u32,
        /// Speed; none where a single token came out.
        tokens_per_second: Option<f64>,
        /// Oldest messages that did not fit the context.
        dropped_messages: u32,
    }

    /// What the worker says at the end of an answer; kindling.js makes a chunk or a completion of it.
    struct ChatAnswer {
        /// All of the text.
        text: String,
        /// Why it ended.
        finish_reason: FinishReason,
        /// Tokens of the conversation.
        prompt_tokens: u32,
        /// Tokens of the answer.
        completion_tokens: u32,
        /// Speed; none where a single token came out.
        tokens_per_second: Option<f64>,
        /// Oldest messages that did not fit the context.
        dropped_messages: u32,
    }

    /// What was generated, as `kindling generate --json` prints it.
    struct Generation {
        /// The ids that were continued.
        prompt_tokens: Vec<u32>,
        /// The new ids, without the end-of-sequence token; those of a stop text are among them.
        tokens: Vec<u32>,
        /// The new text, without stop text and special tokens.
        text: String,
        /// Why it ended.
        finish_reason: FinishReason,
        /// Ids of the prompt that were fed per second.
        prefill_tokens_per_second: Option<f64>,
        /// New ids per second; none where a single token came out.
        decode_tokens_per_second: Option<f64>,
    }

    /// How likely a text is, as `kindling score --json` prints it.
    struct Score {
        /// Its ids.
        tokens: Vec<u32>,
        /// The natural logarithm of each token's probability; null for the first, which nothing predicts.
        logprobs: Vec<Option<f64>>,
        /// The sum of the negative log-probabilities, in nats; null where it is not finite.
        nll: Option<f64>,
        /// How many tokens were predicted.
        tokens_scored: u32,
        /// Bits per byte of the predicted text; null where its bytes are not known.
        bits_per_byte: Option<f64>,
        /// The logits of the last position, where they were asked for.
        logits: Option<Vec<f32>> = "Option::is_none",
    }

    /// How likely a text is to a masked predictor, as `kindling score --json` prints it.
    struct MaskedScore {
        /// Its ids.
        tokens: Vec<u32>,
        /// The negative log-likelihood of all but the first, in nats; null where it is not finite.
        nll: Option<f64>,
        /// Whether that is an upper bound, which the average over hidden parts is.
        nll_is_bound: bool,
        /// By how much the average may be off; null where that is not known.
        nll_standard_error: Option<f64>,
        /// How often parts of the text were hidden.
        mc: u32,
        /// How many tokens were predicted.
        tokens_scored: u32,
        /// Bits per byte of the predicted text; null where its bytes are not known.
        bits_per_byte: Option<f64>,
    }
}
