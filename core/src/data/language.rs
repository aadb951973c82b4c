//! Which language a row is in, by the scripts of its prose: no model, one rule.
//!
//! What is no prose is left out first: fenced and inline code, formulas between dollar signs, tags of markup, addresses, and
//! words with digits, underscores or capitals inside. Of the rest a Han character counts as one, and so does a word of Latin
//! letters, a word of another script, and a kana or a syllable of Hangul. A row is Chinese where at least half of these are Han
//! characters, English where at least half are Latin words. Of neither is a row in which more than 8 of 100 visible
//! characters are signs of code, or that holds nothing to count. French is English by this rule: it has the same script.

use crate::text::Row;

/// A language by its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum TextLanguage {
    /// Chinese: at least half of what is counted are Han characters.
    Zh,
    /// English: at least half of what is counted are words of Latin letters.
    En,
}

/// What a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// One of the languages.
    Language(TextLanguage),
    /// Mostly another script, or several without a half.
    Other,
    /// Code or markup.
    Code,
    /// Nothing that is counted.
    Nothing,
}

impl Found {
    /// Its name where it is counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Language(TextLanguage::Zh) => "zh",
            Self::Language(TextLanguage::En) => "en",
            Self::Other => "other",
            Self::Code => "code",
            Self::Nothing => "none",
        }
    }
}

/// Signs that code has many of and prose few.
const SIGNS: &str = "{}[]()<>;=\\_$&|";
/// The most of them among a hundred visible characters of prose.
const MOST_SIGNS: usize = 8;
/// The longest tag of markup, in bytes.
const LONGEST_TAG: usize = 300;
/// The longest formula between dollar signs, in bytes.
const LONGEST_FORMULA: usize = 300;

/// Whether a character is Han.
pub(super) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// Whether a character stands for itself in a script that parts no words: Han and kana.
pub(super) fn is_unspaced(c: char) -> bool {
    is_han(c) || matches!(c, '\u{3040}'..='\u{30FF}')
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (c.is_alphabetic() && matches!(c, '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}'))
}

/// What was counted.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    han: usize,
    latin: usize,
    other: usize,
    signs: usize,
    visible: usize,
}

/// The language of a row.
pub(super) fn language(row: &Row) -> Found {
    let mut counts = Counts::default();
    row.texts().for_each(|text| counts.add(text));
    let Counts { han, latin, other, signs, visible } = counts;
    let all = han + latin + other;
    if 100 * signs > MOST_SIGNS * visible {
        Found::Code
    } else if all == 0 {
        Found::Nothing
    } else if 2 * han >= all {
        Found::Language(TextLanguage::Zh)
    } else if 2 * latin >= all {
        Found::Language(TextLanguage::En)
    } else {
        Found::Other
    }
}

impl Counts {
    fn add(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let skipped = no_prose(rest);
            if skipped > 0 {
                rest = &rest[skipped..];
                continue;
            }
            let word = word_len(rest);
            if word > 0 {
                self.word(&rest[..word], rest[word..].chars().next());
                rest = &rest[word..];
                continue;
            }
            self.character(c);
            rest = &rest[c.len_utf8()..];
        }
    }

    /// A run of letters and digits that are not each for itself, and what stands behind it.
    fn word(&mut self, word: &str, behind: Option<char>) {
        self.visible += word.chars().count();
        self.signs += word.matches('_').count();
        let letters = || word.chars().filter(|c| c.is_alphabetic());
        let is_name = word.chars().any(|c| c == '_' || c.is_numeric()) || has_inner_capital(word);
        match letters().next() {
            None => {}
            Some(_) if is_name || behind == Some('(') => {}
            Some(_) if letters().all(is_latin) => self.latin += 1,
            Some(_) => self.other += 1,
        }
    }

    fn character(&mut self, c: char) {
        if c.is_whitespace() {
            return;
        }
        self.visible += 1;
        self.signs += usize::from(SIGNS.contains(c));
        if is_han(c) {
            self.han += 1;
        } else if is_alone(c) {
            self.other += 1;
        }
    }
}

/// Whether a character counts by itself: Han, kana, Hangul.
fn is_alone(c: char) -> bool {
    is_unspaced(c) || matches!(c, '\u{AC00}'..='\u{D7AF}')
}

/// Bytes of the word that a text begins with, if it does.
fn word_len(text: &str) -> usize {
    let inside = |c: char| (c.is_alphanumeric() || c == '_') && !is_alone(c);
    text.char_indices().find(|(_, c)| !inside(*c)).map_or(text.len(), |(at, _)| at)
}

/// Whether a small letter stands before a capital, as in `camelCase`.
fn has_inner_capital(word: &str) -> bool {
    word.chars().zip(word.chars().skip(1)).any(|(one, next)| one.is_lowercase() && next.is_uppercase())
}

/// Bytes of what a text begins with that is no prose: code, a formula, a tag, an address; 0 where it is.
fn no_prose(text: &str) -> usize {
    if let Some(code) = text.strip_prefix("```") {
        // A fence that is never closed holds all that follows.
        return code.find("```").map_or(text.len(), |end| end + 6);
    }
    let within = |open: char, close: char, longest: usize| {
        let inside = text.strip_prefix(open)?;
        // No further than it may be long: of many that never close each would be looked for to the end of the row.
        let end = inside.bytes().take(longest + 1).position(|byte| byte == close as u8 || byte == b'\n')?;
        inside[end..].starts_with(close).then(|| open.len_utf8() + end + close.len_utf8())
    };
    let is_tag = || text[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
    let skipped = match text.as_bytes().first() {
        Some(b'`') => within('`', '`', LONGEST_FORMULA),
        Some(b'$') if text.starts_with("$$") => text[2..].find("$$").map(|end| end + 4),
        Some(b'$') => within('$', '$', LONGEST_FORMULA),
        Some(b'<') if is_tag() => within('<', '>', LONGEST_TAG),
        Some(b'h') if text.starts_with("http://") || text.starts_with("https://") => Some(address_len(text)),
        Some(b'w') if text.starts_with("www.") => Some(address_len(text)),
        _ => None,
    };
    skipped.unwrap_or(0)
}

fn address_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_graphic()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: Found = Found::Language(TextLanguage::En);
    const ZH: Found = Found::Language(TextLanguage::Zh);

    fn of(text: &str) -> Found {
        language(&Row::Document(text.into()))
    }

    #[test]
    fn prose_is_known_by_its_script() {
        for (text, found) in [
            ("The lamp of Venza shines (at night) above the harbour.", EN),
            ("米鲁住在山洞里，每天喝湖水。", ZH),
            ("用 PyTorch 训练 Transformer 模型很容易", ZH),
            ("Miru (米鲁) is an animal that lives in a cave near the lake.", EN),
            ("Мира живёт в пещере у озера.", Found::Other),
            ("ミルは山の洞くつにすんでいます。", Found::Other),
            ("미루는 동굴에 살아요.", Found::Other),
            ("12 + 30 = 42?", Found::Code),
            ("2026 - 11 - 28, 17:00!", Found::Nothing),
            ("", Found::Nothing),
        ] {
            assert_eq!(of(text), found, "{text}");
        }
    }

    #[test]
    fn what_opens_a_million_times_and_never_closes_is_looked_at_once() {
        for open in ["<a", "`", "$x"] {
            assert_ne!(of(&open.repeat(1_000_000)), ZH, "{open}");
        }
    }

    #[test]
    fn code_and_markup_fool_nobody() {
        for (text, found) in [
            ("for (int i = 0; i < n; i++) { sum += a[i]; }", Found::Code),
            ("self.lamp_height = measure(lamp, [harbour, 3])", Found::Code),
            ("{\"name\": \"Miru\", \"home\": [\"cave\"]}", Found::Code),
            ("```python\nprint('the lamp shines at night over there')\n```\n运行它。", ZH),
            ("把 `the lamp shines at night and day` 改成中文。", ZH),
            ("<p class=\"the lamp of the harbour\">米鲁住在山洞里。</p>", ZH),
            ("见 https://example.org/the/lamp/of/the/harbour 的说明", ZH),
            ("The sum is $\\frac{a}{b} + \\sqrt{c_1}$ of both.", EN),
            ("```\n米鲁住在山洞里，每天喝湖水。\n```\nRun it once more.", EN),
            ("A fence that stays open: ```let x = 1;", EN),
            ("a < b and c > d hold for all of these numbers, as was said before", EN),
        ] {
            assert_eq!(of(text), found, "{text}");
        }
    }

    #[test]
    fn counts_are_those_by_hand() {
        let mut counts = Counts::default();
        counts.add("灯 is_on (on) fileName 2x 好。");
        // 灯 and 好; `on` is the only word of prose; `is_on` and the brackets have three signs.
        assert_eq!((counts.han, counts.latin, counts.other, counts.signs), (2, 1, 0, 3));
        // 灯1 is_on5 (on)4 fileName8 2x2 好1 。1
        assert_eq!(counts.visible, 22);
        let mut nothing = Counts::default();
        nothing.add("<b></b> `x` $y$ https://a.b/c");
        assert_eq!(nothing, Counts::default());
    }
}
