//! Builds the page into `index.html`.

use super::app::App;
use super::dom::find;
use super::{adapters, chat, header, models, tabs, teach};

/// Builds the page and lets it live as long as its tab.
pub fn open() {
    let app = App::new(&find("messages"));
    app.speech.mark();
    find("loading").remove();
    let panels = tabs::build(&app, &find("tabs"), &find("main"));
    if let [chat_panel, teach_panel, adapters_panel, models_panel] = panels.as_slice() {
        let chat = chat::build(&app, chat_panel);
        let teach = teach::build(&app, teach_panel, &find("notices"), chat);
        adapters::build(&app, adapters_panel);
        models::build(&app, models_panel, teach);
    }
    header::build(&app, &find("header"), &find("notices"));
}
