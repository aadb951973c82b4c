//! The four tabs: one panel is seen at a time; arrow keys, Home and End move between them.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::JsCast;
use web_sys::KeyboardEvent;

use super::app::App;
use super::dom::{El, button, el, window};
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
}

/// Builds tabs and empty panels into their places; gives the panels in the order of the tabs.
pub fn build(app: &App, list: &El, main: &El) -> Vec<El> {
    list.set("role", "tablist");
    let tabs = Rc::new(Tabs {
        buttons: TABS.iter().map(|(name, sentence)| tab(app, name, *sentence)).collect(),
        panels: TABS.iter().map(|(name, _)| panel(name)).collect(),
        chosen: Cell::default(),
        scrolled: TABS.iter().map(|_| Cell::default()).collect(),
    });
    for (i, button) in tabs.buttons.iter().enumerate() {
        let (shown, moved) = (Rc::clone(&tabs), Rc::clone(&tabs));
        let button = button.clone().on("click", move |_| shown.show(i));
        list.add(&button.on("keydown", move |event| {
            if let Some(next) = moved.after_key(i, event.unchecked_ref()) {
                event.prevent_default();
                moved.show(next);
                let _ = moved.buttons[next].focus();
            }
        }));
        main.add(&tabs.panels[i]);
    }
    tabs.show(0);
    let panels = tabs.panels.clone();
    app.set_show_tab(move |name| {
        if let Some(i) = TABS.iter().position(|tab| tab.0 == name) {
            tabs.show(i);
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

impl Tabs {
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
