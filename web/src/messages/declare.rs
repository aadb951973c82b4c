//! How a message is defined: as a type of Rust, which serde writes and reads, and as the type of TypeScript that belongs
//! to it.
//!
//! `field: Option<T>` may be null. `field: T = "Option::is_none"`, or whatever tells that there is nothing to say, may be
//! missing. `field: T as "Name"` is called so in TypeScript.

/// Defines messages: `struct` has fields, `enum` has words, `union` has variants told apart by their `event`.
macro_rules! messages {
    ($( $(#[doc = $doc:literal])* $kind:ident $name:ident { $($body:tt)* } )*) => {
        $( message! { $kind [$($doc)*] $name { $($body)* } } )*

        /// All of them in TypeScript.
        #[cfg(test)]
        pub(super) fn declarations() -> Vec<String> {
            vec![$( $name::declaration() ),*]
        }
    };
}

macro_rules! message {
    (struct [$($doc:literal)*] $name:ident {
        $( $(#[doc = $about:literal])* $field:ident: $type:ty $(as $form:literal)? $(= $absent:literal)?, )*
    }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[doc = $about])*
                $(#[serde(default, skip_serializing_if = $absent)])?
                pub $field: $type,
            )*
        }

        #[cfg(test)]
        impl $name {
            fn declaration() -> String {
                let fields = [$( field!($field: $type, [$($about)*] [$($form)?] [$($absent)?]) ),*];
                super::declare::interface(&[$($doc),*], stringify!($name), &fields)
            }
        }

        #[cfg(test)]
        impl super::declare::Form for $name {
            fn form() -> String {
                stringify!($name).into()
            }
        }
    };
    (enum [$($doc:literal)*] $name:ident { $( $(#[doc = $about:literal])* $variant:ident = $word:literal, )* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[doc = $about])* #[serde(rename = $word)] $variant, )*
        }

        impl $name {
            /// The word that stands for it.
            pub fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )*
                }
            }
        }

        #[cfg(test)]
        impl $name {
            fn declaration() -> String {
                super::declare::words(&[$($doc),*], stringify!($name), &[$($word),*])
            }
        }

        #[cfg(test)]
        impl super::declare::Form for $name {
            fn form() -> String {
                stringify!($name).into()
            }
        }
    };
    (union [$($doc:literal)*] $name:ident { $( $(#[doc = $of:literal])* $variant:ident = $word:literal {
        $( $(#[doc = $about:literal])* $field:ident: $type:ty $(as $form:literal)? $(= $absent:literal)?, )*
    }, )* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "event")]
        pub enum $name {
            $(
                $(#[doc = $of])*
                #[serde(rename = $word)]
                $variant {
                    $(
                        $(#[doc = $about])*
                        $(#[serde(default, skip_serializing_if = $absent)])?
                        $field: $type,
                    )*
                },
            )*
        }

        #[cfg(test)]
        impl $name {
            fn declaration() -> String {
                let variants = [$( super::declare::variant(&[$($of),*], $word, &[
                    $( field!($field: $type, [$($about)*] [$($form)?] [$($absent)?]) ),*
                ]) ),*];
                super::declare::union(&[$($doc),*], stringify!($name), &variants)
            }
        }
    };
}

#[cfg(test)]
macro_rules! field {
    ($field:ident: $type:ty, [$($about:literal)*] [$($form:literal)?] [$($absent:literal)?]) => {
        super::declare::field(
            &[$($about),*],
            stringify!($field),
            &[$($form)?],
            &[$($absent)?],
            <$type as super::declare::Form>::forms(),
        )
    };
}

#[cfg(test)]
pub use typescript::*;

#[cfg(test)]
mod typescript {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value};

    // Where the macros look for it.
    use super::super::declare;

    /// What a type is called in TypeScript.
    pub trait Form {
        /// Where it is there.
        fn form() -> String;

        /// Where it is there, and where it may be null.
        fn forms() -> [String; 2] {
            [Self::form(), Self::form()]
        }
    }

    macro_rules! forms {
        ($( $type:ty => $form:literal, )*) => {
            $( impl Form for $type {
                fn form() -> String {
                    $form.into()
                }
            } )*
        };
    }

    forms! {
        f64 => "number",
        f32 => "number",
        u32 => "number",
        bool => "boolean",
        String => "string",
        Value => "unknown",
        Map<String, Value> => "Record<string, unknown>",
    }

    /// The form of an element or of an alternative, in brackets where it is more than a name.
    fn inner<T: Form>() -> String {
        let form = T::forms()[1].clone();
        if form.contains('|') { format!("({form})") } else { form }
    }

    impl<T: Form> Form for Option<T> {
        fn form() -> String {
            T::form()
        }

        fn forms() -> [String; 2] {
            [T::form(), format!("{} | null", T::form())]
        }
    }

    impl<T: Form> Form for Vec<T> {
        fn form() -> String {
            format!("{}[]", inner::<T>())
        }
    }

    impl<T: Form, const N: usize> Form for [T; N] {
        fn form() -> String {
            format!("[{}]", vec![T::forms()[1].clone(); N].join(", "))
        }
    }

    impl<T: Form> Form for BTreeMap<String, T> {
        fn form() -> String {
            format!("Record<string, {}>", T::forms()[1])
        }
    }

    /// A comment of Rust as one of TypeScript.
    fn comment(lines: &[&str], indent: &str) -> String {
        match lines {
            [] => String::new(),
            [line] => format!("{indent}/**{line} */\n"),
            lines => {
                let lines: String = lines.iter().map(|line| format!("{indent} *{line}\n")).collect();
                format!("{indent}/**\n{lines}{indent} */\n")
            }
        }
    }

    /// A field, in two spaces.
    pub fn field(
        about: &[&str],
        name: &str,
        named: &[&str],
        absent: &[&str],
        [there, or_null]: [String; 2],
    ) -> String {
        let may_miss = !absent.is_empty();
        let form = named.first().map_or(if may_miss { there } else { or_null }, ToString::to_string);
        format!("{}  {name}{}: {form};\n", comment(about, "  "), if may_miss { "?" } else { "" })
    }

    /// A type with fields.
    pub fn interface(about: &[&str], name: &str, fields: &[String]) -> String {
        format!("{}export interface {name} {{\n{}}}", comment(about, ""), fields.concat())
    }

    /// A type that is one of some words.
    pub fn words(about: &[&str], name: &str, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        format!("{}export type {name} = {};", comment(about, ""), words.join(" | "))
    }

    /// One of several forms, told by its word.
    pub fn variant(about: &[&str], word: &str, fields: &[String]) -> String {
        let inside = format!("  event: {word:?};\n{}", fields.concat());
        let inside: String = inside.lines().map(|line| format!("  {line}\n")).collect();
        format!("{}  | {{\n{inside}  }}", comment(about, "  "))
    }

    /// A type that has one of several forms.
    pub fn union(about: &[&str], name: &str, variants: &[String]) -> String {
        format!("{}export type {name} =\n{};", comment(about, ""), variants.join("\n"))
    }

    mod sample {
        use std::collections::BTreeMap;

        messages! {
            /// Something.
            struct Thing {
                /// Its name,
                /// in two lines.
                name: String,
                note: Option<String>,
                extra: Option<f64> = "Option::is_none",
                list: Vec<Option<f64>>,
                by_name: BTreeMap<String, Color>,
                one: [Color; 1],
                two: [String; 2],
                odd: Vec<String> as "Odd" = "Vec::is_empty",
            }

            enum Color { Red = "red", DarkBlue = "dark-blue", }

            /// What happens.
            union Happening {
                /// It came.
                Came = "came" { thing: Option<Thing>, },
                Went = "went" {},
            }
        }
    }

    #[test]
    fn each_form_is_told_as_it_is_written() {
        let [thing, color, happening] = <[String; 3]>::try_from(sample::declarations()).unwrap();
        assert_eq!(
            thing,
            "/** Something. */\nexport interface Thing {\n  /**\n   * Its name,\n   * in two lines.\n   */\n  name: \
             string;\n  note: string | null;\n  extra?: number;\n  list: (number | null)[];\n  by_name: Record<string, \
             Color>;\n  one: [Color];\n  two: [string, string];\n  odd?: Odd;\n}"
        );
        assert_eq!(color, "export type Color = \"red\" | \"dark-blue\";");
        assert_eq!(
            happening,
            "/** What happens. */\nexport type Happening =\n  /** It came. */\n  | {\n    event: \"came\";\n    thing: \
             Thing | null;\n  }\n  | {\n    event: \"went\";\n  };"
        );
    }

    #[test]
    fn messages_are_written_as_they_are_told_and_read_again() {
        let thing = sample::Thing {
            name: "a".into(),
            note: None,
            extra: None,
            list: vec![Some(1.0), None],
            by_name: BTreeMap::from([("b".into(), sample::Color::DarkBlue)]),
            one: [sample::Color::Red],
            two: ["c".into(), "d".into()],
            odd: Vec::new(),
        };
        let came = sample::Happening::Came { thing: Some(thing) };
        let text = serde_json::to_string(&came).unwrap();
        assert_eq!(
            text,
            r#"{"event":"came","thing":{"name":"a","note":null,"list":[1.0,null],"by_name":{"b":"dark-blue"},"one":["red"],"two":["c","d"]}}"#
        );
        assert_eq!(serde_json::from_str::<sample::Happening>(&text).unwrap(), came);
        assert_eq!(serde_json::to_string(&sample::Happening::Went {}).unwrap(), r#"{"event":"went"}"#);
        assert_eq!(sample::Color::DarkBlue.word(), "dark-blue");
    }
}
