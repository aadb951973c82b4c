/** Train, adapt and talk with small language models inside this page. Nothing leaves the machine. */

/** Opens the engine: a worker that owns the device, the model and the training. */
export function connect(options?: ConnectOptions): Kindling;

export interface ConnectOptions {
  /** WebGPU where the browser has it ("auto"), or as asked for. */
  device?: "auto" | "webgpu" | "cpu";
}

export interface Kindling {
  /** What computes, once the engine stands. */
  device(): Promise<DeviceInfo>;
  /**
   * Opens a model: a single-file checkpoint, the files of a Hugging Face directory or a .zip of them, or a URL of one
   * such file. A download that broke goes on where it ended when the same URL is loaded again; a model that opened is
   * kept in this browser and opened from there the next time, unless its server says that it changed.
   */
  load(source: ModelSource, options?: LoadOptions): Promise<ModelInfo>;
  /** The open model, or null. */
  model(): Promise<ModelInfo | null>;
  /** In the shape of OpenAI's API; with `stream`, an async iterator of chunks. */
  chat: { completions: { create(request: ChatRequest): Promise<ChatCompletion | AsyncIterable<ChatChunk>> } };
  /** Goes on from a text or from ids. */
  generate(request: GenerateRequest): Promise<Generation>;
  /** The log-probability of each token; a text begins and ends as the tokenizer says, or with BOS where asked for. */
  score(request: { text?: string; tokens?: number[]; addBos?: boolean; logits?: boolean }): Promise<Score>;
  /** Rows as the model sees them: tokens, and which of them are targets. */
  preview(request: {
    stage: Stage | "lora";
    adapter?: Partial<LoraConfig> | boolean;
    data: DataSource;
    config?: Partial<TrainConfig>;
    rows?: number;
    encoding?: string;
  }): Promise<Preview>;
  /** What holds where a request names nothing else; `config` depends on whether an adapter learns the stage. */
  defaults(
    stage: Stage | "lora",
    options?: { adapter?: boolean },
  ): Promise<{ config: TrainConfig; lora: LoraConfig; sampling: Required<Sampling> }>;
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
    resume(id: string, onEvent?: (event: TrainEvent) => void): Promise<Run>;
    remove(id: string): Promise<void>;
    /**
     * Takes a run that was saved elsewhere, with the data that it began with: a single-file checkpoint with training
     * state, or the files (or a .zip) of an adapter's run, whose base must be open. `resume` goes on with it.
     */
    import(
      source: FileSource | FileSource[],
      options: { stage: Stage | "lora"; data: DataSource; name?: string },
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
    remove(name: string): Promise<AdapterInfo[]>;
  };
  /**
   * Files to take home: the open model as one file or as a Hugging Face directory, an adapter in PEFT's layout, a run
   * with its training state. "zip" puts a directory into one archive.
   */
  export(
    what: { model: "single-file" | "hf" } | { adapter: string } | { run: string },
    options?: { as?: "files" | "zip" },
  ): Promise<ExportedFile[]>;
  /** Models kept in this browser. */
  models: {
    list(): Promise<KeptModel[]>;
    /** Keeps the open model under a name. */
    keep(name: string): Promise<void>;
    remove(name: string): Promise<void>;
  };
  /** Ends the engine; every open call fails. */
  close(): void;
  /** Called when the engine crashed; `restart` opens a new one (the model is loaded again by hand). */
  onCrash: ((message: string) => void) | null;
  restart(): void;
}

export interface DeviceInfo {
  kind: "webgpu" | "cpu";
  name: string;
  /** Why WebGPU is not used, where it was asked for. */
  notice?: string;
  /** The same as a word. */
  reason?: "no-webgpu" | "no-adapter" | "failed";
}

export type FileSource = File | { name: string; bytes: Uint8Array };
export type ModelSource = FileSource | FileSource[] | string | { kept: string };
/** Text in any of the formats that the command line reads, told by the file's name. */
export type DataSource = FileSource | FileSource[];
export interface LoadOptions {
  signal?: AbortSignal;
  /** Told of a download. */
  onProgress?: (part: Progress) => void;
  /** Whether a download is kept in this browser (true). */
  keep?: boolean;
  /** What the matrices are held as ("f32"): fewer bits take less memory and are a little less exact. */
  weights?: WeightsAs;
}
/** 32-bit floats, or GGUF's blocks of 8 or 4 bits, which answer and carry adapters but do not train themselves. */
export type WeightsAs = "f32" | "q8_0" | "q4_0";
export interface Progress { loaded: number; total: number | null }

export interface ModelInfo {
  name: string;
  parameters: number;
  layers: number;
  hidden: number;
  vocabulary: number;
  context: number;
  /** Whether the tokenizer has a chat template. */
  chat: boolean;
  weights: WeightsAs;
  /** What is odd about its files and how it was read: keys and tensors that nothing reads. */
  warnings: string[];
}

export interface Message { role: "system" | "user" | "assistant"; content: string }

export interface Sampling {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  seed?: number;
  max_tokens?: number;
  stop?: string | string[];
}

export interface ChatRequest extends Sampling {
  messages: Message[];
  stream?: boolean;
  /** Log-probabilities of the tokens, with so many alternatives. */
  logprobs?: boolean;
  top_logprobs?: number;
  /** "base" answers without any adapter. */
  adapters?: "active" | "base";
  signal?: AbortSignal;
}

export interface TokenLogprob {
  token: string;
  id: number;
  logprob: number;
  top_logprobs: { token: string; id: number; logprob: number }[];
}

export interface ChatChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: [{
    index: 0;
    delta: { role?: "assistant"; content?: string };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: "stop" | "length" | null;
  }];
  /** On the last chunk. */
  usage?: Usage;
}

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: [{
    index: 0;
    message: { role: "assistant"; content: string };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: "stop" | "length";
  }];
  usage: Usage;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  tokens_per_second: number | null;
  /** Oldest messages that did not fit the context. */
  dropped_messages?: number;
}

export interface GenerateRequest extends Sampling {
  prompt?: string;
  tokens?: number[];
  ignore_eos?: boolean;
  onText?: (text: string) => void;
  signal?: AbortSignal;
}

/** As `kindling generate --json` prints it. */
export interface Generation {
  prompt_tokens: number[];
  tokens: number[];
  text: string;
  finish_reason: "stop" | "length";
  prefill_tokens_per_second: number | null;
  decode_tokens_per_second: number | null;
}

/** As `kindling score --json` prints it. */
export interface Score {
  tokens: number[];
  logprobs: (number | null)[];
  nll: number;
  tokens_scored: number;
  bits_per_byte: number | null;
  logits?: number[];
}

/** What is learned. Where one is asked for, "lora" stands for "sft" with an adapter. */
export type Stage = "pretrain" | "sft";

/** The flags of the command line, with the defaults of the stage and of what trains. */
export interface TrainConfig {
  "epochs": number;
  "steps": number | null;
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
  "log-every": number;
  "seed": number;
}

export interface LoraConfig {
  rank: number;
  alpha: number;
  dropout: number;
  targets: string[];
  rslora: boolean;
}

export interface TrainRequest {
  stage: Stage | "lora";
  /** An adapter learns it beside the frozen model, with these settings; without it the model itself does. */
  adapter?: Partial<LoraConfig> | boolean;
  data: DataSource;
  config?: Partial<TrainConfig>;
  /** The adapter's settings where the stage is called "lora". */
  lora?: Partial<LoraConfig>;
  /**
   * The name of what comes of it. Without one an adapter is named by its data and the day, and a model after the one that
   * it began as.
   */
  name?: string;
  /** Ask this every so many steps and report the answer. */
  sample?: { prompt: string; every: number };
  /** What the files are written in where that is not UTF-8, by a label that TextDecoder knows: "gbk", "utf-16le". */
  encoding?: string;
  onEvent?: (event: TrainEvent) => void;
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

export interface RunEnd {
  id: string;
  step: number;
  total_steps: number;
  /** Whether it was stopped before its last step. */
  stopped: boolean;
  heldout_loss: number | null;
  /**
   * The adapter that a LoRA run gave. It is the one that acts now, unless another model was opened meanwhile. It has the
   * name that was asked for, with a number behind it where that was taken.
   */
  adapter?: string;
  /** The model that another run gave, named likewise. */
  model?: string;
  /** Whether what it gave is kept in this browser. */
  kept: boolean;
}

export type TrainEvent =
  | { event: "step"; step: number; loss: number; lr: number; grad_norm: number; tokens: number; tokens_per_second: number; elapsed_s: number }
  | { event: "eval"; step: number; loss: number; bits_per_byte: number; best: boolean }
  | { event: "sample"; step: number; prompt: string; text: string }
  | { event: "save"; step: number }
  | { event: "warning"; message: string };

export interface Plan {
  /** The model's weights, and those that train. */
  parameters: number;
  trained: number;
  bytes: number;
  steps: number;
  tokens: number;
  /** Estimated from a measured product. */
  seconds: number;
  rows: number;
  /** What is odd about the data and the run, a sentence each. */
  warnings: string[];
  /** What is odd about the data, counted. */
  report: DataReport;
  /** Of the warnings those that are not in the report. */
  notes: string[];
}

export interface RowCount {
  rows: number;
  /** The first of them, as `file:line`. */
  first: string;
}

/** What the data holds. `rows` = `usable` + `bad` + `filtered` + `duplicates`. */
export interface DataReport {
  rows: number;
  usable: number;
  documents: number;
  conversations: number;
  bad: number;
  bad_rows: string[];
  filtered: number;
  duplicates: number;
  /** By kind: `empty_document`, `empty_turn`, `ends_on_user`, `ends_on_tool`, `no_trained_turn`, `weight_without_effect`. */
  warnings: Record<string, RowCount>;
  /** Keys that hold a text which nothing reads, the first 64 of them; `more_unused` counts rows with others. */
  unused_keys: Record<string, RowCount>;
  more_unused: number;
  /** Held-out rows that equal one that is trained on. */
  on_both_sides: RowCount | null;
  bytes_of_text: number;
}

export interface SavedRun {
  id: string;
  /** What is learned; null where what it began with is damaged. */
  stage: Stage | null;
  /** Whether an adapter learns it. */
  adapter: boolean;
  name: string;
  model: string;
  /** That of the last save which is whole; 0 where it begins anew. */
  step: number;
  total_steps: number;
  /** Files of it that were cut short or damaged, and how. */
  damaged?: string[];
}

export interface KeptModel {
  name: string;
  bytes: number;
  /** What is damaged, so that it cannot be opened. */
  damaged?: string;
}

export interface AdapterInfo {
  name: string;
  rank: number;
  parameters: number;
  active: boolean;
  strength: number;
  /** The name of the model that it belongs to. */
  base: string | null;
  /** Whether that is the open model. */
  fits: boolean;
  /** Whether it is kept in this browser: not where there was no room. */
  kept: boolean;
  /** When it was made or added, in milliseconds since 1970; 0 where that is damaged. */
  made: number;
  /** What is damaged, so that it cannot be opened. */
  damaged?: string;
}

export interface Preview {
  rows: {
    line: number;
    /** `target` says that the model is trained to say it. */
    tokens: { text: string; id: number; target: boolean }[];
    cut: boolean;
  }[];
  total: number;
  warnings: string[];
  report: DataReport;
  notes: string[];
}

export interface ExportedFile { name: string; bytes: Uint8Array }

declare global {
  interface Window { kindling: Kindling }
}
