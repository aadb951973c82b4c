//! What chat templates use of Python and Jinja, and minijinja lacks: methods of texts and lists, filters, and how a
//! number is printed.

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Output, State, escape_formatter, filters};
use minijinja_contrib::filters::{filesizeformat, striptags};
use minijinja_contrib::pycompat;

use super::template_bounds;
use super::template_values::python_float;

/// Gives an environment all of it.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(method);
    environment.set_formatter(print);
    environment.add_filter("string", string);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("center", center);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("striptags", striptags);
    environment.add_filter("filesizeformat", filesizeformat);
}

/// Prints a value as Python's `str` does where minijinja prints a number otherwise.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match number(value) {
        Some(text) => out.write_str(&text).map_err(Error::from),
        None => escape_formatter(out, state, value),
    }
}

/// A number that is no integer, as Python's `str` writes it.
fn number(value: &Value) -> Option<String> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    let number = f64::try_from(value.clone()).ok()?;
    Some(match (number.is_nan(), number.is_infinite()) {
        (true, _) => "nan".to_string(),
        (_, true) if number > 0.0 => "inf".to_string(),
        (_, true) => "-inf".to_string(),
        _ => python_float(number),
    })
}

fn string(state: &State, value: &Value) -> Result<Value, Error> {
    match number(value) {
        Some(text) => Ok(text.into()),
        None => filters::string(state, value),
    }
}

/// Jinja's `int`: what is no number is the default, 0.
fn int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => options.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(0)),
    };
    filters::int(state, value, Some(default), base, options)
}

/// Jinja's `float`, likewise.
fn float(state: &State, value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => options.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(0.0)),
    };
    filters::float(state, value, Some(default), options)
}

/// Jinja's `truncate(length, killwords, end, leeway)`; the end counts among the characters that are left.
fn truncate(
    text: String,
    length: Option<usize>,
    killwords: Option<bool>,
    end: Option<String>,
    options: Kwargs,
) -> Result<String, Error> {
    let length = length.or(options.get("length")?).unwrap_or(255);
    let killwords = killwords.or(options.get("killwords")?).unwrap_or(false);
    let end: String = end.or(options.get("end")?).unwrap_or_else(|| "...".to_string());
    let leeway = options.get::<Option<usize>>("leeway")?.unwrap_or(5);
    options.assert_all_used()?;
    let left = length.checked_sub(end.chars().count());
    let left = left.ok_or_else(|| invalid("truncate: the length is less than that of the end"))?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let cut: String = text.chars().take(left).collect();
    let whole = if killwords { &cut } else { cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words) };
    Ok(format!("{whole}{end}"))
}

/// Jinja's `wordcount`: runs of letters, digits and underscores.
fn wordcount(text: String) -> usize {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty()).count()
}

fn center(text: String, width: Option<usize>) -> Result<String, Error> {
    centered(&text, width.unwrap_or(80), ' ')
}

/// Jinja's `urlencode`: a text for a path, a mapping as a query.
fn urlencode(value: &Value) -> Result<String, Error> {
    if value.kind() != ValueKind::Map {
        return Ok(quoted(&value.to_string(), "/"));
    }
    let mut pairs = Vec::new();
    for key in value.try_iter()? {
        let [name, value] =
            [&key, &value.get_item(&key)?].map(|part| quoted(&part.to_string(), "").replace("%20", "+"));
        pairs.push(format!("{name}={value}"));
    }
    Ok(pairs.join("&"))
}

/// A text with its bytes in percents, but for letters, digits, `_.-~` and those that are `safe`.
fn quoted(text: &str, safe: &str) -> String {
    let quote = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) => c.to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(quote).collect()
}

/// Python's methods of texts and lists.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = match value.as_str() {
        Some(text) => of_text(text, name, args),
        None if value.kind() == ValueKind::Seq && name == "index" => Some(index_of(value, args)),
        None => None,
    };
    own.unwrap_or_else(|| pycompat::unknown_method_callback(state, value, name, args))
}

/// A method of a text that minijinja lacks; `None` for others.
fn of_text(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let value = |text: Result<String, Error>| text.map(Value::from);
    Some(match name {
        "rsplit" => from_args(args)
            .and_then(|(separator, most): (Option<&str>, Option<i64>)| rsplit(text, separator, most)),
        "partition" => from_args(args).map(|(separator,): (&str,)| {
            let parts = text.split_once(separator);
            parts.map_or_else(|| three([text, "", ""]), |(before, after)| three([before, separator, after]))
        }),
        "rpartition" => from_args(args).map(|(separator,): (&str,)| {
            let parts = text.rsplit_once(separator);
            parts.map_or_else(|| three(["", "", text]), |(before, after)| three([before, separator, after]))
        }),
        "removeprefix" => {
            from_args(args).map(|(prefix,): (&str,)| text.strip_prefix(prefix).unwrap_or(text).into())
        }
        "removesuffix" => {
            from_args(args).map(|(suffix,): (&str,)| text.strip_suffix(suffix).unwrap_or(text).into())
        }
        "index" => from_args(args).and_then(|(part,): (&str,)| place(text, text.find(part))),
        "rindex" => from_args(args).and_then(|(part,): (&str,)| place(text, text.rfind(part))),
        "zfill" => value(from_args(args).and_then(|(width,): (usize,)| zfill(text, width))),
        "ljust" => value(with_fill(args, |width, fill| Ok(format!("{text}{}", filling(text, width, fill)?)))),
        "rjust" => value(with_fill(args, |width, fill| Ok(format!("{}{text}", filling(text, width, fill)?)))),
        "center" => value(with_fill(args, |width, fill| centered(text, width, fill))),
        "casefold" => from_args(args).map(|(): ()| text.to_lowercase().replace('ß', "ss").into()),
        // minijinja's own fills it.
        "format" => Err(template_bounds::check_braces(text).err()?),
        "swapcase" => from_args(args).map(|(): ()| swapcase(text).into()),
        _ => return None,
    })
}

fn three(parts: [&str; 3]) -> Value {
    parts.into_iter().map(Value::from).collect()
}

/// Python's `rsplit`: at most so many parts from the end; without a separator at white space.
fn rsplit(text: &str, separator: Option<&str>, most: Option<i64>) -> Result<Value, Error> {
    let most = usize::try_from(most.unwrap_or(-1)).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(invalid("rsplit: empty separator")),
        Some(separator) => text.rsplitn(most.saturating_add(1), separator).collect(),
        None => Vec::new(),
    };
    let mut rest = text.trim_end();
    while separator.is_none() && !rest.is_empty() {
        let at = if parts.len() < most { rest.rfind(char::is_whitespace) } else { None };
        let word = at.map_or(rest, |at| rest[at..].trim_start());
        parts.push(word);
        rest = at.map_or("", |at| rest[..at].trim_end());
    }
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

/// A place in bytes as one in characters.
fn place(text: &str, bytes: Option<usize>) -> Result<Value, Error> {
    let bytes = bytes.ok_or_else(|| invalid("substring not found"))?;
    Ok(text[..bytes].chars().count().into())
}

fn index_of(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (wanted,): (&Value,) = from_args(args)?;
    let found = list.try_iter()?.position(|item| item == *wanted);
    found.map(Value::from).ok_or_else(|| invalid("the value is not in the list"))
}

fn zfill(text: &str, width: usize) -> Result<String, Error> {
    let zeros = filling(text, width, '0')?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    Ok(format!("{}{zeros}{digits}", &text[..text.len() - digits.len()]))
}

/// Reads a width and the character that fills it, a space where none is given.
fn with_fill(
    args: &[Value],
    make: impl FnOnce(usize, char) -> Result<String, Error>,
) -> Result<String, Error> {
    let (width, fill): (usize, Option<&str>) = from_args(args)?;
    let mut fill = fill.unwrap_or(" ").chars();
    match (fill.next(), fill.next()) {
        (Some(fill), None) => make(width, fill),
        _ => Err(invalid("the fill character must be exactly one character long")),
    }
}

/// What a text lacks to be so wide.
fn filling(text: &str, width: usize, fill: char) -> Result<String, Error> {
    template_bounds::check(width)?;
    Ok(std::iter::repeat_n(fill, width.saturating_sub(text.chars().count())).collect())
}

/// Python's `center`: of an odd filling the left side has more where the width is odd.
fn centered(text: &str, width: usize, fill: char) -> Result<String, Error> {
    let filling: Vec<char> = filling(text, width, fill)?.chars().collect();
    let count = filling.len();
    let (left, right) = filling.split_at(count / 2 + (count & width & 1));
    Ok(left.iter().copied().chain(text.chars()).chain(right.iter().copied()).collect())
}

fn swapcase(text: &str) -> String {
    let mut swapped = String::new();
    for letter in text.chars() {
        match letter.is_uppercase() {
            true => swapped.extend(letter.to_lowercase()),
            false => swapped.extend(letter.to_uppercase()),
        }
    }
    swapped
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(expression: &str) -> Result<String, Error> {
        let mut environment = Environment::new();
        add_to(&mut environment);
        environment.add_filter("tojson", crate::tokenizer::template_values::tojson);
        environment.render_str(&format!("{{{{ {expression} }}}}"), Value::from_pairs([("x", Value::from(1))]))
    }

    /// The right values are what Python 3.12 and Jinja 3.1 print.
    #[test]
    fn methods_of_texts_are_pythons() {
        for (expression, expected) in [
            ("'a,b,c'.rsplit(',', 1)|tojson", r#"["a,b", "c"]"#),
            ("'a,b,c'.rsplit(',')|tojson", r#"["a", "b", "c"]"#),
            ("' a  b c '.rsplit()|tojson", r#"["a", "b", "c"]"#),
            ("' a  b c '.rsplit(none, 1)|tojson", r#"[" a  b", "c"]"#),
            ("'a</think>b</think>c'.partition('</think>')|tojson", r#"["a", "</think>", "b</think>c"]"#),
            ("'ab'.partition('x')|tojson", r#"["ab", "", ""]"#),
            ("'a.b.c'.rpartition('.')|tojson", r#"["a.b", ".", "c"]"#),
            ("'ab'.rpartition('x')|tojson", r#"["", "", "ab"]"#),
            ("'<s>x'.removeprefix('<s>') ~ 'x'.removeprefix('y')", "xx"),
            ("'x</s>'.removesuffix('</s>') ~ 'x'.removesuffix('')", "xx"),
            ("'你好a'.index('a')", "2"),
            ("'abab'.rindex('ab')", "2"),
            ("'-7'.zfill(4) ~ '|' ~ '42'.zfill(4) ~ '|' ~ '12345'.zfill(4)", "-007|0042|12345"),
            ("'ab'.ljust(4) ~ '|' ~ 'ab'.rjust(4, '.') ~ '|'", "ab  |..ab|"),
            ("'ab'.center(5, '*') ~ 'abc'.center(6, '*')", "**ab**abc**"),
            ("'Straße'.casefold() ~ 'aB'.swapcase()", "strasseAb"),
            ("[1, 'x', 3].index('x')", "1"),
            ("' x '.strip() ~ 'A'.lower()", "xa"),
        ] {
            assert_eq!(render(expression).unwrap(), expected, "{expression}");
        }
        for (expression, reason) in [
            ("'a'.index('b')", "substring not found"),
            ("[1].index(2)", "not in the list"),
            ("'a'.rsplit('')", "empty separator"),
            ("'a'.ljust(9, 'xy')", "exactly one character"),
            ("'a'.rjust(2000000)", "more than 1048576"),
            ("'a'.nothing()", "unknown method"),
        ] {
            let error = render(expression).unwrap_err().to_string();
            assert!(error.contains(reason), "{expression}: {error}");
        }
    }

    #[test]
    fn filters_are_jinjas() {
        for (expression, expected) in [
            ("'abc'|int ~ '|' ~ '7'|int ~ '|' ~ 'x'|int(3) ~ '|' ~ 'x'|int(default=4)", "0|7|3|4"),
            ("'abc'|float", "0.0"),
            ("'foo bar baz qux'|truncate(9)", "foo..."),
            ("'foo bar baz qux'|truncate(9, true)", "foo ba..."),
            ("'foo bar baz qux'|truncate(11)", "foo bar baz qux"),
            ("'foo bar baz qux'|truncate(length=11, leeway=0, end='!')", "foo bar!"),
            ("'two words, and_one'|wordcount", "3"),
            ("'a'|center(4) ~ '|'", " a  |"),
            ("'a b/你'|urlencode ~ '|' ~ {'q': 'a b/c'}|urlencode", "a%20b/%E4%BD%A0|q=a+b%2Fc"),
            ("'<b>a</b>  c'|striptags", "a c"),
        ] {
            assert_eq!(render(expression).unwrap(), expected, "{expression}");
        }
        assert!(render("'abc'|truncate(2)").unwrap_err().to_string().contains("less than that of the end"));
    }

    #[test]
    fn numbers_are_printed_as_python_does() {
        for (expression, expected) in [
            ("1e20", "1e+20"),
            ("1e-7", "1e-07"),
            ("0.1", "0.1"),
            ("2.0", "2.0"),
            ("10", "10"),
            ("1e20|string ~ 3|string", "1e+203"),
            ("none", "None"),
            ("true", "True"),
        ] {
            assert_eq!(render(expression).unwrap(), expected, "{expression}");
        }
    }
}
