//! Built-in prompts for a first look at a model, in English and Chinese, by what it learned last: beginnings to go on from,
//! texts with holes, and questions.

use crate::train::Stage;

/// What a model learned last, which says what it can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum DemoKind {
    /// Texts: it goes on from a beginning
    Pretrained,
    /// Conversations: it answers
    Chat,
    /// Which of two answers people prefer
    Preference,
    /// To think before it answers
    Reasoning,
    /// To fill in what is masked
    Masked,
}

/// Beginnings that any model goes on from.
const OPENINGS: [&str; 8] = [
    "Once upon a time",
    "The little fox",
    "My name is",
    "In the morning the harbour",
    "从前有一只",
    "今天天气",
    "人工智能是",
    "春天的河边",
];

/// Texts of which something is missing, though not their beginning, which a model whose logits are shifted does not predict.
const HOLES: [&str; 6] = [
    "The ___ is blue.",
    "Once upon a time a ___ lived in a small house.",
    "In the morning I drink ___ and read.",
    "天空是___的。",
    "从前有一只___住在森林里。",
    "早上我喝___，然后看书。",
];

/// Whatever talks is asked these.
const TALK: [&str; 10] = [
    "Who are you?",
    "What can you do?",
    "Which planet is the largest?",
    "How do I make a cup of tea?",
    "Tell me a short story about a lighthouse.",
    "你是谁？",
    "你能做什么？",
    "最大的行星是哪一颗？",
    "怎样泡一杯茶？",
    "讲一个关于灯塔的小故事。",
];

/// Questions where the tone, the length and the care of an answer matter.
const PREFERRED: [&str; 8] = [
    "Who are you?",
    "Say in one sentence why the sky is blue.",
    "My friend forgot my birthday. What shall I say?",
    "May I read a letter that is not mine?",
    "你是谁？",
    "用一句话说明天空为什么是蓝色的。",
    "朋友忘了我的生日，我该怎么说？",
    "我可以看别人的信吗？",
];

/// Questions that need a thought or two.
const THOUGHT: [&str; 8] = [
    "What is 17 + 25?",
    "A basket holds 12 pears. 5 are eaten and 3 are added. How many are there?",
    "Which is larger, 0.9 or 0.11?",
    "Mira is older than Tom, and Tom is older than Ben. Who is the youngest?",
    "23 加 19 等于多少？",
    "船上有 8 人，下去 3 人，上来 6 人，现在有几人？",
    "0.9 和 0.11 哪个大？",
    "小米比小田大，小田比小林大，谁最小？",
];

impl DemoKind {
    /// Of a model that such a stage made last, where that is known; of others it counts whether they talk, which they do by
    /// a chat template.
    pub fn of(stage: Option<Stage>, masked: bool, talks: bool) -> Self {
        match stage {
            _ if masked => Self::Masked,
            Some(Stage::Pretrain) => Self::Pretrained,
            _ if !talks => Self::Pretrained,
            Some(Stage::Dpo) => Self::Preference,
            Some(Stage::Reason | Stage::Grpo) => Self::Reasoning,
            Some(Stage::Sft | Stage::Distill) | None => Self::Chat,
        }
    }

    /// What two models can both be asked: what the one that learned less can be. A masked predictor answers whatever is
    /// asked.
    pub fn shared(self, other: Self) -> Self {
        match (self, other) {
            (Self::Masked, other) | (other, Self::Masked) => other,
            (one, other) => one.min(other),
        }
    }

    /// Whether such models are looked at by texts that they write on, and not by questions.
    pub fn writes_on(self) -> bool {
        matches!(self, Self::Pretrained | Self::Masked)
    }

    /// Texts to write on; those with holes where the model sees both sides of a hole.
    pub fn openings(self, sees_both_sides: bool) -> &'static [&'static str] {
        match self {
            Self::Masked if sees_both_sides => &HOLES,
            _ => &OPENINGS,
        }
    }

    /// Questions, each of which stands for itself.
    pub fn questions(self) -> &'static [&'static str] {
        match self {
            Self::Pretrained | Self::Chat | Self::Masked => &TALK,
            Self::Preference => &PREFERRED,
            Self::Reasoning => &THOUGHT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::has_holes;

    const ALL: [DemoKind; 5] =
        [DemoKind::Pretrained, DemoKind::Chat, DemoKind::Preference, DemoKind::Reasoning, DemoKind::Masked];

    fn is_chinese(text: &str) -> bool {
        text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
    }

    #[test]
    fn the_last_stage_says_what_a_model_is() {
        let of = |stage: Option<Stage>| DemoKind::of(stage, false, true);
        assert_eq!(of(None), DemoKind::Chat);
        assert_eq!(of(Some(Stage::Pretrain)), DemoKind::Pretrained);
        assert_eq!(of(Some(Stage::Distill)), DemoKind::Chat);
        assert_eq!(of(Some(Stage::Dpo)), DemoKind::Preference);
        assert_eq!(of(Some(Stage::Grpo)), DemoKind::Reasoning);
        // Whatever it learned: without a template it cannot be asked, and masks are masks.
        assert_eq!(DemoKind::of(Some(Stage::Sft), false, false), DemoKind::Pretrained);
        assert_eq!(DemoKind::of(None, false, false), DemoKind::Pretrained);
        assert_eq!(DemoKind::of(Some(Stage::Sft), true, true), DemoKind::Masked);
    }

    #[test]
    fn two_models_share_what_the_lesser_one_can() {
        use DemoKind::{Chat, Masked, Preference, Pretrained, Reasoning};
        assert_eq!(Preference.shared(Chat), Chat);
        assert_eq!(Chat.shared(Preference), Chat);
        assert_eq!(Pretrained.shared(Reasoning), Pretrained);
        assert_eq!(Masked.shared(Preference), Preference);
        assert_eq!(Pretrained.shared(Masked), Pretrained);
        assert_eq!(ALL.map(|kind| kind.shared(kind)), ALL);
    }

    #[test]
    fn every_kind_has_prompts_in_both_languages_each_once() {
        for kind in ALL {
            for list in [kind.openings(false), kind.openings(true), kind.questions()] {
                let chinese = list.iter().filter(|text| is_chinese(text)).count();
                assert_eq!(2 * chinese, list.len(), "{kind:?}: as many in each language");
                let different: std::collections::BTreeSet<_> = list.iter().collect();
                assert_eq!(different.len(), list.len(), "{kind:?}");
            }
            let holes = kind.openings(true).iter().all(|text| has_holes(text));
            assert_eq!(holes, kind == DemoKind::Masked);
            assert!(!kind.openings(false).iter().any(|text| has_holes(text)));
        }
    }
}
