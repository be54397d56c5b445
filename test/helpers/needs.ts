// What a test needs of the machine. A test that lacks it is skipped with the reason printed (test/helpers/reporter.ts);
// CI allows no skipped test.

import { spawnSync } from "node:child_process";
import Mocha from "mocha";

/** Why tests were skipped, for the reporter. */
export const skipReasons: WeakMap<object, string> = new WeakMap();

/** Skips the running test, or all of a suite from its `before` hook, unless `condition` holds. */
export function needs(context: Mocha.Context, condition: boolean, reason: string): void {
  if (condition) return;
  const suite = context.test instanceof Mocha.Hook ? context.test.parent : undefined;
  if (suite === undefined) {
    if (context.test !== undefined) skipReasons.set(context.test, reason);
  } else {
    suite.eachTest((test) => skipReasons.set(test, reason));
  }
  context.skip();
}

/** `needs` for programs on the PATH. */
export function needsPrograms(context: Mocha.Context, ...programs: readonly string[]): void {
  const missing = programs.filter((program) => !onPath(program));
  needs(context, missing.length === 0, `not installed: ${missing.join(", ")}`);
}

export function needsRoot(context: Mocha.Context): void {
  needs(context, process.getuid?.() === 0, "needs root");
}

function onPath(program: string): boolean {
  return spawnSync("/bin/sh", ["-c", 'command -v "$1"', "sh", program], { stdio: "ignore" }).status === 0;
}
