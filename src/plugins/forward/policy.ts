// In which order upstreams are tried: CoreDNS's policies, and `fastest`.

import { randomUint16 } from "./packet.ts";
import type { Upstream } from "./upstream.ts";

export const POLICIES = ["random", "round_robin", "sequential", "fastest"] as const;
export type PolicyName = (typeof POLICIES)[number];

/** The upstreams in the order of trying them; never changes its argument. */
export type Policy = (upstreams: readonly Upstream[]) => readonly Upstream[];

/** With `fastest`, one of so many questions goes to any upstream, so that it is known how fast the others have become. */
const EXPLORE_ONE_OF = 32;

export function createPolicy(name: PolicyName): Policy {
  switch (name) {
    case "random":
      return shuffled;
    case "round_robin":
      return roundRobin();
    case "sequential":
      return (upstreams) => upstreams;
    case "fastest":
      return fastest;
    default:
      return name satisfies never;
  }
}

function shuffled(upstreams: readonly Upstream[]): readonly Upstream[] {
  if (upstreams.length < 2) return upstreams;
  const order = [...upstreams];
  for (let left = order.length; left > 1; left--) {
    const drawn = randomUint16() % left;
    const last = order[left - 1] as Upstream;
    order[left - 1] = order[drawn] as Upstream;
    order[drawn] = last;
  }
  return order;
}

function roundRobin(): Policy {
  let turn = randomUint16();
  return (upstreams) => {
    if (upstreams.length < 2) return upstreams;
    const first = turn++ % upstreams.length;
    return [...upstreams.slice(first, first + 1), ...upstreams.slice(0, first), ...upstreams.slice(first + 1)];
  };
}

// Those that have not answered yet come first: their time is unknown.
function fastest(upstreams: readonly Upstream[]): readonly Upstream[] {
  if (upstreams.length < 2) return upstreams;
  if (randomUint16() % EXPLORE_ONE_OF === 0) return shuffled(upstreams);
  return upstreams.toSorted((one, other) => one.rttMs - other.rttMs);
}
