// How many CPUs this process may use. Node's own answer knows the affinity mask; up to Node 22 it does not know the quota that
// a container's CPU limit sets, so that is read here.

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** CPUs by affinity and cgroup quota, rounded up; at least 1. */
export function usableCpus(readText: (path: string) => string = (path) => readFileSync(path, "utf8")): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quotaOf(readText))));
}

// cgroup v2: "QUOTA PERIOD" or "max PERIOD"; v1: two files, -1 for no quota. A container sees its own group at the root.
function quotaOf(readText: (path: string) => string): number {
  const number = (path: string): number => {
    try {
      return Number(readText(path));
    } catch {
      return Number.NaN;
    }
  };
  try {
    const [quota, period] = readText("/sys/fs/cgroup/cpu.max").split(" ").map(Number);
    return share(quota, period);
  } catch {
    return share(number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), number("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  }
}

function share(quota = Number.NaN, period = Number.NaN): number {
  return quota > 0 && period > 0 ? quota / period : Number.POSITIVE_INFINITY;
}
