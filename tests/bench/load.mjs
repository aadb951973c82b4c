// Load: one model behind `kindling serve` and behind llama.cpp's server, asked by 1, 4, 16 and 64 streams at once, in turns.
// Prints rows of a table; tests/bench/serve calls it.
//
//   node tests/bench/load.mjs NAME MODEL.gguf f32|q8_0 [--streams 1,4,16,64] [--tokens 64] [--words 48] [--repeats 3]

import { fileURLToPath } from "node:url";

import { complete, fresh, settings, kindling, median, memory, prompt, quantile, start } from "./client.mjs";

const [name, model, weights] = process.argv.slice(2);
const said = settings({ "--streams": [1, 4, 16, 64], "--tokens": 64, "--words": 48, "--repeats": 3 }, 5);
const { "--streams": streams, "--tokens": tokens, "--words": words, "--repeats": repeats } = said;
const most = Math.max(...streams);

// Every prompt is new to the server, so that nothing of it is kept from before.
let asked = 0;

/// So many streams at once, all of one length: tokens a second in all, and what each waited for its first text.
async function measure(url, count) {
  const begun = performance.now();
  const ask = () => {
    const body = { model: "m", prompt: prompt((asked += 1), words), max_tokens: tokens, temperature: 0, ignore_eos: true };
    return complete(url, body, undefined, fresh);
  };
  const told = await Promise.all(Array.from({ length: count }, ask));
  const seconds = (performance.now() - begun) / 1000;
  for (const one of told) {
    if (one.status !== 200 || one.error || one.usage?.completion_tokens !== tokens) {
      throw new Error(`${url}: ${JSON.stringify({ ...one, text: one.text.slice(0, 80) })}`);
    }
  }
  return { rate: (count * tokens) / seconds, firsts: told.map((one) => one.first ?? one.last - begun) };
}

async function peer() {
  const python = process.env.PEER_PYTHON;
  if (!python) return null;
  const script = fileURLToPath(new URL("llama_server.py", import.meta.url));
  return start(python, ["-B", script, model, String(most), String(most * 512), weights]);
}

const ours = await kindling("--model", `m=${model}`, "--max-streams", String(most), "--queue", "256", ...(weights === "q8_0" ? ["--weights", "q8_0"] : []));
const theirs = await peer();
const servers = [["Kindling", ours], ...(theirs ? [["llama.cpp", theirs]] : [])];
try {
  const rates = {};
  for (const [, server] of servers) await measure(server.url, 1);
  for (const count of streams) {
    const found = servers.map(() => []);
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      // Who comes first changes, so that neither always has the warmer machine.
      const order = servers.map((_, i) => (repeat % 2 ? servers.length - 1 - i : i));
      for (const i of order) found[i].push(await measure(servers[i][1].url, count));
    }
    found.forEach((runs, i) => {
      const rate = median(runs.map((run) => run.rate));
      const firsts = runs.flatMap((run) => run.firsts);
      (rates[servers[i][0]] ??= {})[count] = rate;
      const ms = [0.5, 0.99].map((share) => `${quantile(firsts, share).toFixed(0)} ms`);
      console.log(`| ${name} | ${weights} | ${count} | ${servers[i][0]} | ${rate.toFixed(0)} | ${ms.join(" | ")} |`);
    });
  }
  for (const [who, server] of servers) {
    const of = rates[who];
    const times = of[1] && of[16] ? `16 streams give ${(of[16] / of[1]).toFixed(2)} times the tokens/s of one; ` : "";
    console.error(`${name} ${weights}, ${who}: ${times}peak memory ${memory(server.pid, "VmHWM").toFixed(0)} MB`);
  }
} finally {
  await Promise.all(servers.map(([, server]) => server.end()));
}
process.exit(0);
