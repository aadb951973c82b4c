//! Training from prepared shards equals training from the rows themselves, and shards of something else are refused.

use std::path::Path;
use std::sync::Arc;

use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::batch::Content;
use kindling::data::{DataOptions, Dataset, Memory, Source, SourceShare, Turns};
use kindling::error::Error;
use kindling::loss::{Dpo, DpoConfig, Reason, ReasonConfig, ReasonSettings, Reference};
use kindling::model::Transformer;
use kindling::prepared::{
    FlatTokens, FlatType, NpyTokens, Preparation, PreparedIndex, Shard, ShardEntry, open_prepared, shard_name,
};
use kindling::text::{RowKind, Tags};
use kindling::tokenizer::{NOW, RenderWarning};
use kindling::train::{Job, Stage, TrainConfig};

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};
use crate::training::device;

const ROWS: usize = 23;

fn model() -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), 3, &device()).unwrap()
}

/// The shards of a job's rows, and their index as it stands on a disk.
fn prepared(job: &Job, rows_per_shard: u64) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (length, prompt) = (job.config.max_seq_len, job.objective.longest_prompt());
    let (rows, tokenizer) = (Arc::clone(&job.dataset), Arc::clone(&job.tokenizer));
    let preparation = Preparation::new(rows, tokenizer, job.content(), length, prompt).unwrap();
    let tags = job.objective.reason().map(ReasonSettings::tag_weight);
    let preparation = preparation.with_tags(tags).with_rows_per_shard(rows_per_shard);
    let shards: Vec<Vec<u8>> = (0..preparation.plan().shards())
        .map(|number| preparation.shard(number, &mut |_, _| true).unwrap().unwrap())
        .collect();
    let entry = |(number, bytes): (u64, &Vec<u8>)| {
        let shard = Shard::open(Arc::new(Memory::new("s", bytes.clone()))).unwrap();
        let sha256 = shard.verify().unwrap();
        ShardEntry { file: shard_name(number), rows: shard.rows(), tokens: shard.tokens(), sha256 }
    };
    let index = preparation.index((0..).zip(&shards).map(entry).collect());
    (serde_json::to_vec(&index).unwrap(), shards)
}

fn open(index: &[u8], shards: &[Vec<u8>]) -> Result<Dataset, Error> {
    let index = PreparedIndex::read("prepared.json", index)?;
    let source = |(number, bytes): (u64, &Vec<u8>)| -> Arc<dyn Source> {
        Arc::new(Memory::new(&shard_name(number), bytes.clone()))
    };
    open_prepared(index, (0..).zip(shards).map(source).collect())
}

fn from_shards(job: &Job) -> Job {
    let (index, shards) = prepared(job, 7);
    assert_eq!(shards.len() as u64, job.dataset.len().div_ceil(7));
    let dataset = open(&index, &shards).unwrap();
    assert_eq!((dataset.len(), dataset.fingerprint()), (job.dataset.len(), job.dataset.fingerprint()));
    Job { dataset: Arc::new(dataset), ..job.clone() }
}

/// Losses, held-out losses and weights of a whole run.
fn trained(job: Job) -> (Vec<f64>, Vec<f64>, Record) {
    let mut record = Record::default();
    train_run(job.start(model()).unwrap(), &mut record).unwrap();
    (record.losses(), record.evals.clone(), record)
}

/// Trains from the rows and from their shards, and compares everything.
fn compare(job: Job, case: &str) {
    let (rows, shards) = (trained(job.clone()), trained(from_shards(&job)));
    assert_eq!((&rows.0, &rows.1), (&shards.0, &shards.1), "{case}");
    assert!(rows.0.len() > 5 && rows.0.iter().all(|loss| loss.is_finite()), "{case}");
    let (rows, shards) =
        (rows.2.snapshots.last().unwrap().clone(), shards.2.snapshots.last().unwrap().clone());
    assert_eq!(rows.weights, shards.weights, "{case}");
    assert_eq!(rows.progress, shards.progress, "{case}");
}

#[test]
fn training_from_shards_equals_training_from_rows() {
    for (stage, packing) in
        [(Stage::Pretrain, true), (Stage::Pretrain, false), (Stage::Sft, false), (Stage::Sft, true)]
    {
        let max_seq_len = if stage == Stage::Pretrain { 24 } else { 72 };
        let settings = TrainConfig {
            steps: None,
            epochs: 2.5,
            packing,
            val_split: 0.2,
            max_seq_len,
            ..train_config(stage)
        };
        compare(job(settings, stage, ROWS), &format!("{stage:?} packing {packing}"));
    }
    let objective = Arc::new(Dpo::new(DpoConfig::default(), Reference::frozen(&model())));
    compare(Job { objective, ..job(train_config(Stage::Dpo), Stage::Dpo, ROWS) }, "pairs");
}

#[test]
fn weights_of_messages_and_rows_that_cannot_be_rendered_are_kept() {
    let mut text = String::new();
    for i in 0..12 {
        let weight = [0.25, 1.0, 3.0][i % 3];
        let messages = format!(
            "[{{\"role\": \"user\", \"content\": \"the cat {i}?\"}}, {{\"role\": \"assistant\", \"content\": \"sat {i}.\", \
             \"weight\": {weight}}}]"
        );
        text += &format!("{{\"messages\": {messages}}}\n");
        if i % 4 == 3 {
            text += "{\"user\": \"a dog\", \"assistant\": \"y\"}\n";
        }
    }
    let mut tokenizer = tokenizer();
    let template = "{% for m in messages %}{% if m.content == 'a dog' %}{{ raise_exception('no dogs') }}{% endif %}\
                    {{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}";
    tokenizer.set_chat_template(template).unwrap();
    let options =
        DataOptions { kind: Some(RowKind::Conversation), skip_bad_rows: true, ..DataOptions::default() };
    let source: Arc<dyn Source> = Arc::new(Memory::new("rows.jsonl", text));
    let dataset = Arc::new(Dataset::open(vec![source], options).unwrap());
    let job = Job { dataset, tokenizer: Arc::new(tokenizer), ..job(train_config(Stage::Sft), Stage::Sft, 1) };
    let prepared = from_shards(&job);
    let (rows, shards) = (job.survey(u64::MAX).unwrap(), prepared.survey(u64::MAX).unwrap());
    assert_eq!((rows.unusable.0, shards.unusable.0), (3, 3));
    assert_eq!((rows.tokens, rows.warnings), (shards.tokens, shards.warnings));
    compare(job, "weights and rows that are left out");
}

/// Answers that think first, and every third one that does not.
fn reason_job(config: ReasonConfig, tags: Tags) -> Job {
    let row = |i: usize| {
        let thought = if i.is_multiple_of(3) { "" } else { "<think>the cat</think>" };
        format!("{{\"user\": \"the log {i}?\", \"assistant\": \"{thought}sat {i}\"}}\n")
    };
    let source: Arc<dyn Source> = Arc::new(Memory::new("rows.jsonl", (0..12).map(row).collect::<String>()));
    let dataset = Arc::new(Dataset::open(vec![source], DataOptions::default()).unwrap());
    let objective = Arc::new(Reason::new(ReasonSettings { config, tags }));
    let settings = TrainConfig { val_split: 0.25, ..train_config(Stage::Reason) };
    Job { objective, dataset, ..job(settings, Stage::Reason, 1) }
}

#[test]
fn the_weight_of_tags_is_in_shards_and_no_other_is_taken() {
    let of = |tag_weight: f64, eval_answers: usize| {
        let config = ReasonConfig { tag_weight, eval_answers, ..ReasonConfig::default() };
        reason_job(config, Tags::default())
    };
    compare(of(7.0, 0), "tags");
    let (rows, shards) = (of(7.0, 0), from_shards(&of(7.0, 0)));
    let (found, kept) = (rows.survey(u64::MAX).unwrap(), shards.survey(u64::MAX).unwrap());
    assert!(found.warnings.contains_key(&RenderWarning::WithoutTags), "{:?}", found.warnings);
    assert_eq!(found.warnings, kept.warnings);
    let taking = |other: &Job| refusal(Job { dataset: Arc::clone(&shards.dataset), ..other.clone() });
    assert_eq!(taking(&of(7.0, 0)), "started");
    assert!(taking(&of(10.0, 0)).contains("--tag-weight 7, and this run trains with the tags"));
    let tags = Tags { think: "[T]...[/T]".parse().unwrap(), ..Tags::default() };
    let config = ReasonConfig { tag_weight: 7.0, eval_answers: 0, ..ReasonConfig::default() };
    assert!(taking(&reason_job(config, tags)).contains("this run trains with the tags [T]...[/T]"));
    assert!(taking(&of(7.0, 4)).contains("--eval-answers asks held-out questions"));
    let plain = job(train_config(Stage::Sft), Stage::Sft, 1);
    assert!(taking(&plain).contains("and this run trains without tags"));
}

#[test]
fn a_mix_keeps_its_shares_in_shards() {
    let of = |name: &str, rows: usize| -> Arc<dyn Source> {
        let text: String = (0..rows).map(|i| format!("{{\"text\": \"the {name} sat on {i}\"}}\n")).collect();
        Arc::new(Memory::new(&format!("{name}.jsonl"), text))
    };
    let share = |name: &str, share: f64| SourceShare { name: name.into(), share, files: 1 };
    let dataset = Dataset::open_mix(
        vec![of("cat", 9), of("dog", 4)],
        &[share("cat", 0.5), share("dog", 0.5)],
        DataOptions::default(),
    );
    let settings =
        TrainConfig { steps: None, epochs: 20.0, val_split: 0.25, ..train_config(Stage::Pretrain) };
    let job = Job { dataset: Arc::new(dataset.unwrap()), ..job(settings, Stage::Pretrain, 1) };
    assert_eq!(from_shards(&job).dataset.mix(), job.dataset.mix());
    compare(job, "a mix");
}

fn refusal(job: Job) -> String {
    job.start(model()).err().map_or("started".into(), |error| error.to_string())
}

#[test]
fn shards_of_another_tokenizer_template_stage_length_or_day_are_refused() {
    let job = job(train_config(Stage::Sft), Stage::Sft, ROWS);
    let prepared = from_shards(&job);
    let with = |change: &dyn Fn(&mut kindling::tokenizer::Tokenizer)| {
        let mut tokenizer = tokenizer();
        change(&mut tokenizer);
        Job { tokenizer: Arc::new(tokenizer), ..prepared.clone() }
    };
    assert_eq!(refusal(with(&|_| {})), "started");
    let template = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}";
    assert!(refusal(with(&|t| t.set_chat_template(template).unwrap())).contains("another chat template"));
    let shorter = TrainConfig { max_seq_len: 72, ..prepared.config.clone() };
    assert_eq!(refusal(Job { config: shorter, ..prepared.clone() }), "started", "their beginning is there");
    let (index, shards) = self::prepared(
        &Job { config: TrainConfig { max_seq_len: 32, ..job.config.clone() }, ..job.clone() },
        50,
    );
    let short = Job { dataset: Arc::new(open(&index, &shards).unwrap()), ..job.clone() };
    assert!(refusal(short).contains("prepared with --max-seq-len 32, and this run takes 96"));
    let texts = crate::tiny::job(train_config(Stage::Pretrain), Stage::Pretrain, 3);
    let texts = Job { dataset: Arc::clone(&prepared.dataset), ..texts };
    assert!(refusal(texts).contains("is made of conversations, and this stage reads documents"));
    let dated = |day: &str| {
        let mut tokenizer = tokenizer();
        tokenizer
            .set_chat_template(
                "{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}",
            )
            .unwrap();
        tokenizer.set_template_variable(NOW, day.into());
        Job { tokenizer: Arc::new(tokenizer), ..job.clone() }
    };
    let first = from_shards(&dated("2025-01-01"));
    assert_eq!(refusal(first.clone()), "started");
    let other = Job { tokenizer: dated("2026-01-01").tokenizer, ..first };
    assert!(
        refusal(other)
            .contains("the day 2025-01-01 when the data was prepared, and this run's is 2026-01-01")
    );
}

#[test]
fn damaged_shards_and_torn_indices_are_refused_by_name() {
    let job = job(train_config(Stage::Pretrain), Stage::Pretrain, ROWS);
    let (index, shards) = prepared(&job, 10);
    assert_eq!(shards.len(), 3);
    let refused = |index: &[u8], shards: &[Vec<u8>]| {
        open(index, shards).err().map_or("opened".into(), |error| error.to_string())
    };
    assert_eq!(refused(&index, &shards), "opened");
    let mut damaged = shards.clone();
    let middle = damaged[1].len() / 2;
    damaged[1][middle] ^= 1;
    assert!(refused(&index, &damaged).starts_with("shard-00001.bin: the shard is damaged: its checksum"));
    let mut short = shards.clone();
    short[2].truncate(100);
    assert!(refused(&index, &short).starts_with("shard-00002.bin: the shard is damaged: it has 100 bytes"));
    let swapped = [shards[1].clone(), shards[0].clone(), shards[2].clone()];
    assert!(refused(&index, &swapped).contains("this is another shard than the index tells of"));
    assert!(refused(&index, &shards[..2]).contains("lacks shards"));
    for torn in [&index[..index.len() / 2], b"", b"{}"] {
        assert!(
            refused(torn, &shards).starts_with("prepared.json: the index of the prepared data is damaged")
        );
    }
    let text = String::from_utf8(index).unwrap();
    let later = text.replace("\"kindling_prepared\":1", "\"kindling_prepared\":2");
    assert!(refused(later.as_bytes(), &shards).contains("version 2"));
    let fewer = text.replace("\"rows\":23", "\"rows\":22");
    assert!(refused(fewer.as_bytes(), &shards).contains("is damaged"));
}

#[test]
fn what_is_prepared_gives_no_rows_back_and_is_not_prepared_again() {
    let job = job(train_config(Stage::Pretrain), Stage::Pretrain, 5);
    let shards = from_shards(&job);
    assert!(shards.dataset.row(0).unwrap_err().to_string().contains("tokens and no rows"));
    let again = Preparation::new(shards.dataset, job.tokenizer, Content::Documents, 8, 0);
    assert!(again.err().is_some_and(|error| error.to_string().contains("tokens already")));
}

#[test]
fn an_adapter_trains_from_shards_too() {
    let config = AdapterConfig { lora: LoraConfig::default(), base: None, base_name: None };
    let adapter = Adapter::init(&model(), config, 1).unwrap();
    let job = Job { adapter: Some(adapter), ..job(train_config(Stage::Sft), Stage::Sft, ROWS) };
    assert_eq!(trained(job.clone()).0, trained(from_shards(&job)).0);
}

fn golden(name: &str) -> Arc<dyn Source> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/arrays").join(name);
    Arc::new(Memory::new(name, std::fs::read(path).unwrap()))
}

#[test]
fn arrays_of_numpy_are_read_and_rows_of_texts_train_alike_from_them() {
    use kindling::data::{DataReport, TokenData, TokenRows};
    let expected: Vec<u32> = (0..24).map(|i| i * 7 % 31).collect();
    for name in ["v1.npy", "v2.npy", "v3.npy"] {
        let array = NpyTokens::open(golden(name)).unwrap();
        let ids: Vec<u32> = (0..4).flat_map(|row| array.row(row).unwrap().examples[0].ids.clone()).collect();
        assert_eq!((array.rows(), array.row_len(), ids), (4, 6, expected.clone()), "{name}");
    }
    let refusal =
        |name: &str| NpyTokens::open(golden(name)).err().map_or(String::new(), |error| error.to_string());
    assert!(refusal("fortran.npy").starts_with("fortran.npy: the array stands in Fortran's order"));
    assert!(refusal("int64.npy").contains("holds <i8"));
    let flat = FlatTokens::open(golden("flat.bin"), FlatType::U16, 23).unwrap();
    assert_eq!((flat.rows(), flat.row(0).unwrap().examples[0].ids.clone()), (1, expected));
    let of = |rows: Arc<dyn TokenRows>| {
        let report = DataReport { rows: 4, usable: 4, documents: 4, ..DataReport::default() };
        let (fingerprint, turns) = ("array".to_string(), Turns::Refused);
        Dataset::of_tokens(TokenData { rows, report, fingerprint, skip_bad_rows: false, turns, mix: None })
    };
    let with = |stage: Stage, rows: Arc<dyn TokenRows>| Job {
        dataset: Arc::new(of(rows)),
        ..job(train_config(stage), stage, 1)
    };
    let array = || Arc::new(NpyTokens::open(golden("v1.npy")).unwrap());
    assert_eq!(trained(with(Stage::Pretrain, array())).0.len(), 8);
    assert!(
        self::refusal(with(Stage::Sft, array()))
            .contains("a file of nothing but tokens holds texts, and `sft`")
    );
    let large = Arc::new(Memory::new(
        "big.npy",
        [kindling::prepared::npy_header(1, 2), vec![1, 0, 0, 0, 0, 0, 1, 0]].concat(),
    ));
    let large = NpyTokens::open(large).unwrap();
    let message = self::refusal(with(Stage::Pretrain, Arc::new(large)));
    assert!(message.starts_with("big.npy:1: the token 65536 is not among the"), "{message}");
}
