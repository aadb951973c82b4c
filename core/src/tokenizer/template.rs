//! Chat templates: the Jinja text of `tokenizer_config.json`, rendered as `transformers` renders it.
//!
//! The environment copies `transformers.utils.chat_template_utils`: `trim_blocks`, `lstrip_blocks`, loop
//! controls, Python's methods of strings and maps, `tojson`, `raise_exception`, `strftime_now`, generation
//! blocks. A template comes with a stranger's model, so its shape, its steps and its output are bounded.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, State};
use serde_json::Map;

use super::generation;
use super::strftime::Moment;
use super::template_bounds;
use super::template_limits::{self, Bounded};
use super::template_percent;
use super::template_python;
use super::template_values::{from_json, message_value, tojson, with_text_arguments};
use crate::error::{Error, Result};
use crate::panics::caught;
use crate::text::{Conversation, Message};
use crate::told::{Told, told};

/// The name minijinja shows in its messages.
const NAME: &str = "chat_template";
/// Instructions one rendering may run: for a short conversation, more for each message (one takes some hundreds, and
/// some templates look at all the others for each), and at most.
const FUEL: u64 = 20_000_000;
const FUEL_A_MESSAGE: u64 = 20_000;
const MOST_FUEL: u64 = 1_000_000_000;
/// The variable that holds the date for `strftime_now`.
pub const NOW: &str = "now";

/// The texts of the special tokens, which templates know as `bos_token` and so on.
#[derive(Clone, Debug, Default)]
pub struct Specials {
    /// `bos_token`.
    pub bos: Option<String>,
    /// `eos_token`.
    pub eos: Option<String>,
    /// `pad_token`.
    pub pad: Option<String>,
    /// `unk_token`.
    pub unk: Option<String>,
}

/// A chat template, compiled once.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    pub(super) has_generation_blocks: bool,
}

impl ChatTemplate {
    /// Compiles a template. `specials` are the values of `bos_token`, `eos_token`, `pad_token` and `unk_token`.
    pub fn new(text: &str, specials: &Specials) -> Result<Self> {
        let rewritten = generation::rewrite(text);
        let has_generation_blocks = rewritten.is_some();
        let source = rewritten.unwrap_or_else(|| text.to_string());
        let told = |why: Told| {
            Error::UnknownInTemplate(told!(
                "template.compile",
                "the chat template does not compile: {why}; mend it (the model's chat_template.jinja, or in its \
                 tokenizer_config.json), or give another with --chat-template FILE",
                why
            ))
        };
        template_limits::check(&source).map_err(told)?;
        let source = template_percent::rewrite(&source);
        let environment = caught(|| environment(source, specials)).map_err(|why| told(why.into()))?;
        let environment = environment.map_err(|error| told(explain(&error).into()))?;
        Ok(Self { environment, has_generation_blocks })
    }

    /// The variables that it looks at.
    pub(super) fn variables(&self) -> HashSet<String> {
        let used = self.environment.get_template(NAME).map(|template| template.undeclared_variables(false));
        used.unwrap_or_default()
    }

    /// Whether it uses `strftime_now`, or the variable behind it.
    pub(super) fn looks_at_date(&self) -> bool {
        let used = self.variables();
        ["strftime_now", NOW].iter().any(|name| used.contains(*name))
    }

    /// The conversation as text; the template sees `variables` beside the messages and the tools.
    pub fn render(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
        variables: &Map<String, serde_json::Value>,
    ) -> Result<String> {
        let context = Context::new(conversation.tools.as_ref(), variables);
        self.render_messages(&conversation.messages, &context, add_generation_prompt)
    }

    /// The conversation as text and, where the template has `{% generation %}` blocks, the byte ranges they
    /// wrote.
    pub fn render_spans(
        &self,
        conversation: &Conversation,
        variables: &Map<String, serde_json::Value>,
    ) -> Result<(String, Option<Vec<Range<usize>>>)> {
        let context = Context::new(conversation.tools.as_ref(), variables);
        let text = self.render_messages(&conversation.messages, &context, false)?;
        if !self.has_generation_blocks {
            return Ok((text, None));
        }
        let (begin, end) = generation::unused_marks(&text)
            .ok_or_else(|| blocks_fail(told!("template.all_marks", "the text uses all marks")))?;
        let marked =
            self.render_marked(&conversation.messages, &context, false, &[begin.into(), end.into()])?;
        let (stripped, mut spans) = generation::strip(&marked, begin, end)
            .ok_or_else(|| blocks_fail(told!("template.unpaired", "the blocks do not pair up")))?;
        spans.retain(|span| !span.is_empty());
        if stripped != text {
            return Err(blocks_fail(told!("template.changed", "the template changes what a block wrote")));
        }
        Ok((text, Some(spans)))
    }

    /// Some messages as text, for comparing renderings.
    pub(super) fn render_messages(
        &self,
        messages: &[Message],
        context: &Context,
        add_generation_prompt: bool,
    ) -> Result<String> {
        self.render_marked(messages, context, add_generation_prompt, &[String::new(), String::new()])
    }

    /// Some templates put the arguments of a call into a text themselves, and refuse them as an object: for these they
    /// are given as JSON text.
    fn render_marked(
        &self,
        messages: &[Message],
        context: &Context,
        add_generation_prompt: bool,
        marks: &[String; 2],
    ) -> Result<String> {
        self.render_once(messages, context, add_generation_prompt, marks).or_else(|error| {
            let Some(as_text) = with_text_arguments(messages) else { return Err(error) };
            self.render_once(&as_text, context, add_generation_prompt, marks).map_err(|_| error)
        })
    }

    fn render_once(
        &self,
        messages: &[Message],
        context: &Context,
        add_generation_prompt: bool,
        marks: &[String; 2],
    ) -> Result<String> {
        let mut variables = vec![
            ("messages".to_string(), messages.iter().map(message_value).collect::<Value>()),
            ("add_generation_prompt".to_string(), Value::from(add_generation_prompt)),
            (generation::BEGIN.to_string(), Value::from(marks[0].as_str())),
            (generation::END.to_string(), Value::from(marks[1].as_str())),
        ];
        variables.extend(context.0.iter().cloned());
        let mut output = Bounded(Vec::new());
        let mut environment = Cow::Borrowed(&self.environment);
        let fuel = messages.len() as u64 * FUEL_A_MESSAGE;
        if fuel > FUEL {
            environment.to_mut().set_fuel(Some(fuel.min(MOST_FUEL)));
        }
        let cannot = |why: String| {
            Error::Template(told!(
                "template.render",
                "the chat template cannot render this conversation: {why}; change the conversation, or the template (the \
                 model's chat_template.jinja, or in its tokenizer_config.json), or give another with --chat-template FILE",
                why
            ))
        };
        // minijinja's slices of nothing backwards (`''[::-1]`) panic.
        caught(|| {
            let template = environment.get_template(NAME)?;
            template.render_captured_to(Value::from_pairs(variables), &mut output).map(drop)
        })
        .map_err(cannot)?
        .map_err(|error| {
            let why = explain(&error);
            template_limits::unknown_here(&error, &why).unwrap_or_else(|| cannot(why))
        })?;
        String::from_utf8(output.0).map_err(|error| {
            Error::Template(told!("template.wrote", "the chat template wrote {error}", error))
        })
    }
}

/// What a template sees beside the messages, converted once for many renderings.
pub(super) struct Context(Vec<(String, Value)>);

impl Context {
    /// The tools of a conversation, and variables by name.
    pub(super) fn new(tools: Option<&serde_json::Value>, variables: &Map<String, serde_json::Value>) -> Self {
        // Python passes `None` for both, which templates test with `is not none`.
        let tools = tools.map_or(Value::from(()), from_json);
        let mut values = vec![("tools".to_string(), tools), ("documents".to_string(), Value::from(()))];
        values.extend(variables.iter().map(|(name, value)| (name.clone(), from_json(value))));
        Self(values)
    }
}

fn environment(
    source: String,
    specials: &Specials,
) -> std::result::Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    template_python::add_to(&mut environment);
    template_bounds::add_to(&mut environment);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    let roles = [
        ("bos_token", &specials.bos),
        ("eos_token", &specials.eos),
        ("pad_token", &specials.pad),
        ("unk_token", &specials.unk),
    ];
    for (name, token) in roles {
        if let Some(token) = token {
            environment.add_global(name, token.as_str());
        }
    }
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

fn raise_exception(message: String) -> std::result::Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(state: &State, format: String) -> std::result::Result<String, minijinja::Error> {
    let invalid = |message: String| minijinja::Error::new(ErrorKind::InvalidOperation, message);
    let now = state.lookup(NOW).unwrap_or_default();
    let Some(now) = now.as_str() else {
        let remedy = "the template prints today's date; give it the variable `now`, such as 2025-07-31";
        return Err(invalid(remedy.to_string()));
    };
    let moment = Moment::parse(now).ok_or_else(|| invalid(format!("`now` is not a date: {now}")))?;
    moment.format(&format).ok_or_else(|| invalid(format!("strftime_now has no {format} here")))
}

/// minijinja's message with its causes.
fn explain(error: &minijinja::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn blocks_fail(why: Told) -> Error {
    Error::Template(told!(
        "template.blocks",
        "the {{% generation %}} blocks of the chat template cannot be followed: {why}; \
         write each block around text that is printed as it is",
        why
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str, variables: serde_json::Value) -> Result<String> {
        let specials = Specials { bos: Some("<s>".to_string()), ..Specials::default() };
        let messages = vec![Message::new("user", "q"), Message::new("assistant", "a\u{E000}")];
        let conversation = Conversation { messages, tools: None };
        ChatTemplate::new(text, &specials)?.render(&conversation, true, variables.as_object().unwrap())
    }

    #[test]
    fn the_environment_is_that_of_transformers() {
        let cases = [
            (
                "{{ bos_token }}{{ eos_token }}|{{ tools is none }}|{{ eos_token is defined }}",
                "<s>|True|False",
            ),
            ("  {% if true %}\nx\n  {% endif %}\ny\n", "x\ny"),
            ("{% for m in messages[::-1] %}{{ m.role }}{% break %}{% endfor %}", "assistant"),
            ("{{ ' A b '.strip().lower().split(' ')[-1] }}{{ 'xy'.startswith('x') }}", "bTrue"),
            (
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
                "2",
            ),
            ("{{ messages[0].get('name', 'none') }}|{{ messages[0].name is defined }}", "none|False"),
            ("{{ add_generation_prompt }}{{ think }}", "Trueyes"),
            ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
            ("{{ 'a</think>b'.partition('</think>')[2] }}{{ 1e20 }}{{ 'x'|int }}", "b1e+200"),
        ];
        for (text, expected) in cases {
            let variables = json!({"think": "yes", "now": "2024-07-26"});
            assert_eq!(render(text, variables).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_template_that_joins_arguments_as_text_gets_them_as_text() {
        let mut call = Message::new("assistant", "");
        call.extra
            .insert("tool_calls".into(), json!([{"function": {"name": "f", "arguments": {"a": [1, "x"]}}}]));
        let conversation = Conversation { messages: vec![Message::new("user", "q"), call], tools: None };
        let render = |text: &str| {
            let template = ChatTemplate::new(text, &Specials::default()).unwrap();
            template.render(&conversation, false, &Map::new())
        };
        let joined =
            "{{ messages[1].tool_calls[0].function.name + messages[1].tool_calls[0].function.arguments }}";
        assert_eq!(render(joined).unwrap(), "f{\"a\": [1, \"x\"]}");
        let object = "{{ messages[1].tool_calls[0].function.arguments.a[0] }}";
        assert_eq!(render(object).unwrap(), "1");
        assert!(render("{{ messages[1].tool_calls + 1 }}").is_err());
    }

    #[test]
    fn refusals_carry_the_reason() {
        let cases = [
            ("{% if %}", "does not compile"),
            ("{{ ''[::-1] }}", "the chat template"),
            ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
            ("{{ strftime_now('%Y') }}", "the variable `now`"),
            ("{{ nothing.at.all }}", "cannot render"),
            ("{% if %}", "mend it (the model's chat_template.jinja"),
            ("{{ nothing.at.all }}", "or give another with --chat-template FILE"),
        ];
        for (text, reason) in cases {
            let error = render(text, json!({})).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_template_that_never_ends_is_stopped() {
        let loops = "{% for a in range(90000) %}{% for b in range(90000) %}{{ a }}{% endfor %}{% endfor %}";
        let error = render(loops, json!({})).unwrap_err().to_string();
        assert!(error.contains("fuel"), "{error}");
        let error =
            render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", json!({})).unwrap_err().to_string();
        assert!(error.contains("cannot render"), "{error}");
    }

    #[test]
    fn a_long_conversation_may_take_more_steps() {
        // Three steps for each pair of messages, 27 million in all.
        let pairs = "{% for a in messages %}{% for b in messages %}{% endfor %}{% endfor %}end";
        let template = ChatTemplate::new(pairs, &Specials::default()).unwrap();
        let conversation = Conversation { messages: vec![Message::new("user", "q"); 3000], tools: None };
        assert_eq!(template.render(&conversation, false, &Map::new()).unwrap(), "end");
    }

    #[test]
    fn generation_blocks_give_byte_ranges() {
        let text = "{% for m in messages %}{% if m.role == 'assistant' %}\n  {% generation %}\n<{{ m.content }}>\
                    {% endgeneration %}\n{% else %}{{ m.content }}|{% endif %}{% endfor %}";
        let messages = vec![Message::new("user", "你"), Message::new("assistant", "a\u{E000}")];
        let conversation = Conversation { messages, tools: None };
        let template = ChatTemplate::new(text, &Specials::default()).unwrap();
        let (text, spans) = template.render_spans(&conversation, &Map::new()).unwrap();
        assert_eq!(text, "你|<a\u{E000}>");
        assert_eq!(spans, Some(std::iter::once(4..10).collect::<Vec<_>>()));
    }

    #[test]
    fn blocks_that_cannot_be_followed_are_refused() {
        let text = "{% set answer %}{% generation %}a{% endgeneration %}{% endset %}{{ answer | length }}";
        let conversation = Conversation { messages: vec![Message::new("user", "q")], tools: None };
        let template = ChatTemplate::new(text, &Specials::default()).unwrap();
        let error = template.render_spans(&conversation, &Map::new()).unwrap_err().to_string();
        assert!(error.contains("generation"), "{error}");
    }
}
