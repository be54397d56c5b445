// Holds the coverage of a full test run (coverage/coverage-summary.json, by c8) against the project's thresholds.
// Called by scripts/test. Lines are summed over a folder, so that a small file is not judged alone.

import { readFileSync } from "node:fs";

const thresholds = [
  { folder: "src/", percent: 90 },
  { folder: "src/dns/", percent: 97 },
  { folder: "src/config/", percent: 97 },
];

const summary = JSON.parse(readFileSync("coverage/coverage-summary.json", "utf8"));
const root = `${process.cwd()}/`;
for (const { folder, percent } of thresholds) {
  let total = 0;
  let covered = 0;
  for (const [file, { lines }] of Object.entries(summary)) {
    if (!file.startsWith(root + folder)) continue;
    total += lines.total;
    covered += lines.covered;
  }
  const reached = total === 0 ? 100 : (100 * covered) / total;
  const short = reached < percent;
  console.log(`coverage of lines in ${folder}: ${reached.toFixed(1)} % (at least ${percent} %)${short ? " — TOO LOW" : ""}`);
  if (short) process.exitCode = 1;
}
