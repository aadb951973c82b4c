//! Settings of published trainings, by the name of the project and the verb of the command line.
//!
//! Each row holds what its script or paper says, and nothing else: what a source does not tell keeps the stage's own
//! default. Schedules of the same name as a project's are that project's own.

/// A setting, by the name of its flag, and its value as it stands on a command line.
pub type Setting = (&'static str, &'static str);

/// What one project does in one stage.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// The project, as `--like` names it.
    pub like: &'static str,
    /// The verb that it is for.
    pub verb: &'static str,
    /// The size of a model that is new.
    pub preset: &'static str,
    /// Where the numbers come from.
    pub source: &'static str,
    common: &'static [Setting],
    own: &'static [Setting],
}

/// MiniMind 2: PyTorch's AdamW, no warm-up, one row an example.
const MINIMIND2: &[Setting] = &[
    ("lr-schedule", "minimind2"),
    ("warmup-ratio", "0"),
    ("weight-decay", "0.01"),
    ("grad-clip", "1"),
    ("packing", "false"),
];

/// MiniMind 3: the same with its own cosine.
const MINIMIND3: &[Setting] = &[
    ("lr-schedule", "minimind3"),
    ("warmup-ratio", "0"),
    ("weight-decay", "0.01"),
    ("grad-clip", "1"),
    ("packing", "false"),
];

/// SpongeBob: as MiniMind 2, from which it comes; the course of its rate is not told.
const SPONGEBOB: &[Setting] = &[("grad-clip", "1"), ("packing", "false")];

/// Tiny-LLM: Adam, which pulls no weight towards zero, and a cosine down to a tenth.
const TINY_LLM: &[Setting] = &[
    ("epochs", "3"),
    ("batch-size", "32"),
    ("grad-accum", "8"),
    ("learning-rate", "0.0003"),
    ("lr-schedule", "cosine"),
    ("warmup-ratio", "0"),
    ("min-lr-ratio", "0.1"),
    ("weight-decay", "0"),
    ("grad-clip", "1"),
    ("max-seq-len", "512"),
    ("packing", "false"),
];

/// MiniGPT trains with the Trainer of transformers, whose rate falls in a straight line to zero.
const MINIGPT: &[Setting] = &[
    ("lr-schedule", "linear"),
    ("warmup-ratio", "0.1"),
    ("min-lr-ratio", "0"),
    ("weight-decay", "0.01"),
    ("grad-clip", "1"),
    ("max-seq-len", "512"),
    ("packing", "false"),
];

/// Adapters of others take all their epochs, and mix nothing in.
macro_rules! whole_passes {
    ($($setting:expr),* $(,)?) => {
        &[("min-steps", "0"), ("stop-at-loss", "0"), ("keep-share", "0"), $($setting),*]
    };
}

/// Epochs, batch, rate, accumulation and length, as the tables of the sources list them, and what comes beside them.
macro_rules! table {
    ($epochs:literal, $batch:literal, $rate:literal, $accumulation:literal, $length:literal $(, $more:expr)* $(,)?) => {
        &[
            ("epochs", $epochs),
            ("batch-size", $batch),
            ("learning-rate", $rate),
            ("grad-accum", $accumulation),
            ("max-seq-len", $length),
            $($more),*
        ]
    };
}

const fn minimind2(verb: &'static str, source: &'static str, own: &'static [Setting]) -> Recipe {
    Recipe { like: "minimind2-small", verb, preset: "minimind2-small", source, common: MINIMIND2, own }
}

const fn minimind3(verb: &'static str, source: &'static str, own: &'static [Setting]) -> Recipe {
    Recipe { like: "minimind3", verb, preset: "minimind3", source, common: MINIMIND3, own }
}

const fn spongebob(verb: &'static str, source: &'static str, own: &'static [Setting]) -> Recipe {
    Recipe { like: "spongebob", verb, preset: "spongebob", source, common: SPONGEBOB, own }
}

const fn tiny_llm(verb: &'static str) -> Recipe {
    let source = "Tiny-LLM, the command of its base model";
    Recipe { like: "tiny-llm", verb, preset: "tiny-llm", source, common: TINY_LLM, own: &[] }
}

/// Its GPT-2 of 768 × 12 is no Llama; the preset has the same width and depth.
const fn minigpt(verb: &'static str, source: &'static str, own: &'static [Setting]) -> Recipe {
    Recipe { like: "minigpt", verb, preset: "tiny-llm-82m", source, common: MINIGPT, own }
}

/// All that are known.
pub const RECIPES: &[Recipe] = &[
    minimind2("pretrain", "MiniMind 2, train_pretrain.py", table!("1", "32", "0.0005", "8", "512")),
    minimind2("sft", "MiniMind 2, train_full_sft.py", table!("1", "32", "0.00005", "1", "512")),
    // Its adapters lie on square matrices only, with the scale 1.
    minimind2(
        "lora",
        "MiniMind 2, train_lora.py",
        whole_passes!(
            ("epochs", "50"),
            ("batch-size", "16"),
            ("learning-rate", "0.00005"),
            ("grad-accum", "1"),
            ("max-seq-len", "512"),
            ("lora-rank", "16"),
            ("lora-alpha", "16"),
            ("lora-dropout", "0"),
            ("lora-targets", "q_proj,o_proj"),
        ),
    ),
    // It divides the log-probabilities by the answers' lengths.
    minimind2(
        "dpo",
        "MiniMind 2, train_dpo.py",
        table!("2", "8", "0.00000001", "1", "1024", ("beta", "0.1"), ("length-normalise", "true")),
    ),
    minimind2(
        "distill",
        "MiniMind 2, train_distillation.py",
        table!(
            "6",
            "32",
            "0.000005",
            "1",
            "512",
            ("alpha", "0"),
            ("kd-temperature", "1"),
            ("kd-loss", "forward-kl")
        ),
    ),
    minimind2(
        "reason",
        "MiniMind 2, train_distill_reason.py",
        table!("1", "8", "0.000001", "1", "1024", ("tag-weight", "10")),
    ),
    minimind3("pretrain", "MiniMind 3, train_pretrain.py", table!("2", "32", "0.0005", "8", "340")),
    minimind3(
        "sft",
        "MiniMind 3, train_full_sft.py",
        &[("epochs", "2"), ("batch-size", "16"), ("learning-rate", "0.00001"), ("max-seq-len", "768")],
    ),
    minimind3(
        "lora",
        "MiniMind 3, train_lora.py",
        whole_passes!(
            ("epochs", "10"),
            ("batch-size", "32"),
            ("learning-rate", "0.0001"),
            ("max-seq-len", "340"),
            ("lora-rank", "16"),
            ("lora-alpha", "16"),
            ("lora-targets", "q_proj,o_proj"),
        ),
    ),
    minimind3(
        "dpo",
        "MiniMind 3, train_dpo.py",
        &[
            ("epochs", "1"),
            ("batch-size", "4"),
            ("learning-rate", "0.00000004"),
            ("max-seq-len", "1024"),
            ("beta", "0.15"),
        ],
    ),
    minimind3(
        "distill",
        "MiniMind 3, train_distillation.py",
        &[("alpha", "0.5"), ("kd-temperature", "1.5"), ("kd-loss", "forward-kl")],
    ),
    spongebob("pretrain", "SpongeBob, pretrain.py", table!("1", "32", "0.0005", "8", "512")),
    spongebob(
        "sft",
        "SpongeBob, SFT.py",
        &[("batch-size", "84"), ("grad-accum", "2"), ("learning-rate", "0.0005"), ("max-seq-len", "512")],
    ),
    spongebob(
        "reason",
        "SpongeBob, distill.py",
        table!("2", "28", "0.0005", "8", "1024", ("tag-weight", "10")),
    ),
    tiny_llm("pretrain"),
    tiny_llm("sft"),
    minigpt(
        "pretrain",
        "MiniGPT, the defaults of its pretraining",
        &[("epochs", "5"), ("batch-size", "2"), ("grad-accum", "16"), ("learning-rate", "0.0005")],
    ),
    minigpt(
        "sft",
        "MiniGPT, the defaults of its fine-tuning",
        &[("epochs", "3"), ("batch-size", "4"), ("grad-accum", "8"), ("learning-rate", "0.00001")],
    ),
    minigpt(
        "dpo",
        "MiniGPT, the defaults of its preferences",
        &[
            ("epochs", "3"),
            ("batch-size", "2"),
            ("grad-accum", "16"),
            ("learning-rate", "0.000005"),
            ("beta", "0.1"),
            ("max-prompt-len", "256"),
        ],
    ),
    minigpt(
        "lora",
        "MiniGPT, the defaults of its adapters",
        whole_passes!(
            ("epochs", "3"),
            ("batch-size", "4"),
            ("grad-accum", "8"),
            ("learning-rate", "0.0001"),
            ("lora-rank", "8"),
            ("lora-alpha", "32"),
            ("lora-dropout", "0.1"),
        ),
    ),
];

impl Recipe {
    /// The recipe of a project for a verb.
    pub fn of(like: &str, verb: &str) -> Option<&'static Self> {
        RECIPES.iter().find(|recipe| recipe.like == like && recipe.verb == verb)
    }

    /// What it sets, the size of a new model aside.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        self.common.iter().chain(self.own).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    /// What a recipe sets for a flag.
    fn value(like: &str, verb: &str, flag: &str) -> Option<f64> {
        let recipe = Recipe::of(like, verb).unwrap();
        let set = recipe.settings().find(|(name, _)| *name == flag);
        set.map(|(_, value)| value.parse().unwrap())
    }

    #[test]
    fn recipes_hold_the_numbers_of_the_published_tables() {
        let flags = ["epochs", "batch-size", "learning-rate", "grad-accum", "max-seq-len"];
        let no = None;
        // Epochs, batch, rate, accumulation, length: reference.md, 1.8, 2.2 to 5.
        for (like, verb, expected) in [
            ("minimind2-small", "pretrain", [Some(1.0), Some(32.0), Some(5e-4), Some(8.0), Some(512.0)]),
            ("minimind2-small", "sft", [Some(1.0), Some(32.0), Some(5e-5), Some(1.0), Some(512.0)]),
            ("minimind2-small", "lora", [Some(50.0), Some(16.0), Some(5e-5), Some(1.0), Some(512.0)]),
            ("minimind2-small", "dpo", [Some(2.0), Some(8.0), Some(1e-8), Some(1.0), Some(1024.0)]),
            ("minimind2-small", "distill", [Some(6.0), Some(32.0), Some(5e-6), Some(1.0), Some(512.0)]),
            ("minimind2-small", "reason", [Some(1.0), Some(8.0), Some(1e-6), Some(1.0), Some(1024.0)]),
            ("minimind3", "pretrain", [Some(2.0), Some(32.0), Some(5e-4), Some(8.0), Some(340.0)]),
            ("minimind3", "sft", [Some(2.0), Some(16.0), Some(1e-5), no, Some(768.0)]),
            ("minimind3", "lora", [Some(10.0), Some(32.0), Some(1e-4), no, Some(340.0)]),
            ("minimind3", "dpo", [Some(1.0), Some(4.0), Some(4e-8), no, Some(1024.0)]),
            ("minimind3", "distill", [no; 5]),
            ("spongebob", "pretrain", [Some(1.0), Some(32.0), Some(5e-4), Some(8.0), Some(512.0)]),
            ("spongebob", "sft", [no, Some(84.0), Some(5e-4), Some(2.0), Some(512.0)]),
            ("spongebob", "reason", [Some(2.0), Some(28.0), Some(5e-4), Some(8.0), Some(1024.0)]),
            ("tiny-llm", "pretrain", [Some(3.0), Some(32.0), Some(3e-4), Some(8.0), Some(512.0)]),
            ("tiny-llm", "sft", [Some(3.0), Some(32.0), Some(3e-4), Some(8.0), Some(512.0)]),
            ("minigpt", "pretrain", [Some(5.0), Some(2.0), Some(5e-4), Some(16.0), Some(512.0)]),
            ("minigpt", "sft", [Some(3.0), Some(4.0), Some(1e-5), Some(8.0), Some(512.0)]),
            ("minigpt", "dpo", [Some(3.0), Some(2.0), Some(5e-6), Some(16.0), Some(512.0)]),
            ("minigpt", "lora", [Some(3.0), Some(4.0), Some(1e-4), Some(8.0), Some(512.0)]),
        ] {
            assert_eq!(flags.map(|flag| value(like, verb, flag)), expected, "{like} {verb}");
        }
        assert_eq!(RECIPES.len(), 20, "every one of them is compared above");
        for (like, beta) in [("minimind2-small", 0.1), ("minimind3", 0.15), ("minigpt", 0.1)] {
            assert_eq!(value(like, "dpo", "beta"), Some(beta), "{like}");
        }
        assert_eq!(value("minimind2-small", "distill", "alpha"), Some(0.0));
        assert_eq!(value("minimind3", "distill", "kd-temperature"), Some(1.5));
        assert_eq!(
            (value("minigpt", "lora", "lora-rank"), value("minigpt", "lora", "lora-alpha")),
            (Some(8.0), Some(32.0))
        );
    }

    #[test]
    fn a_recipe_sets_nothing_twice_and_has_a_size() {
        for recipe in RECIPES {
            let mut names: Vec<_> = recipe.settings().map(|(name, _)| name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{} {}", recipe.like, recipe.verb);
            preset(recipe.preset).unwrap();
        }
        assert!(Recipe::of("minimind9", "sft").is_none() && Recipe::of("tiny-llm", "dpo").is_none());
    }
}
