//! The banner of runs that were interrupted: go on with them, take them home, or delete them.

use std::rc::Rc;

use serde_json::json;

use super::app::{App, Topic};
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use super::training::Training;
use crate::format::fill;
use crate::messages::run::SavedRun;

/// One line that says how many there are, with the runs in its fold.
#[derive(Clone)]
struct Banner {
    place: El,
    line: El,
    list: El,
}

/// Builds the banner into its place; it shows itself when there are such runs.
pub fn build(app: &Rc<App>, place: &El, training: &Rc<Training>) {
    let banner = Banner {
        place: el("div").id("runs-banner").class("banner notice").shown(false),
        line: el("summary"),
        list: el("div").class("stack"),
    };
    let fold = el("details").id("runs-fold").child(&banner.line).child(&banner.list);
    place.add(&banner.place.clone().child(&fold));
    for topic in [Topic::Runs, Topic::Language] {
        let (told, banner, training) = (Rc::clone(app), banner.clone(), Rc::clone(training));
        app.watch(topic, move || {
            let (app, banner, training) = (Rc::clone(&told), banner.clone(), Rc::clone(&training));
            told.spawn(async move { show(&app, &banner, &training).await });
        });
    }
}

async fn show(app: &Rc<App>, banner: &Banner, training: &Rc<Training>) -> Answer<()> {
    let runs = engine::runs().await?;
    let open: Vec<_> = runs.iter().filter(|run| run.stage.is_some() && !training.is(&run.id)).collect();
    let is_shown = !open.is_empty() && !training.is_running();
    banner.line.write(&fill(app.speech.text().teach.unfinished, &[&open.len().to_string()]));
    banner.list.redraw(|| {
        banner.list.clear();
        open.iter().for_each(|run| banner.list.add(&row(app, training, run)));
    });
    banner.place.show_or_leave(is_shown, &dom::find("main"));
    Ok(())
}

fn row(app: &Rc<App>, training: &Rc<Training>, run: &SavedRun) -> El {
    let t = app.speech.text();
    let at =
        [run.name.clone(), run.model.clone(), format!("{:.0}", run.step), format!("{:.0}", run.total_steps)];
    let sentence = fill(t.teach.interrupted, &at.each_ref().map(String::as_str));
    let row = el("div").class("line").attr("data-name", &run.id).child(&el("span").text(&sentence));
    let resume = button().class("primary").test("run-resume").text(t.teach.resume);
    row.child(&resumes(resume, training, run)).child(&exports(app, run)).child(&discards(app, run))
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
