// The server's log in CoreDNS's text: `[INFO] plugin/x: …`. People alert on its words. `createLog` is called by
// the CLI; the library is silent. Lines are gathered for one turn of the event loop and written in one piece, one
// piece at a time, behind a bound: a reader that stands still, a closed pipe and a full disk cost lines, which are
// counted, and never an answer. (pino's own destination retries for ever at exit on all three, hence a sink here.)

import { fstatSync, write as writeFile, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { Socket } from "node:net";

/** Writes log lines. Never throws, never blocks; drops and counts when the destination is full. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warning(message: string): void;
  error(message: string): void;
  /** A line without a prefix: start-up output. */
  line(text: string): void;
  /** A line of the query log: information without the plugin's name. */
  query(text: string): void;
  /** The same log with `plugin/NAME: ` in front of every message. */
  plugin(name: string): Log;
  /** Lets debug lines through (the `debug` plugin). */
  enableDebug(): void;
}

/** A log with an end: what the process that made it has to look after. */
export interface LogOutput extends Log {
  /** Writes what is waiting, as far as that goes without blocking. A log on a descriptor does so by itself when the process exits. */
  flush(): void;
  /** Lines lost because the destination took no more. */
  readonly dropped: number;
}

/** Takes whole lines, each ended by a newline. Must not throw. */
export type LogSink = (text: string) => void;

export interface LogOptions {
  /** A file descriptor, or a function for tests; default: standard output. */
  readonly to?: number | LogSink;
  /** CoreDNS's text, or a JSON object a line. */
  readonly format?: "text" | "json";
  readonly debug?: boolean;
}

/** Says nothing: the library's log unless asked for another. */
export const silentLog: Log = Object.freeze({
  debug: () => {},
  info: () => {},
  warning: () => {},
  error: () => {},
  line: () => {},
  query: () => {},
  plugin: () => silentLog,
  enableDebug: () => {},
});

/** Opens a log. @example createLog({ format: "json" }).plugin("health").info("Going into lameduck mode for 5s") */
export function createLog({ to = STDOUT, format = "text", debug = false }: LogOptions = {}): LogOutput {
  const output = typeof to === "number" ? openOutput(to) : { write: to, flush: () => {}, dropped: 0 };
  const emit = format === "json" ? jsonEmitter(output.write) : textEmitter(output.write);
  const log = prefixed(emit, "", { debug });
  return {
    ...log,
    flush: output.flush,
    get dropped() {
      return output.dropped;
    },
  };
}

const STDOUT = 1;
const STDERR = 2;

type Level = "debug" | "info" | "warning" | "error" | "line";
/** `prefix` is `plugin/NAME: ` or nothing. */
type Emit = (level: Level, prefix: string, message: string) => void;

function prefixed(emit: Emit, prefix: string, shared: { debug: boolean }): Log {
  return {
    debug: (message) => {
      if (shared.debug) emit("debug", prefix, message);
    },
    info: (message) => emit("info", prefix, message),
    warning: (message) => emit("warning", prefix, message),
    error: (message) => emit("error", prefix, message),
    line: (text) => emit("line", "", text),
    query: (text) => emit("info", "", text),
    plugin: (name) => prefixed(emit, `plugin/${name}: `, shared),
    enableDebug: () => {
      shared.debug = true;
    },
  };
}

function textEmitter(write: LogSink): Emit {
  const heads: Readonly<Record<Level, string>> = { debug: "[DEBUG] ", info: "[INFO] ", warning: "[WARNING] ", error: "[ERROR] ", line: "" };
  return (level, prefix, message) => {
    if (level === "line") write(`${message.split("\n").map(escapeControls).join("\n")}\n`);
    else write(`${heads[level]}${prefix}${escapeControls(message)}\n`);
  };
}

// pino is loaded here only: neither the library nor the text log pays for it.
function jsonEmitter(write: LogSink): Emit {
  const { pino } = createRequire(import.meta.url)("pino") as typeof import("pino");
  const logger = pino({ level: "debug", base: { pid: process.pid } }, { write });
  const methods = { debug: "debug", info: "info", warning: "warn", error: "error", line: "info" } as const;
  return (level, prefix, message) => {
    const method = methods[level];
    if (prefix === "") logger[method](escapeControls(message));
    else logger[method]({ plugin: prefix.slice("plugin/".length, -": ".length) }, escapeControls(message));
  };
}

// oxlint-disable-next-line no-control-regex -- control bytes are what it is about
const CONTROLS = /[\0-\x1f\x7f-\x9f\u2028\u2029]/g;

/** Control characters as `\DDD`, like those of names, so that no text can forge a line or drive a terminal. */
function escapeControls(text: string): string {
  if (text.search(CONTROLS) < 0) return text;
  return text.replace(CONTROLS, (char) => `\\${String(char.charCodeAt(0)).padStart(3, "0")}`);
}

/** What waits for a slow destination: some 10,000 query lines. */
const MAX_WAITING_CHARS = 1024 * 1024;

/** Time for one write to a file when the process ends. */
const LAST_WRITE_MS = 20;

interface Output {
  readonly write: LogSink;
  readonly flush: () => void;
  readonly dropped: number;
}

// Pipes and sockets go through libuv's non-blocking stream: a blocking write(2) to a full pipe would hold a thread
// of the pool for good and hang the exit. Files and terminals are written by the pool.
function openOutput(fd: number): Output {
  let waiting = "";
  let waitingLines = 0;
  let busy = false;
  let writing = false;
  let dropped = 0;
  let reported = 0;

  const stream = isStream(fd) ? openStream(fd) : undefined;
  const put = (text: string, done: (error?: Error | null) => void): void => {
    if (stream === undefined) writeAll(fd, Buffer.from(text), done);
    else stream.write(text, done);
  };
  const pump = (): void => {
    if (waiting === "") {
      busy = false;
      return;
    }
    const lines = waitingLines;
    const text = waiting;
    waiting = "";
    waitingLines = 0;
    writing = true;
    put(text, (error) => {
      writing = false;
      if (error) dropped += lines;
      else if (dropped > reported && waiting === "") {
        waiting = `[WARNING] ${dropped - reported} log lines were dropped\n`;
        waitingLines = 1;
        reported = dropped;
      }
      pump();
    });
  };
  const output: Output = {
    write: (text) => {
      if (waiting.length + text.length > MAX_WAITING_CHARS) {
        dropped++;
        return;
      }
      waiting += text;
      waitingLines++;
      if (busy) return;
      busy = true;
      setImmediate(pump);
    },
    flush: () => {
      // The pool's thread finishes what it has begun, so that the last lines keep their order.
      if (stream === undefined && writing) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_WRITE_MS);
      // Behind an unfinished piece these bytes would land in its middle: then they are lost, as the reader is gone.
      const stuck = stream !== undefined && stream.writableLength > 0;
      if (stuck || !writeNow(fd, waiting)) dropped += waitingLines;
      waiting = "";
      waitingLines = 0;
    },
    get dropped() {
      return dropped;
    },
  };
  process.once("exit", output.flush);
  return output;
}

function isStream(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false; // a closed descriptor: each write then fails and is counted
  }
}

function openStream(fd: number): NodeJS.WritableStream & { readonly writableLength: number } {
  const stream = fd === STDOUT ? process.stdout : fd === STDERR ? process.stderr : new Socket({ fd, readable: false, writable: true });
  stream.on("error", () => {}); // counted in the callback of write(); without a listener it would end the process
  return stream;
}

function writeAll(fd: number, bytes: Buffer, done: (error?: Error | null) => void): void {
  writeFile(fd, bytes, (error, written) => {
    if (error || written === bytes.length) done(error);
    else writeAll(fd, bytes.subarray(written), done);
  });
}

function writeNow(fd: number, text: string): boolean {
  try {
    let rest = Buffer.from(text);
    while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    return true;
  } catch {
    return false; // full, closed or broken: the process ends all the same
  }
}
