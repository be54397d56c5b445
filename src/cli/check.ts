// `ndots check`: everything that is wrong in a Corefile and in manifests, for people, editors and CI systems. Opens no
// socket and reads no network.

import { formatFinding, type Finding } from "../errors.ts";
import { silentLog } from "../log.ts";
import { checkConfiguration } from "../server.ts";
import { chooseCorefile, type ChosenCorefile } from "./corefile-choice.ts";

export interface CheckOptions {
  readonly conf?: string;
  readonly manifests?: readonly string[];
  readonly output: "text" | "json";
}

/** 0, or 1 if there is an error; warnings do not count. */
export async function check(options: CheckOptions): Promise<number> {
  const { conf, manifests } = options;
  const corefiles: ChosenCorefile[] = [];
  if (conf !== undefined || manifests === undefined) corefiles.push(chooseCorefile(conf));
  if (manifests !== undefined) corefiles.push(corefileOf(manifests));

  const findings: Finding[] = [];
  for (const { text, file, port } of corefiles) {
    findings.push(
      ...(await checkConfiguration({
        corefile: text,
        file,
        port,
        address: "",
        log: silentLog,
        embedded: false,
        env: process.env,
      })),
    );
  }
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (options.output === "json") {
    process.stdout.write(`${JSON.stringify({ findings, errors, warnings }, null, 2)}\n`);
  } else {
    for (const finding of findings) process.stdout.write(`${paint(finding)}\n`);
    if (process.stderr.isTTY)
      process.stderr.write(`${corefiles.map(({ file }) => file).join(", ")}: ${count(errors, "error")}, ${count(warnings, "warning")}\n`);
  }
  return errors > 0 ? 1 : 0;
}

// The smallest server that reads these manifests. Its file stands in the working directory, and so do relative paths.
function corefileOf(manifests: readonly string[]): ChosenCorefile {
  const paths = manifests.map((path) => `"${path.replaceAll('"', '\\"')}"`).join(" ");
  return {
    text: `. {\n  kubernetes cluster.local {\n    manifests ${paths}\n  }\n}\n`,
    file: "--manifests",
    port: 53,
  };
}

const RED = 31;
const YELLOW = 33;

// Colour only for a terminal, and never against https://no-color.org.
function paint(finding: Finding): string {
  const line = formatFinding(finding);
  if (!process.stdout.isTTY || (process.env["NO_COLOR"] ?? "") !== "") return line;
  return `\u001b[${finding.severity === "error" ? RED : YELLOW}m${line}\u001b[0m`;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
