//! Asks before the tab is left with something that is not saved.

use std::rc::Rc;

use super::app::App;
use super::dom::{self, window};
use super::engine;

/// Asks from now on.
pub fn watch(app: &Rc<App>) {
    let app = Rc::clone(app);
    dom::listen(&window(), "beforeunload", move |event| {
        if app.is_unsaved() {
            event.prevent_default();
            // Browsers of before 2023 ask for this instead.
            engine::set(&event, "returnValue", &"unsaved".into());
        }
    });
}
