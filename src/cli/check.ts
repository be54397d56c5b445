// `ndots check`: everything that is wrong in a Corefile and in manifests, for people, editors and CI systems. Opens no
// socket and reads no network.

import { isAbsolute, relative } from "node:path";
import { formatFinding, nearest, type Finding } from "../errors.ts";
import { silentLog, type Log } from "../log.ts";
import { comparePlaces, type Manifest } from "../registry/manifest-objects.ts";
import { checkConfiguration } from "../server.ts";
import { chooseCorefile } from "./corefile-choice.ts";
import { loadManifests } from "./load-manifests.ts";

export interface CheckOptions {
  readonly conf?: string;
  /** Checked beside the Corefile of `conf`; alone if there is no `conf`. */
  readonly manifests?: readonly string[];
  readonly output: "text" | "json";
}

/** 0, or 1 if there is an error; warnings do not count. */
export async function check({ conf, manifests, output }: CheckOptions): Promise<number> {
  const found: Finding[] = [];
  const onNote = (text: string): void => void found.push(...misspelledKind(text));
  if (conf !== undefined || manifests === undefined) found.push(...(await checkCorefile(conf, onNote)));
  if (manifests !== undefined) found.push(...(await loadManifests(manifests, onNote)).findings);

  // The Corefile may name the same manifests.
  const findings = [...new Map(found.map(fromHere).map((finding) => [formatFinding(finding), finding])).values()].sort(comparePlaces);
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (output === "json") {
    process.stdout.write(`${JSON.stringify({ findings, errors, warnings }, null, 2)}\n`);
  } else {
    for (const finding of findings) process.stdout.write(`${paint(finding)}\n`);
    if (process.stderr.isTTY) process.stderr.write(`${count(errors, "error")}, ${count(warnings, "warning")}\n`);
  }
  return errors > 0 ? 1 : 0;
}

async function checkCorefile(conf: string | undefined, onNote: (text: string) => void): Promise<readonly Finding[]> {
  const { text, file, port } = chooseCorefile(conf);
  const log: Log = { ...silentLog, info: onNote, plugin: () => log }; // the sources write their notes there
  return checkConfiguration({ corefile: text, file, port, address: "", log, embedded: false, env: process.env });
}

const kinds: Readonly<Record<Manifest["kind"], true>> = {
  Service: true,
  EndpointSlice: true,
  Endpoints: true,
  Pod: true,
  Namespace: true,
  Deployment: true,
  ReplicaSet: true,
  ReplicationController: true,
  StatefulSet: true,
  DaemonSet: true,
};
/** A shorter kind is near to too much: Node to Pod. */
const MIN_KIND_LETTERS = 5;

// Most kinds are skipped, and rightly so. One that is nearly a kind of ours is most likely a slip: without a word about
// it the object would just be missing.
function misspelledKind(note: string): Finding[] {
  const [, file, line, kind = ""] = /^(.+):(\d+): skipped (\w+) \(/.exec(note) ?? [];
  const near = kind.length < MIN_KIND_LETTERS || Object.hasOwn(kinds, kind) ? undefined : nearest(kind, Object.keys(kinds));
  if (file === undefined || near === undefined) return [];
  return [{ severity: "warning", file, line: Number(line), column: 0, message: `kind ${kind} is skipped; did you mean ${near}?` }];
}

// Files below the working directory are named as a person would name them.
function fromHere(finding: Finding): Finding {
  const file = isAbsolute(finding.file) ? relative(process.cwd(), finding.file) : finding.file;
  return file.startsWith("..") ? finding : { ...finding, file };
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
