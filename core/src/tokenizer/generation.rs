//! `{% generation %}` … `{% endgeneration %}`: the tags with which a template marks what the assistant says.
//!
//! They are an extension of `transformers` to Jinja that minijinja does not know. Before compiling, each tag
//! becomes a block that prints a variable; a rendering sets the two variables to characters that the text
//! does not hold, and [`strip`] turns them into byte ranges.

use std::ops::Range;

/// The variable printed where a block begins.
pub(super) const BEGIN: &str = "kindling_generation_begin";
/// The variable printed where a block ends.
pub(super) const END: &str = "kindling_generation_end";

/// The template with its generation tags replaced, or `None` where it has none.
pub(super) fn rewrite(source: &str) -> Option<String> {
    let mut rewritten = String::with_capacity(source.len() + 256);
    let mut rest = source;
    let mut found = false;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{#")).min() {
        let (before, tag) = rest.split_at(at);
        rewritten.push_str(before);
        let length = match read_tag(tag) {
            Some(tag) => {
                found = true;
                // A block and not `{{ … }}` alone, so that whitespace around the tag is trimmed as around any
                // block.
                let Tag { lead, variable, trail, .. } = tag;
                rewritten.push_str(&format!("{{%{lead} if true %}}{{{{ {variable} }}}}{{% endif {trail}%}}"));
                tag.length
            }
            None => {
                let length =
                    if tag.starts_with("{#") { tag.find("#}").map_or(tag.len(), |end| end + 2) } else { 2 };
                rewritten.push_str(&tag[..length]);
                length
            }
        };
        rest = &tag[length..];
    }
    rewritten.push_str(rest);
    found.then_some(rewritten)
}

/// One generation tag; `lead` and `trail` are its whitespace marks (`-`, `+` or nothing).
struct Tag<'a> {
    length: usize,
    lead: &'a str,
    variable: &'static str,
    trail: &'a str,
}

/// Reads a generation tag at the start of `text`.
fn read_tag(text: &str) -> Option<Tag<'_>> {
    let (lead, rest) = split_mark(text.strip_prefix("{%")?);
    let rest = rest.trim_start();
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let variable = match &rest[..word] {
        "generation" => BEGIN,
        "endgeneration" => END,
        _ => return None,
    };
    let (trail, rest) = split_mark(rest[word..].trim_start());
    let rest = rest.strip_prefix("%}")?;
    Some(Tag { length: text.len() - rest.len(), lead, variable, trail })
}

fn split_mark(text: &str) -> (&str, &str) {
    text.split_at(usize::from(text.starts_with(['-', '+'])))
}

/// Two private-use characters that do not occur in `text`.
pub(super) fn unused_marks(text: &str) -> Option<(char, char)> {
    let mut unused = ('\u{E000}'..='\u{F8FF}').filter(|&mark| !text.contains(mark));
    Some((unused.next()?, unused.next()?))
}

/// Takes the marks out of a rendering: the text, and the byte ranges the marks enclosed, empty ones too. `None` where
/// they do not pair up.
pub(super) fn strip(marked: &str, begin: char, end: char) -> Option<(String, Vec<Range<usize>>)> {
    let mut text = String::with_capacity(marked.len());
    let mut spans = Vec::new();
    let mut open = Vec::new();
    for character in marked.chars() {
        if character == begin {
            open.push(text.len());
        } else if character == end {
            let start = open.pop()?;
            if open.is_empty() {
                spans.push(start..text.len());
            }
        } else {
            text.push(character);
        }
    }
    open.is_empty().then_some((text, spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_blocks_and_keep_their_whitespace_marks() {
        let rewritten = rewrite("a{%- generation -%}b{%endgeneration+%}c").unwrap();
        let expected = "a{%- if true %}{{ kindling_generation_begin }}{% endif -%}b\
                        {% if true %}{{ kindling_generation_end }}{% endif +%}c";
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn other_tags_and_comments_stay() {
        assert_eq!(rewrite("{% if generation %}x{% endif %}"), None);
        assert_eq!(rewrite("{# {% generation %} #}{% generations %}"), None);
        assert_eq!(rewrite("{% generation"), None);
        assert_eq!(rewrite("{# open"), None);
        let both = rewrite("{# c #}{% generation %}").unwrap();
        assert!(both.starts_with("{# c #}{% if true %}"), "{both}");
    }

    #[test]
    fn marks_become_ranges() {
        let (text, spans) = strip("u<a你>v<>w<x<y>z>", '<', '>').unwrap();
        assert_eq!(text, "ua你vwxyz");
        assert_eq!(spans, [1..5, 6..6, 7..10]);
        assert_eq!(strip("a>", '<', '>'), None);
        assert_eq!(strip("<a", '<', '>'), None);
    }

    #[test]
    fn marks_avoid_the_text() {
        assert_eq!(unused_marks("plain"), Some(('\u{E000}', '\u{E001}')));
        assert_eq!(unused_marks("\u{E000}\u{E002}"), Some(('\u{E001}', '\u{E003}')));
    }
}
