//! Tells the thoughts, the words and the calls of an answer apart while it is written. What comes out does not depend on
//! how the text was cut into pieces.

use super::call_text::read_call;
use crate::text::TAGS;

/// The tags of a call, as Hermes, Qwen, SmolLM and MiniMind write it.
pub(super) const CALL_TAGS: [&str; 2] = ["<tool_call>", "</tool_call>"];

const OPEN_THOUGHT: &str = TAGS[0];
const CLOSE_THOUGHT: &str = TAGS[1];
const OPEN_ANSWER: &str = TAGS[2];
const CLOSE_ANSWER: &str = TAGS[3];

/// The arguments of a call that names none.
const NO_ARGUMENTS: &str = "{}";

/// A stretch of an answer. Calls come one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    /// More of what is said.
    Said(String),
    /// More of what is thought.
    Thought(String),
    /// A call of this function begins.
    Call(String),
    /// More of the call's arguments, a JSON text.
    Arguments(String),
    /// The call is whole.
    CallEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come but white space.
    Start,
    /// Between the tags of thinking.
    Thought,
    /// Behind the thought.
    Behind,
    /// Between the tags of the answer that follows a thought.
    Answer,
    /// In what is said.
    Said,
    /// Behind the opening tag of a call; how much of its arguments went out, where its name did.
    Call(Option<usize>),
}

/// Takes an answer apart as it comes.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    state: State,
    held: String,
    /// Whether calls are looked for.
    tools: bool,
    /// Whether white space at the start of what follows is left out.
    trim: bool,
}

impl Splitter {
    /// A splitter of an answer that begins within a thought, where the prompt has `opened` one.
    pub(super) fn new(tools: bool, opened: bool) -> Self {
        let state = if opened { State::Thought } else { State::Start };
        Self { state, held: String::new(), tools, trim: opened }
    }

    /// Adds text and returns what it makes certain.
    pub(super) fn push(&mut self, text: &str) -> Vec<Stretch> {
        self.held.push_str(text);
        let mut out = Vec::new();
        while self.advance(&mut out) {}
        joined(out)
    }

    /// What was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> Vec<Stretch> {
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::new();
        match self.state {
            State::Thought => self.emit(&held, Stretch::Thought, &mut out),
            State::Start | State::Behind | State::Said | State::Answer => {
                self.emit(&held, Stretch::Said, &mut out);
            }
            State::Call(None) => out.push(Stretch::Said(format!("{}{held}", CALL_TAGS[0]))),
            State::Call(Some(0)) if read_call(&held).end.is_some() => {
                out.extend([Stretch::Arguments(NO_ARGUMENTS.to_string()), Stretch::CallEnd]);
            }
            State::Call(Some(_)) => out.push(Stretch::CallEnd),
        }
        joined(out)
    }

    /// Takes one step; returns whether another one may follow.
    fn advance(&mut self, out: &mut Vec<Stretch>) -> bool {
        match self.state {
            State::Start => self.begins_with(OPEN_THOUGHT, State::Thought, State::Said),
            State::Thought => self.until(CLOSE_THOUGHT, State::Behind, Stretch::Thought, out),
            State::Behind => self.begins_with(OPEN_ANSWER, State::Answer, State::Said),
            State::Answer => self.until(CLOSE_ANSWER, State::Said, Stretch::Said, out),
            State::Said if self.tools => self.until(CALL_TAGS[0], State::Call(None), Stretch::Said, out),
            State::Said => {
                let text = std::mem::take(&mut self.held);
                self.emit(&text, Stretch::Said, out);
                false
            }
            State::Call(sent) => self.call(sent, out),
        }
    }

    /// Goes on with `then` where the text begins with a tag, and with `otherwise` where it does not.
    fn begins_with(&mut self, tag: &str, then: State, otherwise: State) -> bool {
        let text = self.held.trim_start();
        if let Some(rest) = text.strip_prefix(tag) {
            self.held = rest.to_string();
            (self.state, self.trim) = (then, true);
            return true;
        }
        if tag.starts_with(text) {
            return false;
        }
        self.state = otherwise;
        true
    }

    /// Passes text on until a tag comes. White space that may stand before one is held back with its beginning.
    fn until(&mut self, tag: &str, then: State, make: fn(String) -> Stretch, out: &mut Vec<Stretch>) -> bool {
        if let Some((before, rest)) = self.held.split_once(tag) {
            let (before, rest) = (before.trim_end().to_string(), rest.to_string());
            self.emit(&before, make, out);
            self.held = rest;
            (self.state, self.trim) = (then, true);
            return true;
        }
        let begun = begun(&self.held, tag);
        let certain = self.held[..self.held.len() - begun].trim_end().len();
        let held = self.held.split_off(certain);
        let text = std::mem::replace(&mut self.held, held);
        self.emit(&text, make, out);
        false
    }

    /// Passes text on, without white space at its start where that is left out.
    fn emit(&mut self, text: &str, make: fn(String) -> Stretch, out: &mut Vec<Stretch>) {
        let text = if self.trim { text.trim_start() } else { text };
        if !text.is_empty() {
            self.trim = false;
            out.push(make(text.to_string()));
        }
    }

    /// Passes on what is certain of a call: its name, then its arguments as they grow.
    fn call(&mut self, sent: Option<usize>, out: &mut Vec<Stretch>) -> bool {
        let call = read_call(&self.held);
        // Arguments that are a text hold the JSON text; it is passed on once it is whole.
        let arguments = call.arguments.clone().unwrap_or_default();
        let is_text = self.held[arguments.clone()].starts_with('"');
        let mut sent = sent;
        if let (None, Some(name)) = (sent, &call.name)
            && (call.arguments.is_some() || call.end.is_some())
        {
            out.push(Stretch::Call(name.clone()));
            sent = Some(0);
        }
        if let Some(before) = &mut sent
            && (!is_text || call.arguments_end)
        {
            let whole = &self.held[arguments];
            let text =
                if is_text { serde_json::from_str(whole).unwrap_or_default() } else { whole.to_string() };
            if let Some(more) = text.get(*before..).filter(|more| !more.is_empty()) {
                out.push(Stretch::Arguments(more.to_string()));
                *before = text.len();
            }
        }
        self.state = State::Call(sent);
        self.end_call(call.end, call.broken, sent, out)
    }

    /// Ends a call whose object is whole, or that cannot become one.
    fn end_call(
        &mut self,
        end: Option<usize>,
        broken: bool,
        sent: Option<usize>,
        out: &mut Vec<Stretch>,
    ) -> bool {
        let close = CALL_TAGS[1];
        let rest = match end {
            Some(end) => {
                let rest = self.held[end..].trim_start();
                if rest.len() < close.len() && close.starts_with(rest) {
                    return false;
                }
                rest.strip_prefix(close).unwrap_or(rest).to_string()
            }
            None if broken => match self.held.split_once(close) {
                Some((_, rest)) => rest.to_string(),
                None => return false,
            },
            None => return false,
        };
        match sent {
            Some(0) if end.is_some() => {
                out.extend([Stretch::Arguments(NO_ARGUMENTS.to_string()), Stretch::CallEnd]);
            }
            Some(_) => out.push(Stretch::CallEnd),
            // An object without a name, or no object at all: what was written is what is said.
            None => {
                let written = &self.held[..self.held.len() - rest.len()];
                out.push(Stretch::Said(format!("{}{written}", CALL_TAGS[0])));
            }
        }
        self.held = rest;
        (self.state, self.trim) = (State::Said, sent.is_some());
        true
    }
}

/// How many bytes at the end of a text begin a tag.
fn begun(text: &str, tag: &str) -> usize {
    let ends = tag.char_indices().map(|(at, _)| at).rev();
    ends.filter(|end| *end > 0).find(|end| text.ends_with(&tag[..*end])).unwrap_or(0)
}

/// The same with neighbours of a kind joined.
fn joined(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        match (joined.last_mut(), stretch) {
            (Some(Stretch::Said(text)), Stretch::Said(more))
            | (Some(Stretch::Thought(text)), Stretch::Thought(more))
            | (Some(Stretch::Arguments(text)), Stretch::Arguments(more)) => text.push_str(&more),
            (_, stretch) => joined.push(stretch),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::Stretch::{Arguments, Call, CallEnd, Said, Thought};
    use super::*;

    fn whole(text: &str, tools: bool, opened: bool) -> Vec<Stretch> {
        let mut splitter = Splitter::new(tools, opened);
        let mut out = splitter.push(text);
        out.extend(splitter.finish());
        joined(out)
    }

    fn said(text: &str) -> Stretch {
        Said(text.to_string())
    }

    const CALLS: &str = "I ask.\n<tool_call>\n{\"name\": \"warmth\", \"arguments\": {\"place\": \"奥玛 </tool_call>\"}}\n\
                         </tool_call>\n<tool_call>\n{\"name\": \"now\"}\n</tool_call>\n";

    #[test]
    fn thoughts_words_and_calls_are_told_apart() {
        let thought = |text: &str| Thought(text.to_string());
        assert_eq!(whole("Yes < no.\n", true, false), [said("Yes < no.\n")]);
        assert_eq!(whole("\n<think>\nhm\n</think>\n\nYes.", false, false), [thought("hm"), said("Yes.")]);
        assert_eq!(whole("hm\n</think>\n\nYes.", false, true), [thought("hm"), said("Yes.")]);
        assert_eq!(whole("hm </thi", false, true), [thought("hm </thi")]);
        assert_eq!(whole("<think>\n\n</think>\n\nYes.", false, false), [said("Yes.")]);
        let answer = "<think>3+4</think>\n<answer>\n7\n</answer>\n";
        assert_eq!(whole(answer, false, false), [thought("3+4"), said("7")]);
        assert_eq!(whole("A tag is <think>.", false, false), [said("A tag is <think>.")], "not at the start");
        let calls = [
            said("I ask."),
            Call("warmth".to_string()),
            Arguments("{\"place\": \"奥玛 </tool_call>\"}".to_string()),
            CallEnd,
            Call("now".to_string()),
            Arguments("{}".to_string()),
            CallEnd,
        ];
        assert_eq!(whole(CALLS, true, false), calls);
        assert_eq!(whole(CALLS, false, false), [said(CALLS)], "without tools it is text");
    }

    #[test]
    fn calls_that_are_cut_or_broken_are_told_as_far_as_they_go() {
        let cut = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ";
        let arguments = Arguments("{\"a\": ".to_string());
        assert_eq!(whole(cut, true, false), [Call("f".to_string()), arguments, CallEnd]);
        for broken in
            ["<tool_call>f(1)</tool_call> ok", "<tool_call>{\"a\": 1}</tool_call> ok", "<tool_call>{\"na"]
        {
            let shown: String = whole(broken, true, false)
                .iter()
                .map(|part| match part {
                    Said(text) => text.as_str(),
                    _ => panic!("{part:?}"),
                })
                .collect();
            assert_eq!(shown, broken);
        }
        let without = "<tool_call>{\"name\": \"f\"}";
        assert_eq!(
            whole(without, true, false),
            [Call("f".to_string()), Arguments("{}".to_string()), CallEnd]
        );
        let text = "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>";
        assert_eq!(
            whole(text, true, false),
            [Call("f".to_string()), Arguments("{\"a\": 1}".to_string()), CallEnd]
        );
    }

    #[test]
    fn the_cutting_changes_nothing() {
        let texts = [
            CALLS,
            "<think>\n嗯 </th \n</think>\n<answer> 7 </answer> ok ",
            "Hello \n wor<tool_ld  ",
            "  ",
            " <thin",
            "<think>a</think><tool_call>{\"name\":\"f\",\"parameters\":\"{}\"}</tool_call>b<tool_call>x</tool_call>",
            "<tool_call>{\"arguments\": {\"b\": [\"]\"]}, \"name\": \"g\"} more",
        ];
        for text in texts {
            for (tools, opened) in [(true, false), (false, false), (true, true)] {
                let expected = whole(text, tools, opened);
                for size in 1..6 {
                    let mut splitter = Splitter::new(tools, opened);
                    let characters: Vec<char> = text.chars().collect();
                    let pieces = characters.chunks(size).map(|piece| piece.iter().collect::<String>());
                    let mut out: Vec<Stretch> = pieces.flat_map(|piece| splitter.push(&piece)).collect();
                    out.extend(splitter.finish());
                    assert_eq!(joined(out), expected, "{text:?} {tools} {opened} in pieces of {size}");
                }
            }
        }
    }
}
