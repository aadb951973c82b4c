//! A row of `data preview`: its tokens, which of them are targets, and what is cut.

use std::io::IsTerminal;

use kindling::batch::{Example, Fit, Fitted};
use kindling::data::MixSource;
use kindling::tokenizer::{RenderWarning, Tokenizer};
use serde::Serialize;

use crate::output::{self, Output};

/// The two answers of a pair, in the order of its examples.
const SIDES: [&str; 2] = ["chosen", "rejected"];

/// Shows the examples of a row, which may be `of` a source with a share; whether one of them is cut into several rows of
/// training.
pub fn show_row(
    examples: &[Example],
    of: Option<&MixSource>,
    fit: &Fit,
    tokenizer: &Tokenizer,
    output: Output,
) -> bool {
    let all = Seen::of_row(examples, fit);
    for (number, (example, seen)) in examples.iter().zip(&all).enumerate() {
        let side = SIDES.get(number).copied().filter(|_| examples.len() > 1);
        show(example, side, of, seen, tokenizer, output);
    }
    all.iter().any(|seen| seen.pieces.len() > 1)
}

/// A row as programs see it. It borrows the tokens: a long row has millions of them.
#[derive(Serialize)]
struct Shown<'a> {
    source: &'a str,
    line: u64,
    /// The `--data` that it is of, and the share of that, where shares were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// Which answer of a pair it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    tokens: &'a [u32],
    /// Which tokens are targets.
    mask: Vec<u8>,
    /// How much each counts, where that is not 0 or 1 everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a [f32]>,
    kept: usize,
    targets: usize,
    /// The tokens of each row of training that a long text goes on in, which begins with the last one of the row before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<Vec<usize>>,
    /// Why it is not trained at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [RenderWarning],
}

/// What training sees of an example.
struct Seen {
    /// Tokens from the first on.
    kept: usize,
    /// Why none.
    left_out: Option<&'static str>,
    /// The rows of training that a text is cut into, where it is longer than one.
    pieces: Vec<Example>,
    seq_len: usize,
}

impl Seen {
    /// What training sees of examples that belong together: where one of them is left out, so is the other.
    fn of_row(examples: &[Example], fit: &Fit) -> Vec<Self> {
        let mut all: Vec<Self> = examples.iter().map(|example| Self::of(example, fit)).collect();
        let is_left_out = examples.len() > 1 && fit.all(examples.to_vec()).is_none();
        for seen in all.iter_mut().filter(|_| is_left_out) {
            seen.left_out.get_or_insert(
                "the two answers are the same as far as they are kept, or the other is left out",
            );
        }
        all
    }

    fn of(example: &Example, fit: &Fit) -> Self {
        let longest = fit.seq_len.saturating_add(1);
        let (kept, left_out, pieces) = match fit.fit(example.clone()) {
            Fitted::Cut(fitted) if fit.keep_pieces => (fitted.ids.len(), None, fit.pieces(fitted)),
            Fitted::Whole(fitted) | Fitted::Cut(fitted) => (fitted.ids.len(), None, Vec::new()),
            Fitted::TooLong => (0, Some("longer than --max-seq-len"), Vec::new()),
            Fitted::NoTarget => (example.ids.len().min(longest), Some("nothing to learn in it"), Vec::new()),
        };
        Self { kept, left_out, pieces, seq_len: fit.seq_len }
    }

    /// What is said of it behind the counts of its tokens and targets.
    fn told(&self, tokens: usize) -> String {
        let mut told = String::new();
        if self.pieces.len() > 1 {
            told += &format!(
                ", cut into {} rows of at most {} tokens, each of which begins with the last one of the row before",
                self.pieces.len(),
                self.seq_len.saturating_add(1)
            );
        }
        if 0 < self.kept && self.kept < tokens {
            told += &format!(
                ", cut behind the first {} (--max-seq-len {} and the last target)",
                self.kept, self.seq_len
            );
        }
        if let Some(why) = self.left_out {
            told += &format!(", left out: {why}");
            if self.kept == 0 {
                told += &format!(" {}", self.seq_len);
            }
        }
        told
    }
}

fn show(
    example: &Example,
    side: Option<&'static str>,
    of: Option<&MixSource>,
    seen: &Seen,
    tokenizer: &Tokenizer,
    output: Output,
) {
    let Seen { kept, left_out, pieces, .. } = seen;
    let targets = example.weights[..*kept].iter().skip(1).filter(|weight| **weight != 0.0).count();
    let weighed = example.weights.iter().any(|&weight| weight != 0.0 && weight != 1.0);
    if output.json {
        return output.json(&Shown {
            source: &example.origin.source,
            line: example.origin.line,
            of: of.map(|source| source.name.as_str()),
            share: of.map(|source| source.share),
            side,
            tokens: &example.ids,
            mask: example.weights.iter().map(|&weight| u8::from(weight != 0.0)).collect(),
            weights: weighed.then_some(&example.weights[..]),
            kept: *kept,
            targets,
            pieces: (pieces.len() > 1).then(|| pieces.iter().map(|piece| piece.ids.len()).collect()),
            left_out: *left_out,
            warnings: &example.warnings,
        });
    }
    let origin = &example.origin;
    let from = side.map_or(origin.to_string(), |side| format!("{origin} · {side}"));
    let from = of.map_or(from.clone(), |source| {
        format!("{from} · of {}, {:.1} % of all", source.name, 100.0 * source.share)
    });
    let tokens = |count: usize| output::counted(count as u64, ["token", "tokens"]);
    let targets = output::counted(targets as u64, ["target", "targets"]);
    let mut head = format!("── {from} · {}, {targets}", tokens(example.ids.len()));
    if weighed {
        head += &format!(", weighed {}", weights(&example.weights[..*kept]));
    }
    output.line(&(head + &seen.told(example.ids.len())));
    if pieces.len() < 2 {
        return output.line(&painted(example, tokenizer, *kept));
    }
    for (index, piece) in pieces.iter().enumerate() {
        let mut piece = piece.clone();
        if index > 0 {
            // It was the last target of the row before, and here it is only read.
            piece.weights[0] = 0.0;
        }
        output.line(&format!("─ row {} of {} · {}", index + 1, pieces.len(), tokens(piece.ids.len())));
        output.line(&painted(&piece, tokenizer, piece.ids.len()));
    }
}

/// The weights of the targets, each run of equal ones once.
fn weights(weights: &[f32]) -> String {
    let targets: Vec<f32> = weights.iter().copied().filter(|weight| *weight != 0.0).collect();
    targets.chunk_by(|a, b| a == b).map(|run| run[0].to_string()).collect::<Vec<_>>().join(" ")
}

/// Targets stand in green (in `[…]` where there is no colour), those that count other than 1 in yellow behind what they
/// count (`[×0.5:…]`), what is too long struck through or in `~…~`.
fn painted(example: &Example, tokenizer: &Tokenizer, kept: usize) -> String {
    let coloured = std::io::stdout().is_terminal();
    let style = |i: usize| match (i < kept, example.weights[i]) {
        (false, _) => Style::TooLong,
        (true, 0.0) => Style::Context,
        (true, 1.0) => Style::Target,
        (true, weight) => Style::Weighed(weight),
    };
    let positions: Vec<usize> = (0..example.ids.len()).collect();
    let paint = |part: &[usize]| {
        let [open, close] = style(part[0]).marks(coloured);
        let ids = &example.ids[part[0]..part[0] + part.len()];
        format!("{open}{}{close}", tokenizer.part_text(ids))
    };
    positions.chunk_by(|&a, &b| style(a) == style(b)).map(paint).collect()
}

/// How a token is shown.
#[derive(PartialEq)]
enum Style {
    Context,
    Target,
    Weighed(f32),
    TooLong,
}

impl Style {
    /// What stands before and behind such tokens.
    fn marks(&self, coloured: bool) -> [String; 2] {
        let plain = |open: &str, close: &str| [open.to_string(), close.to_string()];
        match (self, coloured) {
            (Self::Context, _) => plain("", ""),
            (Self::Target, true) => plain("\x1b[1;32m", "\x1b[0m"),
            (Self::Target, false) => plain("[", "]"),
            (Self::Weighed(weight), true) => plain(&format!("\x1b[1;33m×{weight}:"), "\x1b[0m"),
            (Self::Weighed(weight), false) => plain(&format!("[×{weight}:"), "]"),
            (Self::TooLong, true) => plain("\x1b[9;2m", "\x1b[0m"),
            (Self::TooLong, false) => plain("~", "~"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_marks_of_its_own() {
        for coloured in [true, false] {
            let styles =
                [Style::Context, Style::Target, Style::Weighed(0.5), Style::Weighed(2.0), Style::TooLong];
            let marks = styles.map(|style| style.marks(coloured)[0].clone());
            let different: std::collections::BTreeSet<&String> = marks.iter().collect();
            assert_eq!(different.len(), marks.len(), "{marks:?}");
        }
        assert_eq!(Style::Weighed(0.25).marks(false), ["[×0.25:", "]"]);
    }
}
