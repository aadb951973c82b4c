//! Builds the page into `index.html`.

use std::rc::Rc;

use super::app::App;
use super::dom::{self, button, find};
use super::slot::Slot;
use super::{adapters, address, chat, header, leave, models, served_card, tabs, teach};

/// Builds the page and lets it live as long as its tab.
pub fn open() {
    wasm_bindgen_futures::spawn_local(async { build(Slot::claim().await) });
}

fn build(slot: Slot) {
    let app = App::new(&find("messages"), slot);
    app.speech.mark();
    find("loading").remove();
    leave::watch(&app);
    // From here the keyboard goes on where what it was at is gone.
    find("main").set_tab_index(-1);
    let panels = tabs::build(&app, &find("tabs"), &find("main"));
    let anew = button().id("new-chat").class("quiet").say(&app.speech, |t| t.chat.renew);
    if let [chat_panel, teach_panel, adapters_panel, models_panel] = panels.as_slice() {
        let chat = chat::build(&app, chat_panel);
        for (panel, id) in [
            (teach_panel, "server-notice-teach"),
            (adapters_panel, "server-notice-adapters"),
            (models_panel, "server-notice-models"),
        ] {
            panel.add(&served_card::notice(&app, id));
        }
        let (training, lessons) = teach::build(&app, teach_panel, &find("notices"), Rc::clone(&chat));
        dom::listen(&anew, "click", move |_| chat.propose_anew(""));
        adapters::build(&app, adapters_panel);
        models::build(&app, models_panel, training);
        address::follow(&app, lessons, &find("notices"));
    }
    header::build(&app, &find("header"), &find("notices"), &anew);
}
