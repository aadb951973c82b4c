//! What a person sees while a run trains: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use kindling::checkpoint::run_files;
use kindling::error::Result;
use kindling::model::ModelConfig;
use kindling::tokenizer::Tokenizer;
use kindling::train::{Control, Listener, Snapshot, StepLog, TrainEvent};
use serde_json::{Value, json};

use crate::interrupt;
use crate::output::{Output, duration};
use crate::run_dir::RunDir;

/// Listens to a run: shows it, logs it and stores it.
pub struct RunListener<'a> {
    directory: &'a RunDir,
    config: ModelConfig,
    tokenizer: &'a Tokenizer,
    output: Output,
    bar: Option<ProgressBar>,
    total_steps: u64,
    done: u64,
}

impl<'a> RunListener<'a> {
    /// A listener for a run of `total_steps`, the first `done` of which are taken.
    pub fn new(
        directory: &'a RunDir,
        config: ModelConfig,
        tokenizer: &'a Tokenizer,
        output: Output,
        total_steps: u64,
        done: u64,
    ) -> Self {
        let bar = (!output.quiet && !output.verbose && std::io::stderr().is_terminal())
            .then(|| bar(total_steps, done));
        Self { directory, config, tokenizer, output, bar, total_steps, done }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.say(text)),
            None => self.output.say(text),
        }
    }

    fn show(&self, log: &StepLog) {
        let here = log.step.saturating_sub(self.done).max(1) as f64;
        let left = (self.total_steps - log.step) as f64 * log.elapsed_s / here;
        let line = format!(
            "loss {:.4} · lr {:.2e} · {:.0} tokens/s · {} left",
            log.loss,
            log.lr,
            log.tokens_per_second,
            duration(left)
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(log.step);
                bar.set_message(line);
            }
            None => self.output.say(&format!("step {}/{} · {line}", log.step, self.total_steps)),
        }
    }

    fn store(&self, snapshot: &Snapshot, best: bool) -> Result<()> {
        let files = run_files(snapshot, &self.config, self.tokenizer)?;
        self.directory.save(snapshot.progress.step, &files, best)?;
        if self.output.verbose {
            self.say(&format!(
                "saved step {} in {}",
                snapshot.progress.step,
                self.directory.path().display()
            ));
        }
        self.directory.log(&json!({"event": "save", "step": snapshot.progress.step, "best": best}))
    }
}

impl Listener for RunListener<'_> {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        match event {
            TrainEvent::Step { log, .. } => {
                self.show(log);
                let line = serde_json::to_value(log).unwrap_or(Value::Null);
                self.output.json(&line);
                self.directory.log(&line)
            }
            TrainEvent::Eval { step, held_out, best } => {
                let (loss, bits) = (held_out.loss, held_out.bits_per_byte);
                self.say(&format!(
                    "step {step}: held-out loss {loss:.4}, {bits:.4} bits per byte{}",
                    if best { " (best)" } else { "" }
                ));
                let line = json!({
                    "event": "eval", "step": step, "loss": loss, "bits_per_byte": bits, "targets": held_out.targets,
                });
                self.output.json(&line);
                self.directory.log(&line)
            }
            TrainEvent::Save { snapshot, best } => self.store(snapshot, best),
            TrainEvent::Warning(text) => {
                self.say(&format!("warning: {text}"));
                self.directory.log(&json!({"event": "warning", "message": text}))
            }
        }
    }

    fn control(&mut self) -> Control {
        if interrupt::asked() { Control::Stop } else { Control::Continue }
    }
}

fn bar(total_steps: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(total_steps).with_position(done);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} · {msg}") {
        bar.set_style(style);
    }
    bar
}
