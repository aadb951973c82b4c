//! `data list`: public data sets that fit the stages, those of the seeds first. Nothing is fetched for it.

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use crate::output::Output;
use crate::table::table;

/// Flags of `data list`.
#[derive(Args)]
pub struct ListArgs {
    /// Only data sets for this
    #[arg(long, value_enum)]
    pub stage: Option<For>,
}

/// What a data set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum For {
    /// A tokenizer
    Tokenizer,
    /// Pretraining
    Pretrain,
    /// Supervised fine-tuning
    Sft,
    /// An adapter
    Lora,
    /// Preferences
    Dpo,
    /// Reasoning
    Reason,
    /// Rewards
    Grpo,
    /// Evaluation
    Eval,
}

/// A data set as its place tells it; what is not told there is left open.
#[derive(Debug, Serialize)]
struct DataSet {
    name: &'static str,
    stage: For,
    languages: &'static str,
    format: &'static str,
    /// Of its files, or rows where only these are told.
    size: Option<&'static str>,
    /// What `--data` takes.
    address: &'static str,
    licence: Option<&'static str>,
    about: &'static str,
}

/// MiniMind's data sets have one licence line for all of them.
const OF_MINIMIND: Option<&str> = Some("Apache-2.0, CC BY-NC 2.0");
const TEXT: &str = "jsonl {text}";
const CONVERSATIONS: &str = "jsonl {conversations}";

/// What the row says, in the order of its fields.
const fn row(
    (name, stage, languages): (&'static str, For, &'static str),
    (format, size): (&'static str, Option<&'static str>),
    address: &'static str,
    licence: Option<&'static str>,
    about: &'static str,
) -> DataSet {
    DataSet { name, stage, languages, format, size, address, licence, about }
}

/// Where MiniMind's data sets are kept, and where ModelScope has the same files.
const MINIMIND: [&str; 2] = ["hub:jingyaogong/minimind_dataset/", "ms:gongjy/minimind_dataset/"];

impl DataSet {
    /// The same file on ModelScope, as MiniMind's own documents tell.
    fn mirror(&self) -> Option<String> {
        Some(format!("{}{}", MINIMIND[1], self.address.strip_prefix(MINIMIND[0])?))
    }
}

/// Sizes, licences and addresses are those that the hub's pages and the seeds' own documents tell.
const DATA_SETS: [DataSet; 31] = [
    row(
        ("minimind-pretrain-mini", For::Pretrain, "zh en"),
        (TEXT, Some("1.2 GB")),
        "hub:jingyaogong/minimind_dataset/pretrain_t2t_mini.jsonl",
        OF_MINIMIND,
        "MiniMind 3: the small set of texts",
    ),
    row(
        ("minimind-pretrain", For::Pretrain, "zh en"),
        (TEXT, Some("10 GB")),
        "hub:jingyaogong/minimind_dataset/pretrain_t2t.jsonl",
        OF_MINIMIND,
        "MiniMind 3: all texts",
    ),
    row(
        ("minimind-sft-mini", For::Sft, "zh en"),
        (CONVERSATIONS, Some("1.6 GB")),
        "hub:jingyaogong/minimind_dataset/sft_t2t_mini.jsonl",
        OF_MINIMIND,
        "MiniMind 3: the small set of conversations, tools and thoughts among them",
    ),
    row(
        ("minimind-sft", For::Sft, "zh en"),
        (CONVERSATIONS, Some("14 GB")),
        "hub:jingyaogong/minimind_dataset/sft_t2t.jsonl",
        OF_MINIMIND,
        "MiniMind 3: all conversations",
    ),
    row(
        ("minimind-dpo", For::Dpo, "zh en"),
        ("jsonl {chosen, rejected}", Some("53 MB")),
        "hub:jingyaogong/minimind_dataset/dpo.jsonl",
        OF_MINIMIND,
        "MiniMind 3: pairs of answers",
    ),
    row(
        ("minimind-rlaif", For::Grpo, "zh en"),
        (CONVERSATIONS, Some("24 MB")),
        "hub:jingyaogong/minimind_dataset/rlaif.jsonl",
        OF_MINIMIND,
        "MiniMind 3: prompts for rewards",
    ),
    row(
        ("minimind2-tokenizer", For::Tokenizer, "zh en"),
        (TEXT, Some("1.0 GB")),
        "hub:jingyaogong/minimind_dataset@9f9f5d75020d4e36f9af87d303a3690ceba6d5c6/tokenizer_train.jsonl",
        OF_MINIMIND,
        "MiniMind 2: what its tokenizer was trained on",
    ),
    row(
        ("minimind2-pretrain", For::Pretrain, "zh"),
        (TEXT, Some("1.6 GB")),
        "hub:jingyaogong/minimind_dataset@9f9f5d75020d4e36f9af87d303a3690ceba6d5c6/pretrain_hq.jsonl",
        OF_MINIMIND,
        "MiniMind 2: texts of up to 512 characters",
    ),
    row(
        ("minimind2-sft-mini", For::Sft, "zh"),
        (CONVERSATIONS, Some("1.2 GB")),
        "hub:jingyaogong/minimind_dataset@9f9f5d75020d4e36f9af87d303a3690ceba6d5c6/sft_mini_512.jsonl",
        OF_MINIMIND,
        "MiniMind 2: the small set of conversations of up to 512 characters",
    ),
    row(
        ("minimind2-lora-identity", For::Lora, "zh en"),
        (CONVERSATIONS, Some("23 kB")),
        "hub:jingyaogong/minimind_dataset@9f9f5d75020d4e36f9af87d303a3690ceba6d5c6/lora_identity.jsonl",
        OF_MINIMIND,
        "MiniMind 2: who the model is",
    ),
    row(
        ("minimind2-lora-medical", For::Lora, "zh"),
        (CONVERSATIONS, Some("34 MB")),
        "hub:jingyaogong/minimind_dataset@9f9f5d75020d4e36f9af87d303a3690ceba6d5c6/lora_medical.jsonl",
        OF_MINIMIND,
        "MiniMind 2: medical questions and answers",
    ),
    row(
        ("spongebob-pretrain", For::Pretrain, "zh"),
        (TEXT, None),
        "ms:Harris/pretrainSpongeBob/pretrain.jsonl",
        None,
        "LLM_SpongeBob: texts",
    ),
    row(
        ("spongebob-sft-512", For::Sft, "zh"),
        ("jsonl, lists of messages", Some("7.1 GB")),
        "ms:Harris/pretrainSpongeBob/sft_512.jsonl",
        None,
        "LLM_SpongeBob: conversations of up to 512 characters",
    ),
    row(
        ("spongebob-sft-1024", For::Sft, "zh"),
        ("jsonl, lists of messages", Some("5.2 GB")),
        "ms:Harris/pretrainSpongeBob/sft_1024.jsonl",
        None,
        "LLM_SpongeBob: conversations of 512 to 1,024 characters",
    ),
    row(
        ("tinystories", For::Pretrain, "en"),
        ("parquet {text}", Some("2.1M rows")),
        "hub:roneneldan/TinyStories/data/train-*.parquet",
        Some("CDLA-Sharing-1.0"),
        "short stories in the words of small children",
    ),
    row(
        ("wikitext-103", For::Pretrain, "en"),
        ("parquet {text}", Some("314 MB")),
        "hub:Salesforce/wikitext/wikitext-103-raw-v1/train-*.parquet",
        Some("CC BY-SA 3.0, GFDL"),
        "good articles of Wikipedia",
    ),
    row(
        ("belle-0.5m", For::Sft, "zh"),
        ("json {instruction, input, output}", Some("286 MB")),
        "hub:BelleGroup/train_0.5M_CN",
        Some("GPL-3.0"),
        "BELLE: instructions",
    ),
    row(
        ("belle-1m", For::Sft, "zh"),
        ("json {instruction, input, output}", Some("458 MB")),
        "hub:BelleGroup/train_1M_CN",
        Some("GPL-3.0"),
        "BELLE: more of them",
    ),
    row(
        ("belle-2m", For::Sft, "zh"),
        ("json {instruction, input, output}", Some("1.9 GB")),
        "hub:BelleGroup/train_2M_CN",
        Some("GPL-3.0"),
        "BELLE: more and longer ones",
    ),
    row(
        ("belle-3.5m", For::Sft, "zh"),
        ("json {conversations}", Some("4.9 GB")),
        "hub:BelleGroup/train_3.5M_CN",
        Some("GPL-3.0"),
        "BELLE: conversations, on which DataWhale's Tiny-LLM was fine-tuned",
    ),
    row(
        ("alpaca", For::Sft, "en"),
        ("parquet {instruction, input, output}", Some("24 MB")),
        "hub:tatsu-lab/alpaca",
        Some("CC BY-NC 4.0"),
        "Stanford's instructions",
    ),
    row(
        ("smol-smoltalk", For::Sft, "en"),
        ("parquet {messages}", Some("923 MB")),
        "hub:HuggingFaceTB/smol-smoltalk/data/train-*.parquet",
        Some("Apache-2.0"),
        "conversations for models as small as SmolLM2-135M",
    ),
    row(
        ("dpo-zh", For::Dpo, "zh"),
        ("json {conversations, chosen, rejected}", Some("29 MB")),
        "hub:hiyouga/DPO-En-Zh-20k/dpo_zh.json",
        Some("Apache-2.0"),
        "pairs of answers",
    ),
    row(
        ("dpo-en", For::Dpo, "en"),
        ("json {conversations, chosen, rejected}", Some("51 MB")),
        "hub:hiyouga/DPO-En-Zh-20k/dpo_en.json",
        Some("Apache-2.0"),
        "pairs of answers",
    ),
    row(
        ("gsm8k", For::Reason, "en"),
        ("parquet {question, answer}", Some("2.3 MB")),
        "hub:openai/gsm8k/main/train-*.parquet",
        Some("MIT"),
        "sums in words with their steps; for rewards, too",
    ),
    row(
        ("openr1-math", For::Reason, "en"),
        ("parquet {messages}", Some("450k rows")),
        "hub:open-r1/OpenR1-Math-220k/data",
        Some("Apache-2.0"),
        "mathematics with the thoughts of DeepSeek-R1",
    ),
    row(
        ("c-eval", For::Eval, "zh"),
        ("parquet {question, A, B, C, D, answer}", Some("3.8 MB")),
        "hub:ceval/ceval-exam",
        Some("CC BY-NC-SA 4.0"),
        "exam questions of 52 subjects",
    ),
    row(
        ("cmmlu", For::Eval, "zh"),
        ("zip of csv {Question, A, B, C, D, Answer}", Some("1.1 MB")),
        "hub:haonan-li/cmmlu",
        Some("CC BY-NC 4.0"),
        "questions of 67 subjects; unpack it and give --data the folder",
    ),
    row(
        ("arc-easy", For::Eval, "en"),
        ("parquet {question, choices, answerKey}", Some("346 kB")),
        "hub:allenai/ai2_arc/ARC-Easy/test-*.parquet",
        Some("CC BY-SA 4.0"),
        "science questions of schools",
    ),
    row(
        ("arc-challenge", For::Eval, "en"),
        ("parquet {question, choices, answerKey}", Some("204 kB")),
        "hub:allenai/ai2_arc/ARC-Challenge/test-*.parquet",
        Some("CC BY-SA 4.0"),
        "those that are not found by looking up words",
    ),
    row(
        ("gsm8k-test", For::Eval, "en"),
        ("parquet {question, answer}", Some("419 kB")),
        "hub:openai/gsm8k/main/test-*.parquet",
        Some("MIT"),
        "held-out sums in words",
    ),
];

/// Runs the verb.
pub fn run(args: &ListArgs, output: Output) {
    let chosen = DATA_SETS.iter().filter(|set| args.stage.is_none_or(|stage| set.stage == stage));
    let head = ["name", "for", "languages", "size", "format", "licence", "address", "what it is"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for set in chosen {
        output.json(&with_mirror(set));
        rows.push(cells(set));
    }
    table(&rows).iter().for_each(|line| output.line(line));
    output.say(
        "these are data of others under their own licences; `--data hub:…` and `--data ms:…` fetch what a run reads, and \
         `kindling data preview` shows it. Without any of them: `kindling sample-data DIR` writes a small world of our own",
    );
}

/// A data set as JSON, with `mirror` where ModelScope has the same file.
fn with_mirror(set: &DataSet) -> Value {
    let mut told = serde_json::to_value(set).unwrap_or_default();
    if let (Value::Object(told), Some(mirror)) = (&mut told, set.mirror()) {
        told.insert("mirror".into(), mirror.into());
    }
    told
}

fn cells(set: &DataSet) -> Vec<String> {
    let stage = set.stage.to_possible_value().map_or(String::new(), |value| value.get_name().to_string());
    let open = |told: Option<&str>| told.unwrap_or("not stated").to_string();
    vec![
        set.name.to_string(),
        stage,
        set.languages.to_string(),
        open(set.size),
        set.format.to_string(),
        open(set.licence),
        set.address.to_string(),
        set.mirror().map_or(set.about.to_string(), |mirror| format!("{}; also {mirror}", set.about)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::hub::{self, Address};

    #[test]
    fn every_data_set_has_a_name_of_its_own_and_every_purpose_one() {
        let names: BTreeSet<&str> = DATA_SETS.iter().map(|set| set.name).collect();
        assert_eq!(names.len(), DATA_SETS.len());
        for stage in For::value_variants() {
            assert!(DATA_SETS.iter().any(|set| set.stage == *stage), "{stage:?}");
        }
    }

    #[test]
    fn addresses_are_what_data_takes() {
        for address in
            DATA_SETS.iter().flat_map(|set| [Some(set.address.to_string()), set.mirror()]).flatten()
        {
            assert!(hub::is_address(&address), "{address}");
            let read = Address::parse(&address).unwrap();
            assert!(hub::is_repository(&read.repo), "{address}: {}", read.repo);
        }
    }

    #[test]
    fn modelscope_is_told_where_it_has_the_same_file() {
        let mini = &DATA_SETS[0];
        let mirror = "ms:gongjy/minimind_dataset/pretrain_t2t_mini.jsonl";
        assert_eq!(with_mirror(mini)["mirror"], mirror);
        assert!(cells(mini)[7].ends_with(&format!("; also {mirror}")), "{:?}", cells(mini));
        let of_before = DATA_SETS.iter().find(|set| set.address.contains('@')).unwrap();
        assert_eq!(of_before.mirror(), None, "a revision of the hub is none of ModelScope");
    }

    #[test]
    fn a_row_tells_what_its_place_does_not() {
        let open = DATA_SETS.iter().find(|set| set.size.is_none()).map(cells).unwrap_or_default();
        assert_eq!((open[3].as_str(), open[5].as_str()), ("not stated", "not stated"), "{open:?}");
        let told = with_mirror(&DATA_SETS[0]);
        assert_eq!((told["stage"].as_str(), told["size"].as_str()), (Some("pretrain"), Some("1.2 GB")));
    }
}
