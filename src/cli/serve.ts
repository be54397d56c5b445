// `ndots serve`: reads the Corefile, starts the server, prints what CoreDNS prints at its start, and leaves stop
// and reload to the signal handlers of cli.ts. Also what `-version` and `-plugins` print.

import { rmSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { NdotsError } from "../errors.ts";
import { createLog, type Log } from "../log.ts";
import type { Server } from "../server.ts";
import { readVersion } from "../version.ts";
import { chooseCorefile, type ChosenCorefile } from "./corefile-choice.ts";
import type { Lifecycle } from "./lifecycle.ts";

export interface ServeOptions {
  readonly conf?: string;
  readonly port: number | undefined;
  readonly pidfile?: string;
  readonly quiet?: boolean;
  readonly logFormat: "text" | "json";
  readonly listeners: "auto" | "portable";
  readonly strict?: boolean;
}

// V8 lets a heap double before it collects; what a load leaves behind would stay for good, for an idle server never
// gets there. 10,000 Services with 50,000 endpoints: 183 → 170 MiB RSS, for 5 % more CPU while they load.
const HEAP_FLAG = "--heap-growing-percent=20";

/** Resolves when the server runs; rejects with a coded error when it can't. */
export async function serve(options: ServeOptions, lifecycle: Lifecycle): Promise<number> {
  const log = createLog({ format: options.logFormat });
  lifecycle.info = (message) => {
    log.info(message);
    log.flush(); // the process may end right after
  };
  if (options.pidfile !== undefined) writePidfile(options.pidfile);
  setFlagsFromString(HEAP_FLAG);
  const chosen = chooseCorefile(options.conf);
  const { createServer } = await import("../server.ts");
  const server = await createServer({
    corefile: chosen.text,
    file: chosen.file,
    ...(chosen.reread && { reread: chosen.reread }),
    port: options.port ?? chosen.port,
    address: "",
    log,
    embedded: false,
    listeners: options.listeners,
    strict: options.strict ?? false,
    env: process.env,
  });
  const stop = async (signal: "SIGTERM" | "SIGINT"): Promise<number> => {
    try {
      // SIGINT comes from a keyboard: nobody is to be drained. Kubernetes sends SIGTERM.
      await server.stop(signal === "SIGTERM" ? "drain" : "now");
      return 0;
    } catch (error) {
      log.error(`${signal}: ${(error as Error).message}`);
      return 1;
    } finally {
      log.flush();
    }
  };
  if (options.quiet !== true) {
    for (const line of [...server.zoneLines, ...versionText().split("\n")]) log.line(line);
    for (const line of server.describe()) log.info(line);
  }
  lifecycle.serves({ stop, reload: () => reload(server, chosen, log) });
  return 0;
}

async function reload(server: Server, { reread }: ChosenCorefile, log: Log): Promise<void> {
  if (reread === undefined) {
    log.info("SIGUSR1: the Corefile came from standard input, which can't be read again: it stays, the files that it imports are read");
  }
  try {
    await server.reload();
  } catch (error) {
    log.error(`SIGUSR1: ${(error as Error).message.replaceAll("\n", "; ")}`);
  }
}

export function printVersion(): void {
  process.stdout.write(`${versionText()}\n`);
}

/** In the order in which they see a query, one a line. */
export async function printPlugins(): Promise<void> {
  const { pluginNames } = await import("../plugins/index.ts");
  process.stdout.write(pluginNames.map((name) => `${name}\n`).join(""));
}

// Two lines as CoreDNS's: `CoreDNS-1.14.7` and `linux/amd64, go1.26.6, COMMIT`.
function versionText(): string {
  return `ndots-${readVersion()}\n${process.platform}/${process.arch}, node ${process.version}`;
}

// Before anything is opened, as CoreDNS does: a file that can't be written is a failed start. It goes with the process,
// whichever way that ends.
function writePidfile(file: string): void {
  try {
    writeFileSync(file, `${process.pid}\n`);
  } catch (error) {
    throw new NdotsError("NDOTS_ERR_CONFIG", `-pidfile: ${(error as Error).message}`, { cause: error });
  }
  process.once("exit", () => rmSync(file, { force: true }));
}
