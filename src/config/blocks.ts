// Server blocks → what each plugin is to do: finds the plugin of every directive, lets its syntax table read the lines
// and puts the results into execution order. Called by setup.ts; every finding of the whole file is collected.

import { nearest } from "../errors.ts";
import type { Finding, Position } from "../errors.ts";
import { executionOrder, ignoredPlugins, refusedPlugins } from "./coredns-plugins.ts";
import type { Corefile, ServerBlock } from "./corefile.ts";
import type { Directive, Report, Syntax } from "./directive.ts";
import type { ServerKey } from "./server-keys.ts";

/** One plugin in one server block, with its options as its syntax gave them. */
export interface PlannedDirective {
  readonly name: string;
  readonly options: unknown;
  readonly at: Position;
}

export interface PlannedBlock extends Position {
  readonly keys: readonly ServerKey[];
  /** In execution order. */
  readonly directives: readonly PlannedDirective[];
}

/** The plugins there are, in execution order. */
export type SyntaxMap = ReadonlyMap<string, { readonly syntax: Syntax<unknown> }>;

/** Reads the directives of every block. `findings` are those beyond the Corefile's own. */
export function readBlocks(
  corefile: Corefile,
  plugins: SyntaxMap,
): { readonly blocks: readonly PlannedBlock[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const missing: Directive[] = [];
  const add = (severity: Finding["severity"], { file, line, column }: Position, message: string): void => {
    findings.push({ severity, file, line, column, message });
  };
  const report: Report = {
    error: (at, message) => add("error", at, message),
    warning: (at, message) => add("warning", at, message),
  };
  const blocks = corefile.blocks.map((block) => readBlock(block));
  if (blocks.length === 0 && !corefile.findings.some(({ severity }) => severity === "error")) {
    const at = { file: corefile.files[0] ?? "Corefile", line: 1, column: 0 };
    report.error(at, "no server block, so nothing to serve; expected a key such as .:53 and a block behind it");
  }
  const first = missing[0];
  if (first !== undefined) report.error(first, missingPlugins(missing, first));
  return { blocks, findings };

  function readBlock({ file, line, column, keys, directives: lines }: ServerBlock): PlannedBlock {
    const given = new Map<string, Directive[]>();
    for (const directive of lines) {
      const { name } = directive;
      const ignored = ignoredPlugins.get(name);
      if (plugins.has(name)) listIn(given, name).push(directive);
      else if (ignored !== undefined) report.warning(directive, `${name}: ${ignored}`);
      else if (refusedPlugins.has(name) || executionOrder.includes(name)) missing.push(directive);
      else report.error(directive, unknownDirective(name, plugins));
    }
    const directives: PlannedDirective[] = [];
    for (const [name, { syntax }] of plugins) {
      const occurrences = given.get(name) ?? [];
      const groups = syntax.repeat === "each" ? occurrences.map((occurrence) => [occurrence]) : [occurrences];
      for (const group of groups) {
        const [at] = group;
        if (at === undefined) continue;
        for (const options of syntax.read(group, report)) {
          directives.push({ name, options, at: { file: at.file, line: at.line, column: at.column } });
        }
      }
    }
    return { file, line, column, keys, directives };
  }
}

function unknownDirective(name: string, plugins: SyntaxMap): string {
  const meant = nearest(name, new Set([...plugins.keys(), ...executionOrder]));
  return `Error during parsing: Unknown directive '${name}'${meant === undefined ? "" : `, did you mean '${meant}'?`}`;
}

// All that the file asks for and we lack, in one message: a person decides once, not once a plugin.
function missingPlugins(missing: readonly Directive[], first: Position): string {
  const places = new Map<string, string[]>();
  for (const { name, file, line } of missing) {
    listIn(places, name).push(file === first.file ? `line ${line}` : `${file}:${line}`);
  }
  const named = (name: string): string => `${name} (${[...new Set(places.get(name))].join(", ")})`;
  const later = [...places.keys()].filter((name) => !refusedPlugins.has(name)).map(named);
  const refused = [...places.keys()].filter((name) => refusedPlugins.has(name));
  const sentences = refused.map((name) => `${named(name)} is not supported: ${refusedPlugins.get(name)}`);
  if (later.length > 0) sentences.unshift(`not in this version yet: ${later.join(", ")}`);
  return `Error during parsing: ${sentences.join("; ")}`;
}

function listIn<T>(lists: Map<string, T[]>, key: string): T[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}
