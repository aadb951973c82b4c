//! Runs: what they learn, what they need, what they tell, and how they end.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::chat::TokenLogprob;
use super::diffusion::UnmaskedToken;
use super::told::Told;

messages! {
    /// What is learned. Where one is asked for, "lora" stands for "sft" with an adapter.
    enum Stage {
        /// Texts.
        Pretrain = "pretrain",
        /// The assistant's answers in conversations.
        Sft = "sft",
        /// Which of two answers is better.
        Dpo = "dpo",
        /// What a teacher would say.
        Distill = "distill",
        /// Answers that think first, between tags.
        Reason = "reason",
        /// Answers of its own that rules reward.
        Grpo = "grpo",
    }

    /// What the worker tells before a call's end, and at it; a number that is not finite is null.
    union EngineEvent {
        /// A token of an answer came.
        Token = "token" {
            /// The text that became final with it.
            text: String,
            /// How likely it was, where that was asked for.
            logprob: Option<TokenLogprob> = "Option::is_none",
        },
        /// A text with holes is about to be filled.
        Canvas = "canvas" {
            /// By place the text of the token that stands there; null where one is missing.
            given: Vec<Option<String>>,
        },
        /// A step filled masks of an answer.
        Unmasked = "unmasked" {
            /// Its number, from 1.
            step: u32,
            /// Of so many.
            steps: u32,
            /// What it filled, at most 128 tokens; a step that fills more comes in parts of the same number.
            filled: Vec<UnmaskedToken>,
            /// Tokens in all: of the answer, or of the whole text where holes are filled.
            canvas_length: u32,
        },
        /// So much of a download is here.
        Loaded = "loaded" {
            /// In bytes.
            loaded: f64,
            /// Of so many, where that is known.
            total: Option<f64>,
        },
        /// Questions of an evaluation were asked.
        Evaluating = "evaluating" {
            /// So many.
            done: f64,
            /// Of so many.
            total: f64,
            /// Of which model, from 1.
            model: u32,
            /// Of so many.
            models: u32,
        },
        /// A run stands and begins.
        Started = "started" {
            /// Its id.
            id: String,
            /// What it will need.
            plan: Plan,
        },
        /// Steps were taken.
        Step = "step" {
            /// So many in all.
            step: f64,
            /// Mean loss since the last report, in nats per target.
            loss: Option<f64>,
            /// The last step's learning rate.
            lr: f64,
            /// The last step's gradient norm, before clipping.
            grad_norm: Option<f64>,
            /// Tokens read since the run began.
            tokens: f64,
            /// Speed since the last report.
            tokens_per_second: Option<f64>,
            /// Seconds since this run began or went on.
            elapsed_s: Option<f64>,
            /// What else the objective reports, by name: `reward_margin`, `reward_accuracy`, `kd_loss`, …
            metrics: BTreeMap<String, Option<f64>> = "BTreeMap::is_empty",
            /// Of a mixture of experts each expert's share of the tokens since the last report, layer by layer, as a multiple
            /// of an even share.
            expert_load: Vec<Vec<f64>> = "Vec::is_empty",
        },
        /// The held-out loss was measured.
        Eval = "eval" {
            /// After so many steps.
            step: f64,
            /// In nats per target.
            loss: Option<f64>,
            /// The same for a byte of text.
            bits_per_byte: Option<f64>,
            /// Whether it is the lowest so far.
            best: bool,
            /// What else the objective reports, by name.
            metrics: BTreeMap<String, Option<f64>> = "BTreeMap::is_empty",
        },
        /// The question was answered.
        Sample = "sample" {
            /// After so many steps.
            step: f64,
            /// The question.
            prompt: String,
            /// The answer.
            text: String,
        },
        /// The run was saved.
        Save = "save" {
            /// After so many steps.
            step: f64,
        },
        /// Something to know.
        Warning = "warning" {
            /// What it says, in a word.
            code: String,
            /// What stands in it, by name.
            values: Map<String, Value> as "Record<string, ToldValue>",
            /// The sentence in English.
            message: String,
        },
        /// The end, with the call's result.
        Done = "done" {
            /// As the call has it.
            result: Value,
        },
        /// The end, with what went wrong.
        Failed = "failed" {
            /// What it says, in a word.
            code: String,
            /// What stands in it, by name.
            values: Map<String, Value> as "Record<string, ToldValue>",
            /// The sentence in English.
            message: String,
        },
    }

    /// What a run will need.
    struct Plan {
        /// The model's weights.
        parameters: f64,
        /// Those that train.
        trained: f64,
        /// Memory.
        bytes: f64,
        /// Optimizer steps.
        steps: f64,
        /// Tokens, at most.
        tokens: f64,
        /// Time, from the speed of a bare product; null where only the run's own speed can tell.
        seconds: Option<f64>,
        /// Rows of the data.
        rows: f64,
        /// What is odd about the data and the run, a sentence each.
        warnings: Vec<String>,
        /// What is odd about the data, counted.
        report: DataReport,
        /// Of the warnings those that are not in the report.
        notes: Vec<Told>,
    }

    /// How many rows, and where the first of them stands.
    struct RowCount {
        /// So many.
        rows: f64,
        /// The first of them, as `file:line`.
        first: String,
    }

    /// What the data holds. `rows` = `usable` + `bad` + `filtered` + `duplicates`.
    struct DataReport {
        /// Rows found.
        rows: f64,
        /// Rows that are used.
        usable: f64,
        /// Of them texts.
        documents: f64,
        /// Of them conversations.
        conversations: f64,
        /// Rows that cannot be used.
        bad: f64,
        /// The first five of them, as `file:line: reason`.
        bad_rows: Vec<String>,
        /// Rows left out because they are too short or too long.
        filtered: f64,
        /// Rows left out because an equal one stands before them.
        duplicates: f64,
        /// Usable rows that are odd, by kind: `empty_document`, `empty_turn`, `ends_on_user`, `ends_on_tool`,
        /// `no_trained_turn`, `weight_without_effect`, `joined_without_weights`, `joined_without_tools`,
        /// `rendered_without_weights`.
        warnings: BTreeMap<String, RowCount>,
        /// Keys that hold something which nothing reads, the first 64 of them; `more_unused` counts rows with others.
        unused_keys: BTreeMap<String, RowCount>,
        /// Rows with other such keys.
        more_unused: f64,
        /// Held-out rows that equal one that is trained on.
        on_both_sides: Option<RowCount>,
        /// The texts of all usable rows, in bytes of UTF-8.
        bytes_of_text: f64,
    }

    /// How a run ended.
    struct RunEnd {
        /// Its id.
        id: String,
        /// Steps taken.
        step: f64,
        /// Steps planned.
        total_steps: f64,
        /// Whether it was stopped before its last step.
        stopped: bool,
        /// The last held-out loss, where one was measured.
        heldout_loss: Option<f64>,
        /// The adapter that it gave. It is the one that acts now, unless another model was opened meanwhile. It has the
        /// name that was asked for, with a number behind it where that was taken.
        adapter: Option<String> = "Option::is_none",
        /// The model that a run without an adapter gave, named likewise.
        model: Option<String> = "Option::is_none",
        /// Whether what it gave is kept in this browser.
        kept: bool,
        /// Whether a whole pass over the rows had a loss under `stop-at-loss`, which ended it.
        learned: bool,
        /// The lesson's own questions, asked before and after; null where there are none.
        lesson: Option<Lesson>,
    }

    /// What was asked before a run and after it.
    struct Lesson {
        /// Rows that are trained on.
        rows: f64,
        /// By which rule an answer is right.
        judged: Judged,
        /// At most 8 of them, spread evenly; fewer where asking takes long.
        answers: Vec<Answered>,
        /// The request's questions that none of these rows asks; fewer where asking takes long.
        asked: Vec<Asked>,
        /// Where preferences were learned at most 8 of their rows, likewise.
        pairs: Vec<Weighed> = "Vec::is_empty",
    }

    /// By which rule an answer to a row is right: it is the row's, spaces around it aside; what stands between its tags is
    /// that of the row's; or the rule `answer` rewards it.
    enum Judged {
        /// It is the row's.
        Letters = "letters",
        /// What stands between its tags is that of the row's.
        Tags = "tags",
        /// The rule `answer` rewards it.
        Reward = "reward",
    }

    /// A row of two answers: how likely the model holds each, and what it says itself.
    struct Weighed {
        /// The last message that is answered.
        question: String,
        /// The better answer.
        chosen: String,
        /// The worse one.
        rejected: String,
        /// The log-probabilities of the better and the worse answer before the run, summed over their tokens, in nats.
        before: [f64; 2],
        /// Those of what the run gave.
        after: [f64; 2],
        /// The most likely answer before the run.
        said_before: String,
        /// That of what the run gave.
        said_after: String,
    }

    /// A row's question with the most likely answers.
    struct Answered {
        /// The last message that is answered.
        question: String,
        /// The row's answer.
        expected: String,
        /// That of the model before the run.
        before: String,
        /// That of what the run gave.
        after: String,
        /// Whether it is right.
        right: bool,
    }

    /// A question of the request with the most likely answers.
    struct Asked {
        /// The question.
        question: String,
        /// The answer of the model before the run.
        before: String,
        /// That of what the run gave.
        after: String,
    }

    /// A run that can go on.
    struct SavedRun {
        /// Its id.
        id: String,
        /// What is learned; null where what it began with is damaged.
        stage: Option<Stage>,
        /// Whether an adapter learns it.
        adapter: bool,
        /// The name of what comes of it.
        name: String,
        /// The name of the model that it began with.
        model: String,
        /// That of the last save which is whole; 0 where it begins anew.
        step: f64,
        /// Steps planned.
        total_steps: f64,
        /// Files of it that were cut short or damaged, and how; it goes on from what is whole.
        damaged: Vec<Told> = "Vec::is_empty",
    }

    /// What a server that trains tells of its runs.
    struct ServedRuns {
        /// The id of the run that goes on; null where none does.
        running: Option<String>,
        /// Whether that one pauses.
        paused: bool,
        /// Those that are kept there.
        runs: Vec<SavedRun>,
        /// Models that a run may begin with; the first is the default.
        models: Vec<String>,
        /// The most bytes of a request.
        most_bytes: f64,
    }

    /// Rows as the model sees them.
    struct Preview {
        /// The first of them.
        rows: Vec<PreviewRow>,
        /// So many are in the data.
        total: f64,
        /// What is odd about the data and the settings, a sentence each.
        warnings: Vec<String>,
        /// What is odd about the data, counted.
        report: DataReport,
        /// Of the warnings those that are not in the report.
        notes: Vec<Told>,
    }

    /// A row as the model sees it.
    struct PreviewRow {
        /// Its line.
        line: f64,
        /// Its tokens, as many as fit.
        tokens: Vec<PreviewToken>,
        /// Whether its end is lost.
        cut: bool,
        /// Further rows of training that a long text goes on in.
        more: f64,
    }

    /// A token of such a row.
    struct PreviewToken {
        /// Its text.
        text: String,
        /// Its id.
        id: u32,
        /// Whether the model is trained to say it.
        target: bool,
    }
}
