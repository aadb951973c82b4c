//! The command line's flags, by which the library names settings, as the fields of the page.

use super::Language;
use super::finer::FLAGS;
use super::text::{Sentence, Text};
use crate::format::fill;

/// Flags that the page has a field for.
const FIELDS: [(&str, Sentence); 48] = [
    ("epochs", |t| t.teach.epochs),
    ("steps", |t| t.teach.steps),
    ("min-steps", |t| t.teach.min_steps),
    ("stop-at-loss", |t| t.teach.low_loss),
    ("keep-share", |t| t.teach.keep_share),
    ("batch-size", |t| t.teach.batch),
    ("learning-rate", |t| t.teach.rate),
    ("max-seq-len", |t| t.teach.length),
    ("val-split", |t| t.teach.held_out),
    ("lora-rank", |t| t.teach.rank),
    ("lora-alpha", |t| t.teach.alpha),
    ("beta", |t| t.stages.beta),
    ("dpo-loss", |t| t.stages.dpo_loss),
    ("label-smoothing", |t| t.stages.smoothing),
    ("sft-weight", |t| t.stages.sft_weight),
    ("max-prompt-len", |t| t.stages.prompt_len),
    ("teacher", |t| t.stages.teacher),
    ("tag-weight", |t| t.stages.tag_weight),
    ("eval-answers", |t| t.stages.eval_answers),
    ("eval-max-new-tokens", |t| t.stages.own_tokens),
    ("group-size", |t| t.stages.group_size),
    ("kl-beta", |t| t.stages.kl_beta),
    ("rollout-steps", |t| t.stages.rollout_steps),
    ("alpha", |t| t.stages.kd_alpha),
    ("kd-loss", |t| t.stages.kd_loss),
    ("kd-temperature", |t| t.stages.kd_temperature),
    ("kd-skew", |t| t.stages.kd_skew),
    ("on-policy", |t| t.stages.on_policy),
    ("data", |t| t.teach.data),
    ("encoding", |t| t.teach.encoding),
    ("model", |t| t.page.tab_models),
    ("weights", |t| t.models.weights),
    ("temperature", |t| t.chat.temperature),
    ("top-p", |t| t.chat.top_p),
    ("top-k", |t| t.chat.top_k),
    ("max-new-tokens", |t| t.chat.max_tokens),
    ("repetition-penalty", |t| t.chat.repetition),
    ("seed", |t| t.chat.seed),
    ("block-length", |t| t.diffusion.block_length),
    ("remasking", |t| t.diffusion.remasking),
    ("cfg-scale", |t| t.diffusion.cfg_scale),
    ("threshold", |t| t.diffusion.threshold),
    ("hole-tokens", |t| t.diffusion.hole_tokens),
    ("loss-weight", |t| t.diffusion.loss_weight),
    ("t-range", |t| t.diffusion.t_range),
    ("shift-logits", |t| t.diffusion.shift),
    ("shots", |t| t.evaluate.shots),
    ("apply-chat-template", |t| t.evaluate.template),
];
/// What is said of the command line, and what of the page.
const PHRASES: [(&str, Sentence); 12] = [
    ("fix them, or add --skip-bad-rows to go on without them", |t| t.page.fix_rows),
    (", or add --skip-bad-rows to go on without such rows", |_| ""),
    ("`kindling data preview`", |t| t.teach.preview),
    ("`kindling convert --to diffusion --model DIR --out NEW`", |t| t.diffusion.turn),
    ("`kindling convert --to diffusion`", |t| t.diffusion.turn),
    (
        "join its turns with --join-turns, render them through the chat template with --render-turns, use `sft`, or give",
        |_| "fine-tune with it, or give",
    ),
    (", or more rows with --shots-data", |t| t.evaluate.more_rows),
    ("train on it with `dpo`, or give", |t| t.stages.learn_pairs),
    ("is no rule; the rules are answer, tags, length, repetition", |t| t.finer.no_rule),
    ("use `pretrain`, or rows", |_| "pretrain with it, or give rows"),
    // The page measures by itself where rows are held out.
    (" and --eval-every 100", |_| ""),
    (" 和 --eval-every 100", |_| ""),
];

/// The files that the page itself makes of what is typed and pasted, and how a line of them is told.
const FILES: [(Sentence, Sentence); 2] =
    [(|t| t.rows.form_file, |t| t.rows.row_place), (|t| t.rows.paste_file, |t| t.rows.line_place)];

/// A message with the names of the page's fields in the place of flags, and its rows in the place of its files. A setting without a field keeps the name that it
/// has for programs, without the dashes.
pub fn in_fields(message: &str, t: &'static Text) -> String {
    let mut text = in_rows(message, t);
    for (phrase, sentence) in PHRASES {
        let name = sentence(t);
        // A command's name becomes that of a button.
        let name = if phrase.starts_with('`') { fill(t.page.field, &[name]) } else { name.into() };
        text = text.replace(phrase, &name);
    }
    let (mut whole, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find("--") {
        let (before, flag) = (&rest[..at], &rest[at + 2..]);
        let length = flag.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(flag.len());
        let name = flag[..length].trim_end_matches('-');
        whole.push_str(before);
        // Dashes within a word or a line of them are no flag.
        let begins = before.chars().next_back().or(whole.chars().next_back());
        if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || begins.is_some_and(|c| c.is_alphanumeric() || c == '-')
        {
            whole.push_str("--");
            rest = flag;
            continue;
        }
        let mut fields = FIELDS.iter().chain(&FLAGS);
        let field = fields.find(|field| field.0 == name).map_or(name, |field| (field.1)(t));
        whole.push_str(&fill(t.page.field, &[field]));
        rest = &flag[name.len()..];
    }
    whole + rest
}

/// A message with the rows of the form, and the lines of what was pasted, in the place of lines of files.
fn in_rows(message: &str, t: &'static Text) -> String {
    let mut text = message.to_string();
    for language in [Language::English, Language::Chinese] {
        for (file, place) in FILES {
            for ending in ["jsonl", "txt"] {
                text = in_place(&text, &format!("{}.{ending}:", file(language.text())), place(t));
            }
        }
    }
    text
}

/// A text with `place` around the number that follows each `prefix`.
fn in_place(text: &str, prefix: &str, place: &str) -> String {
    let mut parts = text.split(prefix);
    let mut whole = parts.next().unwrap_or_default().to_string();
    for part in parts {
        // A file of a longer name is another one.
        let is_longer = whole.ends_with(|c: char| c.is_alphanumeric() || "-_./\\".contains(c));
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match is_longer || digits == 0 {
            true => whole = whole + prefix + &part[..digits],
            false => whole.push_str(&fill(place, &[&part[..digits]])),
        }
        whole.push_str(&part[digits..]);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn flags_become_fields_in_both_languages() {
        let message = "--max-seq-len is 900, the model holds 512 positions; take at most that many";
        assert_eq!(
            in_fields(message, Language::English.text()),
            "“Longest row, tokens” is 900, the model holds 512 positions; take at most that many"
        );
        assert!(in_fields(message, Language::Chinese.text()).starts_with("“最长行（词元）” is 900"));
    }

    #[test]
    fn settings_without_a_field_lose_their_dashes() {
        let t = Language::English.text();
        assert_eq!(
            in_fields("a longer --warmup-ratio, or --dtype f32", t),
            "a longer “warmup-ratio”, or “dtype” f32"
        );
        assert_eq!(in_fields("(now 1), --seed", t), "(now 1), “Seed”");
    }

    #[test]
    fn commands_and_ways_that_the_page_has_not_are_said_otherwise() {
        let t = Language::English.text();
        let rows = "2 of the data's rows cannot be used (fix them, or add --skip-bad-rows to go on without them):\n  - a:2";
        assert_eq!(in_fields(rows, t), "2 of the data's rows cannot be used (correct them):\n  - a:2");
        let row = "it has no text (mend the row, or add --skip-bad-rows to go on without such rows)";
        assert_eq!(in_fields(row, t), "it has no text (mend the row)");
        let pair =
            in_fields("a preference pair is not read here; train on it with `dpo`, or give messages", t);
        let learned = "a preference pair is not read here; learn it by “Preferences (DPO)”, or give messages";
        assert_eq!(pair, learned);
        let early =
            "--early-stop needs a held-out loss to judge by; add --val-split 0.05 and --eval-every 100";
        assert!(
            in_fields(early, t).ends_with("to judge by; add “Share held out for testing” 0.05"),
            "{early}"
        );
        let look = in_fields("look at these rows with `kindling data preview`", t);
        assert_eq!(look, "look at these rows with “Preview”");
        for more in ["", " --model DIR --out NEW"] {
            let made = in_fields(&format!("make one of it with `kindling convert --to diffusion{more}`"), t);
            assert_eq!(made, "make one of it with “Turn into a diffusion model”");
        }
    }

    #[test]
    fn lines_of_the_page_s_own_files_are_its_rows() {
        let t = Language::English.text();
        let rows = "the first: questions.jsonl:12, pasted.txt:3; 问答.jsonl:4: why";
        assert_eq!(in_fields(rows, t), "the first: row 12, line 3; row 4: why");
        for other in ["pasted.jsonl: empty, a.jsonl:5", "old-questions.jsonl:5", "a/pasted.txt:5"] {
            assert_eq!(in_fields(other, t), other);
        }
        assert_eq!(in_fields("(questions.jsonl:7)", Language::Chinese.text()), "(第 7 行)");
    }

    #[test]
    fn other_dashes_stay() {
        let t = Language::English.text();
        for text in ["a -- b", "----", "x--y", "--", "a -b", "--- title", "–", "----begin"] {
            assert_eq!(in_fields(text, t), text);
        }
    }
}
