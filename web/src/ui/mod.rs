//! The page: four tabs over the engine, `window.kindling`.
//!
//! Elements that tests look for carry these names as `id` and as `data-testid`; `*` marks those of list
//! entries, which carry them as `data-testid` only:
//!
//! | where | names |
//! |---|---|
//! | head | `device` (`data-kind`), `device-notice`, `device-notice-close`, `model`, `new-chat`, `lang- |
//! | | switch`, `message`, `crash`, `crash-restart` |
//! | tabs | `tab-chat`, `tab-teach`, `tab-adapters`, `tab-models`, and `panel-…` of each |
//! | chat | `chat-messages`, `chat-message`* (`data-role`), `chat-note`*, `chat-starter`*, `chat-teach`*, `chat-private`, `chat-input`, |
//! | | `chat-send`, `chat-stop`, `chat-clear`, `chat-tint`, `token`*, `token-popover`, `chat-edit`*, |
//! | | `chat-edit-input`*, `chat-edit-send`*, `chat-regenerate`*, `chat-delete`*, `chat-settings`, |
//! | | `chat-system`, `chat-temperature`, `chat-top-p`, `chat-top-k`, `chat-max-tokens`, `chat-seed`, |
//! | | `chat-repetition-penalty`, `chat-others`, `chat-other`* |
//! | diffusion | `chat-hole-hint`, `chat-steps`, `chat-block-length`, `chat-remasking`, `chat-cfg-scale`, |
//! | | `chat-threshold`, `chat-hole-tokens`, `chat-progress`*, `chat-filled`*, `chat-written`*, `chat-scrub`*, |
//! | | `chat-play`*, `chat-orders`*, `chat-step`*, `convert`, `convert-begin`, `convert-status`, `convert-is`, |
//! | | `convert-teach`, `convert-more`, `convert-name`, `convert-block-length`, `convert-shift`, |
//! | | `teach-trained-attention`, `teach-objective`, `teach-only-causal`, `teach-loss-weight`, `teach-t-from`, |
//! | | `teach-t-to` |
//! | lessons | `lesson`* (`data-name`, of the gallery), `lesson-file`, `lesson-shown`, `lesson-title`, `lesson- |
//! | | remarks`, `lesson-make`, `lesson-name`, `lesson-text`, `lesson-questions`, `lesson-save`, `lesson- |
//! | | print`, `lesson-language`, `lesson-close`, `lesson-link-lesson`, `lesson-link-model`, `lesson-link- |
//! | | adapter`, `lesson-link`, `lesson-link-copy`, `address-progress`, `worksheet` |
//! | data | `teach-source-form`, `teach-source-paste`, `teach-source-files`, `teach-source-sample`, |
//! | | `teach-files`, `teach-name`, `teach-maker`, `teach-rows`, `teach-sample-edit`, `teach-preview` (the |
//! | | button), `preview`, `preview-row`* |
//! | form | `teach-pairs`, `teach-pair`*, `teach-question`*, `teach-answer`*, `teach-worse`*, `teach-pair-up`*, |
//! | | `teach-pair-down`*, `teach-pair-delete`*, `teach-pair-fault`*, `teach-pair-add`, `teach-pairs-status`, |
//! | | `teach-pair-example` |
//! | paste | `teach-data` (the text field), `teach-pasted` (what it is), `teach-problems`, `teach-problem`* |
//! | stage | `teach-ways` (the fold), `teach-stage`, `teach-stage-sft`, `teach-stage-pretrain`, `teach-stage-hint`, `teach-trained`, |
//! | | `teach-trained-lora`, `teach-trained-full`, `teach-trained-hint`, `teach- |
//! | | settings`, `teach-epochs`, `teach-steps`, `teach-batch-size`, `teach-learning-rate`, `teach- |
//! | | max-seq-len`, `teach-val-split`, `teach-rank`, `teach-alpha`, `teach-sample-prompt`, `teach- |
//! | | sample-every`, `teach-run-name`, `teach-plan` (`data-kind`), `teach-warnings`, `teach-start` |
//! | of a stage | `teach-stage-dpo`, `teach-stage-distill`, `teach-dpo-…`, `teach-distill-…`, `teach-kd-loss`, |
//! | | `teach-teacher`, `teach-teacher-weights`, `teach-preset` |
//! | finer | `teach-finer` (the fold), `teach-grad-accum`, `teach-neftune`, `teach-dropout`, `teach-early-stop`, `teach- |
//! | | ema`, `teach-seed`, `teach-muon`, `teach-freeze-…`, `teach-lora-…`, `teach-grpo-…`, `teach-moe-…` |
//! | numbers | `teach-metrics`, `metric`* (`data-name`), `metric-…`, `teach-experts`, `expert-layer`*, |
//! | | `weighed-row`* (`data-right`), `weighed-share`* |
//! | run | `teach-run`, `teach-status`, `teach-progress`, `teach-pause`, `teach-stop`, `teach-chart`, |
//! | | `teach-loss`, `teach-heldout`, `teach-heldout-key`, `teach-samples`, `teach-sample`*, `teach-ask`, `teach-compare`, |
//! | | `teach-export`, `teach-export-hf`, `teach-export-run`, `teach-resume`, `teach-notes`, `teach- |
//! | | run-warnings`, `runs-banner`, `runs-fold`, `run-resume`*, `run-export`*, `run-discard`* |
//! | adapters | `adapter-list`, `adapter`* (`data-name`), `adapter-on`*, `adapter-base`*, |
//! | | `adapter-strength`*, `adapter- |
//! | | export`*, `adapter-remove`*, `adapter-name`, `adapter-files` |
//! | examples | `trained-list`, `trained`* (`data-name`), `trained-figure`*, `trained-ask`* |
//! | before / after | `ab-prompt`, `ab-run`, `ab-stop`, `ab-sampled`, `ab-base`, `ab-active` |
//! | evaluation | `eval-card`, `eval-task`, `eval-hint`, `eval-files`, `eval-example`, `eval-chosen`, `eval-shots`, |
//! | | `eval-limit`, `eval-max-new-tokens`, `eval-template`, `eval-compare`, `eval-run`, `eval-stop`, `eval-bar`, |
//! | | `eval-progress`, `eval-result`, `eval-title`, `eval-table`, `eval-row`*, `eval-subjects`, `eval-subject`*, |
//! | | `eval-notes`, `eval-note`*, `eval-csv`, `eval-state` |
//! | server | `server-key`, `server-ask`, `server-list`, `server-model`* (`data-name`), `server-talk`*, `server-back`*, |
//! | | `server-notice-teach`, `server-notice-adapters`, `server-notice-models` |
//! | class | `class-files`, `class-list`, `class-adapter`*, `class-questions`, `class-run`, `class-table`, |
//! | | `class-cell`*, `class-progress`, `class-stop`, `class-csv` |
//! | models | `model-about`, `export-model`, `export-model-hf`, `export-model-gguf`, `export-no-gguf`, `gguf-weights`, |
//! | | `model-name`, `model-keep`, `model-drop` |
//! | | (the file field), `model-url`, `model-url-hint`, `model-open`, `model-progress`, `model-abort`, |
//! | | `kept-list`, `kept-model`* (`data-name`), `model-open-kept`*, `kept-remove`*, `runs-list`, `saved-run`*, `run- |
//! | | resume-listed`*, `run-export`*, `run-discard`* |
//!
//! Buttons that delete models, runs and adapters act on their second press.

mod acting;
mod adapters;
mod address;
mod answer;
mod answers;
mod app;
mod brought;
mod channel;
mod chart;
mod chat;
mod chat_answer;
mod chat_panel;
mod compare;
mod diffusion;
mod dom;
mod drop;
mod engine;
mod evaluate;
mod evaluate_result;
mod expert_load;
mod fetch;
mod finer;
mod header;
mod history;
mod learned;
mod leave;
mod lesson;
mod lessons;
mod load;
mod metrics;
mod models;
mod numbers;
mod options;
mod page;
mod pair_form;
mod pair_row;
mod paste_field;
mod preview;
mod reading;
mod remarks;
mod reopen;
mod run_panel;
mod served;
mod served_card;
mod slot;
mod speech;
mod storage;
mod students;
mod tabs;
mod teach;
mod teach_data;
mod teach_sample;
mod teach_settings;
mod teach_stage;
mod teach_where;
mod tint;
mod trained;
mod training;
mod turn;
mod unfinished;
mod wake;

pub use page::open;
