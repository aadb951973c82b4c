//! One message of the conversation on the page, with what can be done to it.

use std::rc::Rc;

use super::answer::Shown;
use super::chat::Chat;
use super::diffusion::{marked, replay};
use super::dom::{El, button, el};
use super::history::Turn;
use super::tint;
use crate::format::fill;
use crate::language::Text;

/// A message as an element; `i` is its place in the conversation.
pub fn element(chat: &Rc<Chat>, i: usize, turn: &Turn, last: bool) -> El {
    let t = chat.app.speech.text();
    let who = if turn.asks() { t.chat.you } else { t.chat.model };
    let row = el("article").class("turn").test("chat-message").attr("data-role", &turn.message.role);
    // A touch or a press moves the keyboard here, which shows what can be done.
    row.set_tab_index(-1);
    let row = row.child(&el("h3").class("who").text(who)).child(&body(chat, turn));
    let (foot, acts) = (el("div").class("foot"), el("span").class("acts"));
    let note = note(turn, t);
    if !note.is_empty() {
        foot.add(&el("span").class("faint").test("chat-note").text(&note));
    }
    if last {
        let again = Rc::clone(chat);
        foot.add(&act(t.chat.regenerate, "chat-regenerate", move || again.regenerate()));
    }
    if turn.asks() {
        let (edited, place) = (Rc::clone(chat), row.clone());
        acts.add(&act(t.chat.edit, "chat-edit", move || edit(&edited, i, &place)));
    }
    let deleted = Rc::clone(chat);
    acts.add(&act(t.chat.delete, "chat-delete", move || deleted.delete(i)));
    let row = match &turn.replay {
        Some(steps) => row.child(&replay(&chat.app.speech, steps)),
        None => row,
    };
    row.child(&foot.child(&acts))
}

fn body(chat: &Chat, turn: &Turn) -> El {
    if turn.asks() {
        return el("div").class("answer said").text(&turn.message.content);
    }
    if chat.tinted() && !turn.tokens.is_empty() {
        return tint::tokens(&turn.tokens);
    }
    if let Some(replay) = turn.replay.as_ref().filter(|_| chat.tinted()) {
        return replay.tinted(&chat.app.speech);
    }
    if !turn.marked.is_empty() {
        return marked(&turn.marked);
    }
    let shown = Shown::new();
    shown.show(&turn.message.content, &chat.app.speech);
    shown.body
}

/// What the answer took and how it ended.
fn note(turn: &Turn, t: &Text) -> String {
    let mut parts = Vec::new();
    if let Some(usage) = &turn.usage {
        parts.push(fill(t.chat.tokens, &[&usage.completion_tokens.to_string()]));
        parts.extend(usage.tokens_per_second.map(|speed| fill(t.chat.speed, &[&format!("{speed:.1}")])));
        if usage.dropped_messages > 0 {
            parts.push(fill(t.chat.dropped, &[&usage.dropped_messages.to_string()]));
        }
    }
    parts.extend(turn.limit.then(|| t.chat.limit.to_string()));
    parts.extend(turn.stopped.then(|| t.chat.stopped.to_string()));
    parts.join(" · ")
}

fn act(sentence: &str, id: &str, call: impl Fn() + 'static) -> El {
    button().class("quiet small").test(id).text(sentence).on("click", move |_| call())
}

/// Puts a field in the message's place; sending it cuts what follows.
fn edit(chat: &Rc<Chat>, i: usize, row: &El) {
    let t = chat.app.speech.text();
    let Some(turn) = chat.turn(i) else { return };
    let input = el("textarea").test("chat-edit-input").attr("aria-label", t.chat.edit).attr("rows", "3");
    input.set_value(&turn.message.content);
    let (sent, read, undone) = (Rc::clone(chat), input.clone(), Rc::clone(chat));
    let send = act(t.chat.send_edited, "chat-edit-send", move || sent.ask_from(i, &read.value()));
    let cancel = act(t.page.cancel, "chat-edit-cancel", move || undone.leave_field(i));
    row.clear();
    row.add(&input);
    row.add(&el("div").class("foot").child(&send).child(&cancel));
    let _ = input.focus();
}
