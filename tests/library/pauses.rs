//! What a run keeps: a pause through saves, its day, and a survey made before.

use std::sync::Arc;

use burn::tensor::Device;
use kindling::checkpoint::{read_training, write_training};
use kindling::data::{DataOptions, Dataset, Memory, Source, Turns};
use kindling::error::Result;
use kindling::formats::Files;
use kindling::model::Transformer;
use kindling::train::{Control, Listener, Progress, Stage, TrainConfig, TrainEvent, train};

use crate::tiny::{Record, job, start, train_config, train_run};

fn device() -> Device {
    Device::flex().autodiff()
}

/// Pauses after the third step; in the pause it asks for two saves, then goes on, and stops after the fifth.
const SCRIPT: [Control; 10] = [
    Control::Continue,
    Control::Continue,
    Control::Pause,
    Control::Save,
    Control::Pause,
    Control::Save,
    Control::Pause,
    Control::Continue,
    Control::Continue,
    Control::Stop,
];

#[derive(Default)]
struct Scripted {
    record: Record,
    asked: usize,
}

impl Listener for Scripted {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        self.record.on(event)
    }

    fn control(&mut self) -> Control {
        self.asked += 1;
        SCRIPT[self.asked - 1]
    }
}

#[test]
fn a_save_does_not_end_a_pause() {
    let config = train_config(Stage::Sft);
    let mut whole = Record::default();
    train_run(start(config.clone(), Stage::Sft, 8, &device()), &mut whole).unwrap();
    let mut listener = Scripted::default();
    let run = start(config, Stage::Sft, 8, &device());
    let outcome = pollster::block_on(train(run, &mut listener)).unwrap();
    assert!(outcome.stopped);
    assert_eq!(listener.asked, SCRIPT.len());
    let saved: Vec<u64> = listener.record.snapshots.iter().map(|snapshot| snapshot.progress.step).collect();
    assert_eq!(saved, [3, 3, 5], "no step was taken in the pause");
    assert_eq!(listener.record.losses(), whole.losses()[..5], "and every step is told once");
}

/// Stops, as Ctrl-C does that stays asked for, once it was asked so often.
struct Stopped {
    record: Record,
    warnings: Vec<&'static str>,
    left: usize,
}

impl Listener for Stopped {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        if let TrainEvent::Warning(told) = &event {
            self.warnings.push(told.code());
        }
        self.record.on(event)
    }

    fn control(&mut self) -> Control {
        let stops = self.left == 0;
        self.left = self.left.saturating_sub(1);
        if stops { Control::Stop } else { Control::Continue }
    }
}

#[test]
fn a_stop_in_the_last_step_tells_what_is_left_out_and_a_resume_brings_it() {
    let config = TrainConfig { val_split: 0.25, eval_every: 0, ..train_config(Stage::Sft) };
    let mut whole = Record::default();
    train_run(start(config.clone(), Stage::Sft, 8, &device()), &mut whole).unwrap();
    assert_eq!(whole.evals.len(), 1, "at the end alone");
    // It is asked behind each of eight steps.
    let mut listener = Stopped { record: Record::default(), warnings: Vec::new(), left: 7 };
    let run = start(config.clone(), Stage::Sft, 8, &device());
    let outcome = pollster::block_on(train(run, &mut listener)).unwrap();
    assert_eq!((outcome.progress.step, outcome.stopped, listener.record.evals.len()), (8, true, 0));
    assert_eq!(listener.warnings.last(), Some(&"train.unjudged"));
    let saved = listener.record.snapshots.pop().unwrap();
    assert!(saved.progress.unjudged);
    let mut files = Files::new();
    write_training(&mut files, &saved.optimizer, &saved.progress).unwrap();
    let (optimizer, progress) = read_training(|name| Ok(files.get(name).cloned())).unwrap();
    let mut rest = Record::default();
    let resumed = job(config.clone(), Stage::Sft, 8).resume(outcome.model, optimizer, progress).unwrap();
    assert!(!train_run(resumed, &mut rest).unwrap().stopped);
    assert_eq!(rest.evals, whole.evals);
    // Where nothing is held out, nothing is left out: it is finished.
    let mut listener = Stopped { record: Record::default(), warnings: Vec::new(), left: 7 };
    let run = start(TrainConfig { val_split: 0.0, ..config }, Stage::Sft, 8, &device());
    let outcome = pollster::block_on(train(run, &mut listener)).unwrap();
    assert_eq!((outcome.progress.step, outcome.stopped), (8, false));
}

#[test]
fn a_run_keeps_its_day_and_a_survey_made_before_changes_nothing() {
    let config = TrainConfig { steps: None, epochs: 2.0, ..train_config(Stage::Sft) };
    let undated = job(config, Stage::Sft, 8);
    let shape = crate::tiny::config(undated.tokenizer.vocab_size());
    let model = || Transformer::init(&shape, 3, &device()).unwrap();
    let mut dated = undated.clone();
    Arc::make_mut(&mut dated.tokenizer).set_template_variable("now", "2024-02-29".into());
    let survey = dated.survey(1 << 20).unwrap();
    let surveyed = dated.clone().start_surveyed(model(), &survey).unwrap();
    let run = dated.start(model()).unwrap();
    assert_eq!(surveyed.progress, run.progress);
    assert_eq!(surveyed.plan.bytes(), run.plan.bytes());
    assert_eq!(run.progress.date.as_deref(), Some("2024-02-29"));
    let mut record = Record::default();
    train_run(run, &mut record).unwrap();
    let last = record.snapshots.last().unwrap();
    let mut files = Files::new();
    write_training(&mut files, &last.optimizer, &last.progress).unwrap();
    let (_, kept) = read_training(|name| Ok(files.get(name).cloned())).unwrap();
    assert_eq!(kept.date.as_deref(), Some("2024-02-29"));

    // A day that nothing prints is none.
    let mut texts = job(train_config(Stage::Pretrain), Stage::Pretrain, 8);
    Arc::make_mut(&mut texts.tokenizer).set_template_variable("now", "2024-02-29".into());
    assert_eq!(texts.start(model()).unwrap().progress.date, None);

    // A run without a day is written as those of before, which have none.
    let run = undated.start(model()).unwrap();
    assert_eq!(run.progress.date, None);
    assert!(!serde_json::to_string(&run.progress).unwrap().contains("date"));
}

#[test]
fn a_run_of_before_is_told_of_reasoning_that_its_joined_turns_did_not_hold() {
    let open = |key: &str| {
        let row = format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"q\"}}, {{\"role\": \"assistant\", \
             \"content\": \"a\", \"{key}\": \"r\"}}]}}\n"
        );
        let source: Arc<dyn Source> = Arc::new(Memory::new("chat.jsonl", row));
        let options = DataOptions { turns: Turns::Joined, ..DataOptions::default() };
        Dataset::open(vec![source], options).unwrap()
    };
    let begun = start(train_config(Stage::Sft), Stage::Sft, 8, &device()).progress;
    let check = |data: &Dataset, kept: &str| {
        let progress = Progress { rows: 1, data: Some(kept.to_string()), ..begun.clone() };
        progress.check_data(data).map_err(|error| error.to_string())
    };
    for (key, told) in [("thinking", true), ("reasoning_content", false)] {
        let data = open(key);
        let warning = check(&data, data.content_only_fingerprint().unwrap()).unwrap();
        assert_eq!(warning.is_some_and(|told| told.contains("chat.jsonl:1 is the first row")), told, "{key}");
        assert_eq!(check(&data, &data.fingerprint()), Ok(None), "{key}");
        assert!(check(&data, "other").unwrap_err().contains("not the same"), "{key}");
    }
}
