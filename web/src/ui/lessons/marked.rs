//! A lesson's text as elements of the page. Whatever it holds stays text.

use crate::lesson::{Block, Span, blocks};
use crate::ui::dom::{El, el};

/// Adds a text to a place.
pub fn show(place: &El, text: &str) {
    for block in blocks(text) {
        match block {
            Block::Heading(words) => place.add(&with_words(el("h4"), words)),
            Block::Paragraph(words) => place.add(&with_words(el("p").class("said"), words)),
            Block::List { numbered, items } => {
                let list = el(if numbered { "ol" } else { "ul" });
                items.into_iter().for_each(|words| list.add(&with_words(el("li"), words)));
                place.add(&list);
            }
        }
    }
}

fn with_words(element: El, words: Vec<Span>) -> El {
    for span in words {
        let (tag, text) = match span {
            Span::Plain(text) => ("span", text),
            Span::Strong(text) => ("strong", text),
            Span::Emphasis(text) => ("em", text),
            Span::Code(text) => ("code", text),
        };
        element.add(&el(tag).text(&text));
    }
    element
}
