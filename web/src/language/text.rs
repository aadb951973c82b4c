//! Every sentence of the page; `english.rs` and `chinese.rs` hold them.

use super::diffusion::DiffusionText;
use super::evaluate::EvaluateText;
use super::finer::FinerText;
use super::lessons::LessonsText;
use super::limits::LimitsText;
use super::rows::RowsText;
use super::served::ServedText;
use super::stages::StagesText;
use super::trained::TrainedText;
use crate::format::Units;

/// Picks a sentence of the language of now.
pub type Sentence = fn(&'static Text) -> &'static str;

/// All sentences in one language. `{}` stands for a value.
pub struct Text {
    /// How it counts and tells time.
    pub units: Units,
    /// The head of the page, the tabs, and words used everywhere.
    pub page: PageText,
    /// The chat tab.
    pub chat: ChatText,
    /// The tab where the model is taught.
    pub teach: TeachText,
    /// Questions and answers that are typed or pasted.
    pub rows: RowsText,
    /// Preferences, distillation, new models, and the numbers of a run.
    pub stages: StagesText,
    /// The finer settings of training.
    pub finer: FinerText,
    /// Numbers that a field does not take.
    pub limits: LimitsText,
    /// How diffusion models write, are made and learn.
    pub diffusion: DiffusionText,
    /// Lessons, and the comparison of many adapters.
    pub lessons: LessonsText,
    /// The trained examples that come with the page.
    pub trained: TrainedText,
    /// Models of the page's server.
    pub served: ServedText,
    /// Evaluations.
    pub evaluate: EvaluateText,
    /// The tab of adapters.
    pub adapters: AdaptersText,
    /// The tab of models and files.
    pub models: ModelsText,
}

/// The head of the page, the tabs, and words used everywhere.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct PageText {
    pub purpose: &'static str,
    pub switch: &'static str,
    pub looking: &'static str,
    pub processor: &'static str,
    pub fallback: &'static str,
    pub fallback_more: &'static str,
    pub no_webgpu: &'static str,
    pub no_adapter: &'static str,
    pub opening: &'static str,
    pub no_model: &'static str,
    pub model: &'static str,
    pub crashed: &'static str,
    pub restart: &'static str,
    pub tab_chat: &'static str,
    pub tab_teach: &'static str,
    pub tab_adapters: &'static str,
    pub tab_models: &'static str,
    pub close: &'static str,
    pub cancel: &'static str,
    pub remove: &'static str,
    pub sure: &'static str,
    pub export: &'static str,
    pub no_engine: &'static str,
    pub odd_answer: &'static str,
    pub no_room: &'static str,
    pub leave_run: &'static str,
    pub field: &'static str,
    pub fix_rows: &'static str,
}

/// The chat tab.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct ChatText {
    pub welcome: &'static str,
    pub ask: &'static str,
    pub teach: &'static str,
    pub teach_hint: &'static str,
    pub starter_1: &'static str,
    pub starter_2: &'static str,
    pub starter_3: &'static str,
    pub private: &'static str,
    pub no_template: &'static str,
    pub placeholder: &'static str,
    pub send: &'static str,
    pub stop: &'static str,
    pub clear: &'static str,
    pub renew: &'static str,
    pub others: &'static str,
    pub in_other_tab: &'static str,
    pub tint: &'static str,
    pub settings: &'static str,
    pub system: &'static str,
    pub temperature: &'static str,
    pub top_p: &'static str,
    pub top_k: &'static str,
    pub max_tokens: &'static str,
    pub seed: &'static str,
    pub repetition: &'static str,
    pub random: &'static str,
    pub you: &'static str,
    pub model: &'static str,
    pub edit: &'static str,
    pub send_edited: &'static str,
    pub regenerate: &'static str,
    pub delete: &'static str,
    pub thinking: &'static str,
    pub thought: &'static str,
    pub tokens: &'static str,
    pub speed: &'static str,
    pub dropped: &'static str,
    pub limit: &'static str,
    pub stopped: &'static str,
}

/// The tab where the model is taught.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct TeachText {
    pub lead: &'static str,
    pub data: &'static str,
    pub source_sample: &'static str,
    pub source_files: &'static str,
    pub sample_hint: &'static str,
    pub name: &'static str,
    pub maker: &'static str,
    pub sample_name: &'static str,
    pub sample_maker: &'static str,
    pub drop: &'static str,
    pub encoding: &'static str,
    pub begin: &'static str,
    pub more_ways: &'static str,
    pub stage: &'static str,
    pub sft: &'static str,
    pub pretrain: &'static str,
    pub sft_hint: &'static str,
    pub pretrain_hint: &'static str,
    pub trained: &'static str,
    pub lora: &'static str,
    pub full: &'static str,
    pub lora_hint: &'static str,
    pub full_hint: &'static str,
    pub settings: &'static str,
    pub epochs: &'static str,
    pub steps: &'static str,
    pub min_steps: &'static str,
    pub low_loss: &'static str,
    pub keep_share: &'static str,
    pub batch: &'static str,
    pub rate: &'static str,
    pub length: &'static str,
    pub held_out: &'static str,
    pub rank: &'static str,
    pub alpha: &'static str,
    pub sample_prompt: &'static str,
    pub sample_every: &'static str,
    pub automatic: &'static str,
    pub run_name: &'static str,
    pub question: &'static str,
    pub preview: &'static str,
    pub previewed: &'static str,
    pub target: &'static str,
    pub context: &'static str,
    pub line: &'static str,
    pub cut: &'static str,
    pub goes_on: &'static str,
    pub odd_rows: &'static str,
    pub empty_document: &'static str,
    pub empty_turn: &'static str,
    pub ends_on_user: &'static str,
    pub ends_on_tool: &'static str,
    pub no_trained_turn: &'static str,
    pub weight_without_effect: &'static str,
    pub unused_keys: &'static str,
    pub unused_key: &'static str,
    pub key_of_message: &'static str,
    pub other_keys: &'static str,
    pub list_comma: &'static str,
    pub on_both_sides: &'static str,
    pub needs_model: &'static str,
    pub needs_data: &'static str,
    pub plan: &'static str,
    pub start: &'static str,
    pub run: &'static str,
    pub progress: &'static str,
    pub preparing: &'static str,
    pub pause: &'static str,
    pub resume: &'static str,
    pub stop: &'static str,
    pub busy: &'static str,
    pub loss: &'static str,
    pub held_out_loss: &'static str,
    pub axis_loss: &'static str,
    pub axis_step: &'static str,
    pub chart_empty: &'static str,
    pub chart_begun: &'static str,
    pub chart_fell: &'static str,
    pub chart_rose: &'static str,
    pub chart_held_out: &'static str,
    pub at_step: &'static str,
    pub speed: &'static str,
    pub left: &'static str,
    pub paused: &'static str,
    pub going_on: &'static str,
    pub samples: &'static str,
    pub sample_at: &'static str,
    pub saved: &'static str,
    pub done: &'static str,
    pub stopped: &'static str,
    pub done_low: &'static str,
    pub ended_loss: &'static str,
    pub kept_as: &'static str,
    pub ask: &'static str,
    pub more: &'static str,
    pub learned: &'static str,
    pub learned_not_all: &'static str,
    pub asked_some: &'static str,
    pub right: &'static str,
    pub wrong: &'static str,
    pub before: &'static str,
    pub after: &'static str,
    pub expected: &'static str,
    pub compare: &'static str,
    pub export: &'static str,
    pub export_run: &'static str,
    pub unfinished: &'static str,
    pub interrupted: &'static str,
    pub discard: &'static str,
}

/// The tab of adapters.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct AdaptersText {
    pub title: &'static str,
    pub hint: &'static str,
    pub none: &'static str,
    pub about: &'static str,
    pub of: &'static str,
    pub of_other: &'static str,
    pub not_kept: &'static str,
    pub on_again: &'static str,
    pub unnamed: &'static str,
    pub strength: &'static str,
    pub export: &'static str,
    pub import: &'static str,
    pub name: &'static str,
    pub drop: &'static str,
    pub compare: &'static str,
    pub compare_hint: &'static str,
    pub prompt: &'static str,
    pub run: &'static str,
    pub sampled: &'static str,
    pub base: &'static str,
}

/// The tab of models and files.
#[allow(missing_docs, reason = "the English sentence says what each is")]
pub struct ModelsText {
    pub open_model: &'static str,
    pub about: &'static str,
    pub export: &'static str,
    pub export_hf: &'static str,
    pub export_gguf: &'static str,
    pub gguf_weights: &'static str,
    pub f16: &'static str,
    pub gguf_q8_0: &'static str,
    pub gguf_q4_0: &'static str,
    pub export_hint: &'static str,
    pub name: &'static str,
    pub keep: &'static str,
    pub is_kept: &'static str,
    pub is_open: &'static str,
    pub title: &'static str,
    pub weights: &'static str,
    pub weights_hint: &'static str,
    pub f32: &'static str,
    pub q8_0: &'static str,
    pub q4_0: &'static str,
    pub drop: &'static str,
    pub url: &'static str,
    pub url_hint: &'static str,
    pub open: &'static str,
    pub loading: &'static str,
    pub kept: &'static str,
    pub runs: &'static str,
    pub run_about: &'static str,
    pub none: &'static str,
}
