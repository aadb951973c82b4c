//! Finds stop strings in streamed text without ever showing a part of one.

/// Holds back text that may be the beginning of a stop string until it is clear.
///
/// The result does not depend on how the text is cut into pieces: the stop string that is complete first wins.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text makes final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPiece {
    /// Text that belongs to the answer for certain; may be empty.
    pub text: String,
    /// Whether a stop string is complete: nothing after `text` belongs to the answer.
    pub stopped: bool,
}

impl StopMatcher {
    /// A matcher for `stops`; empty strings among them are ignored.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new() }
    }

    /// Adds streamed text and returns what it makes final.
    pub fn push(&mut self, text: &str) -> StopPiece {
        self.held.push_str(text);
        if let Some(start) = self.first_match() {
            let text = self.held[..start].to_string();
            self.held.clear();
            return StopPiece { text, stopped: true };
        }
        let open = self.held.split_off(self.undecided());
        StopPiece { text: std::mem::replace(&mut self.held, open), stopped: false }
    }

    /// The text still held back, at the end of the stream, where it can no longer become a stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string begins that is complete first; the longer one of two that end together.
    fn first_match(&self) -> Option<usize> {
        let matches = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        matches.min().map(|(_, start)| start)
    }

    /// Where the longest end of the held text lies that begins a stop string.
    fn undecided(&self) -> usize {
        let begins_stop =
            |&start: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[start..]));
        let mut starts = self.held.char_indices().map(|(start, _)| start);
        starts.find(begins_stop).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(stops: &[&str]) -> StopMatcher {
        StopMatcher::new(&stops.iter().map(|stop| stop.to_string()).collect::<Vec<_>>())
    }

    fn piece(text: &str, stopped: bool) -> StopPiece {
        StopPiece { text: text.to_string(), stopped }
    }

    /// The answer and whether it was stopped, with the text fed in pieces.
    fn run<'a>(stops: &[&str], pieces: impl Iterator<Item = &'a str>) -> StopPiece {
        let mut matcher = matcher(stops);
        let mut answer = String::new();
        for text in pieces {
            let piece = matcher.push(text);
            answer += &piece.text;
            if piece.stopped {
                return StopPiece { text: answer, stopped: true };
            }
        }
        piece(&(answer + &matcher.finish()), false)
    }

    #[test]
    fn without_stop_strings_text_passes_at_once() {
        assert_eq!(matcher(&[]).push("hello"), piece("hello", false));
        assert_eq!(matcher(&[""]).push("hello"), piece("hello", false));
    }

    #[test]
    fn a_possible_beginning_is_held_back_and_released_when_it_was_none() {
        let mut matcher = matcher(&["\nUser:"]);
        assert_eq!(matcher.push("Fine.\nUs"), piece("Fine.", false));
        assert_eq!(matcher.push("e"), piece("", false));
        assert_eq!(matcher.push(" it"), piece("\nUse it", false));
        assert_eq!(matcher.push("\n"), piece("", false));
        assert_eq!(matcher.finish(), "\n");
    }

    #[test]
    fn a_stop_string_across_pieces_is_cut_off_with_all_that_follows() {
        let mut matcher = matcher(&["\nUser:"]);
        assert_eq!(matcher.push("Yes\nUs"), piece("Yes", false));
        assert_eq!(matcher.push("er: and"), piece("", true));
        assert_eq!(matcher.finish(), "");
    }

    #[test]
    fn a_beginning_inside_a_failed_beginning_is_still_held() {
        let mut matcher = matcher(&["aab"]);
        assert_eq!(matcher.push("aa"), piece("", false));
        assert_eq!(matcher.push("a"), piece("a", false));
        assert_eq!(matcher.push("b"), piece("", true));
    }

    #[test]
    fn the_first_complete_stop_string_wins() {
        assert_eq!(run(&["world", "o"], ["hello world"].into_iter()), piece("hell", true));
        assert_eq!(run(&["c", "abc"], ["xabc"].into_iter()), piece("x", true));
    }

    #[test]
    fn the_cutting_of_the_text_changes_nothing() {
        let text = "abcab。abd，ab—done ab";
        for stops in [&["abd"][..], &["。ab", "，"], &["b，", "abd，a"], &["zzz"], &["done ab!"]] {
            let whole = run(stops, [text].into_iter());
            for size in 1..5 {
                let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).step_by(size).collect();
                let pieces = starts.iter().enumerate().map(|(i, &start)| {
                    let end = starts.get(i + 1).copied().unwrap_or(text.len());
                    &text[start..end]
                });
                assert_eq!(run(stops, pieces), whole, "{stops:?} in pieces of {size}");
            }
        }
    }
}
