//! Whose words the `{% generation %}` blocks of a template hold.

use std::ops::Range;

use super::landmarks::Rendering;
use super::turns::Turn;
use crate::error::{Error, Result};
use crate::text::Message;
use crate::told::told;

/// What the assistant says is what the blocks wrote. Whose words a block holds matters only where messages differ in
/// weight: it is the message whose words change the text inside.
pub(super) fn owners(rendering: &Rendering, blocks: Vec<Range<usize>>) -> Result<Vec<Turn>> {
    let messages = rendering.messages;
    let assistants = || (0..messages.len()).filter(|&index| messages[index].is_assistant());
    let first = assistants().next().unwrap_or(0);
    let turn = |message: usize, bytes: Range<usize>| Turn { message, bytes };
    if assistants().all(|index| messages[index].weight == messages[first].weight) {
        return Ok(blocks.into_iter().map(|bytes| turn(first, bytes)).collect());
    }
    let mut words: Vec<Turn> = Vec::new();
    for index in assistants() {
        words.extend(rendering.said(index)?.map(|bytes| turn(index, bytes)));
    }
    let owned = |bytes: Range<usize>| owner(&bytes, &words, messages).map(|message| turn(message, bytes));
    blocks.into_iter().map(owned).collect()
}

/// The message with words inside a block; of several with the same weight, any.
fn owner(block: &Range<usize>, words: &[Turn], messages: &[Message]) -> Result<usize> {
    // A message without words stands where they would.
    let inside = |turn: &&Turn| {
        let Range { start, end } = turn.bytes;
        start < block.end && (block.start < end || (start == end && block.start == start))
    };
    let beside = |turn: &&Turn| turn.bytes.start <= block.end && block.start <= turn.bytes.end;
    let mut owners: Vec<&Turn> = words.iter().filter(inside).collect();
    if owners.is_empty() {
        owners = words.iter().filter(beside).collect();
    }
    match owners.split_first() {
        Some((first, others)) if others.iter().all(|o| o.weight(messages) == first.weight(messages)) => {
            Ok(first.message)
        }
        _ => Err(Error::Template(told!(
            "template.blocks_owner",
            "the {{% generation %}} blocks of the chat template do not show which message wrote them, and the row \
             gives its messages different weights; write one block around the words of each message"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of the assistant's messages in a block, and whether the last block holds the last two of them.
    fn blocks(messages: &[Message], joined: bool) -> (String, Vec<Range<usize>>) {
        let (mut text, mut blocks) = (String::new(), Vec::<Range<usize>>::new());
        for message in messages {
            text += if message.is_assistant() { "A:" } else { "U:" };
            let start = text.len();
            text += &message.content;
            text += ";";
            if message.is_assistant() {
                blocks.push(start..text.len());
            }
        }
        if joined && let (Some(last), Some(before)) = (blocks.pop(), blocks.pop()) {
            blocks.push(before.start..last.end);
        }
        (text, blocks)
    }

    #[test]
    fn a_block_has_the_weight_of_the_message_inside() {
        let render = |messages: &[Message], _: bool| Ok(blocks(messages, false).0);
        for turns in [2, 9] {
            let mut messages = Vec::new();
            for turn in 0..turns {
                messages.push(Message::new("user", "q"));
                let weight = turn as f32;
                messages.push(Message { weight, ..Message::new("assistant", ["", "a"][turn % 2]) });
            }
            let (whole, found) = blocks(&messages, false);
            let turns = owners(&Rendering::new(&render, &messages, &whole), found.clone()).unwrap();
            let weights: Vec<f32> = turns.iter().map(|turn| turn.weight(&messages)).collect();
            assert_eq!(weights, (0..found.len()).map(|turn| turn as f32).collect::<Vec<_>>());
            assert_eq!(turns.into_iter().map(|turn| turn.bytes).collect::<Vec<_>>(), found);
            let joined = blocks(&messages, true).1;
            let error =
                owners(&Rendering::new(&render, &messages, &whole), joined.clone()).unwrap_err().to_string();
            assert!(error.contains("different weights"), "{error}");
            messages.iter_mut().for_each(|message| message.weight = 1.0);
            let rendering = Rendering::new(&render, &messages, &whole);
            assert_eq!(owners(&rendering, joined.clone()).unwrap().len(), joined.len());
        }
    }
}
