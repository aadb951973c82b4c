//! Shows how likely each token of an answer was, by colour, and what else might have come.

use wasm_bindgen::JsCast;
use web_sys::{Element, Event, HtmlElement, KeyboardEvent};

use super::dom::{El, el, find};
use crate::format::percent;
use crate::messages::chat::TokenLogprob;

/// Alternatives travel in this attribute, a line each, so that one listener serves all tokens.
pub const ALTERNATIVES: &str = "data-alternatives";
/// What shows them.
pub const POPOVER: &str = "token-popover";

/// The tokens of an answer, tinted.
pub fn tokens(tokens: &[TokenLogprob]) -> El {
    let body = el("div").class("answer said tokens");
    for (i, token) in tokens.iter().enumerate() {
        let lines: Vec<_> = std::iter::once((&token.token, token.logprob))
            .chain(
                token
                    .top_logprobs
                    .iter()
                    .filter(|other| other.token != token.token)
                    .map(|other| (&other.token, other.logprob)),
            )
            .map(|(text, logprob)| format!("{}\t{}", visible(text), percent(probability(logprob))))
            .collect();
        let shown = el("span").test("token").class(&format!("token {}", tint(probability(token.logprob))));
        let shown = shown.attr(ALTERNATIVES, &lines.join("\n")).attr("aria-describedby", POPOVER);
        // One stop for the Tab key; arrows lead from token to token.
        shown.set_tab_index(if i == 0 { 0 } else { -1 });
        body.add(&shown.text(&token.token));
    }
    body
}

fn probability(logprob: Option<f64>) -> f64 {
    logprob.map_or(0.0, f64::exp)
}

/// Five tints tell more than a continuous one: people tell about so many apart.
pub fn tint(probability: f64) -> &'static str {
    match probability {
        p if p >= 0.9 => "p4",
        p if p >= 0.6 => "p3",
        p if p >= 0.3 => "p2",
        p if p >= 0.1 => "p1",
        _ => "p0",
    }
}

/// Blanks and line ends, which a list would swallow.
pub fn visible(token: &str) -> String {
    token.replace('\n', "⏎").replace(' ', "␣").replace('\t', "⇥")
}

/// Shows alternatives for tokens inside `list`, now and later, by pointer and by keyboard.
pub fn listen(list: &El) {
    let popover = el("div").id(POPOVER).class("popover").attr("role", "tooltip").shown(false);
    find("main").add(&popover);
    for event in ["mouseover", "focusin"] {
        let popover = popover.clone();
        super::dom::listen(list, event, move |event| match token_of(&event) {
            Some(token) => show(&popover, &token),
            None => popover.show(false),
        });
    }
    for event in ["mouseleave", "focusout"] {
        let popover = popover.clone();
        super::dom::listen(list, event, move |_| popover.show(false));
    }
    super::dom::listen(list, "keydown", move |event| step(&event, &popover));
}

fn token_of(event: &Event) -> Option<HtmlElement> {
    let element: HtmlElement = event.target()?.dyn_into().ok()?;
    element.has_attribute(ALTERNATIVES).then_some(element)
}

fn show(popover: &El, token: &HtmlElement) {
    popover.clear();
    for (i, line) in token.get_attribute(ALTERNATIVES).unwrap_or_default().lines().enumerate() {
        let (text, share) = line.rsplit_once('\t').unwrap_or((line, ""));
        let row = el("div").class(if i == 0 { "row chosen" } else { "row" });
        popover.add(&row.child(&el("code").text(text)).child(&el("span").text(share)));
    }
    popover.show(true);
    let (place, size) = (token.get_bounding_client_rect(), popover.get_bounding_client_rect());
    let width = super::dom::window().inner_width().ok().and_then(|width| width.as_f64()).unwrap_or_default();
    let left = place.left().min(width - size.width() - 8.0).max(8.0);
    let style = popover.style();
    let _ = style.set_property("left", &format!("{left:.0}px"));
    let _ = style.set_property("top", &format!("{:.0}px", place.bottom() + 4.0));
}

fn step(event: &Event, popover: &El) {
    let key = event.unchecked_ref::<KeyboardEvent>().key();
    let Some(token) = token_of(event) else { return };
    let next = match key.as_str() {
        "ArrowRight" => next_token(&token, Element::next_element_sibling),
        "ArrowLeft" => next_token(&token, Element::previous_element_sibling),
        "Escape" => {
            popover.show(false);
            None
        }
        _ => None,
    };
    if let Some(next) = next {
        event.prevent_default();
        token.set_tab_index(-1);
        next.set_tab_index(0);
        let _ = next.focus();
    }
}

/// The nearest token in a direction; places that hold none yet are passed over.
fn next_token(token: &HtmlElement, next: fn(&Element) -> Option<Element>) -> Option<HtmlElement> {
    let others = std::iter::successors(next(token), next);
    others.filter(|other| other.has_attribute(ALTERNATIVES)).find_map(|other| other.dyn_into().ok())
}
