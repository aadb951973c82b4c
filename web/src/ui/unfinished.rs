//! The banner of runs that were interrupted: go on with them, take them home, or delete them.

use std::rc::Rc;

use serde_json::json;

use super::app::{App, Topic};
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use super::training::Training;
use crate::format::fill;
use crate::messages::run::SavedRun;

/// Builds the banner into its place; it shows itself when there are such runs.
pub fn build(app: &Rc<App>, place: &El, training: &Rc<Training>) {
    let list = el("div").id("runs-banner").shown(false);
    place.add(&list);
    for topic in [Topic::Runs, Topic::Language] {
        let (told, list, training) = (Rc::clone(app), list.clone(), Rc::clone(training));
        app.watch(topic, move || {
            let (app, list, training) = (Rc::clone(&told), list.clone(), Rc::clone(&training));
            told.spawn(async move { show(&app, &list, &training).await });
        });
    }
}

async fn show(app: &Rc<App>, list: &El, training: &Rc<Training>) -> Answer<()> {
    let runs = engine::runs().await?;
    let open: Vec<_> = runs.iter().filter(|run| run.stage.is_some() && !training.is(&run.id)).collect();
    let is_shown = !open.is_empty() && !training.is_running();
    list.redraw(|| {
        list.clear();
        open.iter().for_each(|run| list.add(&banner(app, training, run)));
    });
    list.show_or_leave(is_shown, &dom::find("main"));
    Ok(())
}

fn banner(app: &Rc<App>, training: &Rc<Training>, run: &SavedRun) -> El {
    let t = app.speech.text();
    let at =
        [run.name.clone(), run.model.clone(), format!("{:.0}", run.step), format!("{:.0}", run.total_steps)];
    let sentence = fill(t.teach.interrupted, &at.each_ref().map(String::as_str));
    let banner = el("div").class("banner").attr("data-name", &run.id).child(&el("span").text(&sentence));
    let resume = button().class("primary").test("run-resume").text(t.teach.resume);
    banner.child(&resumes(resume, training, run)).child(&exports(app, run)).child(&discards(app, run))
}

/// Lets a button go on with a run.
pub fn resumes(button: El, training: &Rc<Training>, run: &SavedRun) -> El {
    let (training, run) = (Rc::clone(training), run.clone());
    button.on("click", move |_| training.resume(&run))
}

/// A button that takes a run home: a model's save is one file, an adapter's is several.
pub fn exports(app: &Rc<App>, run: &SavedRun) -> El {
    let button = button().class("quiet").test("run-export").text(app.speech.text().page.export);
    let (exporting, what, zip) = (Rc::clone(app), json!({ "run": run.id }), run.adapter);
    button.on("click", move |_| exporting.export(what.clone(), zip))
}

/// A button that deletes a run.
pub fn discards(app: &Rc<App>, run: &SavedRun) -> El {
    let (deleted, id) = (Rc::clone(app), run.id.clone());
    let button = app.deleting(
        |t| t.teach.discard,
        move || {
            let (app, id) = (Rc::clone(&deleted), id.clone());
            deleted.spawn(async move {
                engine::remove_run(&id).await?;
                app.changed(Topic::Runs);
                Ok(())
            });
        },
    );
    button.test("run-discard")
}
