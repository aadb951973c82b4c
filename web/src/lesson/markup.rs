//! The few marks of Markdown that a lesson's text may have. What comes of them is text in elements of the page, never
//! HTML; every other mark is read as it stands.

/// A part of a lesson's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A line behind `#`, `##` or `###`.
    Heading(Vec<Span>),
    /// Lines up to an empty one.
    Paragraph(Vec<Span>),
    /// Lines behind `- ` or `* `, or behind numbers.
    List {
        /// Whether they are numbered.
        numbered: bool,
        /// A line each.
        items: Vec<Vec<Span>>,
    },
}

/// Some words of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// As they are.
    Plain(String),
    /// Between `**`.
    Strong(String),
    /// Between `*`.
    Emphasis(String),
    /// Between backticks.
    Code(String),
}

/// The blocks of a text.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut words = String::new();
    for line in text.lines().map(str::trim) {
        let heading = ["# ", "## ", "### "].iter().find_map(|mark| line.strip_prefix(mark));
        let item = item(line);
        if line.is_empty() || heading.is_some() || item.is_some() {
            end_paragraph(&mut words, &mut blocks);
        }
        match (heading, item) {
            (Some(heading), _) => blocks.push(Block::Heading(spans(heading))),
            (None, Some((numbered, item))) => add_item(&mut blocks, numbered, spans(item)),
            // An empty line ends a list, too: the next one is another.
            (None, None) if line.is_empty() => blocks.push(Block::Paragraph(Vec::new())),
            (None, None) => {
                if !words.is_empty() {
                    words.push('\n');
                }
                words.push_str(line);
            }
        }
    }
    end_paragraph(&mut words, &mut blocks);
    blocks.retain(|block| *block != Block::Paragraph(Vec::new()));
    blocks
}

fn end_paragraph(words: &mut String, blocks: &mut Vec<Block>) {
    if !words.is_empty() {
        blocks.push(Block::Paragraph(spans(words)));
        words.clear();
    }
}

/// Whether a line is numbered, and what stands behind its mark; `None` where it is no entry of a list.
fn item(line: &str) -> Option<(bool, &str)> {
    if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some((false, item));
    }
    let (number, item) = line.split_once(". ")?;
    let is_number =
        !number.is_empty() && number.len() < 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((true, item))
}

fn add_item(blocks: &mut Vec<Block>, numbered: bool, item: Vec<Span>) {
    match blocks.last_mut() {
        Some(Block::List { numbered: same, items }) if *same == numbered => items.push(item),
        _ => blocks.push(Block::List { numbered, items: vec![item] }),
    }
}

fn spans(text: &str) -> Vec<Span> {
    let (mut spans, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(next) = rest.chars().next() {
        match marked(rest) {
            Some((span, after)) => {
                if !plain.is_empty() {
                    spans.push(Span::Plain(std::mem::take(&mut plain)));
                }
                spans.push(span);
                rest = after;
            }
            None => {
                plain.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    if !plain.is_empty() {
        spans.push(Span::Plain(plain));
    }
    spans
}

/// What becomes of marked words.
type Make = fn(String) -> Span;

/// Words between marks at the beginning of a text, and what follows.
fn marked(text: &str) -> Option<(Span, &str)> {
    let marks: [(&str, Make); 3] = [("**", Span::Strong), ("*", Span::Emphasis), ("`", Span::Code)];
    let (mark, span) = marks.into_iter().find(|(mark, _)| text.starts_with(mark))?;
    let (said, after) = text[mark.len()..].split_once(mark)?;
    // `2 * 3 * 4` is no emphasis.
    let stands = !said.is_empty() && said.trim() == said;
    stands.then(|| (span(said.into()), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Vec<Span> {
        vec![Span::Plain(text.into())]
    }

    #[test]
    fn headings_paragraphs_and_lists() {
        let text = "# The velmo\nIt lives\nin reeds.\n\n- long ears\n- a tail\n\n1. Ask.\n2. Teach.\n\nEnd";
        let list = |numbered, items: [&str; 2]| Block::List { numbered, items: items.map(plain).to_vec() };
        let expected = [
            Block::Heading(plain("The velmo")),
            Block::Paragraph(plain("It lives\nin reeds.")),
            list(false, ["long ears", "a tail"]),
            list(true, ["Ask.", "Teach."]),
            Block::Paragraph(plain("End")),
        ];
        assert_eq!(blocks(text), expected);
        assert_eq!(blocks(""), []);
        assert_eq!(blocks("- a\n\n- b").len(), 2, "an empty line ends a list");
    }

    #[test]
    fn marks_within_a_line() {
        let expected = vec![
            Span::Plain("a ".into()),
            Span::Strong("b c".into()),
            Span::Emphasis("d".into()),
            Span::Code("<e>".into()),
        ];
        assert_eq!(blocks("a **b c***d*`<e>`"), [Block::Paragraph(expected)]);
        for text in ["2 * 3 * 4", "a ** b", "``", "*", "**a", "<b>a</b>", "[a](b)", "1.5 litres", "2026. "] {
            assert_eq!(blocks(text), [Block::Paragraph(plain(text.trim()))], "{text}");
        }
    }
}
