//! Sentences that say what happened, with a code for programs and the values that stand in them, so that a front end can
//! say the same in another language.

use std::borrow::Borrow;
use std::fmt::{self, Display};
use std::ops::Deref;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// A sentence in English that knows what it says. It reads as its text, and two are equal whose texts are.
#[derive(Clone, Debug, Default)]
pub struct Told {
    code: &'static str,
    text: String,
    values: Vec<(&'static str, Value)>,
}

/// What stands in a sentence.
#[derive(Clone, Debug)]
pub enum Value {
    /// A name, or anything else that is the same in every language.
    Text(String),
    /// A number.
    Number(f64),
    /// A sentence within the sentence.
    Told(Told),
    /// Several of them.
    List(Vec<Told>),
}

impl Told {
    /// The code of what has none of its own; then the text is all there is.
    pub const OTHER: &'static str = "other";

    /// A sentence of this code; `told!` makes them.
    #[doc(hidden)]
    pub fn new(code: &'static str, text: String, values: Vec<(&'static str, Value)>) -> Self {
        Self { code, text, values }
    }

    /// What it says, in a word for programs.
    pub fn code(&self) -> &'static str {
        if self.code.is_empty() { Self::OTHER } else { self.code }
    }

    /// The values of its sentence, by name.
    pub fn values(&self) -> &[(&'static str, Value)] {
        &self.values
    }

    /// The sentence in English.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Deref for Told {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Borrow<str> for Told {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl From<&Told> for Told {
    fn from(told: &Told) -> Self {
        told.clone()
    }
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Told {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl From<serde_json::Error> for Told {
    fn from(error: serde_json::Error) -> Self {
        error.to_string().into()
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Told {}

impl PartialEq<&str> for Told {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl PartialEq<String> for Told {
    fn eq(&self, other: &String) -> bool {
        self.text == *other
    }
}

/// As `{code, values, message}`.
impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values: serde_json::Map<String, serde_json::Value> =
            self.values.iter().map(|(name, value)| ((*name).to_string(), value.to_json())).collect();
        let mut told = serializer.serialize_struct("Told", 3)?;
        told.serialize_field("code", self.code())?;
        told.serialize_field("values", &values)?;
        told.serialize_field("message", &self.text)?;
        told.end()
    }
}

impl Value {
    fn to_json(&self) -> serde_json::Value {
        let json = |told: &Told| serde_json::to_value(told).unwrap_or_default();
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Number(number) => (*number).into(),
            Self::Told(told) => json(told),
            Self::List(list) => list.iter().map(json).collect(),
        }
    }
}

/// The sentences of a list, as they end another one: behind a colon the only one, or each on a line of its own.
#[derive(Clone, Debug)]
pub struct Listed(pub Vec<Told>);

impl Display for Listed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(out, ": {one}"),
            many => {
                out.write_str(":")?;
                many.iter().try_for_each(|item| write!(out, "\n  - {item}"))
            }
        }
    }
}

/// A count and the words behind it, behind one and behind many, as English has them: `1 row is`, `2 rows are`. Its value is
/// the count alone, which is all that a language with one form needs.
#[derive(Clone, Debug)]
pub struct Counted {
    count: Value,
    shown: String,
    words: [&'static str; 2],
}

impl Counted {
    /// That of a number.
    pub fn new(count: u64, words: [&'static str; 2]) -> Self {
        Self { count: Value::Number(count as f64), shown: count.to_string(), words }
    }

    /// That of a number as it is written: `1,234`, `~20`.
    pub fn written(shown: String, words: [&'static str; 2]) -> Self {
        Self { count: Value::Text(shown.clone()), shown, words }
    }
}

impl Display for Counted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, many] = self.words;
        write!(out, "{} {}", self.shown, if self.shown == "1" { one } else { many })
    }
}

/// Sentences as their texts alone, as reports and files of the command line hold them; for serde's `with`.
pub mod texts {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Told;

    /// Writes the texts.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(list: &[Told], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(Told::text))
    }

    /// Reads texts, which have no codes any more.
    ///
    /// # Errors
    /// What stands there instead of texts.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Told>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(texts.into_iter().map(Told::from).collect())
    }
}

/// What makes a value of what stands in a sentence: numbers and sentences stay what they are, all else is its text.
#[doc(hidden)]
pub struct Tag<'a, T: ?Sized>(pub &'a T);

/// See [`Tag`].
#[doc(hidden)]
pub trait ByText {
    /// The value.
    fn value(&self) -> Value;
}

impl<T: Display + ?Sized> ByText for Tag<'_, T> {
    fn value(&self) -> Value {
        Value::Text(self.0.to_string())
    }
}

macro_rules! kept {
    ($($kind:ty => $value:expr),+ $(,)?) => {
        $(impl Tag<'_, $kind> {
            /// See [`ByText::value`].
            pub fn value(&self) -> Value {
                let make: fn(&$kind) -> Value = $value;
                make(self.0)
            }
        })+
    };
}

kept! {
    Told => |told| Value::Told(told.clone()),
    &Told => |told| Value::Told((*told).clone()),
    Listed => |list| Value::List(list.0.clone()),
    Counted => |counted| counted.count.clone(),
    u8 => |number| Value::Number(f64::from(*number)),
    u32 => |number| Value::Number(f64::from(*number)),
    &u32 => |number| Value::Number(f64::from(**number)),
    u64 => |number| Value::Number(*number as f64),
    &u64 => |number| Value::Number(**number as f64),
    usize => |number| Value::Number(*number as f64),
    &usize => |number| Value::Number(**number as f64),
    f64 => |number| Value::Number(*number),
    &f64 => |number| Value::Number(**number),
}

/// Makes a [`Told`] of a code, its sentence as `format!` takes it, and the names in it: variables, or `name = expression`.
/// Every name stands in the sentence as `{name}`, and nothing else does.
#[macro_export]
macro_rules! told {
    ($code:literal, $text:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        match ($($crate::told!(@ $name $(= $value)?),)*) {
            ($($name,)*) => {
                #[allow(unused_imports, reason = "only values that are told by their text need it")]
                use $crate::told::ByText as _;
                $crate::told::Told::new(
                    $code,
                    ::std::format!($text),
                    ::std::vec![$((stringify!($name), $crate::told::Tag($name).value())),*],
                )
            }
        }
    };
    (@ $name:ident) => { &$name };
    (@ $name:ident = $value:expr) => { &$value };
}
pub use told;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_keeps_its_code_and_values() {
        let (file, reason) = ("a.jsonl", told!("row.empty", "the row is empty"));
        let told = told!("row.at", "{file}:{line}: {reason}", file, line = 1 + 1_u64, reason);
        assert_eq!(told, "a.jsonl:2: the row is empty");
        assert_eq!(told.code(), "row.at");
        let json = serde_json::json!({
            "code": "row.at",
            "message": "a.jsonl:2: the row is empty",
            "values": {
                "file": "a.jsonl", "line": 2.0,
                "reason": {"code": "row.empty", "values": {}, "message": "the row is empty"},
            },
        });
        assert_eq!(serde_json::to_value(&told).unwrap(), json);
        assert_eq!(Told::from("x").code(), Told::OTHER);
    }

    #[test]
    fn values_are_what_they_were() {
        let (list, share) = (Listed(vec!["a".into(), "b".into()]), 0.5_f64);
        let told = told!("x", "{list} {share} {name:}", list, share, name = 'c');
        assert_eq!(told.text(), ":\n  - a\n  - b 0.5 c");
        let kinds: Vec<_> = told.values().iter().map(|(name, value)| (*name, value)).collect();
        assert!(matches!(
            kinds[..],
            [("list", Value::List(_)), ("share", Value::Number(_)), ("name", Value::Text(_))]
        ));
        assert_eq!(Listed(vec!["a".into()]).to_string(), ": a");
    }

    #[test]
    fn one_has_other_words_than_many_and_the_same_value() {
        let rows = |count| told!("x", "{rows} left out", rows = Counted::new(count, ["row is", "rows are"]));
        let texts = [0, 1, 2].map(|count| rows(count).text().to_string());
        assert_eq!(texts, ["0 rows are left out", "1 row is left out", "2 rows are left out"]);
        assert!(matches!(rows(1).values(), [("rows", Value::Number(1.0))]));
        let shown = |text: &str| Counted::written(text.into(), ["row", "rows"]).to_string();
        assert_eq!(["1", "1,001", "~1"].map(shown), ["1 row", "1,001 rows", "~1 rows"]);
    }

    #[test]
    fn a_list_of_sentences_is_kept_as_its_texts() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Kept(#[serde(with = "texts")] Vec<Told>);
        let json = serde_json::to_string(&Kept(vec![told!("x", "one"), "two".into()])).unwrap();
        assert_eq!(json, r#"["one","two"]"#);
        assert_eq!(serde_json::from_str::<Kept>(&json).unwrap().0, ["one", "two"]);
    }
}
