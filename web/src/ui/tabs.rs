//! The four tabs: one panel is seen at a time; arrow keys, Home and End move between them, and the browser's Back leads to
//! the one before.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::prelude::{JsCast, JsValue};
use web_sys::{History, KeyboardEvent};

use super::app::App;
use super::dom::{El, button, el, listen, window};
use crate::language::Sentence;

/// Names of the tabs and how they are labelled, in their order.
const TABS: [(&str, Sentence); 4] = [
    ("chat", |t| t.page.tab_chat),
    ("teach", |t| t.page.tab_teach),
    ("adapters", |t| t.page.tab_adapters),
    ("models", |t| t.page.tab_models),
];

struct Tabs {
    buttons: Vec<El>,
    panels: Vec<El>,
    /// Which of them is seen.
    chosen: Cell<usize>,
    /// How far down each was when it was left.
    scrolled: Vec<Cell<f64>>,
    /// The number of the browser's entry that is seen.
    entry: Cell<usize>,
}

/// Builds tabs and empty panels into their places; gives the panels in the order of the tabs.
pub fn build(app: &App, list: &El, main: &El) -> Vec<El> {
    list.set("role", "tablist");
    let tabs = Rc::new(Tabs {
        buttons: TABS.iter().map(|(name, sentence)| tab(app, name, *sentence)).collect(),
        panels: TABS.iter().map(|(name, _)| panel(name)).collect(),
        chosen: Cell::default(),
        scrolled: TABS.iter().map(|_| Cell::default()).collect(),
        entry: Cell::new(entry_seen().map_or(0, |(entry, _)| entry)),
    });
    for (i, button) in tabs.buttons.iter().enumerate() {
        let (shown, moved) = (Rc::clone(&tabs), Rc::clone(&tabs));
        let button = button.clone().on("click", move |_| shown.go(i));
        list.add(&button.on("keydown", move |event| {
            if let Some(next) = moved.after_key(i, event.unchecked_ref()) {
                event.prevent_default();
                moved.go(next);
                let _ = moved.buttons[next].focus();
            }
        }));
        main.add(&tabs.panels[i]);
    }
    tabs.show(0);
    tabs.note(|history, state| history.replace_state(state, ""));
    let back = Rc::clone(&tabs);
    listen(&window(), "popstate", move |_| back.turn());
    let panels = tabs.panels.clone();
    app.set_show_tab(move |name| {
        if let Some(i) = TABS.iter().position(|tab| tab.0 == name) {
            tabs.go(i);
        }
    });
    panels
}

fn tab(app: &App, name: &str, sentence: Sentence) -> El {
    button()
        .id(&format!("tab-{name}"))
        .attr("role", "tab")
        .attr("aria-controls", &format!("panel-{name}"))
        .say(&app.speech, sentence)
}

fn panel(name: &str) -> El {
    el("section")
        .class("panel")
        .id(&format!("panel-{name}"))
        .attr("role", "tabpanel")
        .attr("aria-labelledby", &format!("tab-{name}"))
}

/// The browser's history; nothing where it keeps none.
fn history() -> Option<History> {
    window().history().ok()
}

/// The number of the entry that is seen, and its tab; nothing of an entry that is not the page's own.
fn entry_seen() -> Option<(usize, usize)> {
    let state = history()?.state().ok()?.as_f64()? as usize;
    Some((state / TABS.len(), state % TABS.len()))
}

impl Tabs {
    /// Goes to a tab, from which the browser's Back leads to the one that was seen.
    fn go(&self, chosen: usize) {
        if chosen != self.chosen.get() {
            self.show(chosen);
            self.entry.set(self.entry.get() + 1);
            self.note(|history, state| history.push_state(state, ""));
        }
    }

    /// Tells the browser which tab its entry shows; without a history Back leaves the page.
    fn note(&self, note: impl FnOnce(&History, &JsValue) -> Result<(), JsValue>) {
        let state = self.entry.get() * TABS.len() + self.chosen.get();
        let _ = history().map(|history| note(&history, &JsValue::from(state as f64)));
    }

    /// Shows the tab of the entry that the browser went to.
    fn turn(&self) {
        let Some((entry, tab)) = entry_seen() else { return };
        let way = if entry > self.entry.replace(entry) { 1 } else { -1 };
        if tab != self.chosen.get() {
            self.show(tab);
        } else if let Some(history) = history() {
            // A reload begins at the first tab: beside its entry there may be another one of that.
            let _ = history.go_with_delta(way);
        }
    }

    fn show(&self, chosen: usize) {
        let before = self.chosen.replace(chosen);
        // What was pressed there is out of sight in a moment.
        let leaves = before != chosen && self.panels[before].holds_focus();
        let scrolled = window().scroll_y().unwrap_or_default();
        for (i, (button, panel)) in self.buttons.iter().zip(&self.panels).enumerate() {
            let is = i == chosen;
            button.set("aria-selected", if is { "true" } else { "false" });
            // Tab leads to the chosen one only; arrows lead on, as the pattern for tabs has it.
            button.set_tab_index(if is { 0 } else { -1 });
            panel.show(is);
        }
        if leaves {
            self.buttons[chosen].focus_quietly();
        }
        if before != chosen {
            self.scrolled[before].set(scrolled);
            window().scroll_to_with_x_and_y(0.0, self.scrolled[chosen].get());
        }
    }

    fn after_key(&self, i: usize, event: &KeyboardEvent) -> Option<usize> {
        let count = self.buttons.len();
        match event.key().as_str() {
            "ArrowRight" => Some((i + 1) % count),
            "ArrowLeft" => Some((i + count - 1) % count),
            "Home" => Some(0),
            "End" => Some(count - 1),
            _ => None,
        }
    }
}
