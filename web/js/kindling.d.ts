// TypeScript's declarations, because other pages call kindling.js, which is JavaScript.

/**
 * Train, adapt and talk with small language models inside this page. Nothing leaves the machine.
 *
 * A field that a call does not read is refused by its name. A call whose `signal` aborts rejects with the signal's
 * reason, which is a DOMException called AbortError unless another was given.
 */

/**
 * What went wrong: a call that fails rejects with it. `code` is a word for programs, such as "row.missing" or
 * "unsupported-field"; `values` holds what stands in the message, by name, a sentence within it as a `Told`.
 */
export class KindlingError extends Error {
  readonly name: "KindlingError";
  readonly code: string;
  readonly values: Record<string, ToldValue>;
}

export type ToldValue = string | number | Told | Told[];

/** Opens the engine: a worker that owns the device, the model and the training. */
export function connect(options?: ConnectOptions): Kindling;

export interface ConnectOptions {
  /** WebGPU where the browser has it ("auto"), or as asked for. */
  device?: "auto" | "webgpu" | "cpu";
  /** Told of the engine's own bytes as they come, after a restart again. */
  onProgress?: (part: Progress) => void;
}

export interface Kindling {
  /** Runs on the server that the page came from; only where that trains (`kindling serve --train`). */
  served?: ServedTraining;
  /** What computes, once the engine stands. */
  device(): Promise<DeviceInfo>;
  /**
   * Opens a model: a single-file checkpoint, the files of a Hugging Face directory or a .zip of them, or a URL of one
   * such file. A download that broke goes on where it ended when the same URL is loaded again; a model that opened is
   * kept in this browser and opened from there the next time, unless its server says that it changed. When it rejects
   * after an abort the model before is still the open one; an abort that comes too late changes nothing.
   */
  load(source: ModelSource, options?: LoadOptions): Promise<ModelInfo>;
  /** The open model, or null. */
  model(): Promise<ModelInfo | null>;
  /** In the shape of OpenAI's API; with `stream`, an async iterator of chunks. */
  chat: { completions: { create(request: ChatRequest): Promise<ChatCompletion | AsyncIterable<ChatChunk>> } };
  /** Goes on from a text or from ids. */
  generate(request: GenerateRequest): Promise<Generation>;
  /** Fills the holes of a text, three underscores each; the open model must be a masked predictor. */
  infill(request: InfillRequest): Promise<Infilled>;
  /**
   * The log-probability of each token; a text begins and ends as the tokenizer says, or with BOS where asked for. Of a
   * masked predictor it is an estimate for all tokens together. The engine ends its work on a text that it has begun after
   * an abort too.
   */
  score(request: ScoreRequest): Promise<Score | MaskedScore>;
  /**
   * How good the open model is, as `kindling eval` measures it: alone, or before and after what acts beside it. Files of a
   * set with subjects tell split and subject by their names: `ceval/val/logic_val.csv`. The engine ends the pass that it has
   * begun after an abort too.
   */
  evaluate(request: EvaluateRequest): Promise<Evaluation>;
  /**
   * A few questions with four answers to choose from, as rows for `evaluate` ("openbookqa", "arc_easy"), about the world that
   * the page's own model knows.
   */
  exampleQuestions(): Promise<ExportedFile>;
  /** Rows out of whatever text a person pastes; no model has to be open. */
  rows: {
    /** Its rows for a stage ("sft"): JSON, a table, Markdown, or questions and answers behind words such as `Q:`. */
    read(text: string, stage?: Stage | "lora"): Promise<PastedRows>;
    /** Its questions and answers, either of which may be empty; null where it holds anything else. */
    pairs(text: string): Promise<[string, string][] | null>;
    /** The same in cells of a spreadsheet, as the clipboard has them; with `choices` also a worse answer in a third column. */
    cells(text: string, choices?: boolean): Promise<Cells>;
  };
  /** So many rows (20) as the model sees them: tokens, and which of them are targets. Nothing is trained. */
  preview(request: TrainRequest & { rows?: number }): Promise<Preview>;
  /**
   * What holds where a request names nothing else; `config` depends on whether an adapter learns the stage, and on whether the
   * open model is a masked predictor.
   */
  defaults(
    stage: Stage | "lora",
    options?: { adapter?: boolean },
  ): Promise<Defaults>;
  /** What a run will need. */
  plan(request: TrainRequest): Promise<Plan>;
  /** Trains. The promise resolves when the run stands; its end is `run.done`. */
  train(request: TrainRequest): Promise<Run>;
  /**
   * Runs that train in no tab and whose result is not kept yet: after a reload they go on with `resume`, from their last
   * save that is whole.
   */
  runs: {
    list(): Promise<SavedRun[]>;
    /** With `more`, so many more steps of a run that is done; what it gave is then replaced by what it gives. */
    resume(id: string, onEvent?: (event: TrainEvent) => void, options?: { more?: number }): Promise<Run>;
    remove(id: string): Promise<void>;
    /**
     * Takes a run that was saved elsewhere, with the data that it began with: a single-file checkpoint with training
     * state, or the files (or a .zip) of an adapter's run, whose base must be open, as must be the model that a run on
     * preferences or rewards is compared with. `resume` goes on with it.
     */
    import(
      source: FileSource | FileSource[],
      options: {
        stage: Stage | "lora";
        data: DataSource;
        name?: string;
        /** Of a distillation: the kept model that it began with; it is held as it was. */
        teacher?: { kept: string };
        /** What the data are written in where that is not UTF-8; without it what the run itself tells. */
        encoding?: string;
      },
    ): Promise<SavedRun>;
  };
  /** Adapters are kept in this browser. */
  adapters: {
    /** All of them, of every model, the newest first. */
    list(): Promise<AdapterInfo[]>;
    /** Which of the open model's act from now on, and how strongly; all others are off. */
    use(active: { name: string; strength?: number }[]): Promise<AdapterInfo[]>;
    /**
     * Adds an adapter from the files of a PEFT directory, or from a .zip of them. It answers with the chat template that
     * lies beside its two files, where one does. A name that is taken gets a number.
     */
    add(name: string, files: FileSource[]): Promise<AdapterInfo[]>;
    /**
     * Keeps the mean of adapters of the open model as a new one, which acts alone then: the mean of what each adds to the
     * model's weights. Without `weights` all count alike; `rank` cuts it, without it the ranks are added and it is exact.
     */
    average(name: string, of: string[], options?: { weights?: number[]; rank?: number }): Promise<AveragedAdapter>;
    remove(name: string): Promise<AdapterInfo[]>;
  };
  /**
   * Files to take home: the open model as one file, as a Hugging Face directory (a masked predictor in LLaDA's form, where
   * its code can compute it; what that does otherwise is a warning) or for llama.cpp, an adapter in PEFT's layout, a run
   * with its training state. "zip" puts a directory into one archive.
   */
  export(
    what: { model: "single-file" | "hf" | "gguf" } | { adapter: string } | { run: string },
    options?: ExportOptions,
  ): Promise<ExportedFile[]>;
  /** Models kept in this browser. */
  models: {
    list(): Promise<KeptModel[]>;
    /** Keeps the open model under a name. */
    keep(name: string): Promise<void>;
    /**
     * Makes a masked predictor (LLaDA) of the open model without its adapters, and keeps it under a name of its own, which
     * `load` opens. It answers well only once `train` has taught it to. One that is kept already by the same conversion is
     * given again, unless another name is asked for.
     */
    convert(options: ConvertOptions): Promise<Converted>;
    remove(name: string): Promise<void>;
  };
  /** Ends the engine; every open call fails. */
  close(): void;
  /** Called when the engine crashed; `restart` opens a new one (the model is loaded again by hand). */
  onCrash: ((message: string, error: Error) => void) | null;
  restart(): void;
}

export type FileSource = File | { name: string; bytes: Uint8Array };
export type ModelSource = FileSource | FileSource[] | string | { kept: string };
/** Text in any of the formats that the command line reads, told by the file's name. */
export type DataSource = FileSource | FileSource[];
export interface PastedRows extends Pasted {
  /** The rows that can be used, as data to train on; null where there are none. A plain text is such data as it is. */
  data: ExportedFile | null;
}
export interface LoadOptions {
  signal?: AbortSignal;
  /** Told of a download. */
  onProgress?: (part: Progress) => void;
  /** Whether a download is kept in this browser (true). */
  keep?: boolean;
  /** What the matrices are held as ("f32"): fewer bits take less memory and are a little less exact. */
  weights?: WeightsAs;
}
export interface Progress { loaded: number; total: number | null }

export interface ConvertOptions {
  to: "diffusion";
  /** Whether logits predict the token behind them, as those of the open model do (true). */
  shift_logits?: boolean;
  /** Tokens of a block, for a model that sees its own block and all before it; without it, or with 0, all see all. */
  block_length?: number;
  /** The name under which it is kept; without one that of the open model, with "(diffusion)" behind it. */
  name?: string;
}

/** How a masked predictor fills its masks; a model that predicts the next token refuses these settings. */
export interface Unmask {
  /** Steps in all; without it one for each new token. */
  steps?: number;
  /** Tokens that are filled before the next ones are begun; without it the model's own blocks, else 32. */
  block_length?: number;
  /** Which tokens a step keeps: those that the model is surest of, or any. */
  remasking?: "low-confidence" | "random";
  /** How strongly the answer is drawn to the prompt, by classifier-free guidance; 0 is off. */
  cfg_scale?: number;
  /** Fill every token that the model is at least so sure of, and always the surest; 0 to 1. */
  threshold?: number;
  /** Keep what stands before a block in the cache while the block is filled: faster, and not exact where all see all. */
  prefix_cache?: boolean;
}
export type UnmaskDefaults = { [Setting in keyof Unmask]-?: Unmask[Setting] | null };

export interface Sampling {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  /** Taken off the logit of a token for each time that it came in the answer; -2 to 2. */
  frequency_penalty?: number;
  /** Taken off the logit of a token once it came in the answer; -2 to 2. */
  presence_penalty?: number;
  /** Added to the logits of tokens, by their ids; -100 to 100. */
  logit_bias?: Record<string, number>;
  seed?: number;
  max_tokens?: number;
  /** The same by OpenAI's newer name. */
  max_completion_tokens?: number;
  stop?: string | string[];
}

/** OpenAI's fields that are not here, such as `n` and `tools`, are refused. */
export interface ChatRequest extends Sampling {
  /** A message of the system can only be the first. */
  messages: RequestMessage[];
  /** The open model's name; no other is taken. */
  model?: string;
  stream?: boolean;
  /** Log-probabilities of the tokens, with so many alternatives. */
  logprobs?: boolean;
  top_logprobs?: number;
  /** "base" answers without any adapter, a list with those alone, whatever acts. */
  adapters?: "active" | "base" | { name: string; strength?: number }[];
  /** How a masked predictor fills its masks; `logprobs` is refused for one. */
  unmask?: Unmask;
  signal?: AbortSignal;
}

/** Parts of a content are read as one text; other parts than texts are refused. */
export interface RequestMessage { role: Message["role"]; content: string | { type: "text"; text: string }[] }

/** From a prompt or from tokens. */
export interface GenerateRequest extends Sampling {
  prompt?: string;
  tokens?: number[];
  ignore_eos?: boolean;
  onText?: (text: string) => void;
  /** How a masked predictor fills its masks. */
  unmask?: Unmask;
  /** Told of each of its steps. */
  onUnmask?: (step: UnmaskStep) => void;
  signal?: AbortSignal;
}

/** Of a text with holes: `max_tokens` and `stop` have no meaning here. */
export interface InfillRequest extends Omit<Sampling, "max_tokens" | "max_completion_tokens" | "stop"> {
  /** The text, with `___` where something is missing. */
  text: string;
  /** Tokens of each hole. */
  hole_tokens?: number;
  unmask?: Unmask;
  /** Told of the text of each token before the first step; null where one is missing. */
  onCanvas?: (given: (string | null)[]) => void;
  onUnmask?: (step: UnmaskStep) => void;
  signal?: AbortSignal;
}

/** How the likelihood of a masked predictor is estimated; a model that predicts the next token refuses these settings. */
export interface Likelihood {
  /** Hide parts of the text so many times. */
  mc?: number;
  /** The seed of what is hidden. */
  mc_seed?: number;
  /** How far away from what it says without the prompt, by classifier-free guidance. */
  cfg_scale?: number;
}

/** Of a text or of tokens. */
export interface ScoreRequest {
  text?: string;
  tokens?: number[];
  addBos?: boolean;
  logits?: boolean;
  /** Of a masked predictor: how often parts of the text are hidden (128), the seed of that (0), and guidance (0). */
  likelihood?: Likelihood;
  signal?: AbortSignal;
}

/** Of a task in lm-evaluation-harness 0.4.13's definitions, of texts, of pairs of answers, or of answers that think first. */
export interface EvaluateRequest {
  task: EvalTask;
  /** The rows: .jsonl, .json, .csv or .tsv; for "heldout" texts, for "pairs" preferences, for "format" conversations. */
  data: DataSource;
  /** Where the examples of `shots` come from, if not from files of the few-shot split in `data`. */
  shotsData?: DataSource;
  /** Ask at most so many questions (50), the first: of each subject where a set has subjects. */
  limit?: number;
  /** Examples with their answers before each question (0; of "gsm8k" 5). */
  shots?: number;
  /** Ask through the model's chat template. */
  apply_chat_template?: boolean;
  /** With the chat template: each example as a turn of its own (true), or all in one message. */
  fewshot_as_multiturn?: boolean;
  /** Tokens that an answer of "format" may have (512). */
  max_new_tokens?: number;
  /** What stands around thinking and answer, of "format". */
  tags?: Partial<Tags>;
  /** How a masked predictor is asked. */
  likelihood?: Likelihood;
  /** Who is asked, as for a chat. */
  adapters?: ChatRequest["adapters"];
  /** Ask the model without any adapter first, and tell the difference; without a word so where an adapter acts. */
  compare?: boolean;
  /** What the files are written in where that is not UTF-8. */
  encoding?: string;
  /** Told of the questions that were asked. */
  onProgress?: (part: EvaluationProgress) => void;
  signal?: AbortSignal;
}
export type EvaluationProgress = Omit<Extract<EngineEvent, { event: "evaluating" }>, "event">;
export type EvalTask =
  | "ceval" | "cmmlu" | "mmlu" | "arc_easy" | "arc_challenge" | "openbookqa" | "piqa" | "siqa" | "hellaswag" | "winogrande"
  | "commonsense_qa" | "gsm8k" | "heldout" | "pairs" | "format";

/** The flags of the command line, with the defaults of the stage and of what trains. */
export interface TrainConfig {
  "epochs": number;
  "steps": number | null;
  /** Fewest steps where passes count them, so that a few rows are seen often enough; 0 sets none. */
  "min-steps": number;
  /** Where passes count the steps, end once every step of a whole pass had a loss under this; 0 never does. */
  "stop-at-loss": number;
  /** Share of each step that goes to rows of what the model knows, where its card tells of such. */
  "keep-share": number;
  "batch-size": number;
  "grad-accum": number;
  "learning-rate": number;
  "lr-schedule": string;
  "warmup-ratio": number;
  "min-lr-ratio": number;
  "weight-decay": number;
  "grad-clip": number;
  "max-seq-len": number;
  "packing": boolean;
  "too-long": "cut" | "drop";
  "val-split": number;
  "eval-every": number;
  /** Beside the saves by the clock. */
  "save-every": number;
  /** Of the command line; this browser keeps the two newest saves. */
  "keep-last": number;
  "log-every": number;
  /** Parts of the model that do not train. */
  "freeze": ("mlp" | "attention" | "embedding" | "norm" | "head" | "experts" | "router")[];
  "seed": number;
  /** Of the stages "pretrain" and "sft"; null for what the model predicts. Another objective than the model's is refused. */
  "objective": "next-token" | "diffusion" | null;
  /** How much a hidden token counts: all alike, or 1 / the share that is hidden. */
  "loss-weight": "uniform" | "inverse-t";
  /** Shares of a row's tokens that are hidden, as "0.1,0.5". */
  "t-range": string;
  /** NEFTune's α: noise on the embeddings; 0 adds none. */
  "neftune": number;
  /** Share that training drops; null takes what the model's config.json says. */
  "dropout": number | null;
  /** Muon for the matrices of the layers, where the model itself trains. */
  "muon": boolean;
  /** End after so many measurements that were no better, with the best weights; 0 never does. */
  "early-stop": number;
  /** Decay of the moving average that is measured and kept in place of the weights; 0 keeps these. */
  "ema": number;
  "activation-checkpointing":
    | "none"
    | "whole_layer"
    | "one_in_two"
    | "one_in_three"
    | "one_in_four"
    | "two_in_three"
    | "three_in_four"
    | "fine_grained";
}

export interface LoraConfig {
  rank: number;
  alpha: number;
  dropout: number;
  targets: string[];
  rslora: boolean;
  /** Train the length of each output's weights, too (DoRA). */
  dora: boolean;
  /** What the path begins as; "pissa" is the leading part of each weight. */
  "init-lora": "default" | "pissa";
  /** Modules that train whole beside the paths. */
  "modules-to-save": ("embed_tokens" | "lm_head")[];
}

/** The experts of a new model; null leaves the preset's own. */
export interface ExpertSettings {
  /** Experts of each routed layer. */
  "num-experts": number | null;
  /** Experts that each token gets. */
  "num-experts-per-tok": number | null;
  /** Experts that every token gets besides. */
  "n-shared-experts": number | null;
  /** Width inside each expert. */
  "moe-intermediate-size": number | null;
  /** Divide the weights of a token's experts by their sum. */
  "norm-topk-prob": boolean | null;
  "scoring-func": "softmax" | null;
  /** Weight of the balance loss, of each sequence or of all tokens of a step together. */
  "aux-loss-alpha": number | null;
  "seq-aux": boolean | null;
  /** Weight of the balance loss of all tokens of a step as MiniMind 3 and Qwen have it. */
  "router-aux-loss-coef": number | null;
  /** Weight of the router z-loss. */
  "router-z-loss-coef": number | null;
}

/** How preferences are learned: the flags of `kindling dpo`. */
export interface DpoConfig {
  /** How closely the model is held to what it began as: the larger, the closer. */
  "beta": number;
  "dpo-loss": "sigmoid" | "ipo" | "hinge" | "robust";
  /** Share of the pairs whose two answers may be swapped ("sigmoid", "robust"). */
  "label-smoothing": number;
  /** Take means a token instead of sums. */
  "length-normalise": boolean;
  /** Longest prompt in tokens; a longer one loses its beginning, 0 sets no limit. */
  "max-prompt-len": number;
  /** How much fine-tuning on the better answer is added. */
  "sft-weight": number;
  /** What the model is compared with; null for "base" under an adapter, else "frozen". */
  "reference": "frozen" | "base" | "cached" | null;
}

/** How a student learns from a teacher: the flags of `kindling distill`. */
export interface DistillConfig {
  /** Share of the data's own tokens; the rest is the teacher's. */
  "alpha": number;
  "kd-temperature": number;
  "kd-loss": "forward-kl" | "reverse-kl" | "jsd" | "skew-kl";
  /** The teacher's share in the mixture of "skew-kl"; null for 0.1. */
  "kd-skew": number | null;
  /** Share of the batches whose answers the student writes itself. */
  "on-policy": number;
  /** The teacher's likeliest tokens at every target, so many, are asked for once, and all others as one; 0 asks in every step. */
  "teacher-top-k": number;
  /** The most tokens of such an answer. */
  "max-new-tokens": number;
}

/** What stands around thinking and answer, as "<think>...</think>". */
export interface Tags { "think-tags": string; "answer-tags": string }

/** How answers that think first are learned: the flags of `kindling reason`. */
export interface ReasonConfig {
  /** How many times as much a token of a tag counts as another one. */
  "tag-weight": number;
  /** Held-out questions that the model answers itself where the held-out loss is measured. */
  "eval-answers": number;
  /** The most tokens of such an answer. */
  "eval-max-new-tokens": number;
}

/** How rewards are learned from: the flags of `kindling grpo`. */
export interface GrpoConfig {
  /** Answers to each prompt. */
  "group-size": number;
  /** How closely the model is held to the reference; 0 does not hold it. */
  "kl-beta": number;
  /** Rules as NAME[:WEIGHT] or NAME:FROM..TO@SHARE: "answer", "tags", "length", "repetition". */
  "reward": string[];
  "grpo-loss": "clipped" | "cispo";
  "clip-range": number | null;
  "loss-mean": "sequence" | "token";
  "scale-rewards": boolean;
  "temperature": number;
  /** Optimizer steps that learn from the same answers. */
  "rollout-steps": number;
  "eval-answers": number;
  "max-new-tokens": number;
  "reference"?: "frozen" | "base";
  "tags": Tags;
}

export interface TrainRequest {
  stage: Stage | "lora";
  /** An adapter learns it beside the frozen model, with these settings; without it the model itself does. */
  adapter?: Partial<LoraConfig> | boolean;
  data: DataSource;
  config?: Partial<TrainConfig>;
  /** Of the stage "dpo", whose rows are {prompt, chosen, rejected}, or two conversations. */
  dpo?: Partial<DpoConfig>;
  /** Of the stage "distill", whose rows are conversations or texts, all of one form. */
  distill?: Partial<DistillConfig>;
  /** Of the stage "reason". */
  reason?: Partial<ReasonConfig> & { tags?: Partial<Tags> };
  /** Of the stage "grpo". */
  grpo?: Partial<GrpoConfig>;
  /**
   * What a student learns from: a model kept in this browser, the open one, or files as `load` takes them. It must have the
   * same tokens. A kept one must still be there when the run goes on; of others the run keeps a copy.
   */
  teacher?: { kept: string } | "open" | FileSource | FileSource[];
  /** What the teacher's matrices are held as ("f32"); an open one in few bits stays so. */
  teacherWeights?: WeightsAs;
  /**
   * A new model of this size, such as "nano" or "nano-moe" (a mixture of experts), learns it with the open model's
   * tokenizer, and all of its weights; without it the open model.
   */
  preset?: string;
  /** What is said of the experts of that new model; of a dense size `num-experts` makes a mixture. */
  experts?: Partial<ExpertSettings>;
  /** The adapter's settings where the stage is called "lora". */
  lora?: Partial<LoraConfig>;
  /**
   * The name of what comes of it. Without one an adapter is named by its data and the day, and a model after the one that
   * it began as.
   */
  name?: string;
  /** Ask this every so many steps and report the answer. */
  sample?: { prompt: string; every: number };
  /** Asked before the run and after it, beside the rows' own questions: `lesson` of its end has the answers. */
  questions?: string[];
  /** What the files are written in where that is not UTF-8, by a label that TextDecoder knows: "gbk", "utf-16le". */
  encoding?: string;
  onEvent?: (event: TrainEvent) => void;
  /** Stops the run as `stop` does: what was trained is saved, and then `done` rejects. */
  signal?: AbortSignal;
}

export interface Run {
  id: string;
  plan: Plan;
  /** Whether it pauses. It then computes nothing, and only `resume` or `stop` ends that. */
  readonly paused: boolean;
  /** Saves, and waits. */
  pause(): void;
  resume(): void;
  /** Saves and ends. */
  stop(): void;
  /** Saves now; a run that pauses goes on pausing. */
  save(): void;
  done: Promise<RunEnd>;
}

export interface ExportOptions {
  as?: "files" | "zip";
  /** Of "gguf" only: what the weights become. Blocks stay blocks, and other weights get 16 bits, where it is left out. */
  weights?: GgufWeights;
  /** Told what a file leaves out or says otherwise, a sentence each. */
  onWarning?: (message: string, told: Told) => void;
}
export interface ExportedFile { name: string; bytes: Uint8Array }

/** What a run tells on its way. */
export type TrainEvent = Extract<EngineEvent, { event: "step" | "eval" | "sample" | "save" | "warning" }>;

/** Runs on the server that the page came from: sft on rows as texts, with an adapter or without. They outlive the page. */
export interface ServedTraining {
  /** The key of the server, where it needs one. */
  key: string;
  list(): Promise<ServedRuns>;
  /** Begins one; `model` is one of the server's, and the first one where it is missing. What it gave answers there by its id. */
  train(request: TrainRequest & { model?: string }, onEvent?: (event: TrainEvent) => void): Promise<Run>;
  /** Goes on with a run that ended before its last step. */
  resume(id: string, onEvent?: (event: TrainEvent) => void): Promise<Run>;
  /** Comes back to the run that goes on, or that ended last: all of its events are told again. */
  rejoin(id: string, onEvent?: (event: TrainEvent) => void): Promise<Run>;
}

// From here on written by: WRITE_TYPES=1 cargo test -p kindling-web --lib messages

/** A sentence of the engine, which a page can say in words of its own by its code and values. */
export interface Told {
  /** What it says, in a word; "other" has only its message. */
  code: string;
  /** What stands in it, by name. */
  values: Record<string, ToldValue>;
  /** The sentence in English. */
  message: string;
}

/** What computes. */
export interface DeviceInfo {
  /** Which kind it is. */
  kind: DeviceKind;
  /** Its name. */
  name: string;
  /** Why WebGPU is not used, where it was asked for. */
  notice?: string;
  /** The same as a word. */
  reason?: NoWebGpu;
}

/** A graphics card, or the processor. */
export type DeviceKind = "webgpu" | "cpu";

/** Why there is no WebGPU: the browser does not know it, gives no adapter, or cannot open its device. */
export type NoWebGpu = "no-webgpu" | "no-adapter" | "failed";

/**
 * What matrices are held as: 32-bit floats, or GGUF's blocks of 8 or 4 bits, which answer and carry adapters but do
 * not train themselves.
 */
export type WeightsAs = "f32" | "q8_0" | "q4_0";

/** What the weights of a .gguf file become. */
export type GgufWeights = "f32" | "f16" | "bf16" | "q8_0" | "q4_0";

/** The open model. */
export interface ModelInfo {
  /** Its name. */
  name: string;
  /** Number of weights. */
  parameters: number;
  /** Number of blocks. */
  layers: number;
  /** Width. */
  hidden: number;
  /** Number of ids. */
  vocabulary: number;
  /** Longest sequence. */
  context: number;
  /** Whether the tokenizer has a chat template. */
  chat: boolean;
  /** What its matrices are held as. */
  weights: WeightsAs;
  /** What is odd about its files and how it was read: keys and tensors that nothing reads. */
  warnings: string[];
  /** The same with codes and values. */
  notes: Told[];
  /** What its maker tells of it, in `generation_config.json` under `kindling`. */
  card?: ModelCard;
  /** What makes it a masked predictor; missing where it predicts the next token. */
  diffusion?: Diffusion;
  /** Why it cannot go home as .gguf; missing where it can. */
  no_gguf?: Told;
}

/** What a model's maker tells of it, by language (`en`, `zh`). */
export interface ModelCard {
  /** What it knows. */
  about: Record<string, string>;
  /** Questions to try. */
  questions: Record<string, string[]>;
  /** The fingerprint of rows of the generated world that it knows. */
  world?: string;
  /** The name of the model that it was converted from. */
  parent?: string;
}

/** A model kept in this browser. */
export interface KeptModel {
  /** Its name. */
  name: string;
  /** Its size. */
  bytes: number;
  /** Whether it can teach the open model: it predicts the next token, of the same tokens. Of GGUF files that is not told. */
  teaches: boolean;
  /** What is damaged, so that it cannot be opened. */
  damaged?: Told;
}

/** An adapter in this browser, of whatever model. */
export interface AdapterInfo {
  /** Its name, which no other has. */
  name: string;
  /** The width of its paths. */
  rank: number;
  /** Number of weights. */
  parameters: number;
  /** Whether it acts. */
  active: boolean;
  /** What its scale is multiplied by. */
  strength: number;
  /** The name of the model that it belongs to. */
  base: string | null;
  /** Whether that is the open model. */
  fits: boolean;
  /** Whether it is kept in this browser: not where there was no room, or another tab removed it. */
  kept: boolean;
  /** When it was made or added, in milliseconds since 1970; 0 where that is damaged. */
  made: number;
  /** What is damaged, so that it cannot be opened. */
  damaged?: Told;
}

/** The mean of several adapters, which is one of them now. */
export interface AveragedAdapter {
  /** Its name. */
  name: string;
  /** What a person should know of how it came about. */
  notes: Told[];
  /** What the smaller rank cost, as a share of the whole; missing where the mean is exact. */
  error?: number;
}

/** What holds where a request names nothing else. */
export interface Defaults {
  /** How a stage trains, with or without an adapter. */
  config: TrainConfig;
  /** How an adapter is made. */
  lora: LoraConfig;
  /** How preferences are learned. */
  dpo: DpoConfig;
  /** How a student learns from a teacher. */
  distill: DistillConfig;
  /** How answers that think first are learned. */
  reason: ReasonConfig;
  /** How rewards are learned from. */
  grpo: GrpoConfig;
  /** How the next token is chosen. */
  sampling: Required<Omit<Sampling, "max_completion_tokens">>;
  /** How a masked predictor fills its masks; null is for what only the request or the model can tell. */
  unmask: UnmaskDefaults;
}

/** A message of a conversation. */
export interface Message {
  /** Who says it. */
  role: "system" | "user" | "assistant";
  /** Its text. */
  content: string;
}

/** Why an answer ended: by itself or at a stop text, or at the most tokens that it may have. */
export type FinishReason = "stop" | "length";

/** A token of an answer and how likely it was; what is impossible has no log-probability. */
export interface TokenLogprob {
  /** Its text. */
  token: string;
  /** Its id. */
  id: number;
  /** The natural logarithm of its probability. */
  logprob: number | null;
  /** The most likely tokens. */
  top_logprobs: Alternative[];
}

/** A token that might have come. */
export interface Alternative {
  /** Its text. */
  token: string;
  /** Its id. */
  id: number;
  /** The natural logarithm of its probability. */
  logprob: number | null;
}

/** The tokens of an answer or of a part of it. */
export interface Logprobs {
  /** One after the other. */
  content: TokenLogprob[];
}

/** A part of an answer. */
export interface ChatChunk {
  /** The answer's id; all of its parts have it. */
  id: string;
  /** Which kind of object it is. */
  object: "chat.completion.chunk";
  /** When the answer began, in seconds since 1970. */
  created: number;
  /** The name of the model. */
  model: string;
  /** The one answer. */
  choices: [ChunkChoice];
  /** On the last chunk. */
  usage?: Usage;
  /** On a chunk without text: what a step of a masked predictor changed. */
  unmasked?: UnmaskStep;
}

/** The one answer's part. */
export interface ChunkChoice {
  /** Its place. */
  index: 0;
  /** What it adds. */
  delta: Delta;
  /** Its tokens, where they were asked for. */
  logprobs: Logprobs | null;
  /** Why the answer ended, on the last chunk. */
  finish_reason: FinishReason | null;
}

/** What a chunk adds. */
export interface Delta {
  /** Who speaks, on the first chunk. */
  role?: "assistant";
  /** More of the text. */
  content?: string;
}

/** A whole answer. */
export interface ChatCompletion {
  /** Its id. */
  id: string;
  /** Which kind of object it is. */
  object: "chat.completion";
  /** When it began, in seconds since 1970. */
  created: number;
  /** The name of the model. */
  model: string;
  /** The one answer. */
  choices: [ChatChoice];
  /** What it took. */
  usage: Usage;
}

/** The one answer. */
export interface ChatChoice {
  /** Its place. */
  index: 0;
  /** What was said. */
  message: Message;
  /** Its tokens, where they were asked for. */
  logprobs: Logprobs | null;
  /** Why it ended. */
  finish_reason: FinishReason;
}

/** What an answer took. */
export interface Usage {
  /** Tokens of the conversation. */
  prompt_tokens: number;
  /** Tokens of the answer. */
  completion_tokens: number;
  /** Both. */
  total_tokens: number;
  /** Speed; none where a single token came out. */
  tokens_per_second: number | null;
  /** Oldest messages that did not fit the context. */
  dropped_messages: number;
}

/** What the worker says at the end of an answer; kindling.js makes a chunk or a completion of it. */
export interface ChatAnswer {
  /** All of the text. */
  text: string;
  /** Why it ended. */
  finish_reason: FinishReason;
  /** Tokens of the conversation. */
  prompt_tokens: number;
  /** Tokens of the answer. */
  completion_tokens: number;
  /** Speed; none where a single token came out. */
  tokens_per_second: number | null;
  /** Oldest messages that did not fit the context. */
  dropped_messages: number;
}

/** What was generated, as `kindling generate --json` prints it. */
export interface Generation {
  /** The ids that were continued. */
  prompt_tokens: number[];
  /** The new ids, without the end-of-sequence token; those of a stop text are among them. */
  tokens: number[];
  /** The new text, without stop text and special tokens. */
  text: string;
  /** Why it ended. */
  finish_reason: FinishReason;
  /** Ids of the prompt that were fed per second. */
  prefill_tokens_per_second: number | null;
  /** New ids per second; none where a single token came out. */
  decode_tokens_per_second: number | null;
}

/** How likely a text is, as `kindling score --json` prints it. */
export interface Score {
  /** Its ids. */
  tokens: number[];
  /** The natural logarithm of each token's probability; null for the first, which nothing predicts. */
  logprobs: (number | null)[];
  /** The sum of the negative log-probabilities, in nats; null where it is not finite. */
  nll: number | null;
  /** How many tokens were predicted. */
  tokens_scored: number;
  /** Bits per byte of the predicted text; null where its bytes are not known. */
  bits_per_byte: number | null;
  /** The logits of the last position, where they were asked for. */
  logits?: number[];
}

/** How likely a text is to a masked predictor, as `kindling score --json` prints it. */
export interface MaskedScore {
  /** Its ids. */
  tokens: number[];
  /** The negative log-likelihood of all but the first, in nats; null where it is not finite. */
  nll: number | null;
  /** Whether that is an upper bound, which the average over hidden parts is. */
  nll_is_bound: boolean;
  /** By how much the average may be off; null where that is not known. */
  nll_standard_error: number | null;
  /** How often parts of the text were hidden. */
  mc: number;
  /** How many tokens were predicted. */
  tokens_scored: number;
  /** Bits per byte of the predicted text; null where its bytes are not known. */
  bits_per_byte: number | null;
}

/** What makes a model a masked predictor, which fills masks anywhere instead of going on at the end. */
export interface Diffusion {
  /** The token that stands for a hidden one. */
  mask_token_id: number;
  /** Tokens of a block: positions see their own block and all before it; null where all see all. */
  block_length: number | null;
  /** Whether a position's logits predict the token behind it, and not its own. */
  shift_logits: boolean;
}

/** A masked predictor that was made of the open model, and is kept in this browser. */
export interface Converted {
  /** Its name. */
  name: string;
  /** Its size. */
  bytes: number;
  /** Whether it was kept before, made by the same conversion. */
  known: boolean;
  /** What a person should know of what changed. */
  notes: Told[];
}

/** A token that took the place of a mask. */
export interface UnmaskedToken {
  /** Its place: from the first token of the answer on, or in the whole text where holes are filled. */
  place: number;
  /** Its id. */
  id: number;
  /** Its text. */
  text: string;
  /** How sure the model was, from 0 to 1. */
  confidence: number;
}

/** What a step of unmasking changed. */
export interface UnmaskStep {
  /** Its number, from 1. */
  step: number;
  /** Of so many. */
  steps: number;
  /** What it filled, at most 128 tokens; a step that fills more comes in parts of the same number. */
  filled: UnmaskedToken[];
  /** Tokens in all: of the answer, or of the whole text where holes are filled. */
  canvas_length: number;
}

/** A text whose holes are filled. */
export interface Infilled {
  /** All of it. */
  text: string;
  /** Its ids. */
  tokens: number[];
  /** What was written into each hole, in their order. */
  holes: string[];
  /** New tokens per second; none where a single token came out. */
  tokens_per_second: number | null;
}

/** The form that a pasted text has. */
export type PasteForm = "json" | "csv" | "tsv" | "markdown" | "dialogue" | "text";

/** What was read of a pasted text. */
export interface Pasted {
  /** Its form. */
  form: PasteForm;
  /** Rows that can be used; none of a plain text, which is all one. */
  rows: number;
  /** The first of them, where it is no more than a question and its answer. */
  first: [string, string] | null;
  /** Lines that have to be corrected. */
  wrong: number;
  /** The first hundred of them. */
  problems: PasteProblem[];
}

/** What has to be corrected in a pasted text. */
export interface PasteProblem {
  /** The line, from 1. */
  line: number;
  /** What is wrong there, without a full stop. */
  why: Told;
}

/** What was read of cells of a spreadsheet. */
export interface Cells {
  /** A question and its answer for each row, of which either may be empty; none where the text is no such cells. */
  pairs: [string, string][];
  /** The worse answer of each row, where those are asked for. */
  worse?: string[];
  /** Why there are none although there are cells: their columns do not tell which is which. */
  odd: Told | null;
}

/** What a task gave, of one model or of two on the same questions. */
export interface Evaluation {
  /** The task. */
  task: EvalTask;
  /** Examples before each question. */
  shots: number;
  /** Who was asked: one, or the base and then what acts beside it. */
  models: Evaluated[];
  /** By how much the second one's numbers are larger; none where one was asked, or not both the same. */
  differences: MeasureDifference[];
  /** What is to know of the rows and of how they were asked. */
  notes: Told[];
}

/** A model that was asked. */
export interface Evaluated {
  /** Which one. */
  who: Examined;
  /** Its numbers. */
  measures: Measure[];
  /** Those of each subject; none where a set has no subjects. */
  subjects: SubjectMeasures[];
}

/** The model alone, or with adapters. */
export type Examined = "base" | "adapted";

/** What a number counts. */
export type Unit = "share" | "bits" | "perplexity";

/** A number that a task gives. */
export interface Measure {
  /** What it is called, as lm-evaluation-harness does where it has it. */
  metric: string;
  /** What it counts. */
  unit: Unit;
  /** Of so many questions or texts. */
  n: number;
  /** It; null of no questions. */
  value: number | null;
  /** Its 95 % interval; null where there is none. */
  ci95: [number, number] | null;
  /** Whether it is a bound, as of a masked predictor's texts, which are at least as likely. */
  at_most: boolean;
}

/** The numbers of a subject. */
export interface SubjectMeasures {
  /** Its name. */
  subject: string;
  /** They. */
  measures: Measure[];
}

/** By how much the second model's number is larger. */
export interface MeasureDifference {
  /** What the number is called. */
  metric: string;
  /** What it counts. */
  unit: Unit;
  /** By so much; null of no questions. */
  value: number | null;
  /** Its 95 % interval; null where there is none. */
  ci95: [number, number] | null;
  /** Questions that the first one alone, and that the second one alone answers right; null of texts. */
  alone: [number, number] | null;
}

/** What is learned. Where one is asked for, "lora" stands for "sft" with an adapter. */
export type Stage = "pretrain" | "sft" | "dpo" | "distill" | "reason" | "grpo";

/** What the worker tells before a call's end, and at it; a number that is not finite is null. */
export type EngineEvent =
  /** A token of an answer came. */
  | {
    event: "token";
    /** The text that became final with it. */
    text: string;
    /** How likely it was, where that was asked for. */
    logprob?: TokenLogprob;
  }
  /** A text with holes is about to be filled. */
  | {
    event: "canvas";
    /** By place the text of the token that stands there; null where one is missing. */
    given: (string | null)[];
  }
  /** A step filled masks of an answer. */
  | {
    event: "unmasked";
    /** Its number, from 1. */
    step: number;
    /** Of so many. */
    steps: number;
    /** What it filled, at most 128 tokens; a step that fills more comes in parts of the same number. */
    filled: UnmaskedToken[];
    /** Tokens in all: of the answer, or of the whole text where holes are filled. */
    canvas_length: number;
  }
  /** So much of a download is here. */
  | {
    event: "loaded";
    /** In bytes. */
    loaded: number;
    /** Of so many, where that is known. */
    total: number | null;
  }
  /** Questions of an evaluation were asked. */
  | {
    event: "evaluating";
    /** So many. */
    done: number;
    /** Of so many. */
    total: number;
    /** Of which model, from 1. */
    model: number;
    /** Of so many. */
    models: number;
  }
  /** A run stands and begins. */
  | {
    event: "started";
    /** Its id. */
    id: string;
    /** What it will need. */
    plan: Plan;
  }
  /** Steps were taken. */
  | {
    event: "step";
    /** So many in all. */
    step: number;
    /** Mean loss since the last report, in nats per target. */
    loss: number | null;
    /** The last step's learning rate. */
    lr: number;
    /** The last step's gradient norm, before clipping. */
    grad_norm: number | null;
    /** Tokens read since the run began. */
    tokens: number;
    /** Speed since the last report. */
    tokens_per_second: number | null;
    /** Seconds since this run began or went on. */
    elapsed_s: number | null;
    /** What else the objective reports, by name: `reward_margin`, `reward_accuracy`, `kd_loss`, … */
    metrics?: Record<string, number | null>;
    /**
     * Of a mixture of experts each expert's share of the tokens since the last report, layer by layer, as a multiple
     * of an even share.
     */
    expert_load?: number[][];
  }
  /** The held-out loss was measured. */
  | {
    event: "eval";
    /** After so many steps. */
    step: number;
    /** In nats per target. */
    loss: number | null;
    /** The same for a byte of text. */
    bits_per_byte: number | null;
    /** Whether it is the lowest so far. */
    best: boolean;
    /** What else the objective reports, by name. */
    metrics?: Record<string, number | null>;
  }
  /** The question was answered. */
  | {
    event: "sample";
    /** After so many steps. */
    step: number;
    /** The question. */
    prompt: string;
    /** The answer. */
    text: string;
  }
  /** The run was saved. */
  | {
    event: "save";
    /** After so many steps. */
    step: number;
  }
  /** Something to know. */
  | {
    event: "warning";
    /** What it says, in a word. */
    code: string;
    /** What stands in it, by name. */
    values: Record<string, ToldValue>;
    /** The sentence in English. */
    message: string;
  }
  /** The end, with the call's result. */
  | {
    event: "done";
    /** As the call has it. */
    result: unknown;
  }
  /** The end, with what went wrong. */
  | {
    event: "failed";
    /** What it says, in a word. */
    code: string;
    /** What stands in it, by name. */
    values: Record<string, ToldValue>;
    /** The sentence in English. */
    message: string;
  };

/** What a run will need. */
export interface Plan {
  /** The model's weights. */
  parameters: number;
  /** Those that train. */
  trained: number;
  /** Memory. */
  bytes: number;
  /** Optimizer steps. */
  steps: number;
  /** Tokens, at most. */
  tokens: number;
  /** Time, from the speed of a bare product; null where only the run's own speed can tell. */
  seconds: number | null;
  /** Rows of the data. */
  rows: number;
  /** What is odd about the data and the run, a sentence each. */
  warnings: string[];
  /** What is odd about the data, counted. */
  report: DataReport;
  /** Of the warnings those that are not in the report. */
  notes: Told[];
}

/** How many rows, and where the first of them stands. */
export interface RowCount {
  /** So many. */
  rows: number;
  /** The first of them, as `file:line`. */
  first: string;
}

/** What the data holds. `rows` = `usable` + `bad` + `filtered` + `duplicates`. */
export interface DataReport {
  /** Rows found. */
  rows: number;
  /** Rows that are used. */
  usable: number;
  /** Of them texts. */
  documents: number;
  /** Of them conversations. */
  conversations: number;
  /** Rows that cannot be used. */
  bad: number;
  /** The first five of them, as `file:line: reason`. */
  bad_rows: string[];
  /** Rows left out because they are too short or too long. */
  filtered: number;
  /** Rows left out because an equal one stands before them. */
  duplicates: number;
  /**
   * Usable rows that are odd, by kind: `empty_document`, `empty_turn`, `ends_on_user`, `ends_on_tool`,
   * `no_trained_turn`, `weight_without_effect`, `joined_without_weights`, `joined_without_tools`,
   * `rendered_without_weights`.
   */
  warnings: Record<string, RowCount>;
  /** Keys that hold something which nothing reads, the first 64 of them; `more_unused` counts rows with others. */
  unused_keys: Record<string, RowCount>;
  /** Rows with other such keys. */
  more_unused: number;
  /** Held-out rows that equal one that is trained on. */
  on_both_sides: RowCount | null;
  /** The texts of all usable rows, in bytes of UTF-8. */
  bytes_of_text: number;
}

/** How a run ended. */
export interface RunEnd {
  /** Its id. */
  id: string;
  /** Steps taken. */
  step: number;
  /** Steps planned. */
  total_steps: number;
  /** Whether it was stopped before its last step. */
  stopped: boolean;
  /** The last held-out loss, where one was measured. */
  heldout_loss: number | null;
  /**
   * The adapter that it gave. It is the one that acts now, unless another model was opened meanwhile. It has the
   * name that was asked for, with a number behind it where that was taken.
   */
  adapter?: string;
  /** The model that a run without an adapter gave, named likewise. */
  model?: string;
  /** Whether what it gave is kept in this browser. */
  kept: boolean;
  /** Whether a whole pass over the rows had a loss under `stop-at-loss`, which ended it. */
  learned: boolean;
  /** The lesson's own questions, asked before and after; null where there are none. */
  lesson: Lesson | null;
}

/** What was asked before a run and after it. */
export interface Lesson {
  /** Rows that are trained on. */
  rows: number;
  /** By which rule an answer is right. */
  judged: Judged;
  /** At most 8 of them, spread evenly; fewer where asking takes long. */
  answers: Answered[];
  /** The request's questions that none of these rows asks; fewer where asking takes long. */
  asked: Asked[];
  /** Where preferences were learned at most 8 of their rows, likewise. */
  pairs?: Weighed[];
}

/**
 * By which rule an answer to a row is right: it is the row's, spaces around it aside; what stands between its tags is
 * that of the row's; or the rule `answer` rewards it.
 */
export type Judged = "letters" | "tags" | "reward";

/** A row of two answers: how likely the model holds each, and what it says itself. */
export interface Weighed {
  /** The last message that is answered. */
  question: string;
  /** The better answer. */
  chosen: string;
  /** The worse one. */
  rejected: string;
  /** The log-probabilities of the better and the worse answer before the run, summed over their tokens, in nats. */
  before: [number, number];
  /** Those of what the run gave. */
  after: [number, number];
  /** The most likely answer before the run. */
  said_before: string;
  /** That of what the run gave. */
  said_after: string;
}

/** A row's question with the most likely answers. */
export interface Answered {
  /** The last message that is answered. */
  question: string;
  /** The row's answer. */
  expected: string;
  /** That of the model before the run. */
  before: string;
  /** That of what the run gave. */
  after: string;
  /** Whether it is right. */
  right: boolean;
}

/** A question of the request with the most likely answers. */
export interface Asked {
  /** The question. */
  question: string;
  /** The answer of the model before the run. */
  before: string;
  /** That of what the run gave. */
  after: string;
}

/** A run that can go on. */
export interface SavedRun {
  /** Its id. */
  id: string;
  /** What is learned; null where what it began with is damaged. */
  stage: Stage | null;
  /** Whether an adapter learns it. */
  adapter: boolean;
  /** The name of what comes of it. */
  name: string;
  /** The name of the model that it began with. */
  model: string;
  /** That of the last save which is whole; 0 where it begins anew. */
  step: number;
  /** Steps planned. */
  total_steps: number;
  /** Files of it that were cut short or damaged, and how; it goes on from what is whole. */
  damaged?: Told[];
}

/** What a server that trains tells of its runs. */
export interface ServedRuns {
  /** The id of the run that goes on; null where none does. */
  running: string | null;
  /** Whether that one pauses. */
  paused: boolean;
  /** Those that are kept there. */
  runs: SavedRun[];
  /** Models that a run may begin with; the first is the default. */
  models: string[];
  /** The most bytes of a request. */
  most_bytes: number;
}

/** Rows as the model sees them. */
export interface Preview {
  /** The first of them. */
  rows: PreviewRow[];
  /** So many are in the data. */
  total: number;
  /** What is odd about the data and the settings, a sentence each. */
  warnings: string[];
  /** What is odd about the data, counted. */
  report: DataReport;
  /** Of the warnings those that are not in the report. */
  notes: Told[];
}

/** A row as the model sees it. */
export interface PreviewRow {
  /** Its line. */
  line: number;
  /** Its tokens, as many as fit. */
  tokens: PreviewToken[];
  /** Whether its end is lost. */
  cut: boolean;
  /** Further rows of training that a long text goes on in. */
  more: number;
}

/** A token of such a row. */
export interface PreviewToken {
  /** Its text. */
  text: string;
  /** Its id. */
  id: number;
  /** Whether the model is trained to say it. */
  target: boolean;
}

// Up to here.

declare global {
  interface Window { kindling: Kindling }
}
