//! Models whose matrices are held in few bits: the same as dense models of the numbers that the bits stand for.

use burn::tensor::Device;
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::checkpoint::Checkpoint;
use kindling::formats::gguf::to_gguf;
use kindling::formats::{Files, directory_files};
use kindling::kernels::{Activations, Quantization};
use kindling::model::{KvCache, ModelConfig, Transformer, fresh_weights};
use kindling::sample::{
    Autoregressive, Decoder, Flow, GenerationRequest, SamplingConfig, UnmaskConfig, Writer,
};
use kindling::train::Stage;

use crate::tiny::{
    Record, config, ids, job, largest_difference, logits, tokenizer, train_config, train_run, values,
};

const ROW: [i32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const BITS: [Quantization; 2] = [Quantization::Q8_0, Quantization::Q4_0];

/// Wide enough for blocks, but for one projection.
fn wide(vocab_size: usize, tied: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 64,
        intermediate_size: 80,
        head_dim: 16,
        tie_word_embeddings: tied,
        ..config(vocab_size)
    }
}

fn quantized(config: &ModelConfig, bits: Quantization, device: &Device) -> Transformer {
    Transformer::build_quantized(config, bits, device, &mut fresh_weights(config, 5)).unwrap()
}

/// The dense model of the numbers that the bits stand for.
fn unpacked(model: &Transformer, device: &Device) -> Transformer {
    let weights = pollster::block_on(model.weights()).unwrap();
    let find = |name: &str| weights.iter().find(|tensor| tensor.name == name).unwrap();
    Transformer::build(model.config(), device, &mut |name, shape| {
        assert_eq!(find(name).shape, shape);
        Ok(find(name).values.clone())
    })
    .unwrap()
}

/// The logits of the last position, fed one by one and in two pieces.
fn cached(model: &Transformer) -> Vec<f32> {
    let mut cache = KvCache::new(model.config(), 1, ROW.len());
    for id in &ROW[..4] {
        model.forward_cached(ids(&[&[*id]], &Device::flex()), &mut cache, 0..1, true);
    }
    values(model.forward_cached(ids(&[&ROW[4..]], &Device::flex()), &mut cache, 0..1, true))
}

#[test]
fn logits_are_those_of_the_unpacked_model() {
    for tied in [true, false] {
        for bits in BITS {
            let model = quantized(&wide(40, tied), bits, &Device::flex());
            let dense = unpacked(&model, &Device::flex());
            assert!(model.is_quantized() && !dense.is_quantized());
            let all = logits(&model, &ROW);
            assert!(largest_difference(&all, &logits(&dense, &ROW)) < 1e-4);
            assert!(largest_difference(&cached(&model), &all[11 * 40..]) < 1e-4);
        }
    }
}

#[test]
fn fewer_bits_take_less_memory_and_are_less_exact() {
    let config = wide(40, true);
    let exact = Transformer::init(&config, 5, &Device::flex()).unwrap();
    let [eight, four] = BITS.map(|bits| quantized(&config, bits, &Device::flex()));
    let off = |model: &Transformer| largest_difference(&logits(model, &ROW), &logits(&exact, &ROW));
    assert!(off(&eight) > 0.0 && off(&eight) * 3.0 < off(&four), "{} {}", off(&eight), off(&four));
    assert!(eight.bytes_saved() > 0 && four.bytes_saved() > eight.bytes_saved());
    assert_eq!(exact.bytes_saved(), 0);
    let mut names = [&exact, &eight].map(Transformer::shapes);
    names.iter_mut().for_each(|names| names.sort());
    assert_eq!(names[0], names[1]);
}

fn files(config: &ModelConfig) -> Files {
    let model = Transformer::init(config, 5, &Device::flex()).unwrap();
    let weights = pollster::block_on(model.weights()).unwrap();
    directory_files(config, &weights, Some(&tokenizer())).unwrap()
}

/// The logits behind each id of `ROW` but the first three, which are read; the others are as if they were drawn.
fn written(model: &Transformer) -> Vec<Vec<f32>> {
    let row = ROW.map(|id| id as u32);
    let mut decoder = Decoder::new(model, ROW.len());
    let mut all = vec![pollster::block_on(decoder.feed(&row[..3])).unwrap()];
    all.extend(row[3..].iter().map(|&id| pollster::block_on(decoder.feed_drawn(id)).unwrap()));
    all
}

/// A conversation goes on from what was read, in the page and at the prompt, and what was drawn is read again.
#[test]
fn what_was_drawn_with_8_bits_is_not_gone_on_from() {
    let exact = quantized(&wide(40, true), BITS[0], &Device::flex());
    let eight = exact.clone().with_activations(Activations::EightBits);
    for (model, kept) in [(&exact, 7), (&eight, 4)] {
        let mut writer = Writer::new(model, ROW.len());
        let sampling = SamplingConfig { temperature: 0.0, max_new_tokens: 4, ..SamplingConfig::default() };
        let request = GenerationRequest {
            prompt: &[3, 1, 4, 1],
            reuse: 0,
            end_ids: &[],
            tokenizer: None,
            config: &sampling,
            unmask: UnmaskConfig::default(),
        };
        let write = |writer: &mut Writer, request: &GenerationRequest<'_>| {
            pollster::block_on(writer.write(request, &mut |_| Flow::Continue)).unwrap().tokens
        };
        let answer = write(&mut writer, &request);
        // The last token of four was never fed.
        assert_eq!((answer.len(), writer.position()), (4, kept));
        // The next question, behind the answer: as whoever never wrote would answer it.
        let next: Vec<u32> = request.prompt.iter().chain(&answer).copied().chain([5, 9]).collect();
        let next = GenerationRequest { prompt: &next, ..request };
        let reuse = writer.position();
        let again = write(&mut writer, &GenerationRequest { reuse, ..next });
        assert_eq!(again, write(&mut Writer::new(model, ROW.len()), &next));
        assert_eq!(writer.position(), if kept == 4 { 10 } else { ROW.len() });
    }
}

#[test]
fn what_is_drawn_meets_8_bits_and_all_else_exact_activations() {
    let highest = |logits: &[f32]| {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        (order[0], logits[order[0]] - logits[order[1]])
    };
    for (tied, bits) in [(true, BITS[0]), (false, BITS[0]), (true, BITS[1])] {
        let exact = quantized(&wide(40, tied), bits, &Device::flex());
        let eight = exact.clone().with_activations(Activations::EightBits);
        let (expected, found) = (written(&exact), written(&eight));
        assert!(expected[0] == found[0], "a prompt is read exactly");
        let largest = expected.iter().flatten().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
        let mut clear = 0;
        for (expected, found) in expected.iter().zip(&found).skip(1) {
            let off = largest_difference(expected, found);
            assert!(off > 0.0 && off < 0.05 * largest, "{off} of {largest}");
            let (token, margin) = highest(expected);
            if margin > 0.1 * largest {
                assert_eq!(highest(found).0, token);
                clear += 1;
            }
        }
        assert!(clear > 0, "some tokens are clear");
        let ids = ROW.map(|id| id as u32);
        let score = |model: &Transformer| {
            pollster::block_on(Decoder::new(model, 12).score(&ids, None, true)).unwrap()
        };
        assert!(score(&exact) == score(&eight) && score(&eight.writing()) != score(&eight));
        assert!(logits(&exact, &ROW) == logits(&eight, &ROW));
    }
}

#[test]
fn a_gguf_of_such_blocks_opens_as_the_model_quantized_here() {
    // The exporter stores what fits no blocks as f16, so here all does.
    let config = ModelConfig { intermediate_size: 96, ..wide(tokenizer().vocab_size(), true) };
    let files = files(&config);
    let checkpoint = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    for bits in BITS {
        let here = checkpoint.quantized_model(bits, &Device::flex()).unwrap();
        let gguf = Checkpoint::open_gguf(to_gguf(&files, bits.into()).unwrap()).unwrap();
        let there = gguf.quantized_model(bits, &Device::flex()).unwrap();
        assert!(logits(&here, &ROW) == logits(&there, &ROW));
        assert!(
            largest_difference(&logits(&here, &ROW), &logits(&gguf.model(&Device::flex()).unwrap(), &ROW))
                < 1e-4
        );
    }
}

#[test]
fn a_model_is_known_by_its_weights_in_any_bits() {
    let files = files(&wide(tokenizer().vocab_size(), true));
    let checkpoint = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    let exact = checkpoint.model(&Device::flex()).unwrap();
    let weights = pollster::block_on(exact.weights()).unwrap();
    let known = kindling::adapter::Fingerprint::of(&weights).read_by(&checkpoint.config);
    assert_eq!(known, checkpoint.fingerprint(&exact).unwrap());
    let four = checkpoint.quantized_model(Quantization::Q4_0, &Device::flex()).unwrap();
    assert_eq!(known, checkpoint.fingerprint(&four).unwrap());
}

#[test]
fn an_adapter_learns_beside_bits_as_beside_the_unpacked_model() {
    let device = Device::flex().autodiff();
    let losses = |model: Transformer| {
        let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
        let adapter = AdapterConfig { lora, base: None, base_name: None };
        let adapter = Adapter::init(&model, adapter, 1).unwrap();
        let mut job = job(train_config(Stage::Sft), Stage::Sft, 12);
        job.adapter = Some(adapter);
        let mut record = Record::default();
        train_run(job.start(model).unwrap(), &mut record).unwrap();
        record.losses()
    };
    let config = wide(tokenizer().vocab_size(), true);
    let model = quantized(&config, Quantization::Q8_0, &device);
    let dense = unpacked(&model, &device);
    let (bits, dense) = (losses(model), losses(dense));
    assert!(bits[7] < bits[0], "{bits:?}");
    let off = bits.iter().zip(&dense).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 1e-3, "{bits:?} {dense:?}");
}

#[test]
fn bits_do_not_train_and_need_blocks() {
    let model =
        quantized(&wide(tokenizer().vocab_size(), true), Quantization::Q8_0, &Device::flex().autodiff());
    let job = job(train_config(Stage::Sft), Stage::Sft, 12);
    let message = job.start(model).err().unwrap().to_string();
    assert!(message.contains("do not train"), "{message}");
    let narrow = config(32);
    let none = Transformer::build_quantized(
        &narrow,
        Quantization::Q8_0,
        &Device::flex(),
        &mut fresh_weights(&narrow, 1),
    );
    assert!(none.err().unwrap().to_string().contains("no matrix of this model"));
}
