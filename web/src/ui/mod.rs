//! The page: four tabs over the engine, `window.kindling`.
//!
//! Elements that tests look for carry these names as `id` and as `data-testid`; `*` marks those of list
//! entries, which carry them as `data-testid` only:
//!
//! | where | names |
//! |---|---|
//! | head | `device` (`data-kind`), `device-notice`, `model`, `lang-switch`, `message`, `crash`, `crash- |
//! | | restart` |
//! | tabs | `tab-chat`, `tab-teach`, `tab-adapters`, `tab-models`, and `panel-…` of each |
//! | chat | `chat-messages`, `chat-message`* (`data-role`), `chat-note`*, `chat-starter`*, `chat-input`, |
//! | | `chat-send`, `chat-stop`, `chat-clear`, `chat-tint`, `token`*, `token-popover`, `chat-edit`*, |
//! | | `chat-edit-input`*, `chat-edit-send`*, `chat-regenerate`*, `chat-delete`*, `chat-settings`, |
//! | | `chat-system`, `chat-temperature`, `chat-top-p`, `chat-top-k`, `chat-max-tokens`, `chat-seed`, |
//! | | `chat-repetition-penalty`, `chat-new`, `chat-others`, `chat-other`* |
//! | data | `teach-source-sample`, `teach-source-paste`, `teach-source-files`, `teach-name`, `teach-maker`, |
//! | | `teach-rows`, `teach-data` (the text field), `teach-files`, `teach-preview` (the button), |
//! | | `preview`, `preview-row`* |
//! | stage | `teach-stage`, `teach-stage-sft`, `teach-stage-pretrain`, `teach-stage-hint`, `teach-trained`, |
//! | | `teach-trained-lora`, `teach-trained-full`, `teach-trained-hint`, `teach- |
//! | | settings`, `teach-epochs`, `teach-steps`, `teach-batch-size`, `teach-learning-rate`, `teach- |
//! | | max-seq-len`, `teach-val-split`, `teach-rank`, `teach-alpha`, `teach-sample-prompt`, `teach- |
//! | | sample-every`, `teach-run-name`, `teach-plan` (`data-kind`), `teach-warnings`, `teach-start` |
//! | run | `teach-run`, `teach-status`, `teach-progress`, `teach-pause`, `teach-stop`, `teach-chart`, |
//! | | `teach-loss`, `teach-heldout`, `teach-samples`, `teach-sample`*, `teach-ask`, `teach-compare`, |
//! | | `teach-export`, `teach-export-hf`, `teach-export-run`, `teach-resume`, `teach-notes`, `teach- |
//! | | run-warnings`, `runs-banner`, `run-resume`*, `run-export`*, `run-discard`* |
//! | adapters | `adapter-list`, `adapter`* (`data-name`), `adapter-on`*, `adapter-base`*, |
//! | | `adapter-strength`*, `adapter- |
//! | | export`*, `adapter-remove`*, `adapter-name`, `adapter-files` |
//! | A/B | `ab-prompt`, `ab-run`, `ab-stop`, `ab-sampled`, `ab-base`, `ab-active` |
//! | models | `model-about`, `export-model`, `export-model-hf`, `model-name`, `model-keep`, `model-drop` |
//! | | (the file field), `model-url`, `model-url-hint`, `model-open`, `model-progress`, `model-abort`, |
//! | | `kept-list`, `kept-model`*, `model-open-kept`*, `kept-remove`*, `runs-list`, `saved-run`*, `run- |
//! | | resume-listed`*, `run-export`*, `run-discard`* |
//!
//! Buttons that delete models, runs and adapters act on their second press.

mod adapters;
mod answer;
mod app;
mod chart;
mod chat;
mod chat_panel;
mod compare;
mod dom;
mod drop;
mod engine;
mod header;
mod history;
mod learned;
mod leave;
mod lesson;
mod load;
mod models;
mod numbers;
mod page;
mod preview;
mod remarks;
mod run_panel;
mod slot;
mod speech;
mod storage;
mod tabs;
mod teach;
mod teach_data;
mod teach_settings;
mod tint;
mod training;
mod turn;
mod unfinished;
mod wake;

pub use page::open;
