// Tells who follows a zone which names have changed, a few at a time: what is done about each takes a while, and with a long
// list of changes it would hold the event loop. Called by zones that are read anew as a whole.

import type { Name } from "../dns/name.ts";
import { timeSlice } from "../time-slice.ts";
import type { NamesListener } from "../dns/zone.ts";

/** So few are answered anew at once by the answer table, and are never left to the chain. */
const AT_ONCE = 100;

/** @param changed undefined stands for a name that has not: working that out takes time, too. */
export async function tellChanges(changed: Iterable<Name | undefined>, listeners: ReadonlySet<NamesListener>): Promise<void> {
  const slice = timeSlice();
  let names: Name[] = [];
  let steps = 0;
  for (const name of changed) {
    if (name !== undefined) names.push(name);
    if (names.length === AT_ONCE) tell();
    if (++steps % AT_ONCE === 0 && slice.isOver()) await slice.next();
  }
  tell();

  function tell(): void {
    if (names.length > 0) for (const listener of listeners) listener(names);
    names = [];
  }
}
