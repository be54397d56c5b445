// Mocha's spec reporter, plus: a skipped test tells its reason, and the counts go to a file as one plain line, which
// scripts/test prints last. With NDOTS_TEST_SKIPS=fail a skipped test is counted as failed.

import { writeFileSync } from "node:fs";
import Mocha from "mocha";
import { skipReasons } from "./needs.ts";

const { EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Mocha.Runner.constants;

export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const strict = process.env["NDOTS_TEST_SKIPS"] === "fail";
    const skipped: Mocha.Test[] = [];
    // Hooks fail as well, and are no tests: counted apart from stats.tests, as Mocha does.
    let failures = 0;
    runner.on(EVENT_TEST_FAIL, () => failures++);
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test));
    runner.once(EVENT_RUN_END, () => {
      for (const test of skipped) console.log(`skipped: ${test.fullTitle()} (${skipReasons.get(test) ?? "no reason given"})`);
      const passed = runner.stats?.passes ?? 0;
      const tail = skipped.length > 0 && !strict ? `, ${skipped.length} skipped` : "";
      const line = `${passed} passed, ${failures + (strict ? skipped.length : 0)} failed${tail}\n`;
      const file = process.env["NDOTS_TEST_COUNTS"];
      if (file !== undefined) writeFileSync(file, line);
    });
  }
}
