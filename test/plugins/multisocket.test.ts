import { availableParallelism } from "node:os";
import { expect } from "chai";

import { usableCpus } from "../../src/plugins/multisocket/cpus.ts";
import multisocket from "../../src/plugins/multisocket/multisocket.ts";
import { fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

function cgroup(files: Readonly<Record<string, string>>): (path: string) => string {
  return (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`no ${path}`);
    return text;
  };
}

describe("plugins/multisocket", () => {
  for (const [line, threads] of [
    ["multisocket 1", 1],
    ["multisocket 3", 3],
    ["multisocket 64", 64],
  ] as const) {
    it(`${line} asks for ${threads} threads`, async () => {
      expect((await setUp(multisocket, line, fakeHost("multisocket"))).threads).to.equal(threads);
    });
  }

  it("without N there is a thread for each usable CPU, at most 4", async () => {
    const { threads } = await setUp(multisocket, "multisocket", fakeHost("multisocket"));
    expect(threads).to.equal(Math.min(usableCpus(), 4));
  });

  it("starts no more than 64 threads, and says so", async () => {
    const host = fakeHost("multisocket");
    expect((await setUp(multisocket, "multisocket 1024", host)).threads).to.equal(64);
    expect(host.reported.map(({ severity, message }) => `${severity}: ${message}`)).to.deep.equal([
      "warning: multisocket 1024: 64 threads are started, each takes some 10 MiB of memory; one for each CPU is enough",
    ]);
  });

  for (const line of ["multisocket 0", "multisocket 1025", "multisocket x", "multisocket 1 2"]) {
    it(`refuses ${line}`, () => expect(readDirective(multisocket, line).findings).to.have.length(1));
  }
});

describe("plugins/multisocket: CPUs", () => {
  const all = availableParallelism();
  const rows: [string, Readonly<Record<string, string>>, number][] = [
    ["cgroup v2, half a CPU", { "/sys/fs/cgroup/cpu.max": "50000 100000\n" }, 1],
    ["cgroup v2, one and a half", { "/sys/fs/cgroup/cpu.max": "150000 100000\n" }, Math.min(all, 2)],
    ["cgroup v2, no limit", { "/sys/fs/cgroup/cpu.max": "max 100000\n" }, all],
    ["cgroup v1, one", { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" }, 1],
    ["cgroup v1, no limit", { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" }, all],
    ["no cgroups", {}, all],
  ];
  for (const [title, files, cpus] of rows) it(title, () => expect(usableCpus(cgroup(files))).to.equal(cpus));
});
