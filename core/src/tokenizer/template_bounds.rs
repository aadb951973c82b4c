//! Filters and methods of chat templates that fill something up to a width: minijinja's own take any number, and a
//! template that comes with a stranger's model could use up all memory with one.

use minijinja::value::{Kwargs, Rest, StringInput, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

/// The widest that something is filled up to, in characters or items.
pub(super) const WIDEST: usize = 1 << 20;

/// Gives an environment the filters with their bounds.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("format", format);
    environment.add_filter("indent", indent);
    environment.add_filter("batch", batch);
    environment.add_filter("slice", slice);
}

/// Refuses what is wider than anything may be.
pub(super) fn check(width: usize) -> Result<(), Error> {
    match width > WIDEST {
        true => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a width of {width} characters is more than {WIDEST}"),
        )),
        false => Ok(()),
    }
}

/// Refuses a text that Python's `%` fills, whose fields are wider together.
fn check_percents(text: &str) -> Result<(), Error> {
    let (mut all, mut rest) = (0usize, text);
    while let Some((_, field)) = rest.split_once('%') {
        if let Some(behind) = field.strip_prefix('%') {
            rest = behind;
            continue;
        }
        let named = field.strip_prefix('(').and_then(|name| name.split_once(')'));
        let spec = named.map_or(field, |(_, spec)| spec).trim_start_matches(['#', '0', '-', ' ', '+']);
        let (width, behind) = number(spec);
        let precision = behind.strip_prefix('.').map_or(0, |digits| number(digits).0);
        all = all.saturating_add(width).saturating_add(precision);
        rest = field;
    }
    check(all)
}

/// Refuses a text that Python's `format` fills, whose fields are wider together.
pub(super) fn check_braces(text: &str) -> Result<(), Error> {
    let (mut all, mut rest) = (0usize, text);
    while let Some((_, field)) = rest.split_once('{') {
        if let Some(behind) = field.strip_prefix('{') {
            rest = behind;
            continue;
        }
        rest = behind_name(field);
        let Some(spec) = rest.strip_prefix(':') else { continue };
        let spec = behind_fill(spec).trim_start_matches(['+', ' ', '-', '#']);
        let (width, behind) = number(spec);
        let behind = behind.trim_start_matches([',', '_']);
        let precision = behind.strip_prefix('.').map_or(0, |digits| number(digits).0);
        all = all.saturating_add(width).saturating_add(precision);
        rest = behind;
    }
    check(all)
}

/// What follows the name of a field, whose places in brackets may hold any sign.
fn behind_name(field: &str) -> &str {
    let mut rest = field;
    while let Some(at) = rest.find(['[', ':', '}']) {
        match rest[at..].strip_prefix('[') {
            Some(key) => rest = key.split_once(']').map_or("", |(_, behind)| behind),
            None => return &rest[at..],
        }
    }
    ""
}

/// What follows the sign that fills a field, any one, and that of its side.
fn behind_fill(spec: &str) -> &str {
    let side = |text: &str| text.starts_with(['<', '>', '^']);
    let behind = spec.chars().next().map_or(spec, |fill| &spec[fill.len_utf8()..]);
    match (side(behind), side(spec)) {
        (true, _) => &behind[1..],
        (false, true) => behind,
        (false, false) => spec,
    }
}

/// The number that a text begins with, 0 where it begins with none, and what follows it.
fn number(text: &str) -> (usize, &str) {
    let behind = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - behind.len()];
    (if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) }, behind)
}

fn format(state: &mut State, text: &Value, values: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    check_percents(text.as_str().unwrap_or_default())?;
    filters::format(state, text, values)
}

fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let asked = match width {
        Some(width) => Some(width),
        None => options.get::<Option<usize>>("width")?,
    };
    check(asked.unwrap_or(0).saturating_mul(text.as_str().split('\n').count()))?;
    filters::indent(text, width, first, blank, options)
}

fn batch(state: &State, items: Value, count: usize, filler: Option<Value>) -> Result<Value, Error> {
    check(count)?;
    filters::batch(state, items, count, filler)
}

fn slice(state: &State, items: Value, count: usize, filler: Option<Value>) -> Result<Value, Error> {
    check(count)?;
    filters::slice(state, items, count, filler)
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use crate::text::{Conversation, Message};
    use crate::tokenizer::template::{ChatTemplate, Specials};

    fn render(expression: &str) -> Result<String, String> {
        let template = ChatTemplate::new(&format!("{{{{ {expression} }}}}"), &Specials::default());
        let conversation = Conversation::new(vec![Message::new("user", "q")]);
        let text = template.and_then(|template| template.render(&conversation, false, &Map::new()));
        text.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_as_wide_as_templates_are_is_filled() {
        for (expression, expected) in [
            ("'%3d|%-3s|%.2f|100%%'|format(5, 'a', 1.5)", "  5|a  |1.50|100%"),
            (
                "'tel. 13800138000: %s, 100%% 13800138000'|format('a')",
                "tel. 13800138000: a, 100% 13800138000",
            ),
            ("'{:>4}|{}|{:.1f}'.format('a', 2, 1.5)", "   a|2|1.5"),
            ("'{:}>3}|{:你^3}|{{:99999999999999}}'.format(5, 6)", "}}5|你6你|{:99999999999999}"),
            ("'a\\nb'|indent(2) ~ '|' ~ 'a\\nb'|indent(width=1, first=true)", "a\n  b| a\n b"),
            (
                "[1, 2, 3]|batch(2, 0)|list|tojson ~ [1, 2, 3]|slice(2)|list|tojson",
                "[[1, 2], [3, 0]][[1, 2], [3]]",
            ),
        ] {
            assert_eq!(render(expression).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn what_would_use_up_the_memory_is_refused() {
        for expression in [
            "'%99999999999999d'|format(5)",
            "'%(a)099999999999999s'|format(a=5)",
            "'%.99999999999999f'|format(5)",
            "'%99999999999999999999999999s'|format(5)",
            "'%600000s%600000s'|format(5, 6)",
            "'%99999999999999s' % 5",
            "'{:99999999999999}'.format(5)",
            "'{0:>600000}{0:>600000}'.format(5)",
            // A bracket that closes nothing: in a place, and as what fills.
            "'{0[}]:>99999999999999}'.format({'}': 1})",
            "'{:}>99999999999999}'.format(5)",
            "'{:{>99999999999999}'.format(5)",
            "'{:>>+#099999999999999,}'.format(5)",
            "'{:.99999999999999f}'.format(5.5)",
            "'{{{:99999999999999}}}'.format(5)",
            "'a\\nb'|indent(99999999999999)",
            "'a\\nb'|indent(width=600000)",
            "[1]|batch(99999999999999, 'x')",
            "[1]|slice(99999999999999)",
            "'a'|center(99999999999999)",
        ] {
            let error = render(expression).unwrap_err();
            assert!(error.contains("more than 1048576"), "{expression}: {error}");
        }
        let error = render("[1]|tojson(indent=99999999999999)").unwrap_err();
        assert!(error.contains("more than 64"), "{error}");
    }
}
