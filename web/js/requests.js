// JavaScript because it is a part of kindling.js, the API of other pages. What requests may hold: a field that nothing
// reads is refused by its name, since to leave it out in silence would give another answer than the one asked for.

const SAMPLING = [
  "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "logit_bias",
  "seed", "max_tokens", "max_completion_tokens", "stop",
];
/** Of these a text with holes has no use: its holes say how much is written, and where it ends. */
const OF_ANSWERS = ["max_tokens", "max_completion_tokens", "stop"];
const UNMASK = ["steps", "block_length", "remasking", "cfg_scale", "threshold", "prefix_cache"];
const TAUGHT = ["stage", "adapter", "lora"];
const OF_STAGES = ["dpo", "distill", "reason", "grpo", "teacher", "teacherWeights", "preset", "experts"];
const TRAIN = [
  ...TAUGHT, ...OF_STAGES, "data", "config", "name", "sample", "questions", "encoding", "onEvent", "signal",
];

/** How questions are asked. */
const ASKED = ["shots", "apply_chat_template", "fewshot_as_multiturn"];

/** By the name of the call: its fields. A request to train is also one to plan and to preview. */
const FIELDS = {
  "connect": ["device", "onProgress"],
  "chat.completions.create": [
    ...SAMPLING, "messages", "model", "stream", "logprobs", "top_logprobs", "adapters", "unmask", "signal",
  ],
  "generate": [...SAMPLING, "prompt", "tokens", "ignore_eos", "onText", "unmask", "onUnmask", "signal"],
  "infill": [
    ...SAMPLING.filter((field) => !OF_ANSWERS.includes(field)), "text", "hole_tokens", "unmask", "onCanvas", "onUnmask",
    "signal",
  ],
  "unmask": UNMASK,
  "models.convert": ["to", "shift_logits", "block_length", "name"],
  "score": ["text", "tokens", "addBos", "logits", "likelihood", "signal"],
  "likelihood": ["mc", "mc_seed", "cfg_scale"],
  "evaluate": [
    "task", "data", "shotsData", "limit", ...ASKED, "max_new_tokens", "tags", "likelihood", "adapters", "compare",
    "encoding", "onProgress", "signal",
  ],
  "tags": ["think-tags", "answer-tags"],
  "load": ["signal", "onProgress", "keep", "weights"],
  "train": TRAIN,
  "plan": TRAIN,
  "preview": [...TRAIN, "rows"],
  "defaults": ["adapter"],
  "runs.import": [...TAUGHT, "data", "name", "teacher", "encoding"],
  "teacher": ["kept"],
  "adapters.use": ["name", "strength"],
  "adapters.average": ["weights", "rank"],
  "export": ["as", "weights", "onWarning"],
};

/** What helps where a field of OpenAI's is not read. */
const INSTEAD = {
  n: "one answer is made at a time; ask again with another seed",
  stream_options: "the last chunk always holds the usage",
  tools: "the model answers in text only",
  functions: "the model answers in text only",
  response_format: "the model answers in text only",
};

const ROLES = ["system", "user", "assistant"];

/** An error with a code for programs; `values` are what its message tells of. */
export function refusal(code, values, message) {
  return new KindlingError({ code, values, message });
}

/** What went wrong, with a code and values for programs and a sentence for people. */
export class KindlingError extends Error {
  constructor({ code, values, message }) {
    super(message);
    this.name = "KindlingError";
    this.code = code;
    this.values = values;
  }
}

/** Refuses what a call does not read; what is undefined or null was not given. */
export function check(call, request) {
  if (request === null || typeof request !== "object") {
    throw refusal("bad-request", { call }, `${call} takes an object, and got ${JSON.stringify(request)}`);
  }
  for (const [field, value] of Object.entries(request)) {
    if (value === undefined || value === null || FIELDS[call].includes(field)) continue;
    const instead = INSTEAD[field] ?? `${call} reads ${FIELDS[call].join(", ")}`;
    throw refusal("unsupported-field", { call, field }, `${call} does not support '${field}': ${instead}`);
  }
}

/** Refuses two fields of which each says all. */
export function checkOne(call, request, one, other) {
  if (given(request[one]) && given(request[other])) {
    throw refusal("bad-request", { call, field: one }, `${call} takes either ${one} or ${other}, and got both`);
  }
}

const given = (value) => value !== undefined && value !== null;

/** The settings of an answer in the engine's words: OpenAI's, and the engine's where OpenAI has none. */
export function samplingConfig(call, { max_tokens, max_completion_tokens, stop, ...rest }) {
  if (given(max_tokens) && given(max_completion_tokens) && max_tokens !== max_completion_tokens) {
    const both = `max_tokens is ${max_tokens} and max_completion_tokens ${max_completion_tokens}`;
    const message = `${both}; they mean the same, give one`;
    throw refusal("bad-request", { call, field: "max_completion_tokens" }, message);
  }
  const config = Object.fromEntries(Object.entries(rest).filter(([, value]) => given(value)));
  if (given(max_tokens) || given(max_completion_tokens)) config.max_new_tokens = max_tokens ?? max_completion_tokens;
  if (given(stop)) config.stop = [].concat(stop);
  return config;
}

/** Settings of a group, "unmask", "likelihood" or "tags"; what was not given is the engine's to choose. */
export function ofMasked(name, settings) {
  if (!given(settings)) return {};
  check(name, settings);
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => given(value)));
}

/** What a step of unmasking changed, out of an event. */
export function unmaskStep({ step, steps, filled, canvas_length }) {
  return { step, steps, filled, canvas_length };
}

/** Passes on what an answer in flight tells: text that is final, and what a step of unmasking changed. */
export function heard({ onText, onCanvas, onUnmask }) {
  return (event) => {
    if (event.event === "token") onText?.(event.text);
    if (event.event === "canvas") onCanvas?.(event.given);
    if (event.event === "unmasked") onUnmask?.(unmaskStep(event));
  };
}

/** What an answer took, in OpenAI's words. */
export function usage({ prompt_tokens, completion_tokens, tokens_per_second, dropped_messages }) {
  const total_tokens = prompt_tokens + completion_tokens;
  return { prompt_tokens, completion_tokens, total_tokens, tokens_per_second, dropped_messages };
}

/** The messages of a conversation, each with its content as one text. */
export function conversation(call, messages) {
  const refuse = (field, message) => {
    throw refusal("bad-message", { call, field }, message);
  };
  if (!Array.isArray(messages)) refuse("messages", `${call} needs messages, a list of {role, content}`);
  return messages.map((message, i) => {
    const at = `messages[${i}]`;
    if (message === null || typeof message !== "object") refuse(at, `${at} is no {role, content}`);
    const { role, content, ...more } = message;
    if (!ROLES.includes(role)) {
      refuse(`${at}.role`, `${at}.role is ${JSON.stringify(role)}; it can be ${ROLES.join(", ")}`);
    }
    // The templates of most models know it at the head alone.
    if (role === "system" && i > 0) refuse(`${at}.role`, `${at} is of the system; only the first message can be`);
    for (const [field, value] of Object.entries(more)) {
      const name = `${at}.${field}`;
      if (!given(value)) continue;
      const message = `${call} does not support '${name}': a message has role and content`;
      throw refusal("unsupported-field", { call, field: name }, message);
    }
    return { role, content: textOf(call, `${at}.content`, content) };
  });
}

/** A content in one text: it may come in parts. */
function textOf(call, at, content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) {
    throw refusal("bad-message", { call, field: at }, `${at} is ${JSON.stringify(content)}; it must be a text`);
  }
  return content.map((part, i) => textOfPart(call, `${at}[${i}]`, part)).join("");
}

function textOfPart(call, at, part) {
  if (part?.type === "text" && typeof part.text === "string") return part.text;
  const type = JSON.stringify(part?.type ?? typeof part);
  const message = `${call} does not support '${at}' of the type ${type}: the model reads text only, {type: "text", text}`;
  throw refusal("unsupported-field", { call, field: at }, message);
}

/** Who answers in the engine's words: what acts now, the base alone, or only the adapters that are named. */
export function who(call, adapters) {
  const wanted = adapters ?? "active";
  if (wanted === "active" || wanted === "base") return { base: wanted === "base" };
  if (Array.isArray(wanted)) return { base: false, only: named(wanted) };
  const message = `adapters is ${JSON.stringify(wanted)}; it can be "active" or "base", or a list of {name, strength}`;
  throw refusal("bad-request", { call, field: "adapters" }, message);
}

/** Adapters by their names, as strong as they were trained where nothing else is said. */
export function named(adapters) {
  for (const adapter of adapters) check("adapters.use", adapter);
  return adapters.map((adapter) => ({ strength: 1, ...adapter }));
}

/** A run's beginning in the engine's words; of the files beside it the last ones are the teacher's: so many. */
export function trainCall(request, files = 0) {
  const { stage, adapter, lora, config, name, sample, questions, encoding } = request;
  const { dpo, distill, reason, grpo, preset, experts } = request;
  const of = { dpo, distill, reason, grpo, preset, experts, teacher: teacher(request, files) };
  const asked = questions ?? [];
  const told = { config: config ?? {}, name, sample, questions: asked, encoding };
  return { call: "train", ...taught({ stage, adapter, lora }), ...of, ...told };
}

/** Whether a teacher comes as files, and is neither kept here nor open. */
export function comesAsFiles(teacher) {
  return Array.isArray(teacher) || teacher instanceof Blob || given(teacher?.bytes);
}

/** The teacher in the engine's words; undefined where there is none. */
export function teacher({ teacher, teacherWeights }, files = 0) {
  const weights = teacherWeights ?? "f32";
  if (!given(teacher)) {
    if (weights === "f32") return undefined;
    const message = "teacherWeights says how a teacher is held, and there is no teacher";
    throw refusal("bad-request", { field: "teacherWeights" }, message);
  }
  if (teacher === "open") return { from: "open", weights };
  if (!comesAsFiles(teacher)) {
    check("teacher", teacher);
    if (typeof teacher.kept === "string") return { from: "kept", name: teacher.kept, weights };
    const message = `teacher is ${JSON.stringify(teacher)}; it can be {kept: name}, "open" or files of a model`;
    throw refusal("bad-request", { field: "teacher" }, message);
  }
  const name = [].concat(teacher)[0]?.name ?? "teacher";
  return { from: "files", name: name.split("/").at(-1).replace(/\.(safetensors|zip|gguf)$/, ""), files, weights };
}

/** The stage, and the settings of the adapter where one learns it. "lora" with `lora` is "sft" with an adapter. */
export function taught({ stage, adapter, lora }) {
  const settings = adapter === true ? {} : adapter || undefined;
  if (stage === "lora") return { stage: "sft", adapter: settings ?? lora ?? {} };
  if (lora && !settings) {
    const message = `lora holds an adapter's settings, and ${stage} without adapter trains the model; give them as adapter`;
    throw refusal("bad-request", { field: "lora" }, message);
  }
  return { stage, adapter: settings };
}

/** The stage, and whether an adapter learns it. */
export function asked(what) {
  const { stage, adapter } = taught(what);
  return { stage, adapts: adapter !== undefined };
}

/** Copies: what is sent to the worker is gone here, and the caller keeps its own. */
export async function readFiles(source) {
  const read = async (file) =>
    file instanceof Blob
      ? { name: file.webkitRelativePath || file.name, bytes: new Uint8Array(await file.arrayBuffer()) }
      : { name: file.name, bytes: new Uint8Array(file.bytes).slice() };
  return Promise.all([].concat(source).map(read));
}

/** A run's call with its files: the data, and behind them the teacher where it comes as files. */
export async function beginning(request) {
  const [data, taught] = [await readFiles(request.data), comesAsFiles(request.teacher) ? request.teacher : []];
  const files = await readFiles(taught);
  return { call: trainCall(request, files.length), files: [...data, ...files] };
}

/** An evaluation's call with its files: the rows, and behind them those that examples come from. */
export async function evaluation(request) {
  const { task, limit, max_new_tokens, tags, likelihood, adapters, compare, encoding } = request;
  const [data, shots] = [await readFiles(request.data ?? []), await readFiles(request.shotsData ?? [])];
  const config = Object.fromEntries(ASKED.map((name) => [name, request[name]]).filter(([, value]) => given(value)));
  const call = {
    call: "evaluate", task: String(task), config, limit, max_new_tokens, compare, encoding, ...who("evaluate", adapters),
    tags: ofMasked("tags", tags), likelihood: ofMasked("likelihood", likelihood), shots_files: shots.length,
  };
  return { call, files: [...data, ...shots] };
}

/** A pasted text, which goes beside its call, since it may be long. */
export function pasted(call, text) {
  if (typeof text !== "string") {
    throw refusal("bad-request", { call, field: "text" }, `${call} takes a text, and got ${JSON.stringify(text)}`);
  }
  return [{ name: "pasted.txt", bytes: new TextEncoder().encode(text) }];
}

/** What a model is called that comes as files: after their folder, or after the one file. */
export function modelName(files) {
  const [first] = files;
  const folder = first?.name.split("/").at(-2);
  if (files.length > 1 && folder) return folder;
  return (first?.name ?? "").split("/").at(-1).replace(/\.(safetensors|zip|gguf)$/, "");
}
