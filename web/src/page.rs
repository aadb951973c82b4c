//! Fills `index.html`: the language switch and what was found out about the GPU.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::{Closure, JsCast, JsValue};
use web_sys::{Document, HtmlElement};

use crate::gpu::{self, Gpu};
use crate::language::Language;

struct Page {
    document: Document,
    language: Cell<Language>,
    /// `None` until the browser has answered.
    gpu: RefCell<Option<Gpu>>,
}

/// Shows the page in the browser's language, then what the browser says of its GPU.
///
/// # Errors
/// There is no window, or `index.html` lacks an element that the page fills.
pub async fn open() -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("The page needs a window.")?;
    let document = window.document().ok_or("The window has no document.")?;
    let language = Language::from_tag(&window.navigator().language().unwrap_or_default());
    let page = Rc::new(Page { document, language: Cell::new(language), gpu: RefCell::new(None) });
    listen_for_switch(&page)?;
    page.show()?;
    let found = gpu::find().await;
    page.gpu.replace(Some(found));
    page.show()
}

fn listen_for_switch(page: &Rc<Page>) -> Result<(), JsValue> {
    let switched = Rc::clone(page);
    let listener = Closure::<dyn Fn() -> Result<(), JsValue>>::new(move || {
        switched.language.set(switched.language.get().other());
        switched.show()
    });
    page.element("switch")?.set_onclick(Some(listener.as_ref().unchecked_ref()));
    // The page lives as long as its tab, and so does its only listener.
    listener.forget();
    Ok(())
}

impl Page {
    fn element(&self, id: &str) -> Result<HtmlElement, JsValue> {
        let element =
            self.document.get_element_by_id(id).ok_or(format!("index.html lacks the element {id}."))?;
        Ok(element.dyn_into()?)
    }

    /// Writes every sentence anew, in the language that is chosen now.
    fn show(&self) -> Result<(), JsValue> {
        let language = self.language.get();
        let text = language.text();
        let (state, status, detail) = match self.gpu.borrow().as_ref() {
            None => ("looking", text.looking, String::new()),
            Some(Gpu::Adapter(name)) => {
                let name = name.as_deref().unwrap_or(text.unnamed);
                ("yes", text.webgpu_yes, format!("{}{name}", text.adapter))
            }
            Some(Gpu::NoInterface) => ("no", text.webgpu_no, text.no_interface.to_string()),
            Some(Gpu::NoAdapter) => ("no", text.webgpu_no, text.no_adapter.to_string()),
        };
        if let Some(root) = self.document.document_element() {
            root.set_attribute("lang", language.tag())?;
        }
        self.element("purpose")?.set_text_content(Some(text.purpose));
        self.element("webgpu")?.set_text_content(Some(status));
        self.element("webgpu")?.set_attribute("data-state", state)?;
        self.element("detail")?.set_text_content(Some(&detail));
        let switch = self.element("switch")?;
        switch.set_text_content(Some(text.switch));
        switch.set_lang(language.other().tag());
        switch.set_hidden(false);
        Ok(())
    }
}
