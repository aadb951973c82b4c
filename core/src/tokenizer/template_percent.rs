//! Python's `TEXT % VALUES` in chat templates: minijinja knows it as the filter `format` only, so that a text that stands
//! before the sign is written as that filter's, and a variable where it is a text when the template is rendered.

use super::template_limits::{behind, behind_raw, code_length, raw, text_length};

/// Words that stand before values and are none.
const KEYWORDS: [&str; 11] = ["if", "elif", "else", "in", "not", "and", "or", "is", "set", "for", "loop"];

/// The template with `'…' % value` as `'…'|format(value)`, `'…' % (a, b)` as `'…'|format(a, b)`, and `x % value` as that where
/// `x` is a text. Other remainders stay.
pub(super) fn rewrite(source: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(at) = rest.find('{') {
        let inside = rest.get(at + 2..).unwrap_or_default();
        let kept = |after: &str| rest.len() - after.len();
        let end = match rest.as_bytes().get(at + 1) {
            Some(b'#') => kept(behind(inside, "#}")),
            Some(b'%') if raw(inside, "raw").is_some() => kept(behind_raw(inside)),
            Some(b'%') => at + 2 + code_length(inside, "%}"),
            Some(b'{') => at + 2 + code_length(inside, "}}"),
            _ => at + 1,
        };
        match rest.as_bytes().get(at + 1) {
            Some(b'%' | b'{') if raw(inside, "raw").is_none() => {
                out.push_str(&rest[..at + 2]);
                out.push_str(&filled(&rest[at + 2..end]));
            }
            _ => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}

/// The same of an expression.
fn filled(code: &str) -> String {
    let (mut out, mut at) = (String::with_capacity(code.len()), 0);
    // Whether a text stands before, which is an operand of its own; and the last thing that is no space.
    let (mut text, mut last) = (false, ' ');
    while let Some(letter) = code[at..].chars().next() {
        if let Some((either, taken)) = variable(&code[at..]).filter(|_| begins(&code[..at], last)) {
            out.push_str(&either);
            (text, last, at) = (false, ')', at + taken);
            continue;
        }
        let mut length = letter.len_utf8();
        let values = if letter == '%' && text { operand(&code[at + 1..]) } else { None };
        match (letter, values) {
            ('\'' | '"', _) => {
                length = text_length(&code.as_bytes()[at..], letter as u8);
                // `2 * 'a' % b` and `'a' 'b' % c` are others.
                text = !matches!(last, '*' | '/' | '%' | '\'');
                last = '\'';
                out.push_str(&code[at..at + length]);
            }
            (_, Some((values, taken))) => {
                out.truncate(out.trim_end().len());
                out.push_str(&format!("|format({})", filled(values)));
                length += taken;
                last = ')';
            }
            _ => {
                out.push(letter);
                if !letter.is_whitespace() {
                    (text, last) = (false, letter);
                }
            }
        }
        at += length;
    }
    out
}

/// Whether what stands behind `before`, whose last letter that is no space is `last`, is an operand of its own: no part of a
/// name, and nothing that a sign which binds as close or closer takes first.
fn begins(before: &str, last: char) -> bool {
    let goes_on = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    !goes_on && !['.', '|', '*', '/', '%', '-'].contains(&last)
}

/// A variable before the sign with the value behind it, as what both come to: a text is filled, of a number the remainder is
/// taken. Also how many bytes that takes. What has more signs within stays: each would be written several times.
fn variable(code: &str) -> Option<(String, usize)> {
    let name = word(code).filter(|_| code.starts_with(|c: char| c.is_alphabetic() || c == '_'))?;
    if KEYWORDS.contains(&&code[..name]) {
        return None;
    }
    let mut end = name;
    while let Some(more) = postfix(&code[end..]) {
        end += more;
    }
    let (left, rest) = code.split_at(end);
    let behind = rest.trim_start().strip_prefix('%')?;
    let (values, taken) = operand(behind)?;
    let (right, after) = behind.split_at(taken);
    if left.contains('%') || right.contains('%') || after.trim_start().starts_with("**") {
        return None;
    }
    let either = format!("({left}|format({values}) if {left} is string else {left} %{right})");
    Some((either, code.len() - after.len()))
}

/// What stands behind the sign: the values as arguments, and how many bytes they take. `None` where none can be told.
fn operand(code: &str) -> Option<(&str, usize)> {
    let from = code.len() - code.trim_start().len();
    let signed = from + usize::from(code[from..].starts_with(['-', '+']));
    let first = code[signed..].chars().next()?;
    let mut end = signed
        + match first {
            '(' | '[' | '{' => bracket(&code[signed..])?,
            '\'' | '"' => text_length(&code.as_bytes()[signed..], first as u8),
            _ => word(&code[signed..])?,
        };
    let whole = end;
    // Attributes, calls, places and filters bind closer.
    while let Some(more) = postfix(&code[end..]) {
        end += more;
    }
    if first == '(' && end == whole && signed == from {
        let values = code[from + 1..end - 1].trim();
        let values = values.strip_suffix(',').unwrap_or(values);
        return (!values.is_empty()).then_some((values, end));
    }
    Some((&code[from..end], end))
}

/// Bytes of what goes on an operand.
fn postfix(code: &str) -> Option<usize> {
    let rest = code.trim_start();
    let spaces = code.len() - rest.len();
    match rest.chars().next()? {
        '(' | '[' => Some(spaces + bracket(rest)?),
        sign @ ('.' | '|') => {
            let name = rest[1..].trim_start();
            if sign == '|' && name.starts_with('|') {
                return None;
            }
            Some(code.len() - name.len() + word(name)?)
        }
        _ => None,
    }
}

/// Bytes of a name or a number.
fn word(code: &str) -> Option<usize> {
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(code.len());
    (end > 0).then_some(end)
}

/// Bytes up to the bracket that closes the first one; texts are passed over.
fn bracket(code: &str) -> Option<usize> {
    let (bytes, mut at, mut open) = (code.as_bytes(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => at += text_length(&bytes[at..], quote) - 1,
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' if open == 1 => return Some(at + 1),
            b')' | b']' | b'}' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::text::{Conversation, Message};
    use crate::tokenizer::template::{ChatTemplate, Specials};

    fn render(template: &str) -> String {
        let template = ChatTemplate::new(template, &Specials::default()).unwrap();
        let conversation =
            Conversation::new(vec![Message::new("user", "q"), Message::new("assistant", "a%b")]);
        template.render(&conversation, false, &Map::new()).unwrap()
    }

    /// The right values are what Jinja 3.1 prints.
    #[test]
    fn texts_are_filled_as_python_fills_them() {
        for (template, expected) in [
            ("{{ '%s' % 'a' }}", "a"),
            ("{{ '%s-%d' % ('a', 5) }}|{{ \"%s\"%(1,) }}", "a-5|1"),
            ("{{ '%d%%' % 5 }} {{ '%.2f' % 1.5 }} {{ '%s' % -5 }}", "5% 1.50 -5"),
            ("{{ '%5d|%-5s|%05d|%x' % (1, 'a', 3, 255) }}", "    1|a    |00003|ff"),
            ("{{ '%s %s' % (none, true) }} {{ '%s' % [1, 'a'] }}", "None True [1, 'a']"),
            ("{{ '%s' % messages[0].content|upper ~ '!' }}", "Q!"),
            ("{{ 'a' ~ '%s' % messages[1]['content'] ~ 'b' }}", "aa%bb"),
            ("{{ '%s' % ('%s)' % 'x') }}{{ ('%s' % 'y') }}", "x)y"),
            ("{%- set x = '<%s>' % messages|length -%}{{ x }}", "<2>"),
            ("{% if '%s' % 1 == '1' %}yes{% endif %}", "yes"),
            (
                "{% for m in messages %}{{ '[%s: %s]' % (m.role, m.content.upper()) }}{% endfor %}",
                "[user: Q][assistant: A%B]",
            ),
        ] {
            assert_eq!(render(template), expected, "{template}");
        }
    }

    /// The right values are what Jinja 3.1 prints.
    #[test]
    fn a_variable_that_is_a_text_is_filled_and_of_a_number_the_remainder_is_taken() {
        let named = "{% set f = '<%s>' %}{% set two = '%s-%d' %}{% set n = 7 %}{% set own = {'f': '[%s]'} %}";
        for (template, expected) in [
            ("{{ f % 'a' }}", "<a>"),
            ("{{ two % ('a', 5) }} {{ f%messages[0].content }}", "a-5 <q>"),
            ("{{ own.f % messages[0].content|upper }} {{ own['f'] % 1 }}", "[Q] [1]"),
            ("{{ 'x' ~ f % 'a' ~ 'y' }}{% if f % 1 == '<1>' %}!{% endif %}", "x<a>y!"),
            ("{{ n % 3 }} {{ -n % 4 }} {{ 10 - n % 3 }} {{ n % 4 * 2 }} {{ 2 * n % 4 }}", "1 1 9 6 2"),
            ("{% for m in messages %}{{ loop.index0 % 2 }}{% endfor %}", "01"),
            ("{{ (n % 2 == 1) and not n % 7 }}", "True"),
            ("{{ f|trim % 'a' }}{{ f.replace('<', '(') % 'a' }}", "<a>(a>"),
        ] {
            assert_eq!(render(&format!("{named}{template}")), expected, "{template}");
        }
        // Each level would double what stands in it.
        let deep = format!("{{{{ {}1{} }}}}", "x[".repeat(60), " % 2]".repeat(60));
        assert!(rewrite(&deep).len() < 20 * deep.len());
    }

    #[test]
    fn other_signs_stay_as_they_are() {
        for template in [
            "{{ 7 % 3 }} {{ -7 % 3 }}",
            "{{ '%' }}{{ '%}' }}",
            "{%- set x = '%}' -%}{{ x }}",
            "5 % of {# '%s' % x #} all {% raw %}{{ '%s' % x }}{% endraw %}",
            "{% if x == 'a' %}b{% endif %}",
            "{{ '你' ~ -x % 2 }}{{ 2 * x % 3 }}",
            "{% if loop.index0 % 2 == 0 %}{% endif %}",
            "{{ x % y ** 2 }}{{ x % ('%s' ~ y) }}{{ x[1 % 2] % 3",
            "{{ 'open",
            "{{ '%s' % ( }}",
            "{{ '%s' % }}",
            "{{ 2 * '%s' % x }}{{ 'a' '%s' % x }}",
            "{",
        ] {
            assert_eq!(rewrite(template), template);
        }
        assert_eq!(render("{{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ '100%' }} 5%"), "1 2 -2 100% 5%");
    }
}
