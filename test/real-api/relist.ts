// Lists from a real API server: streamed with a watch, in pages where that is refused, and again when versions are gone.

import { expect } from "chai";
import { setImmediate as nextTurn } from "node:timers/promises";
import { inBatches, type RealCluster } from "./cluster.ts";
import { EXPIRED, startGateway, type Gateway, type Instead } from "./gateway.ts";
import { headless, reverse, slice, startSubject, type Subject } from "./subject.ts";

const ALL = ["services", "endpointslices", "pods"];
/** More than one page, which has 500. */
const MANY = 600;

/** What an API server without WatchList answers (Kubernetes 1.33 and older, or the feature gate off). */
const NO_WATCH_LIST: Instead = {
  status: 422,
  body: {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message:
      'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    reason: "Invalid",
    details: { group: "meta.k8s.io", kind: "ListOptions" },
    code: 422,
  },
};

export function relistSuite(cluster: () => RealCluster): void {
  describe("lists", () => {
    let gateway: Gateway;
    let at: string;
    let token: string;
    const all = Array.from({ length: MANY }, (_, n) => `many-${n}`);
    const addressOf = (n: number): string => `198.18.${n >> 8}.${n & 255}`;

    before(async () => {
      at = `${cluster().namespace}.svc.cluster.local`;
      gateway = await startGateway(cluster().server);
      token = await cluster().account("lists", ALL);
      await inBatches(all, (name) => cluster().apply(headless(name)));
      await inBatches(all, (name) => cluster().apply(slice(name, [addressOf(Number(name.slice(5)))])));
    });

    beforeEach(() => {
      gateway.intercept = undefined;
      gateway.passed.length = 0;
    });

    after(() => (gateway as Gateway | undefined)?.[Symbol.asyncDispose]());

    async function start(): Promise<Subject> {
      const access = { url: gateway.url, authority: gateway.authority, token };
      return startSubject({ kubeconfig: access, options: [`namespaces ${cluster().namespace}`] });
    }

    async function tellsAll(subject: Subject, missing: readonly number[] = []): Promise<void> {
      const asked = all.map((name, n): [string, string] => [
        `${name}.${at} A`,
        missing.includes(n) ? "NXDOMAIN" : `NOERROR A ${addressOf(n)}`,
      ]);
      await subject.tells({
        ...Object.fromEntries(asked),
        [`${reverse(addressOf(1))} PTR`]: `NOERROR PTR ${addressOf(1).replaceAll(".", "-")}.many-1.${at}.`,
      });
    }

    const requests = (verb: "list" | "watch", resource: string): number =>
      gateway.passed.filter((one) => one.verb === verb && one.resource === resource).length;

    it("a watch that begins with the list, where the server has it", async () => {
      await using subject = await start();
      await tellsAll(subject);
      const lists = gateway.passed.filter(({ verb, resource }) => verb === "list" && resource !== "namespaces");
      const refused = gateway.passed.some(({ query }) => query.get("sendInitialEvents") === "true") && lists.length > 0;
      expect(refused ? lists.length : 0).to.equal(lists.length);
    });

    it("pages, where it is refused; and the watch goes on from there", async () => {
      gateway.intercept = ({ query }) => (query.has("sendInitialEvents") ? NO_WATCH_LIST : undefined);
      await using subject = await start();
      await tellsAll(subject);
      expect(requests("list", "services")).to.equal(2);
      await cluster().apply(slice("many-7", ["192.0.2.90"]));
      await subject.tells({ [`many-7.${at} A`]: "NOERROR A 192.0.2.90" });
      await cluster().apply(slice("many-7", [addressOf(7)]));
      await subject.tells({ [`many-7.${at} A`]: `NOERROR A ${addressOf(7)}` });
    });

    it("a page whose list has expired: from the beginning, in one", async () => {
      let isGone = false;
      gateway.intercept = ({ query, resource }) => {
        if (query.has("sendInitialEvents")) return NO_WATCH_LIST;
        if (isGone || resource !== "services" || !query.has("continue")) return undefined;
        isGone = true;
        return { status: 410, body: EXPIRED };
      };
      await using subject = await start();
      await tellsAll(subject);
      expect(isGone).to.equal(true);
    });

    for (const [how, instead] of [
      ["410", { status: 410, body: EXPIRED }],
      ["an ERROR event", { status: 200, body: { type: "ERROR", object: EXPIRED } }],
    ] as const) {
      for (const list of ["streamed", "in pages"] as const) {
        it(`a version that is gone (${how}): all is listed again (${list}), and what was deleted meanwhile is gone`, async () => {
          const refuse = list === "in pages";
          gateway.intercept = ({ query }) => (refuse && query.has("sendInitialEvents") ? NO_WATCH_LIST : undefined);
          await using subject = await start();
          await tellsAll(subject);
          let expired = 0;
          gateway.intercept = ({ query, verb }) => {
            if (query.has("sendInitialEvents")) return refuse ? NO_WATCH_LIST : undefined;
            if (verb === "list" || expired > 3) return undefined;
            expired++;
            return instead;
          };
          await gateway.close();
          await cluster().delete(headless("many-3"));
          await cluster().delete(slice("many-4", []));
          await gateway.open();
          await tellsAll(subject, [3, 4]);
          expect(expired).to.be.greaterThan(0);
          await cluster().apply(headless("many-3"));
          await cluster().apply(slice("many-4", [addressOf(4)]));
          await tellsAll(subject);
        });
      }
    }

    it("no answer is lost while all is listed again", async () => {
      await using subject = await start();
      await tellsAll(subject);
      let isExpired = false;
      gateway.intercept = ({ query, verb }) => {
        if (verb === "list" || query.has("sendInitialEvents")) return undefined;
        isExpired = true;
        gateway.intercept = undefined;
        return { status: 410, body: EXPIRED };
      };
      gateway.cut();
      const wrong: string[] = [];
      const enough = performance.now() + RELIST_MS;
      for (let n = 0; performance.now() < enough; n = (n + 1) % MANY) {
        await nextTurn(); // lets the server read what the API sends
        const answer = await subject.ask(`many-${n}.${at} A`);
        if (answer !== `NOERROR A ${addressOf(n)}`) wrong.push(`many-${n}: ${answer}`);
      }
      expect(wrong).to.deep.equal([]);
      expect(isExpired).to.equal(true);
    });
  });
}

/** Longer than the pause before the next watch, which is at most 2 s, and the one before a list, at most 1 s. */
const RELIST_MS = 4_000;
