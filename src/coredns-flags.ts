// CoreDNS's command line, made of Go's flag package: `-conf FILE`, `-dns.port=N`, `-quiet`. Called by the CLI before
// commander, which would read `-conf` as four short options. What is not in the table goes through untouched.

import { NdotsError } from "./errors.ts";

interface Flag {
  /** The option that commander knows. */
  readonly option: string;
  readonly takes: "value" | "nothing";
}

const flags: Readonly<Record<string, Flag>> = {
  conf: { option: "--conf", takes: "value" },
  "dns.port": { option: "--port", takes: "value" },
  p: { option: "--port", takes: "value" },
  pidfile: { option: "--pidfile", takes: "value" },
  plugins: { option: "--plugins", takes: "nothing" },
  quiet: { option: "--quiet", takes: "nothing" },
  version: { option: "--version", takes: "nothing" },
  "log-format": { option: "--log-format", takes: "value" },
  listeners: { option: "--listeners", takes: "value" },
  strict: { option: "--strict", takes: "nothing" },
  help: { option: "--help", takes: "nothing" },
};

/** The flags' names as people type them, for "did you mean". */
export const coreDnsFlagNames: readonly string[] = Object.keys(flags).map((name) => `-${name}`);

/**
 * Turns `-name value`, `-name=value`, `--name value` and `--name=value` of CoreDNS's flags into commander's options.
 * As in Go, a value may begin with a dash, and `--` ends the flags.
 */
export function fromCoreDnsFlags(args: readonly string[]): string[] {
  const options: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] ?? "";
    if (argument === "--") return [...options, ...args.slice(i)];
    const [, name, given] = /^--?([a-z][a-z.-]*)(?:=(.*))?$/s.exec(argument) ?? [];
    const flag = name === undefined || !Object.hasOwn(flags, name) ? undefined : flags[name];
    if (flag === undefined) {
      options.push(argument);
    } else if (flag.takes === "nothing") {
      if (given === undefined || isTrue(argument, given)) options.push(flag.option);
    } else {
      const value = given ?? args[++i];
      if (value === undefined) throw new NdotsError("NDOTS_ERR_USAGE", `${argument}: a value is missing`);
      options.push(`${flag.option}=${value}`);
    }
  }
  return options;
}

// The words that Go's strconv.ParseBool takes.
const words: Readonly<Record<string, boolean>> = { "1": true, t: true, true: true, "0": false, f: false, false: false };

function isTrue(argument: string, value: string): boolean {
  const truth = words[value.toLowerCase()];
  if (truth === undefined) throw new NdotsError("NDOTS_ERR_USAGE", `${argument}: must be true or false, found "${value}"`);
  return truth;
}
