//! Rust code as words, literals and signs.

use std::iter::Peekable;
use std::str::Chars;

/// Code without its comments: words, literals and signs.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Word(String),
    Text(String),
    Sign(char),
    /// `::`
    Colons,
}

use Token::{Colons, Sign, Text, Word};

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of a file, or of a piece of one.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut left = source.chars().peekable();
    while let Some(c) = left.next() {
        match c {
            '/' if left.peek() == Some(&'/') => while left.next().is_some_and(|c| c != '\n') {},
            '/' if left.peek() == Some(&'*') => comment(&mut left),
            '"' => tokens.push(Text(text(&mut left))),
            '\'' => character(&mut left),
            ':' if left.peek() == Some(&':') => {
                left.next();
                tokens.push(Colons);
            }
            c if is_word(c) => {
                let mut word = c.to_string();
                while let Some(c) = left.next_if(|&c| is_word(c)) {
                    word.push(c);
                }
                let prefix = ["r", "br", "cr", "b", "c"].contains(&word.as_str());
                match left.peek() {
                    Some('"') if prefix && !word.contains('r') => {}
                    Some('\'') if word == "b" => {}
                    Some('"' | '#') if prefix && word.contains('r') => match raw(&mut left) {
                        Some(token) => tokens.push(token),
                        None => tokens.push(Word(word)),
                    },
                    _ => tokens.push(Word(word)),
                }
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Sign(c)),
        }
    }
    tokens
}

/// The rest of a block comment, which may hold others.
fn comment(left: &mut Peekable<Chars>) {
    left.next();
    let mut depth = 1;
    while depth > 0 {
        match left.next() {
            Some('/') if left.next_if_eq(&'*').is_some() => depth += 1,
            Some('*') if left.next_if_eq(&'/').is_some() => depth -= 1,
            Some(_) => {}
            None => return,
        }
    }
}

/// The rest of a string.
fn text(left: &mut Peekable<Chars>) -> String {
    let mut text = String::new();
    while let Some(c) = left.next().filter(|&c| c != '"') {
        text.push(if c == '\\' { left.next().unwrap_or(c) } else { c });
    }
    text
}

/// The rest of a raw string, or a raw word (`r#type`).
fn raw(left: &mut Peekable<Chars>) -> Option<Token> {
    let mut hashes = 0;
    while left.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if left.next_if_eq(&'"').is_none() {
        let mut word = String::new();
        while let Some(c) = left.next_if(|&c| is_word(c)) {
            word.push(c);
        }
        return (!word.is_empty()).then_some(Word(word));
    }
    let (mut text, end) = (String::new(), format!("\"{}", "#".repeat(hashes)));
    while !text.ends_with(&end) {
        text.push(left.next()?);
    }
    text.truncate(text.len() - end.len());
    Some(Text(text))
}

/// The rest of a character; a lifetime is none, and its name is a word of no meaning here.
fn character(left: &mut Peekable<Chars>) {
    match left.next() {
        Some('\\') => {
            left.next();
            while left.next().is_some_and(|c| c != '\'') {}
        }
        _ => {
            left.next_if_eq(&'\'');
        }
    }
}
