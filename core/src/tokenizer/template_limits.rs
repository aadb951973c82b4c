//! What a stranger's chat template may be. minijinja follows an expression by recursion and computes its constant
//! parts when it compiles it, so that a short text could use up the stack or the memory before anything is rendered.
//! And what of one is not built.

use std::io;

use minijinja::ErrorKind;

use crate::error::Error;
use crate::told::{Told, told};

/// Bytes of a template; known ones have 20 000.
const LONGEST: usize = 1 << 18;
/// Characters of a tag, spaces and the insides of texts aside; known ones have 300.
const MOST_CODE: usize = 1000;
/// Each stands inside the one before.
const MOST_ELIF: usize = 200;
/// What the numbers of a tag that multiplies may come to, such as those of `'=' * 80`; and of one with powers.
const MOST_TIMES: [u64; 2] = [256, 16];
/// Bytes one rendering may write.
const MAX_OUTPUT: usize = 256 << 20;

/// Why a template is not compiled.
pub(super) fn check(source: &str) -> Result<(), Told> {
    if source.len() > LONGEST {
        return Err(told!(
            "template.long",
            "it has {bytes} bytes, {longest} are the most",
            bytes = source.len(),
            longest = LONGEST
        ));
    }
    let (mut rest, mut elifs) = (source, 0);
    while let Some(at) = rest.find('{') {
        let inside = rest.get(at + 2..).unwrap_or_default();
        let (code, after) = match rest.as_bytes().get(at + 1) {
            Some(b'#') => (String::new(), behind(inside, "#}")),
            Some(b'%') if raw(inside, "raw").is_some() => (String::new(), behind_raw(inside)),
            Some(b'%') => tag(inside, "%}"),
            Some(b'{') => tag(inside, "}}"),
            _ => (String::new(), &rest[at + 1..]),
        };
        elifs += usize::from(code.trim_start_matches(['-', '+', ' ']).starts_with("elif"));
        let length = code.bytes().filter(|byte| *byte != b' ').count();
        if length > MOST_CODE {
            return Err(told!(
                "template.tag",
                "one of its tags has {length} characters of code, {most_code} are the most",
                length,
                most_code = MOST_CODE
            ));
        }
        if elifs > MOST_ELIF {
            return Err(told!("template.elif", "it has more than {most_elif} elif", most_elif = MOST_ELIF));
        }
        if times(&code) > MOST_TIMES[usize::from(code.contains("**"))] {
            return Err(told!(
                "template.times",
                "it multiplies by large numbers: {code}",
                code = code.trim()
            ));
        }
        rest = after;
    }
    Ok(())
}

/// What follows the first `end`.
pub(super) fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, after)| after)
}

/// What follows a tag of this name without anything in it, from behind its `{%` on.
pub(super) fn raw<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let unsigned = |text: &'a str| text.strip_prefix(['-', '+']).unwrap_or(text);
    let text = unsigned(text).trim_start().strip_prefix(name)?;
    unsigned(text.trim_start()).strip_prefix("%}")
}

/// What follows a raw block.
pub(super) fn behind_raw(text: &str) -> &str {
    let mut rest = text;
    while let Some((_, inside)) = rest.split_once("{%") {
        if let Some(after) = raw(inside, "endraw") {
            return after;
        }
        rest = inside;
    }
    ""
}

/// The code of a tag, with a space for each of its spaces and nothing inside its texts; and what follows the tag.
fn tag<'a>(text: &'a str, end: &str) -> (String, &'a str) {
    let length = code_length(text, end);
    let (bytes, mut code, mut at) = (&text.as_bytes()[..length], String::new(), 0);
    while at < length {
        match bytes[at] {
            quote @ (b'\'' | b'"') => {
                code.push_str("''");
                at += text_length(&bytes[at..], quote) - 1;
            }
            byte if byte.is_ascii_whitespace() => code.push(' '),
            byte => code.push(char::from(byte)),
        }
        at += 1;
    }
    (code, text.get(length + end.len()..).unwrap_or_default())
}

/// Bytes of the code of a tag. As in minijinja, it goes on until its brackets are closed.
pub(super) fn code_length(text: &str, end: &str) -> usize {
    let (bytes, mut at, mut open) = (text.as_bytes(), 0, 0);
    while at < bytes.len() && !(open == 0 && bytes[at..].starts_with(end.as_bytes())) {
        match bytes[at] {
            quote @ (b'\'' | b'"') => at += text_length(&bytes[at..], quote) - 1,
            byte => open += i64::from(b"([{".contains(&byte)) - i64::from(b")]}".contains(&byte)),
        }
        at += 1;
    }
    at
}

/// Bytes of a text with its quotes.
pub(super) fn text_length(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

/// The product of the numbers in code that multiplies; 1 in any other.
fn times(code: &str) -> u64 {
    let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let numbers = words.filter(|word| code.contains('*') && word.starts_with(|c: char| c.is_ascii_digit()));
    numbers.map(number).fold(1, u64::saturating_mul)
}

/// A number rounded up, and never 0; one that is not written in digits is as large as can be.
fn number(word: &str) -> u64 {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let digits = whole.replace('_', "");
    match digits.parse::<u64>() {
        Ok(number) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            number.saturating_add(u64::from(!fraction.is_empty())).max(1)
        }
        _ => u64::MAX,
    }
}

/// What minijinja says where Python fills a text by `%`.
const FILLED: &str = "% operator on unsupported types string";

/// What to say of an error that no row can mend, whose reason is `why`; `None` where it is the row's.
pub(super) fn unknown_here(error: &minijinja::Error, why: &str) -> Option<Error> {
    if error.detail().is_some_and(|detail| detail.contains(FILLED)) {
        return Some(Error::UnknownInTemplate(told!(
            "template.percent",
            "the chat template fills a text in a way that is not known here ({why}), and no row can mend that; write \
             TEXT|format(VALUES) in the template where it says TEXT % VALUES, and give it with --chat-template FILE",
            why
        )));
    }
    is_of_template(error).then(|| {
        Error::UnknownInTemplate(told!(
            "template.unknown_here",
            "the chat template uses what is not known here ({why}), and no row can mend that; change the template, and \
             give it with --chat-template FILE",
            why
        ))
    })
}

/// Whether an error is the template's own, whatever it renders.
fn is_of_template(error: &minijinja::Error) -> bool {
    use ErrorKind::{
        BadInclude, TemplateNotFound, UnknownBlock, UnknownFilter, UnknownFunction, UnknownTest,
    };
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        UnknownFilter | UnknownFunction | UnknownTest | UnknownBlock | BadInclude | TemplateNotFound => true,
        // What is a text of the row has these where it is an object.
        ErrorKind::UnknownMethod => {
            let of_objects = ["items", "keys", "values", "get"];
            let name = detail.strip_prefix("string has no method named ");
            name.is_some_and(|name| !of_objects.contains(&name.trim()))
        }
        // Python fills a text with `%`, whatever stands before it, and by letters that are unknown here.
        ErrorKind::InvalidOperation => {
            let signs = [FILLED, "invalid conversion type"];
            signs.iter().any(|sign| detail.contains(sign))
        }
        _ => false,
    }
}

/// A buffer that refuses to grow without end.
pub(super) struct Bounded(pub(super) Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("the output passed {} MiB", MAX_OUTPUT >> 20)));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::text::{Conversation, Message};
    use crate::tokenizer::template::{ChatTemplate, Specials};

    fn refused(source: &str) -> Told {
        check(source).unwrap_err()
    }

    #[test]
    fn usual_templates_pass() {
        for source in [
            crate::tokenizer::CHATML,
            "{{ '-' * 80 }}{{ 2 ** 3 }}{{ '  ' * loop.index0 }}{{ f(**options) }}{{ messages[1000] }}",
            &format!("{{{{ '{}' }}}}{{# {} #}}{}", "-".repeat(5000), "-".repeat(5000), "-".repeat(5000)),
            &format!("{{% raw %}}{{{{ {} }}}}{{%- endraw -%}}", "-".repeat(5000)),
            &"{%- if a %}{%- elif b %}{%- endif %}".repeat(200),
            "{",
            "{{",
            "{% raw",
            "{# open",
            "{{ 'open",
            "{{ '\\",
            "{{ '\\é",
        ] {
            assert_eq!(check(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn long_expressions_are_refused_wherever_they_hide() {
        let minus = "-".repeat(2000);
        for source in [
            format!("{{{{ {minus}1 }}}}"),
            format!("{{% if {minus}1 %}}{{% endif %}}"),
            format!("{{{{ {{'a': {{}}}} }}}}{{{{ {minus}1 }}}}"),
            // Open brackets, quotes in quotes, raw blocks and comments end where they do for minijinja.
            format!("{{{{ ( }}}} {minus} ) }}}}"),
            format!("{{{{ '\\'' }}}}{{{{ {minus} }}}}"),
            format!("{{% raw %}}{{{{ ' {{% endraw %}}{{{{ {minus} }}}}"),
            format!("{{# {{{{ ' #}}{{{{ {minus} }}}}"),
        ] {
            assert!(refused(&source).contains("characters of code"), "{source}");
        }
        assert!(refused(&"{% elif a %}".repeat(300)).contains("200 elif"));
        assert!(refused(&"a".repeat(300_000)).contains("300000 bytes"));
    }

    #[test]
    fn large_constants_are_refused() {
        for source in [
            "{{ 'a' * 99999999 }}",
            "{{ 'a' * 0xFFFF }}",
            "{{ 'a' * 1e7 }}",
            "{{ 'a' * 9_999 }}",
            "{{ 99 * 'a' * 99 }}",
            "{{ 'a' * 2 ** 26 }}",
            "{% set x = [0] * 500.5 %}",
        ] {
            assert!(refused(source).contains("large numbers"), "{source}");
        }
    }

    #[test]
    fn what_is_not_known_here_is_the_templates_fault_and_not_the_rows() {
        let conversation = Conversation::new(vec![Message::new("user", "q")]);
        let render = |text: &str| {
            let template = ChatTemplate::new(text, &Specials::default()).unwrap();
            template.render(&conversation, false, &Map::new())
        };
        for text in [
            "{{ 'a'|xmlattr }}",
            "{{ cycler('a') }}",
            "{{ 1 is strange }}",
            "{{ messages[0].content.encode() }}",
            "{{ (messages[0].role ~ '%s') % messages[0].content }}",
            "{{ '%r' % messages[0].content }}",
        ] {
            let error = render(text).unwrap_err();
            assert!(matches!(error, Error::UnknownInTemplate(_)), "{text}: {error:?}");
            assert!(error.to_string().contains("no row can mend that"), "{error}");
        }
        let told = render("{{ ('%s' ~ messages[0].content) % 'a' }}").unwrap_err().to_string();
        assert!(told.contains("write TEXT|format(VALUES) in the template"), "{told}");
        for text in ["{{ raise_exception('no') }}", "{{ 'text'.items() }}", "{{ messages[0] + 1 }}"] {
            assert!(matches!(render(text), Err(Error::Template(_))), "{text}");
        }
    }
}
