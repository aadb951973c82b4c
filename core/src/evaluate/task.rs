//! The tasks: their names, splits and few-shot rules as lm-evaluation-harness 0.4.13 has them
//! (<https://github.com/EleutherAI/lm-evaluation-harness>, `lm_eval/tasks`).

use std::fmt::{self, Display};
use std::str::FromStr;

/// Subjects with what they are called in a description, one a line: task, name of the file, words.
const SUBJECTS: &str = include_str!("subjects.txt");

/// What a model is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// C-Eval, 52 subjects in Chinese.
    Ceval,
    /// CMMLU, 67 subjects in Chinese.
    Cmmlu,
    /// MMLU, 57 subjects in English.
    Mmlu,
    /// ARC, the easy set.
    ArcEasy,
    /// ARC, the challenge set.
    ArcChallenge,
    /// OpenBookQA.
    Openbookqa,
    /// PIQA.
    Piqa,
    /// Social IQa.
    Siqa,
    /// HellaSwag.
    Hellaswag,
    /// WinoGrande.
    Winogrande,
    /// CommonsenseQA.
    CommonsenseQa,
    /// GSM8K: a number by generation.
    Gsm8k,
    /// Perplexity and bits per byte of texts.
    HeldOut,
    /// The share of pairs whose better answer is likelier.
    Pairs,
    /// The share of generated answers that keep the tags of thinking and answer.
    Format,
}

/// What a task asks of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// The likeliest of several continuations.
    Choice,
    /// An answer that is written.
    Answer,
    /// How likely texts are.
    Text,
}

/// Where the few-shot examples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShotRule {
    /// The first ones, in order; else drawn anew for each question.
    pub first: bool,
    /// Whether the question itself is left out where it stands among them.
    pub without_itself: bool,
}

impl Task {
    /// All of them, in the order of a table.
    pub const ALL: [Self; 15] = [
        Self::Ceval,
        Self::Cmmlu,
        Self::Mmlu,
        Self::ArcEasy,
        Self::ArcChallenge,
        Self::Openbookqa,
        Self::Piqa,
        Self::Siqa,
        Self::Hellaswag,
        Self::Winogrande,
        Self::CommonsenseQa,
        Self::Gsm8k,
        Self::HeldOut,
        Self::Pairs,
        Self::Format,
    ];

    /// Its name, and others that files and people have for it.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Ceval => &["ceval", "ceval-valid"],
            Self::Cmmlu => &["cmmlu"],
            Self::Mmlu => &["mmlu"],
            Self::ArcEasy => &["arc_easy", "arc-e"],
            Self::ArcChallenge => &["arc_challenge", "arc-c"],
            Self::Openbookqa => &["openbookqa", "obqa"],
            Self::Piqa => &["piqa"],
            Self::Siqa => &["siqa", "social_iqa", "socialiqa", "social_i_qa"],
            Self::Hellaswag => &["hellaswag"],
            Self::Winogrande => &["winogrande"],
            Self::CommonsenseQa => &["commonsense_qa", "commonsenseqa", "csqa"],
            Self::Gsm8k => &["gsm8k"],
            Self::HeldOut => &["heldout", "held-out"],
            Self::Pairs => &["pairs"],
            Self::Format => &["format"],
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// What it asks.
    pub fn asks(self) -> Asks {
        match self {
            Self::HeldOut => Asks::Text,
            Self::Gsm8k | Self::Format => Asks::Answer,
            _ => Asks::Choice,
        }
    }

    /// Whether it is one of the public sets of questions, which `all` stands for.
    pub fn is_public(self) -> bool {
        !matches!(self, Self::HeldOut | Self::Pairs | Self::Format)
    }

    /// Whether its files are subjects, counted each on its own.
    pub fn has_subjects(self) -> bool {
        matches!(self, Self::Ceval | Self::Cmmlu | Self::Mmlu)
    }

    /// What the share of right answers is called, and the other share that is counted beside it, where one is: as the
    /// harness calls them, `acc_norm` being that of the likeliest choice a character.
    pub fn metrics(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Mmlu | Self::Siqa | Self::Winogrande | Self::CommonsenseQa => ("acc", None),
            Self::HeldOut => ("bits_per_byte", None),
            Self::Gsm8k => ("strict_match", Some("flexible_extract")),
            Self::Pairs => ("chosen_likelier", Some("chosen_likelier_per_character")),
            Self::Format => ("format_rate", Some("answer_accuracy")),
            _ => ("acc", Some("acc_norm")),
        }
    }

    /// The splits whose questions are asked; of several that are there, the first.
    pub fn asked_splits(self) -> &'static [Split] {
        match self {
            Self::Cmmlu | Self::Mmlu | Self::ArcEasy | Self::ArcChallenge => {
                &[Split::Test, Split::Validation, Split::Dev]
            }
            Self::Openbookqa | Self::Gsm8k => &[Split::Test, Split::Validation, Split::Dev],
            _ => &[Split::Validation, Split::Dev, Split::Test],
        }
    }

    /// The split that few-shot examples come from.
    pub fn shot_split(self) -> Split {
        if self.has_subjects() { Split::Dev } else { Split::Train }
    }

    /// How few-shot examples are chosen. The harness leaves the question out where its few-shot split is, by name, the
    /// test split: neither has a name in five of these tasks.
    pub fn shot_rule(self) -> ShotRule {
        let nameless = [Self::Piqa, Self::Siqa, Self::Hellaswag, Self::Winogrande, Self::CommonsenseQa];
        ShotRule { first: self.has_subjects(), without_itself: nameless.contains(&self) }
    }

    /// Few-shot examples where nobody says how many.
    pub fn default_shots(self) -> usize {
        if self == Self::Gsm8k { 5 } else { 0 }
    }

    /// Whether it takes few-shot examples.
    pub fn takes_shots(self) -> bool {
        self.is_public()
    }

    /// What stands before the questions of a subject; empty where nothing does.
    pub fn description(self, subject: &str) -> String {
        let words = self.words(subject).map_or_else(|| subject.replace('_', " "), str::to_string);
        match self {
            Self::Ceval => format!("以下是中国关于{words}的单项选择题，请选出其中的正确答案。\n\n"),
            Self::Cmmlu => format!("以下是关于{words}的单项选择题，请直接给出正确答案的选项。\n\n"),
            Self::Mmlu => {
                format!("The following are multiple choice questions (with answers) about {words}.\n\n")
            }
            _ => String::new(),
        }
    }

    /// Whether the harness has words for a subject: in MMLU they are its name.
    pub fn knows(self, subject: &str) -> bool {
        !matches!(self, Self::Ceval | Self::Cmmlu) || self.words(subject).is_some()
    }

    fn words(self, subject: &str) -> Option<&'static str> {
        let lines = SUBJECTS.lines().filter(|line| !line.starts_with('#'));
        let mut parts = lines.filter_map(|line| {
            let mut parts = line.splitn(3, ' ');
            Some((parts.next()?, parts.next()?, parts.next()?))
        });
        let found = parts.find(|(task, name, _)| *task == self.name() && *name == subject);
        found.map(|(.., words)| words)
    }
}

impl Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|task| task.names().contains(&wanted.as_str()));
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|task| task.name()).collect();
            format!("'{text}' is no task; known are {} and all", known.join(", "))
        })
    }
}

/// A part of a set of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// To train on.
    Train,
    /// A few with answers, in the sets with subjects.
    Dev,
    /// Held out.
    Validation,
    /// Held out to the end.
    Test,
}

impl Split {
    /// The split that a word of a file's or folder's name tells.
    pub fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "train" | "training" | "auxiliary_train" => Some(Self::Train),
            "dev" => Some(Self::Dev),
            "val" | "valid" | "validation" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_have_names_that_read_back() {
        for task in Task::ALL {
            for name in task.names() {
                assert_eq!(name.parse(), Ok(task));
            }
        }
        let unknown = "arc".parse::<Task>().unwrap_err();
        assert!(unknown.contains("arc_easy") && unknown.ends_with("and all"), "{unknown}");
        assert_eq!(Task::ALL.iter().filter(|task| task.is_public()).count(), 12);
    }

    #[test]
    fn descriptions_are_those_of_the_harness() {
        assert_eq!(
            Task::Ceval.description("logic"),
            "以下是中国关于逻辑学的单项选择题，请选出其中的正确答案。\n\n"
        );
        assert_eq!(
            Task::Cmmlu.description("agronomy"),
            "以下是关于农学的单项选择题，请直接给出正确答案的选项。\n\n"
        );
        assert_eq!(
            Task::Mmlu.description("us_foreign_policy"),
            "The following are multiple choice questions (with answers) about us foreign policy.\n\n"
        );
        assert_eq!(Task::Piqa.description(""), "");
        assert!(Task::Ceval.knows("physician") && !Task::Ceval.knows("lamps") && Task::Mmlu.knows("lamps"));
        let subjects = |task: &str| SUBJECTS.lines().filter(|line| line.starts_with(task)).count();
        assert_eq!((subjects("ceval "), subjects("cmmlu ")), (52, 67));
    }
}
