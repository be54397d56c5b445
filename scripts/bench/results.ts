// RESULTS.md: each of the benchmarks replaces its own section. Also what turns numbers into a table.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./process.ts";

const file: string = join(root, "scripts/bench/RESULTS.md");

const HEAD = `# Results

Written by \`scripts/bench/run\`. Machine: 2 cores, noisy. CPU time per query is the steadiest figure: rates and latencies
depend on what else runs. Numbers that miss their limit stand here too.
`;

/** Prints a section and puts it in the place of the one with the same title. */
export function writeSection(title: string, text: string): void {
  process.stdout.write(`\n## ${title}\n\n${text}\n`);
  const [, ...old] = existsSync(file) ? readFileSync(file, "utf8").split(/^## /m) : [""];
  const sections = new Map(old.map((section) => [section.slice(0, section.indexOf("\n")), section.slice(section.indexOf("\n"))]));
  sections.set(title, `\n\n${text.trimEnd()}\n`);
  const sorted = [...sections].sort(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b));
  writeFileSync(file, [HEAD, ...sorted.map(([name, body]) => `## ${name}\n${body.trim() === "" ? "" : `\n${body.trim()}\n`}`)].join("\n"));
}

const ORDER: readonly string[] = [
  "Speed",
  "Forward",
  "Autopath",
  "Churn",
  "Blocked",
  "Overload",
  "Memory",
  "Scale",
  "Cluster",
  "Rollout",
  "Start",
];

/** A Markdown table; the first column left, the others right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, column) => Math.max(cell.length, 3, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |\n`;
  const rule = `|${widths.map((width, column) => (column === 0 ? `:${"-".repeat(width + 1)}` : `${"-".repeat(width + 1)}:`)).join("|")}|\n`;
  return line(head) + rule + rows.map(line).join("");
}

/** A row of a table of limits: what, measured, limit, PASS or FAIL. */
export function limitRow(what: string, measured: number, limit: number, unit: string): string[] {
  return [what, `${shown(measured)} ${unit}`, `≤ ${limit} ${unit}`, measured <= limit ? "PASS" : "FAIL"];
}

export const LIMIT_HEAD: readonly string[] = ["what", "measured", "limit", ""];

export function shown(value: number): string {
  return value >= 1000 ? String(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const above = sorted.length >> 1;
  const upper = sorted[above] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[above - 1] ?? Number.NaN)) / 2;
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}
