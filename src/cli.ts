#!/usr/bin/env node
// The `ndots` program. Signal handlers stand before anything else is loaded: as PID 1 the kernel drops signals that have
// none, and a Pod that is deleted while it starts must not wait for SIGKILL. So there are no static imports here, the
// commands are in cli/program.ts. Exit codes: 0 well, 1 a finding or a failed start, 2 usage, 70 a fault of ours.

import type { Lifecycle } from "./cli/lifecycle.ts";

// First of all: until there is a handler, Node takes SIGUSR1 for the wish to be debugged and opens its inspector.
process.on("SIGUSR1", () => void reload());
const inspector: typeof import("node:inspector") | undefined = process.getBuiltinModule("node:inspector"); // some builds have none
closeUnaskedInspector();

const INTERNAL = 70; // EX_SOFTWARE of sysexits.h
const KILLED_BY_SIGTERM = 128 + 15;

const signals = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;
let stopping = false;
const lifecycle: Lifecycle = {
  stop: undefined,
  serves(server) {
    lifecycle.stop = server.stop;
    reloadServer = server.reload;
    closeUnaskedInspector();
    if (reloadAsked) void reload();
  },
  info: (message) => void process.stdout.write(`[INFO] ${message}\n`),
  release: () => signals.forEach((signal) => process.removeAllListeners(signal)),
};

let reloadServer: (() => Promise<void>) | undefined;
let reloadAsked = false;
let reloading = false;

// Signals that come before the server runs, or while it reloads, are one: what it reads then is what the last one meant.
async function reload(): Promise<void> {
  reloadAsked = true;
  if (reloading || reloadServer === undefined) return;
  reloading = true;
  while (reloadAsked && !stopping) {
    reloadAsked = false;
    lifecycle.info("SIGUSR1: Reloading");
    await reloadServer().catch(fail);
  }
  reloading = false;
}

function stopOn(signal: "SIGTERM" | "SIGINT", message: string, again: () => never): void {
  process.on(signal, () => {
    if (stopping) again();
    stopping = true;
    lifecycle.info(`${signal}: ${message}`);
    if (lifecycle.stop === undefined) process.exit(0);
    lifecycle.stop(signal).then((code) => process.exit(code), fail);
  });
}

stopOn("SIGTERM", "Shutting down servers then terminating", () => process.exit(KILLED_BY_SIGTERM));
stopOn("SIGINT", "Shutting down", () => {
  lifecycle.info("SIGINT: Force quit");
  process.exit(2);
});
process.on("SIGQUIT", () => {
  lifecycle.info("SIGQUIT: Quitting process immediately");
  process.exit(0);
});
for (const signal of ["SIGHUP", "SIGUSR2"] as const) {
  process.on(signal, () => lifecycle.info(`${signal}: ignored`));
}

// Both streams: a reader that goes away (`ndots check | head -1`) is no fault, and a server outlives its log's reader.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

function fail(error: unknown): never {
  process.stderr.write(`[FATAL] ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(INTERNAL);
}
process.on("uncaughtException", fail);

// A signal that came earlier still has opened it, or is about to: it takes Node up to a second. `--inspect` is no accident.
function closeUnaskedInspector(): void {
  const options = [...process.execArgv, ...(process.env["NODE_OPTIONS"] ?? "").split(" ")];
  const asked = options.some((option) => /^--inspect(-brk|-wait)?(=|$)/.test(option));
  if (!asked && inspector?.url() !== undefined) inspector.close();
}

try {
  const { run } = await import("./cli/program.ts");
  process.exitCode = await run(process.argv.slice(2), lifecycle);
} catch (error) {
  fail(error);
}
