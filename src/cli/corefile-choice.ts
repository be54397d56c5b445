// Which Corefile a command reads: the one named, ./Corefile, or the one that is shipped with ndots.

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { NdotsError } from "../errors.ts";

export interface ChosenCorefile {
  readonly text: string;
  /** As the user named it, for messages; relative paths in it are relative to its folder. */
  readonly file: string;
  /** Its text as it is now; throws if it can't be read. Absent where it can be read only once. */
  readonly reread?: () => string;
  /** For keys without a port. */
  readonly port: number;
}

const DNS_PORT = 53;
/** The shipped Corefile is for a first look: no root needed, and no clash with a resolver of the machine. */
const SHIPPED_PORT = 1053;

/** The folder `zones/` of the package, seen from dist/cli/ as from src/cli/. */
const shippedZones: string = fileURLToPath(new URL("../../zones", import.meta.url));

/** Reads the Corefile for `-conf`; `stdin` is standard input. Throws NDOTS_ERR_CONFIG if it can't be read. */
export function chooseCorefile(conf: string | undefined): ChosenCorefile {
  if (conf === "stdin") return { text: read(0, "stdin"), file: "stdin", port: DNS_PORT };
  if (conf !== undefined) return chosen(conf, DNS_PORT);
  if (existsSync("Corefile")) return chooseCorefile("Corefile");
  return chosen(resolve(shippedZones, "Corefile"), SHIPPED_PORT);
}

function chosen(file: string, port: number): ChosenCorefile {
  const reread = (): string => read(file, file);
  return { text: reread(), file, reread, port };
}

function read(source: string | number, name: string): string {
  try {
    return readFileSync(source, "utf8");
  } catch (error) {
    throw new NdotsError("NDOTS_ERR_CONFIG", `${name}: can't be read: ${(error as Error).message}`, { cause: error });
  }
}
