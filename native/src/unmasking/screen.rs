//! A terminal on which a text is redrawn in place while it is filled.
//!
//! No mode of the terminal is changed and the cursor rests below what is drawn, so that whatever ends the program leaves it
//! in order.

use std::env;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use console::Term;

use super::lines::{DIM, Line, Place, RESET, Style, lines, window};
use crate::output::Output;

/// The time between two drawings, below which nobody sees more.
const EVERY: Duration = Duration::from_millis(33);

/// Lines that are left free: one for the step and the speed, one for the cursor.
const BELOW: usize = 2;

impl Style {
    /// What the environment says that can be shown: `NO_COLOR` (<https://no-color.org>), and the locale's characters.
    pub fn of_environment() -> Self {
        Self::of(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(&variable);
        let is_utf8 = |locale: String| locale.to_ascii_lowercase().replace('-', "").contains("utf8");
        Self { color: variable("NO_COLOR").is_none(), unicode: locale.map_or(cfg!(windows), is_utf8) }
    }
}

/// A terminal with what is drawn on it.
pub struct Screen {
    output: Output,
    terminal: Term,
    style: Style,
    /// The columns of each line that stands there.
    drawn: Vec<usize>,
    last: Option<Instant>,
}

impl Screen {
    /// The terminal, where results go to one that can draw and a person looks at it.
    pub fn open(output: Output, style: Style) -> Option<Self> {
        let draws = env::var("TERM").map_or(cfg!(windows), |kind| kind != "dumb");
        let seen = draws && !output.json && !output.quiet && stdout().is_terminal();
        seen.then(|| Self { output, terminal: Term::stdout(), style, drawn: Vec::new(), last: None })
    }

    /// Draws a text in the place of the last one, with a line below it, unless that was a moment ago.
    pub fn draw(&mut self, places: &[Place], newest: usize, below: &str) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return;
        }
        self.last = Some(now);
        let (height, width) = self.size();
        // A full line would leave the cursor at its end, which terminals do not agree on.
        let room = width.saturating_sub(1);
        let all = lines(places, newest, room, self.style);
        let mut shown = window(&all, height.saturating_sub(BELOW).max(1)).to_vec();
        shown.extend(status(below, room, self.style));
        self.show(&shown, width);
    }

    /// Takes everything away again.
    pub fn clear(&mut self) {
        let (_, width) = self.size();
        self.show(&[], width);
        self.last = None;
    }

    fn show(&mut self, lines: &[Line], width: usize) {
        self.output.piece(&frame(&self.drawn, lines, width));
        self.drawn = lines.iter().map(|line| line.width).collect();
    }

    fn size(&self) -> (usize, usize) {
        let (height, width) = self.terminal.size();
        (height.into(), width.into())
    }
}

/// The line below a text, cut to the terminal's width.
fn status(text: &str, width: usize, style: Style) -> Option<Line> {
    let given = Place::Given(text.as_bytes().to_vec());
    let mut line = lines(&[given], 0, width, style).into_iter().next()?;
    if style.color {
        line.text = format!("{DIM}{}{RESET}", line.text);
    }
    Some(line)
}

/// What puts lines in the place of those drawn before, of which only the columns are known: a terminal that became narrower
/// has broken them. Each line is written over and no line is emptied before, so that nothing flickers.
fn frame(before: &[usize], lines: &[Line], width: usize) -> String {
    let rows: usize = before.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
    let mut text = if rows > 0 { format!("\x1b[{rows}A\r") } else { String::new() };
    for line in lines {
        text += &line.text;
        text += "\x1b[K\n";
    }
    text + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { text: text.into(), width: text.len(), hidden: false }
    }

    #[test]
    fn a_frame_is_written_over_the_one_before() {
        let first = frame(&[], &[line("abc"), line("d")], 20);
        assert_eq!(first, "abc\x1b[K\nd\x1b[K\n\x1b[J");
        assert_eq!(frame(&[3, 1], &[line("x")], 20), "\x1b[2A\rx\x1b[K\n\x1b[J");
        // Nothing is left of it.
        assert_eq!(frame(&[3, 0], &[], 20), "\x1b[2A\r\x1b[J");
        // Two lines of 30 and none of 0 columns are five on a terminal that has 15 now.
        assert!(frame(&[30, 30, 0], &[], 15).starts_with("\x1b[5A"));
        assert!(frame(&[31], &[], 15).starts_with("\x1b[3A"));
    }

    #[test]
    fn the_line_below_is_one_line() {
        let style = Style { color: true, unicode: true };
        let cut = status("step 3/16 · 9 tokens", 8, style).unwrap();
        assert_eq!(cut, Line { text: format!("{DIM}step 3/1{RESET}"), width: 8, hidden: false });
    }

    #[test]
    fn the_environment_says_what_can_be_shown() {
        let of = |set: &[(&str, &str)]| {
            Style::of(|name| set.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_string()))
        };
        for (set, color, unicode) in [
            (&[("LANG", "en_US.UTF-8")][..], true, true),
            (&[("LANG", "zh_CN.utf8"), ("NO_COLOR", "1")], false, true),
            (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], true, false),
            (&[("LC_CTYPE", "C.UTF-8"), ("LANG", "C")], true, true),
            (&[], true, cfg!(windows)),
        ] {
            assert_eq!(of(set), Style { color, unicode }, "{set:?}");
        }
    }
}
