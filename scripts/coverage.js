// Holds the coverage of a test run, by c8, against the project's thresholds. Called by scripts/test. Lines are summed over a
// folder, so that a small file is not judged alone. What dns/ reaches is taken from its own tests: in the whole run its
// modules are loaded more than once, from src and from dist, and c8 can't add up two translations of one file.

import { readFileSync } from "node:fs";

const thresholds = [
  { folder: "src/", percent: 90, by: "coverage/coverage-summary.json" },
  { folder: "src/dns/", percent: 97, by: "coverage/dns/coverage-summary.json" },
  { folder: "src/config/", percent: 97, by: "coverage/coverage-summary.json" },
];

const root = `${process.cwd()}/`;
for (const { folder, percent, by } of thresholds) {
  const summary = JSON.parse(readFileSync(by, "utf8"));
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
