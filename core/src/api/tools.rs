//! The tools of a request, and what it asks of their calls.

use serde_json::{Value, json};

use super::ApiError;
use super::fields::Fields;

/// Longest name of a function, as OpenAI has it.
const LONGEST_NAME: usize = 64;

/// Whether and what an answer calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// Nothing: the answer is a text, and the prompt tells of no tools.
    None,
    /// What the model likes.
    Auto,
    /// At least one function.
    Required,
    /// This function.
    Named(String),
}

/// A function that may be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The schema of its arguments; an object of any kind where it says nothing.
    pub parameters: Value,
    /// Whether its arguments must follow the schema also where the model chooses to call it.
    pub strict: bool,
    /// Where the request has the schema.
    pub place: String,
}

impl Tool {
    /// A function of this name, whose arguments follow a schema.
    pub fn new(name: &str, parameters: Value) -> Self {
        Self { name: name.to_string(), parameters, strict: false, place: "tools".to_string() }
    }
}

/// What a request says of tools.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// The functions that may be called; empty where there are none.
    pub list: Vec<Tool>,
    /// The same as the request has them, which is what chat templates print.
    pub described: Option<Value>,
    /// Which of them the answer calls.
    pub choice: ToolChoice,
    /// Whether several may be called at once.
    pub parallel: bool,
}

impl Tools {
    /// Takes `tools`, `tool_choice` and `parallel_tool_calls`.
    ///
    /// # Errors
    /// The field that is wrong, by its path.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        for old in ["functions", "function_call"] {
            fields.neutral(old, &[json!([])], "write tools and tool_choice")?;
        }
        let path = fields.path("tools");
        let described = fields.list("tools")?.unwrap_or_default();
        let numbered = described.iter().enumerate();
        let list: Vec<Tool> = numbered
            .map(|(i, tool)| read_tool(Fields::of_value(&format!("{path}[{i}]"), tool.clone())?))
            .collect::<Result<_, _>>()?;
        let choice = read_choice(fields, &list)?;
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let described = (!list.is_empty() && choice != ToolChoice::None).then_some(Value::Array(described));
        Ok(Self { list, described, choice, parallel })
    }

    /// Whether an answer may call something.
    pub(super) fn act(&self) -> bool {
        self.described.is_some()
    }

    /// The functions, where a call of the model's own choice is held to a schema: that of strict ones, any object of others.
    pub(super) fn strict(&self) -> Option<Vec<Tool>> {
        if self.choice != ToolChoice::Auto || !self.list.iter().any(|tool| tool.strict) {
            return None;
        }
        let held = |tool: &Tool| if tool.strict { tool.clone() } else { Tool::new(&tool.name, any_object()) };
        Some(self.list.iter().map(held).collect())
    }

    /// The functions one of which must be called; none where the answer may be a text.
    pub(super) fn forced(&self) -> Option<Vec<&Tool>> {
        match &self.choice {
            ToolChoice::None | ToolChoice::Auto => None,
            ToolChoice::Required => Some(self.list.iter().collect()),
            ToolChoice::Named(name) => Some(self.list.iter().filter(|tool| tool.name == *name).collect()),
        }
    }
}

/// The schema of arguments of any kind.
fn any_object() -> Value {
    json!({"type": "object"})
}

fn read_tool(mut tool: Fields) -> Result<Tool, ApiError> {
    let kind = tool.required_text("type")?;
    if kind != "function" {
        return Err(ApiError::unsupported(&tool.path("type"), "the only type of tools here is 'function'"));
    }
    let mut function = tool.object("function")?.ok_or_else(|| ApiError::missing(&tool.path("function")))?;
    let name = function.required_text("name")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        let path = function.path("name");
        let message = format!(
            "Invalid '{path}': a name has 1 to {LONGEST_NAME} letters, digits, underscores, dashes and points."
        );
        return Err(ApiError::invalid(&path, message));
    }
    function.text("description")?;
    let path = function.path("parameters");
    let parameters = match function.take("parameters") {
        None => any_object(),
        Some(schema @ Value::Object(_)) => schema,
        Some(other) => return Err(ApiError::wrong_type(&path, "an object", &other)),
    };
    let strict = function.flag("strict")?.unwrap_or(false);
    function.finish()?;
    tool.finish()?;
    Ok(Tool { name, parameters, strict, place: path })
}

fn read_choice(fields: &mut Fields, list: &[Tool]) -> Result<ToolChoice, ApiError> {
    let path = fields.path("tool_choice");
    let choice = match fields.take("tool_choice") {
        None if list.is_empty() => return Ok(ToolChoice::None),
        None => return Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "none" => return Ok(ToolChoice::None),
            // Clients send it whether they have tools or not.
            "auto" if list.is_empty() => return Ok(ToolChoice::None),
            "auto" => return Ok(ToolChoice::Auto),
            "required" => ToolChoice::Required,
            other => {
                let known = "'none', 'auto', 'required', and a function by its name";
                let message = format!("Invalid '{path}': it is '{other}'; supported are {known}.");
                return Err(ApiError::invalid(&path, message));
            }
        },
        Some(value) => {
            let mut choice = Fields::of_value(&path, value)?;
            choice.neutral("type", &[json!("function")], "a function is chosen by its name")?;
            let mut function =
                choice.object("function")?.ok_or_else(|| ApiError::missing(&choice.path("function")))?;
            let name = function.required_text("name")?;
            function.finish()?;
            choice.finish()?;
            ToolChoice::Named(name)
        }
    };
    let known = match &choice {
        ToolChoice::Named(name) => list.iter().any(|tool| tool.name == *name),
        _ => !list.is_empty(),
    };
    if known {
        return Ok(choice);
    }
    Err(ApiError::invalid(
        &path,
        format!("Invalid '{path}': it asks for a call, but 'tools' has no such function."),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = r#"{"type": "function", "function": {"name": "warmth", "description": "How warm a place is",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}"#;

    fn read(rest: &str) -> Result<Tools, ApiError> {
        let body = format!(r#"{{"tools": [{TOOL}]{rest}}}"#);
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        let tools = Tools::take(&mut fields)?;
        fields.finish().map(|()| tools)
    }

    #[test]
    fn tools_and_their_choice_are_read() {
        let tools = read("").unwrap();
        assert_eq!((tools.choice.clone(), tools.parallel, tools.act()), (ToolChoice::Auto, true, true));
        assert_eq!(tools.list[0].parameters["required"], json!(["place"]));
        let tool: Value = serde_json::from_str(TOOL).unwrap();
        assert_eq!(tools.described, Some(json!([tool])));
        assert!(tools.forced().is_none());
        let named = read(r#", "tool_choice": {"type": "function", "function": {"name": "warmth"}}"#).unwrap();
        assert_eq!(named.forced().unwrap().len(), 1);
        let none = read(r#", "tool_choice": "none", "parallel_tool_calls": false"#).unwrap();
        assert!(!none.act() && !none.parallel && none.described.is_none());
        assert_eq!(tools.strict(), None);
        let body = r#"{"tools": [{"type": "function", "function": {"name": "a", "strict": true, "parameters": {"x": 1}}},
            {"type": "function", "function": {"name": "b", "parameters": {"y": 1}}}]}"#;
        let strict = Tools::take(&mut Fields::of_body(body.as_bytes()).unwrap()).unwrap().strict().unwrap();
        let schemas: Vec<&Value> = strict.iter().map(|tool| &tool.parameters).collect();
        assert_eq!(schemas, [&json!({"x": 1}), &json!({"type": "object"})]);
        let mut bare = Fields::of_body(br#"{"tool_choice": "auto"}"#).unwrap();
        assert_eq!(Tools::take(&mut bare).unwrap().choice, ToolChoice::None);
    }

    #[test]
    fn what_cannot_be_called_is_refused_by_name() {
        for (rest, param) in [
            (r#", "tool_choice": "any""#, "tool_choice"),
            (r#", "tool_choice": {"type": "function", "function": {"name": "rain"}}"#, "tool_choice"),
            (r#", "tool_choice": {"type": "custom", "custom": {"name": "x"}}"#, "tool_choice.type"),
            (r#", "functions": [{"name": "f"}]"#, "functions"),
        ] {
            assert_eq!(read(rest).unwrap_err().param.as_deref(), Some(param), "{rest}");
        }
        for (tool, param) in [
            (r#"{"type": "web_search"}"#, "tools[0].type"),
            (r#"{"type": "function"}"#, "tools[0].function"),
            (r#"{"type": "function", "function": {"name": "a b"}}"#, "tools[0].function.name"),
        ] {
            let body = format!(r#"{{"tools": [{tool}]}}"#);
            let error = Tools::take(&mut Fields::of_body(body.as_bytes()).unwrap()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{tool}");
        }
    }
}
