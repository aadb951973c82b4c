// What the engine uses, counted inside its worker.

/** What may come on top: WebAssembly's memory never shrinks, and its holes are not always filled again. */
export const SLACK = 4 << 20;

/** Keeps hold of the engine's memory, from the next opening on. */
export function watchMemory(t) {
  t.beforeEngine(`(${holdMemory})()`);
}

/** The size of the engine's memory, in bytes. */
export async function memory(t) {
  const [worker] = t.page.workers();
  const bytes = await worker.evaluate(() => self.watched?.buffer.byteLength);
  t.assert.ok(bytes > 0, "the engine's memory is seen");
  return bytes;
}

/** Counts what runs ask of the GPU, and takes a sample at every step, from the next opening on. */
export function watchGpu(t) {
  watchMemory(t);
  for (const code of [countGpu, takeSamples]) t.beforeEngine(`(${code})()`);
}

/** By step: dispatches so far, the living buffers of tensors and of uniforms, the engine's memory. */
export async function samples(t) {
  const [worker] = t.page.workers();
  const samples = await worker.evaluate(() => self.samples);
  return new Map(samples.map((sample) => [sample.step, sample]));
}

function holdMemory() {
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const original = WebAssembly[name];
    WebAssembly[name] = async (...args) => {
      const made = await original.apply(WebAssembly, args);
      self.watched = (made.instance ?? made).exports.memory;
      return made;
    };
  }
}

function countGpu() {
  if (typeof GPUDevice === "undefined") return;
  const gpu = { dispatches: 0, tensors: { count: 0, bytes: 0 }, uniforms: { count: 0, bytes: 0 } };
  const living = new WeakMap();
  const change = ({ kind, size }, by) => {
    gpu[kind].count += by;
    gpu[kind].bytes += by * size;
  };
  // A buffer that is dropped, and not destroyed, is gone when it is collected.
  const collected = new FinalizationRegistry((buffer) => change(buffer, -1));
  const after = (of, name, note) => {
    const original = of.prototype[name];
    of.prototype[name] = function (...args) {
      const result = original.apply(this, args);
      note(this, result);
      return result;
    };
  };
  after(GPUDevice, "createBuffer", (_, made) => {
    const buffer = { kind: made.usage & GPUBufferUsage.UNIFORM ? "uniforms" : "tensors", size: made.size };
    living.set(made, buffer);
    collected.register(made, buffer, made);
    change(buffer, 1);
  });
  after(GPUBuffer, "destroy", (gone) => {
    const buffer = living.get(gone);
    collected.unregister(gone);
    if (living.delete(gone)) change(buffer, -1);
  });
  const note = () => void (gpu.dispatches += 1);
  for (const name of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) after(GPUComputePassEncoder, name, note);
  self.gpu = gpu;
}

function takeSamples() {
  self.samples = [];
  const { postMessage } = self;
  // The page hears of a step when its loss was read, so that all its work was handed over.
  self.postMessage = (message, ...more) => {
    const { event, step } = JSON.parse(message.text ?? "{}");
    const sample = { step, memory: self.watched?.buffer.byteLength, ...structuredClone(self.gpu) };
    if (event === "step") self.samples.push(sample);
    return postMessage.call(self, message, ...more);
  };
}
