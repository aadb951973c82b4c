//! The tab of models and files: open one, keep it, take it home; and the saved runs.

use std::rc::Rc;

use serde_json::json;

use super::app::{App, Topic};
use super::diffusion::Convert;
use super::dom::{El, button, el, field};
use super::engine::{self, Answer};
use super::load::Loader;
use super::served_card;
use super::speech::Speech;
use super::training::Training;
use super::unfinished::{discards, exports, resumes};
use crate::format::{bytes, fill};
use crate::language::{Sentence, Text};
use crate::messages::model::KeptModel;
use crate::messages::run::{SavedRun, Stage};

struct Models {
    app: Rc<App>,
    loader: Rc<Loader>,
    training: Rc<Training>,
    open: El,
    /// The way home as .gguf, and in its place why there is none.
    gguf: El,
    no_gguf: El,
    kept: El,
    runs: El,
    name: El,
}

/// Builds the tab.
pub fn build(app: &Rc<App>, panel: &El, training: Rc<Training>) {
    let loader = Loader::build(app);
    let models = Rc::new(Models {
        app: Rc::clone(app),
        loader: Rc::clone(&loader),
        training,
        open: el("p").id("model-about"),
        gguf: el("div").class("line"),
        no_gguf: el("p").class("faint").id("export-no-gguf").shown(false),
        kept: el("ul").class("plain").id("kept-list"),
        runs: el("ul").class("plain").id("runs-list"),
        name: el("input").id("model-name").attr("type", "text"),
    });
    panel.add(&models.open_card());
    panel.add(&Convert::build(app).place);
    panel.add(&loader.place);
    served_card::build(app).iter().for_each(|card| panel.add(card));
    panel.add(&models.kept_card());
    for topic in [Topic::Model, Topic::Language] {
        let shown = Rc::clone(&models);
        app.watch(topic, move || shown.show_open());
    }
    for topic in [Topic::Kept, Topic::Runs, Topic::Language] {
        let listed = Rc::clone(&models);
        app.watch(topic, move || {
            let models = Rc::clone(&listed);
            listed.app.spawn(async move { models.list().await });
        });
    }
    models.show_open();
}

/// What the weights of a .gguf become; as on the command line 16 bits where nothing is chosen.
fn gguf_weights(speech: &Speech) -> El {
    let choices: [(&str, Sentence); 4] = [
        ("f16", |t| t.models.f16),
        ("q8_0", |t| t.models.gguf_q8_0),
        ("q4_0", |t| t.models.gguf_q4_0),
        ("f32", |t| t.models.f32),
    ];
    let list = el("select").id("gguf-weights");
    choices.into_iter().fold(list, |list, (value, sentence)| {
        list.child(&el("option").attr("value", value).say(speech, sentence))
    })
}

/// What the page calls a stage.
fn of_stage(stage: Stage, t: &'static Text) -> &'static str {
    match stage {
        Stage::Pretrain => t.teach.pretrain,
        Stage::Sft => t.teach.sft,
        Stage::Dpo => t.stages.dpo,
        Stage::Distill => t.stages.distill,
        Stage::Reason => t.stages.reason,
        Stage::Grpo => t.stages.grpo,
    }
}

impl Models {
    fn open_card(self: &Rc<Self>) -> El {
        let speech = &self.app.speech;
        let (exporting, zipping) = (Rc::clone(&self.app), Rc::clone(&self.app));
        let export = button().id("export-model").class("primary").say(speech, |t| t.models.export);
        let export = export.on("click", move |_| exporting.export(json!({ "model": "single-file" }), false));
        let zip = button().id("export-model-hf").say(speech, |t| t.models.export_hf);
        let zip = zip.on("click", move |_| zipping.export(json!({ "model": "hf" }), true));
        let (converting, chosen) = (Rc::clone(&self.app), gguf_weights(speech));
        let read = chosen.clone();
        let gguf = button().id("export-model-gguf").say(speech, |t| t.models.export_gguf);
        let gguf = gguf.on("click", move |_| {
            converting.export_as(json!({ "model": "gguf" }), json!({ "weights": read.value() }));
        });
        self.gguf.add(&field(speech, |t| t.models.gguf_weights, &chosen));
        self.gguf.add(&gguf);
        let keeping = Rc::clone(self);
        let keep = button().id("model-keep").say(speech, |t| t.models.keep).on("click", move |_| {
            let models = Rc::clone(&keeping);
            keeping.app.spawn(async move { models.keep().await });
        });
        let name = field(speech, |t| t.models.name, &self.name);
        let card = el("section").class("card").child(&el("h2").say(speech, |t| t.models.open_model));
        let card =
            card.child(&self.open).child(&el("p").class("faint").say(speech, |t| t.models.export_hint));
        card.child(&el("div").class("foot").child(&export).child(&zip))
            .child(&self.gguf)
            .child(&self.no_gguf)
            .child(&el("div").class("line").child(&name).child(&keep))
    }

    fn kept_card(&self) -> El {
        let speech = &self.app.speech;
        let card =
            el("section").class("card").child(&el("h2").say(speech, |t| t.models.kept)).child(&self.kept);
        card.child(&el("h2").say(speech, |t| t.models.runs)).child(&self.runs)
    }

    async fn keep(&self) -> Answer<()> {
        let open = self.app.model().map(|model| model.name).unwrap_or_default();
        let typed = self.name.value();
        let name = if typed.trim().is_empty() { open.as_str() } else { typed.trim() };
        engine::keep_model(name).await?;
        if self.app.model().is_some_and(|model| model.name == open) {
            self.app.set_source(engine::write(&json!({ "kept": name })));
        }
        self.app.tell(&fill(self.app.speech.text().models.is_kept, &[name]));
        self.app.changed(Topic::Kept);
        Ok(())
    }

    fn show_open(&self) {
        let t = self.app.speech.text();
        let Some(model) = self.app.model() else {
            self.open.write(t.page.no_model);
            return;
        };
        self.name.set("placeholder", &model.name);
        self.gguf.show(model.no_gguf.is_none());
        self.no_gguf.show(model.no_gguf.is_some());
        self.no_gguf.write(&model.no_gguf.as_ref().map(engine::spoken).unwrap_or_default());
        let values = [
            model.name.clone(),
            crate::format::count(model.parameters, &t.units),
            model.layers.to_string(),
            model.hidden.to_string(),
            model.vocabulary.to_string(),
            model.context.to_string(),
            model.weights.word().to_string(),
        ];
        self.open.write(&fill(t.models.about, &values.each_ref().map(String::as_str)));
    }

    async fn list(self: &Rc<Self>) -> Answer<()> {
        let (models, runs) = (engine::models().await?, engine::runs().await?);
        let none = || el("li").class("faint").text(self.app.speech.text().models.none);
        self.kept.redraw(|| {
            self.kept.clear();
            models.iter().for_each(|model| self.kept.add(&self.kept_row(model)));
        });
        self.runs.redraw(|| {
            self.runs.clear();
            runs.iter().for_each(|run| self.runs.add(&self.run_row(run)));
        });
        for (list, is_empty) in [(&self.kept, models.is_empty()), (&self.runs, runs.is_empty())] {
            if is_empty {
                list.add(&none());
            }
        }
        Ok(())
    }

    fn kept_row(self: &Rc<Self>, model: &KeptModel) -> El {
        if let Some(damaged) = &model.damaged {
            let row = el("li").class("entry").test("kept-model").attr("data-name", &model.name);
            let row = row.child(&el("strong").text(&model.name));
            let row = row.child(&el("span").class("bad").text(&engine::spoken(damaged)));
            return row.child(&el("span").class("foot").child(&self.removes(model)));
        }
        let t = self.app.speech.text();
        let (opened, source) = (Rc::clone(self), engine::write(&json!({ "kept": model.name })));
        let open = button().test("model-open-kept").text(t.models.open);
        let open = open.on("click", move |_| opened.loader.load(source.clone()));
        let row = el("li").class("entry").test("kept-model").attr("data-name", &model.name);
        let row = row.child(&el("strong").text(&model.name));
        let row = row.child(&el("span").class("faint").text(&bytes(model.bytes)));
        row.child(&el("span").class("foot").child(&open).child(&self.removes(model)))
    }

    /// A button that deletes a kept model.
    fn removes(&self, model: &KeptModel) -> El {
        let (removing, name) = (Rc::clone(&self.app), model.name.clone());
        let remove = self.app.deleting(
            |t| t.page.remove,
            move || {
                let (app, name) = (Rc::clone(&removing), name.clone());
                removing.spawn(async move {
                    engine::remove_model(&name).await?;
                    app.changed(Topic::Kept);
                    Ok(())
                });
            },
        );
        remove.test("kept-remove")
    }

    fn run_row(self: &Rc<Self>, run: &SavedRun) -> El {
        let t = self.app.speech.text();
        let adapter = if run.adapter { format!(" + {}", t.teach.lora) } else { String::new() };
        let about = [
            format!("{}{adapter}", run.stage.map_or("", |stage| of_stage(stage, t))),
            run.model.clone(),
            format!("{:.0}", run.step),
            format!("{:.0}", run.total_steps),
        ];
        let about = fill(t.models.run_about, &about.each_ref().map(String::as_str));
        let resume = resumes(button().test("run-resume-listed").text(t.teach.resume), &self.training, run);
        let resume = resume.shown(run.stage.is_some() && !self.training.is(&run.id));
        let row = el("li").class("entry").test("saved-run").attr("data-name", &run.id);
        let row = row.child(&el("strong").text(&run.name));
        let row = row.child(&el("span").class("faint").text(&about));
        let row = match run.damaged.as_slice() {
            [] => row,
            damaged => {
                let said: Vec<String> = damaged.iter().map(engine::spoken).collect();
                row.child(&el("span").class("bad").text(&said.join("; ")))
            }
        };
        let foot = el("span").class("foot").child(&resume).child(&exports(&self.app, run));
        row.child(&foot.child(&discards(&self.app, run)))
    }
}
