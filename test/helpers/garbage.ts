// Whether nothing holds an object any more: for tests of what one configuration leaves to the next.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { until } from "./listening.ts";

setFlagsFromString("--expose-gc");
export const collectGarbage: () => void = runInNewContext("gc") as () => void;

/** Resolves when it has been collected. */
export async function isGone(object: WeakRef<object>, what: string): Promise<void> {
  await until(() => {
    collectGarbage();
    return object.deref() === undefined;
  }, `${what} is gone`);
}
