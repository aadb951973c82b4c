//! Which rooms (the modules that `lib.rs` lists) a file uses: every path in its code, however it is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::rust_tokens::Token::{self, Colons, Sign, Text, Word};
use crate::rust_tokens::tokens;

/// The tokens of a file.
pub struct Code {
    /// Its tests aside.
    own: Vec<Token>,
    all: Vec<Token>,
}

impl Code {
    pub fn of(source: &str) -> Self {
        let all = tokens(source);
        Self { own: without_tests(&all), all }
    }

    /// The modules that are declared as files of their own, in order.
    pub fn modules(&self) -> Vec<String> {
        declared(&self.own)
    }

    /// Those of them that only tests have.
    pub fn test_modules(&self) -> Vec<String> {
        let own = self.modules();
        declared(&self.all).into_iter().filter(|name| !own.contains(name)).collect()
    }

    /// The macros that are defined here.
    pub fn macros(&self) -> Vec<String> {
        let defined = self.own.windows(3).filter_map(|three| match three {
            [Word(word), Sign('!'), Word(name)] if word == "macro_rules" => Some(name.clone()),
            _ => None,
        });
        defined.collect()
    }

    /// What the code of module `module` names at the top of the crate; `*` stands for all of it. A macro counts as the
    /// room that `macros` has it in.
    pub fn uses(&self, module: &[String], macros: &BTreeMap<String, String>) -> BTreeSet<String> {
        let room = |name: String| macros.get(&name).cloned().unwrap_or(name);
        let first = |place: Vec<String>| place.into_iter().next().unwrap_or_else(|| "*".to_string());
        let places = self.walk(module, false);
        let mut found: BTreeSet<String> = places.into_iter().map(first).map(room).collect();
        for two in self.own.windows(2) {
            if let [Word(name), Sign('!')] = two {
                found.extend(macros.get(name).cloned());
            }
        }
        found
    }

    /// The places in the crate that the code of module `module` needs itself; what it passes on (`pub use`) aside.
    pub fn needs(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        self.walk(module, true)
    }

    /// The places of the names that `use` brings into module `module`.
    pub fn names(&self, module: &[String]) -> BTreeMap<String, Vec<String>> {
        let children = self.modules();
        let mut walk = Walk::new(&self.own, &children, module, false);
        let mut at = 0;
        while at < self.own.len() {
            match &self.own[at..] {
                [Sign('{'), ..] => at += group(&self.own[at..]),
                [Word(word), Word(_), ..] if word == "use" => {
                    if let Some(base) = walk.base(at + 1) {
                        walk.follow(at + 2, base);
                    }
                    at += item(&self.own[at..]);
                }
                _ => at += 1,
            }
        }
        walk.found.into_iter().filter_map(|place| Some((place.last()?.clone(), place))).collect()
    }

    fn walk(&self, module: &[String], own_needs: bool) -> BTreeSet<Vec<String>> {
        let children = self.modules();
        let mut walk = Walk::new(&self.own, &children, module, own_needs);
        walk.run();
        walk.found
    }
}

fn declared(tokens: &[Token]) -> Vec<String> {
    let declared = tokens.windows(3).filter_map(|three| match three {
        [Word(word), Word(name), Sign(';')] if word == "mod" => Some(name.clone()),
        _ => None,
    });
    declared.collect()
}

/// The number of tokens from an opening sign to the one that closes it.
fn group(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Sign('(' | '[' | '{') => depth += 1,
            Sign(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Leaves out every item that is compiled for tests only, and goes on behind it.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let attribute = match &tokens[at..] {
            [Sign('#'), Sign('['), ..] => 1 + group(&tokens[at + 1..]),
            _ => 0,
        };
        match is_for_tests(&tokens[at..at + attribute]) {
            true => at += attribute + item(&tokens[at + attribute..]),
            false => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Whether an attribute is `#[cfg(test)]`, or that with more conditions.
fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |name: &str| attribute.contains(&Word(name.to_string()));
    has("cfg") && has("test") && !has("not") && !has("any")
}

/// The tokens of an item: up to its `;`, or to the end of its braces.
fn item(tokens: &[Token]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            Sign(';') => return at + 1,
            Sign('{') => return at + group(&tokens[at..]),
            Sign('}') => return at,
            Sign('(' | '[') => at += group(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// A walk over code that knows in which module it is.
struct Walk<'a> {
    tokens: &'a [Token],
    /// The modules that the file declares as files of their own.
    children: &'a [String],
    module: Vec<String>,
    /// Whether what is only passed on is left out.
    own_needs: bool,
    /// Places by their paths from the top of the crate, which is the empty one.
    found: BTreeSet<Vec<String>>,
}

impl<'a> Walk<'a> {
    fn new(tokens: &'a [Token], children: &'a [String], module: &[String], own_needs: bool) -> Self {
        Self { tokens, children, module: module.to_vec(), own_needs, found: BTreeSet::new() }
    }

    fn run(&mut self) {
        let (mut at, mut depth, mut inline) = (0, 0, Vec::new());
        while at < self.tokens.len() {
            match &self.tokens[at..] {
                // A visibility names no other place.
                [Word(word), Sign('('), Word(scope), ..]
                    if word == "pub" && ["crate", "super", "self", "in"].contains(&scope.as_str()) =>
                {
                    at += 1 + group(&self.tokens[at + 1..]);
                    continue;
                }
                [Word(word), ..] if self.own_needs && word == "use" && self.passes_on(at) => {
                    at += item(&self.tokens[at..]);
                    continue;
                }
                [Word(word), Word(name), Sign('{'), ..] if word == "mod" => {
                    inline.push(depth);
                    self.module.push(name.clone());
                    at += 2;
                    continue;
                }
                [Text(text), ..] if ["crate::", "super::", "self::"].iter().any(|p| text.starts_with(p)) => {
                    let tokens = tokens(text);
                    let mut inner = Walk::new(&tokens, self.children, &self.module, self.own_needs);
                    inner.run();
                    self.found.extend(inner.found);
                }
                [Sign('{'), ..] => depth += 1,
                [Sign('}'), ..] => {
                    depth -= 1;
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        self.module.pop();
                    }
                }
                [Word(_), ..] if at == 0 || self.tokens[at - 1] != Colons || self.is_global(at) => {
                    if let Some(base) = self.base(at) {
                        self.follow(at + 1, base);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Whether the word stands behind a `::` that begins a path.
    fn is_global(&self, at: usize) -> bool {
        at < 2 || !matches!(&self.tokens[at - 2], Word(_) | Sign('>'))
    }

    /// Whether the word stands behind a dot.
    fn is_member(&self, at: usize) -> bool {
        at > 0 && self.tokens[at - 1] == Sign('.')
    }

    /// Whether a `use` stands behind a visibility.
    fn passes_on(&self, at: usize) -> bool {
        match at.checked_sub(1).map(|before| &self.tokens[before]) {
            Some(Word(word)) => word == "pub",
            before => before == Some(&Sign(')')),
        }
    }

    /// The module that a path's first word stands for.
    fn base(&self, at: usize) -> Option<Vec<String>> {
        let Word(word) = &self.tokens[at] else { return None };
        match (word.as_str(), self.tokens.get(at + 1)) {
            ("crate" | "kindling", Some(Colons)) => Some(Vec::new()),
            ("crate", Some(Word(word))) if word == "as" => Some(Vec::new()),
            ("self", Some(Colons)) => Some(self.module.clone()),
            ("super", Some(Colons)) => Some(self.module[..self.module.len().saturating_sub(1)].to_vec()),
            (_, Some(Colons)) if self.children.contains(word) && !self.is_member(at) => {
                Some([&self.module[..], std::slice::from_ref(word)].concat())
            }
            _ => None,
        }
    }

    /// Follows a path, the `::` of which stands at `at`, from a module that is known; returns where it ends.
    fn follow(&mut self, at: usize, mut place: Vec<String>) -> usize {
        if self.tokens.get(at) != Some(&Colons) {
            self.note(&place);
            return at;
        }
        match self.tokens.get(at + 1) {
            Some(Sign('{')) => self.follow_group(at + 2, &place),
            Some(Word(word)) if word == "super" => {
                place.pop();
                self.follow(at + 2, place)
            }
            Some(Word(word)) if word == "self" => self.follow(at + 2, place),
            Some(Word(word)) => {
                place.push(word.clone());
                self.follow(at + 2, place)
            }
            // A glob, or the `<…>` of a type.
            _ => {
                self.note(&place);
                at + 1
            }
        }
    }

    /// Follows each path of `{a, b::c}`, which begins at `at`; returns where it ends.
    fn follow_group(&mut self, mut at: usize, place: &[String]) -> usize {
        while at < self.tokens.len() {
            at = match &self.tokens[at] {
                Sign('}') => return at + 1,
                Word(word) if word == "self" => self.follow(at + 1, place.to_vec()),
                Word(word) if word == "super" => {
                    self.follow(at + 1, place[..place.len().saturating_sub(1)].to_vec())
                }
                Word(word) if word == "as" => at + 2,
                Word(word) => self.follow(at + 1, [place, std::slice::from_ref(word)].concat()),
                Sign('*') => {
                    self.note(place);
                    at + 1
                }
                _ => at + 1,
            };
        }
        at
    }

    fn note(&mut self, place: &[String]) {
        self.found.insert(place.to_vec());
    }
}

#[test]
fn every_way_to_name_another_room_is_seen() {
    let uses = |module: &[&str], source: &str| {
        let module: Vec<String> = module.iter().map(ToString::to_string).collect();
        let macros = BTreeMap::from([("shout".to_string(), "voice".to_string())]);
        Code::of(source).uses(&module, &macros).into_iter().collect::<Vec<_>>().join(" ")
    };
    for (module, source, expected) in [
        (&["a"][..], "use crate::b::{C, d};", "b"),
        (&["a"], "use crate::{b, c::{d, self}, e as f};", "b c e"),
        (&["a"], "use {crate::b, ::kindling::c::D};", "b c"),
        (&["a"], "use super::b::C;", "b"),
        (&["a", "x"], "use super::b::C; use super::super::{c, super::d};", "a c d"),
        (&["a", "x"], "use super::{y, super::b};", "a b"),
        (&["a"], "fn f() -> crate::b::C<crate::c::D> { crate::d::e(1) }", "b c d"),
        (&["a"], "mod inner { use super::b; use super::super::c; } use super::d;", "a c d"),
        (&["a"], "use crate::*;", "*"),
        (&["a"], "use crate as root;", "*"),
        (&["a"], "use super::{self as root};", "*"),
        (&["a"], "crate::shout!(1); other!()", "voice"),
        (&["a"], "shout!(1)", "voice"),
        (&["a"], "macro_rules! m { () => { $crate::b::c() } }", "b"),
        (&["a"], "#[serde(with = \"crate::b::json\")] x: u8", "b"),
        (&["a"], "#[cfg(test)] mod tests { use crate::b; } use crate::c;", "c"),
        (&["a"], "#[cfg(test)] use crate::{b}; use crate::c;", "c"),
        (&["a"], "#[cfg(test)] #[path = \"x.rs\"] mod b; fn f(x: [u8; 3]) { crate::c::d() }", "c"),
        (&["a"], "#[cfg(not(test))] use crate::b;", "b"),
        (&["a"], "pub(in crate::a) fn f() {} pub(crate) use self::x; pub(super) use std::b;", "a"),
        (
            &["a"],
            "// use crate::b\n/* crate::c /* */ crate::d */ fn f<'a>(x: &'a str) { crate::e::f('\"') }",
            "e",
        ),
        (
            &["a"],
            "let x = r#\"crate\"::b\"#; let y = ['\\'', '{']; let z = \"\\\"crate::c\"; crate::d::e(b'}')",
            "d",
        ),
    ] {
        assert_eq!(uses(module, source), expected, "{source}");
    }
}

#[test]
fn what_is_passed_on_is_a_name_and_no_need() {
    let source =
        "mod x; pub use x::{Y, self}; pub(crate) use super::b; use x::Z; fn f() { x::g(y.x::<u8>()) }";
    let (code, module) = (Code::of(source), ["a".to_string()]);
    let needs: Vec<String> = code.needs(&module).iter().map(|place| place.join(" ")).collect();
    assert_eq!(needs, ["a x Z", "a x g"]);
    let names: Vec<(String, String)> =
        code.names(&module).into_iter().map(|(name, place)| (name, place.join(" "))).collect();
    let expected = [("Y", "a x Y"), ("Z", "a x Z"), ("b", "b"), ("x", "a x")];
    assert_eq!(names, expected.map(|(name, place)| (name.to_string(), place.to_string())));
}
