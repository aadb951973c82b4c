//! A text that is being filled, as lines of a terminal: what is hidden stands as dim blocks, what is filled in the colour
//! of how sure the model was.

use console::measure_text_width;

/// What stands at one place of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A mask.
    Hidden,
    /// A token that was there before, as its bytes.
    Given(Vec<u8>),
    /// A token that a step filled.
    Filled {
        /// Its bytes; a character may be spread over several tokens.
        bytes: Vec<u8>,
        /// How sure the model was of it, 0 to 1.
        confidence: f32,
        /// The number of the step.
        step: usize,
    },
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colours, and dim and bold letters.
    pub color: bool,
    /// Characters beyond ASCII.
    pub unicode: bool,
}

/// A line of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is written, with the codes of its colours.
    pub text: String,
    /// The columns that it takes.
    pub width: usize,
    /// Whether something is hidden in it.
    pub hidden: bool,
}

/// Colours of the 256 from unsure to sure. Each has a contrast of 3 and more to black and to white, and they differ in
/// blue too, for eyes that do not tell red from green.
const SURENESS: [u8; 5] = [161, 166, 136, 65, 31];

pub(super) const DIM: &str = "\x1b[2m";
pub(super) const RESET: &str = "\x1b[0m";

/// How a character is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    Plain,
    Hidden,
    Sure { level: usize, new: bool },
}

impl Paint {
    fn of(place: &Place, newest: usize) -> Self {
        match place {
            Place::Hidden => Self::Hidden,
            Place::Given(_) => Self::Plain,
            Place::Filled { confidence, step, .. } => {
                let level = (confidence.clamp(0.0, 1.0) * SURENESS.len() as f32) as usize;
                Self::Sure { level: level.min(SURENESS.len() - 1), new: *step == newest }
            }
        }
    }

    fn code(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Hidden => DIM.to_string(),
            Self::Sure { level, new } => {
                format!("\x1b[{}38;5;{}m", if new { "1;" } else { "" }, SURENESS[level])
            }
        }
    }
}

/// A text of `places` in lines of at most `width` columns; what step `newest` filled stands out.
pub fn lines(places: &[Place], newest: usize, width: usize, style: Style) -> Vec<Line> {
    let mut wrapped = Wrapped::new(width, style);
    for (c, paint) in characters(places, newest, style) {
        wrapped.push(c, paint);
    }
    wrapped.finish()
}

/// The same in one line without an end, for whoever keeps it: what step `newest` filled stands in brackets.
pub fn one_line(places: &[Place], newest: usize, style: Style) -> String {
    let (mut text, mut inside) = (String::new(), false);
    let plain = Style { color: false, ..style };
    for (c, paint) in characters(places, newest, plain) {
        let new = matches!(paint, Paint::Sure { new: true, .. });
        if new != inside {
            text.push(if new { '[' } else { ']' });
            inside = new;
        }
        match c {
            '\n' if style.unicode => text.push('⏎'),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    if inside {
        text.push(']');
    }
    text
}

/// The lines of a text that is too long for the terminal: those from the first on in which something is hidden, with one
/// before them, as many as there is room for.
pub fn window(lines: &[Line], height: usize) -> &[Line] {
    let room = height.min(lines.len());
    let hidden = lines.iter().position(|line| line.hidden).unwrap_or(lines.len());
    let first = hidden.saturating_sub(1).min(lines.len() - room);
    &lines[first..first + room]
}

/// The characters of all places. What a terminal would obey is shown and not sent.
fn characters(places: &[Place], newest: usize, style: Style) -> Vec<(char, Paint)> {
    let (mut all, mut bytes, mut paints) = (Vec::new(), Vec::new(), Vec::new());
    let mask = if style.unicode { '░' } else { '_' };
    for place in places {
        let paint = Paint::of(place, newest);
        match place {
            Place::Hidden => {
                take(&mut bytes, &mut paints, style, &mut all);
                all.extend([(mask, paint); 2]);
            }
            Place::Given(own) | Place::Filled { bytes: own, .. } => {
                bytes.extend(own);
                paints.extend(own.iter().map(|_| paint));
            }
        }
    }
    take(&mut bytes, &mut paints, style, &mut all);
    all
}

/// The characters of bytes that follow each other, each painted as its first byte.
fn take(bytes: &mut Vec<u8>, paints: &mut Vec<Paint>, style: Style, all: &mut Vec<(char, Paint)>) {
    let broken = if style.unicode { char::REPLACEMENT_CHARACTER } else { '?' };
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let shown = match c {
                '\n' => Some('\n'),
                '\t' => Some(' '),
                '\r' => None,
                c if c.is_control() => Some(broken),
                c => Some(c),
            };
            all.extend(shown.map(|c| (c, paints[at])));
            at += c.len_utf8();
        }
        if !chunk.invalid().is_empty() {
            all.push((broken, paints[at]));
            at += chunk.invalid().len();
        }
    }
    bytes.clear();
    paints.clear();
}

/// Lines as they fill.
struct Wrapped {
    width: usize,
    style: Style,
    lines: Vec<Line>,
    line: Line,
    paint: Paint,
}

impl Wrapped {
    fn new(width: usize, style: Style) -> Self {
        Self { width: width.max(2), style, lines: Vec::new(), line: empty(), paint: Paint::Plain }
    }

    fn push(&mut self, c: char, paint: Paint) {
        if c == '\n' {
            return self.end();
        }
        let columns = columns(c);
        if self.line.width + columns > self.width {
            self.end();
        }
        self.paint(paint);
        self.line.text.push(c);
        self.line.width += columns;
        self.line.hidden |= paint == Paint::Hidden;
    }

    fn paint(&mut self, paint: Paint) {
        if self.paint == paint || !self.style.color {
            return;
        }
        if self.paint != Paint::Plain {
            self.line.text.push_str(RESET);
        }
        self.line.text.push_str(&paint.code());
        self.paint = paint;
    }

    /// Every line ends as it began, so that whatever is written below it is plain.
    fn end(&mut self) {
        self.paint(Paint::Plain);
        self.lines.push(std::mem::replace(&mut self.line, empty()));
    }

    fn finish(mut self) -> Vec<Line> {
        self.end();
        self.lines
    }
}

fn empty() -> Line {
    Line { text: String::new(), width: 0, hidden: false }
}

/// The columns of a character: Chinese takes two, an accent of its own none.
fn columns(c: char) -> usize {
    if c.is_ascii() { 1 } else { measure_text_width(c.encode_utf8(&mut [0; 4])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { color: false, unicode: true };
    const COLOR: Style = Style { color: true, unicode: true };

    fn given(text: &str) -> Place {
        Place::Given(text.as_bytes().to_vec())
    }

    fn filled(bytes: &[u8], confidence: f32, step: usize) -> Place {
        Place::Filled { bytes: bytes.to_vec(), confidence, step }
    }

    fn texts(places: &[Place], width: usize) -> Vec<(String, usize)> {
        lines(places, 0, width, PLAIN).into_iter().map(|line| (line.text, line.width)).collect()
    }

    fn said(lines: &[(&str, usize)]) -> Vec<(String, usize)> {
        lines.iter().map(|(text, width)| ((*text).to_string(), *width)).collect()
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal_and_chinese_counts_twice() {
        let places = [given("Once 从前"), Place::Hidden, filled(b" a\nb", 0.5, 1)];
        assert_eq!(texts(&places, 80), said(&[("Once 从前░░ a", 13), ("b", 1)]));
        // A character that needs two columns does not stand in the last one.
        assert_eq!(texts(&places, 8), said(&[("Once 从", 7), ("前░░ a", 6), ("b", 1)]));
        assert_eq!(texts(&places, 7), said(&[("Once 从", 7), ("前░░ a", 6), ("b", 1)]));
        assert_eq!(texts(&[given("e\u{301}e\u{301}")], 2), said(&[("e\u{301}e\u{301}", 2)]));
        assert_eq!(texts(&[], 9), said(&[("", 0)]));
        // However narrow, it ends.
        assert_eq!(texts(&[given("从前")], 0), said(&[("从", 2), ("前", 2)]));
    }

    #[test]
    fn a_character_of_several_tokens_is_whole_once_all_of_them_are_there() {
        let bytes = "你".as_bytes();
        let (first, rest) = (filled(&bytes[..1], 0.1, 1), filled(&bytes[1..], 0.9, 2));
        assert_eq!(texts(&[first.clone(), rest.clone()], 9), said(&[("你", 2)]));
        let broken = texts(&[Place::Hidden, rest], 9);
        assert!(broken[0].0.starts_with("░░\u{FFFD}"), "{broken:?}");
        assert_eq!(texts(&[first, Place::Hidden], 9), said(&[("\u{FFFD}░░", 3)]));
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_sent() {
        let places = [given("a\x1b[2Jb\r\n\tc"), filled(b"\x07", 1.0, 1)];
        assert_eq!(texts(&places, 80), said(&[("a\u{FFFD}[2Jb", 6), (" c\u{FFFD}", 3)]));
    }

    #[test]
    fn colours_tell_how_sure_and_end_with_the_line() {
        let places =
            [given("a"), Place::Hidden, filled(b"x", 0.0, 1), filled(b"y\nz", 1.0, 2), filled(b"!", 1.0, 1)];
        let drawn: Vec<String> = lines(&places, 2, 80, COLOR).into_iter().map(|line| line.text).collect();
        let first = format!("a{DIM}░░{RESET}\x1b[38;5;161mx{RESET}\x1b[1;38;5;31my{RESET}");
        assert_eq!(drawn, [first, format!("\x1b[1;38;5;31mz{RESET}\x1b[38;5;31m!{RESET}")]);
        let level = |confidence: f32| match Paint::of(&filled(b"x", confidence, 1), 0) {
            Paint::Sure { level, .. } => level,
            paint => panic!("{paint:?}"),
        };
        let levels = [-1.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0, 2.0, f32::NAN].map(level);
        assert_eq!(levels, [0, 0, 1, 2, 3, 4, 4, 4, 0]);
    }

    #[test]
    fn without_colours_and_beyond_ascii_there_is_neither() {
        let places = [given("a"), Place::Hidden, filled(b"x\xFF", 0.9, 1)];
        let drawn = lines(&places, 1, 80, Style { color: false, unicode: false });
        assert_eq!(drawn, [Line { text: "a__x?".into(), width: 5, hidden: true }]);
    }

    #[test]
    fn one_line_marks_what_is_new() {
        let places = [
            given("Once"),
            filled(b" upon", 0.9, 2),
            filled(b" a", 0.9, 2),
            Place::Hidden,
            filled(b"\n.", 0.1, 1),
        ];
        assert_eq!(one_line(&places, 2, COLOR), "Once[ upon a]░░⏎.");
        assert_eq!(one_line(&places, 1, Style { color: true, unicode: false }), "Once upon a__[\\n.]");
    }

    #[test]
    fn of_a_long_text_the_part_is_shown_that_changes() {
        let line = |hidden| Line { text: String::new(), width: 0, hidden };
        let with = |hidden: &[usize]| (0..10).map(|i| line(hidden.contains(&i))).collect::<Vec<_>>();
        let shown = |lines: &[Line], height: usize| {
            let part = window(lines, height);
            let first = part.iter().position(|line| line.hidden);
            (part.len(), first)
        };
        assert_eq!(shown(&with(&[5, 9]), 3), (3, Some(1)));
        assert_eq!(shown(&with(&[9]), 3), (3, Some(2)));
        assert_eq!(shown(&with(&[0]), 3), (3, Some(0)));
        assert_eq!(shown(&with(&[]), 3), (3, None));
        assert_eq!(shown(&with(&[5]), 30), (10, Some(5)));
        assert_eq!(shown(&with(&[5]), 0), (0, None));
    }

    /// Relative luminance of a colour of the 6 × 6 × 6 cube (WCAG 2).
    fn luminance(color: u8) -> f64 {
        let steps = [0.0, 95.0, 135.0, 175.0, 215.0, 255.0];
        let index = usize::from(color - 16);
        let linear = |step: usize| {
            let value: f64 = steps[step] / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(index / 36) + 0.7152 * linear(index / 6 % 6) + 0.0722 * linear(index % 6)
    }

    #[test]
    fn every_colour_is_read_on_black_and_on_white() {
        for color in SURENESS {
            let luminance = luminance(color);
            let contrasts = [(luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)];
            assert!(contrasts.iter().all(|contrast| *contrast >= 3.0), "{color}: {contrasts:?}");
        }
    }
}
