// How the page's browser is started: headless, closed to the outside, with WebGPU.
//
// Settings: CHROMIUM, the browser; PLAYWRIGHT, the folder of playwright-core; WEBGPU, what WebGPU runs on: "emulated"
// (SwiftShader, where nothing is set) or "card", through Vulkan; CHROMIUM_FLAGS, more of its flags.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const { chromium } = createRequire(join(resolve(setting("PLAYWRIGHT")), "x.js"))("playwright-core");

const QUIET = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Chromium on Linux gives pages no WebGPU unless it is told to. */
const WEBGPU = {
  emulated: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  card: [
    "--enable-unsafe-webgpu",
    "--enable-features=Vulkan",
    "--use-angle=vulkan",
    "--disable-vulkan-surface",
    "--ignore-gpu-blocklist",
  ],
};

/** A setting that must be there. */
export function setting(name) {
  if (process.env[name]) return process.env[name];
  console.error(`set ${name}; \`bash tests/run\` does`);
  process.exit(2);
}

/** Whether WebGPU is slow because the processor plays its part. */
export const emulated = process.env.WEBGPU !== "card";

/** A browser whose profile lies in the folder. */
export function launch(profile) {
  const more = (process.env.CHROMIUM_FLAGS ?? "").split(" ").filter(Boolean);
  const args = [...QUIET, ...WEBGPU[emulated ? "emulated" : "card"], ...more];
  const options = { executablePath: setting("CHROMIUM"), headless: true, chromiumSandbox: false, args };
  return chromium.launchPersistentContext(profile, { ...options, locale: "en-US" });
}
