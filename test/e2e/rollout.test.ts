// A server leaves a Service while clients ask it, as in a rolling update: two of them behind nftables and conntrack in a
// network namespace, changes coming from an API server. scripts/bench/rollout.ts is the long form, at 5,000 queries a second.

import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { startFakeApi } from "../../scripts/bench/fake-api.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, startProcess, temporaryFolder, type Running } from "../helpers/ndots-process.ts";
import { changingService, keepChanging, startLoad, WAYS } from "../helpers/rollout.ts";
import { createServiceNetwork, SERVICE_IP, serviceNetworkPrograms } from "../helpers/service-network.ts";

const [LEAVING, STAYING] = ["10.244.0.2", "10.244.0.3"] as const;
/** What a busy machine with one CPU to spare answers without fail. */
const LOAD = { address: SERVICE_IP, udpPerSecond: 500, tcpPerSecond: 50 };
const LAMEDUCK_S = 3;
const REMOVED_AFTER_MS = 2_000;
const PATIENCE_MS = 30_000;

describe("C117: SIGTERM to one of two servers, its endpoint removed 2 s later", function () {
  this.timeout(2 * PATIENCE_MS);

  before(function () {
    needsRoot(this);
    needsPrograms(this, ...serviceNetworkPrograms);
  });

  it("clients that ask once lose no query, and see every change, to the end", async () => {
    using folder = temporaryFolder();
    const kubeconfig = join(folder.path, "kubeconfig");
    await using network = await createServiceNetwork(`ndots-test-${process.pid}`, [LEAVING, STAYING]);
    const small = ["--services", "10", "--endpoints", "2", "--namespaces", "2", "--headless", "2"];
    await using api = await startFakeApi(kubeconfig, ["--tls", ...small], undefined, network.prefix);
    await api.apply({ kind: "Namespace", metadata: { name: "default" } });
    await api.apply(changingService(0));
    await using leaving = await serve(LEAVING);
    await using _staying = await serve(STAYING);
    await using load = await startLoad(LOAD, network.prefix);
    const ending = new AbortController();
    using _ending = { [Symbol.dispose]: () => ending.abort() };
    const changing = keepChanging((object) => api.apply(object), load, 20, ending.signal);

    await pause(500); // some load before
    leaving.child.kill("SIGTERM");
    await pause(REMOVED_AFTER_MS); // what the world takes, not the server
    await network.lead([STAYING]);
    await network.forget(LEAVING);
    const { code } = await leaving.ended;
    await pause(500); // and some behind
    const report = await load.report();
    ending.abort();

    expect(await changing, "changes").to.be.above(20);
    expect(code).to.equal(0);
    expect(leaving.stdout()).to.include(`lameduck mode for ${LAMEDUCK_S}s`);
    expect(report.complaints).to.deep.equal([]);
    for (const way of WAYS) {
      expect(report.ways[way].sent, way).to.be.above(50);
      expect(report.ways[way].answered, way).to.equal(report.ways[way].sent);
    }
    expect({ stale: report.stale, wrong: report.wrong }).to.deep.equal({ stale: 0, wrong: 0 });

    async function serve(endpoint: string): Promise<Running> {
      const text = `.:53 {
        bind ${endpoint}
        errors
        health ${endpoint}:8080 {
          lameduck ${LAMEDUCK_S}s
        }
        kubernetes cluster.local {
          kubeconfig ${kubeconfig}
        }
      }\n`;
      const [program, ...args] = [...network.prefix, process.execPath, cli, "-conf", "stdin"];
      const running = startProcess(program, args, { stdin: text, patienceMs: PATIENCE_MS });
      await running.shows(/listening on/);
      return running;
    }
  });
});
