// What is measured, and by whom: the first of the rivals is Kindling.

import { firstLine, inLlama, inTab, kindlingBench, model, pytorch, transformersFirst, firstOfLlama } from "./rivals.mjs";

/** Presets of `kindling bench`, which pytorch_model.py has under the same names. */
const PRESETS = { "26m": "minimind2-small", "64m": "minimind3", "104m": "minimind2", moe: "minimind3-moe" };
const TRAIN = [["26m", 4, 256], ["26m", 8, 512], ["64m", 4, 256], ["104m", 4, 256], ["moe", 4, 256]];
const MODELS = ["26m", "smollm2"];
const WEIGHTS = ["f32", "q8_0", "q4_0"];
const READ = 512;
/** About as many tokens in MiniMind's vocabulary, for wllama reads words. */
const READ_WORDS = 340;
const WRITE = 128;

/** All workloads under settings: seconds of a measurement, device and type. */
export function workloads({ seconds, device, dtype }) {
  const common = { seconds, device, dtype };
  return [
    ...TRAIN.map((shape) => training("train", shape, common)),
    training("lora", ["26m", 4, 256], common),
    training("lora", ["smollm2", 4, 256], common),
    ...MODELS.flatMap((name) => WEIGHTS.flatMap((weights) => [1, 8].map((batch) => reading("prefill", name, weights, batch, common)))),
    ...MODELS.flatMap((name) => WEIGHTS.flatMap((weights) => [1, 8].map((batch) => reading("decode", name, weights, batch, common)))),
    firstStep(common),
    firstToken("26m"),
    firstToken("smollm2"),
    ...["prefill", "decode"].flatMap((what) => WEIGHTS.map((weights) => tab(what, "26m", weights, common))),
    ...["prefill", "decode"].flatMap((what) => ["q8_0", "q4_0"].map((weights) => tab(what, "smollm2", weights, common))),
  ];
}

function training(what, [size, batch, seq], common) {
  const shape = ["--what", what, "--batch-size", batch, "--max-seq-len", seq];
  const ours = async () => kindlingBench(common, [...(await source(size)), ...shape]);
  const theirs = ["--preset", PRESETS[size] ?? size, ...shape];
  return { name: `${what}-${size}-${batch}x${seq}`, rivals: [kindling(ours), ...pytorches(common, theirs)] };
}

/** Kindling measures a preset with fresh weights, or a model's file. */
async function source(size) {
  return PRESETS[size] ? ["--preset", PRESETS[size]] : ["--model", await model(size, "f32")];
}

function reading(what, size, weights, batch, common) {
  const shape = ["--what", what, "--batch-size", batch, "--max-seq-len", READ, "--decode-batch-size", batch, "--new-tokens", WRITE];
  const held = weights === "f32" ? [] : ["--weights", weights];
  const ours = async () => kindlingBench(common, ["--model", await model(size, weights), ...held, ...shape]);
  const load = { what, batch, tokens: what === "prefill" ? READ : WRITE, weights, seconds: common.seconds };
  const llama = { name: "llama.cpp", needs: ["llama", "cpu"], run: async () => inLlama(await model(size, weights), load) };
  const torch = weights === "f32" ? pytorches(common, ["--preset", PRESETS[size] ?? size, ...shape]) : [];
  return { name: `${what}-${size}-${weights}-b${batch}`, rivals: [kindling(ours), llama, ...torch] };
}

/** From the start of a process to the end of its first optimizer step. */
function firstStep(common) {
  const theirs = ["--preset", PRESETS["26m"], "--what", "train", "--batch-size", 4, "--max-seq-len", 256, "--first"];
  const ours = () => firstLine.ofTraining(PRESETS["26m"], common);
  return { name: "first-step-26m", seconds: true, rivals: [kindling(ours), ...pytorches(common, theirs, firstLine.ofPytorch)] };
}

/** From the start of a process that has a model's file to the first token of an answer. */
function firstToken(size) {
  const ours = async () => firstLine.ofWriting(await model(size, "f32"));
  const llama = { name: "llama.cpp", needs: ["llama", "cpu"], run: async () => firstOfLlama(await model(size, "f32")) };
  const torch = { name: "transformers", needs: ["transformers", "cpu"], run: async () => transformersFirst(await model(size, "hf")) };
  return { name: `first-token-${size}`, seconds: true, rivals: [{ ...kindling(ours), needs: ["cpu"] }, llama, torch] };
}

function tab(what, size, weights, { seconds }) {
  const count = what === "prefill" ? READ_WORDS : WRITE;
  const run = (who, threads) => async () => inTab([who, await model(size, weights), weights, what, count, threads, seconds]);
  const rivals = [
    { name: "Kindling", needs: ["browser", "page", "cpu"], run: run("kindling", 1) },
    { name: "wllama, 1 thread", needs: ["browser", "wllama", "cpu"], run: run("wllama", 1) },
    { name: "wllama, 2 threads", needs: ["browser", "wllama", "cpu"], run: run("wllama", 2) },
  ];
  return { name: `tab-${what}-${size}-${weights}`, rivals };
}

function kindling(run) {
  return { name: "Kindling", needs: [], run };
}

function pytorches(common, flags, run = pytorch) {
  return [
    { name: "PyTorch", needs: ["torch"], run: () => run(common, flags) },
    { name: "PyTorch, compiled", needs: ["torch", "compiler"], run: () => run(common, [...flags, "--compile"]) },
  ];
}
