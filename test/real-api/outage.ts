// A real API server that goes away, is cut off, or says nothing any more.

import { expect } from "chai";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createMetrics } from "../../src/metrics.ts";
import { kubeApiSource } from "../../src/registry/kube-api.ts";
import { createRegistry } from "../../src/registry/registry.ts";
import { kubeconfig } from "../helpers/fake-api/kubeconfig.ts";
import { fakeClock } from "../helpers/fake-clock.ts";
import { recordedLog } from "../helpers/listening.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import type { RealCluster } from "./cluster.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { headless, MOST_MS, slice, startSubject, type Subject } from "./subject.ts";

const ALL = ["services", "endpointslices", "pods"];
const CHANGES = 20;
const CUTS = 10;
const REAL_STEP_MS = 5;
/** A version far ahead of any server's. */
const FUTURE = "999999999999";

export function outageSuite(cluster: () => RealCluster): void {
  describe("outages", () => {
    let gateway: Gateway;
    let at: string;
    let token: string;

    before(async () => {
      at = `${cluster().namespace}.svc.cluster.local`;
      gateway = await startGateway(cluster().server);
      token = await cluster().account("outages", ALL);
      await cluster().apply(headless("far"));
      await cluster().apply(slice("far", ["192.0.2.50"]));
    });

    after(() => (gateway as Gateway | undefined)?.[Symbol.asyncDispose]());

    async function start(startupTimeout = "10s"): Promise<Subject> {
      const access = { url: gateway.url, authority: gateway.authority, token };
      return startSubject({ kubeconfig: access, options: [`namespaces ${cluster().namespace}`], startupTimeout });
    }

    it("cut connections: watches go on where they were, and no change in between is lost", async () => {
      await using subject = await start();
      await subject.tells({ [`far.${at} A`]: "NOERROR A 192.0.2.50" });
      gateway.passed.length = 0;
      gateway.cut();
      for (let n = 1; n <= CUTS; n++) {
        await cluster().apply(slice("far", [`192.0.2.${50 + n}`]));
        await subject.tells({ [`far.${at} A`]: `NOERROR A 192.0.2.${50 + n}` });
        gateway.cut();
        expect(await subject.ask(`far.${at} A`)).to.equal(`NOERROR A 192.0.2.${50 + n}`);
      }
      const asked = gateway.passed.filter(({ resource }) => resource !== "namespaces");
      expect(asked.length).to.be.greaterThan(CUTS);
      for (const { verb, query } of asked) {
        expect(verb).to.equal("watch");
        expect(query.get("sendInitialEvents")).to.equal(null);
        expect(query.get("resourceVersion")).to.match(/^\d+$/);
      }
    });

    it("away: what is known is answered; back: what has changed meanwhile is right, deletions too", async () => {
      await cluster().apply(slice("far", ["192.0.2.50"]));
      await cluster().apply(headless("gone"));
      await cluster().apply(slice("gone", ["192.0.2.70"]));
      await using subject = await start();
      await subject.tells({ [`far.${at} A`]: "NOERROR A 192.0.2.50", [`gone.${at} A`]: "NOERROR A 192.0.2.70" });
      await gateway.close();
      for (let n = 0; n < CHANGES; n++) await cluster().apply(slice("far", [`192.0.2.${80 + n}`]));
      await cluster().delete(slice("gone", []));
      await cluster().delete(headless("gone"));
      await cluster().apply(headless("come"));
      await cluster().apply(slice("come", ["192.0.2.71"]));
      expect(await subject.ask(`far.${at} A`)).to.equal("NOERROR A 192.0.2.50");
      expect(await subject.ask(`gone.${at} A`)).to.equal("NOERROR A 192.0.2.70");
      expect(await subject.readiness()).to.equal("200 OK");
      await gateway.open();
      await subject.tells({
        [`far.${at} A`]: `NOERROR A 192.0.2.${80 + CHANGES - 1}`,
        [`gone.${at} A`]: "NXDOMAIN",
        [`come.${at} A`]: "NOERROR A 192.0.2.71",
      });
      await cluster().delete(slice("come", []));
      await cluster().delete(headless("come"));
    });

    it("C99: a start while it is away denies nothing, and is right once it is there", async () => {
      await gateway.close();
      await using subject = await start("100ms");
      expect(await subject.ask(`far.${at} A`)).to.equal("SERVFAIL EDE 14");
      expect(await subject.readiness()).to.match(/^503 kubernetes/);
      await gateway.open();
      await subject.tells({ [`far.${at} A`]: `NOERROR A 192.0.2.${80 + CHANGES - 1}`, [`nosuch.${at} A`]: "NXDOMAIN" });
      expect(await subject.readiness()).to.equal("200 OK");
    });

    it("C105: streams that are open and silent are given up, and the changes behind them come", async () => {
      await cluster().apply(slice("far", ["192.0.2.50"]));
      await using source = startSource();
      await source.tells("192.0.2.50", 5);
      gateway.freeze();
      await cluster().apply(slice("far", ["192.0.2.51"]));
      const waitedMs = await source.tells("192.0.2.51", 100);
      expect(waitedMs).to.be.greaterThan(30_000).and.at.most(135_000);
    });

    it("C108: a version that the server has not reached, as after its etcd was restored: silence, then a list", async () => {
      await cluster().apply(slice("far", ["192.0.2.50"]));
      await using source = startSource();
      await source.tells("192.0.2.50", 5);
      gateway.intercept = ({ query }) => void (query.has("resourceVersion") && query.set("resourceVersion", FUTURE));
      gateway.cut();
      await source.passes(() => gateway.passed.at(-1)?.query.get("resourceVersion") === FUTURE, 5);
      await cluster().apply(slice("far", ["192.0.2.51"]));
      const waitedMs = await source.tells("192.0.2.51", 250);
      gateway.intercept = undefined;
      expect(waitedMs).to.be.greaterThan(250_000).and.at.most(270_000);
    });

    interface Source extends AsyncDisposable {
      /** Moves time on until something is so; gives how far. */
      passes(isSo: () => boolean, stepMs: number): Promise<number>;
      /** … until these are the addresses of `far`. */
      tells(addresses: string, stepMs: number): Promise<number>;
    }

    // The source alone, whose time is the test's.
    function startSource(): Source {
      const folder = temporaryFolder({ kubeconfig: kubeconfig({ url: gateway.url, authority: gateway.authority, token }) });
      const clock = fakeClock(Date.now());
      const registry = createRegistry({ sources: ["kubernetes"], now: () => clock.now() });
      const ending = new AbortController();
      const { namespace } = cluster();
      const source = kubeApiSource({
        access: { kind: "kubeconfig", file: join(folder.path, "kubeconfig") },
        namespaces: [namespace],
        endpoints: true,
        pods: "drop",
        multicluster: false,
        staleAfterMs: 300_000,
        limits: {},
        clock,
        log: recordedLog(),
        metrics: createMetrics(),
        env: {},
      });
      const ended = source.run(registry, () => registry.markSynced("kubernetes"), ending.signal);
      const addresses = (): string =>
        registry
          .slices(namespace, "far")
          .flatMap(({ endpoints }) => endpoints.flatMap((one) => one.addresses))
          .join();
      // Real time for what goes over sockets, and many times as much for what waits.
      const passes = async (isSo: () => boolean, stepMs: number): Promise<number> => {
        const endMs = performance.now() + MOST_MS;
        let movedMs = 0;
        for (; !isSo() && performance.now() < endMs; movedMs += stepMs) {
          await wait(REAL_STEP_MS);
          await clock.advance(stepMs);
        }
        expect(isSo()).to.equal(true);
        return movedMs;
      };
      return {
        passes,
        tells: (wanted, stepMs) => passes(() => registry.synced && addresses() === wanted, stepMs),
        async [Symbol.asyncDispose]() {
          ending.abort();
          await ended;
          folder[Symbol.dispose]();
        },
      };
    }
  });
}
