// What every listener keeps to when another configuration takes over (serve()): nothing that was asked is lost, no
// connection ends, and what threads had of the configuration before comes back. Run by test/listeners/serve.test.ts.

import { readdirSync } from "node:fs";
import { expect } from "chai";
import type { Listener, ListenerOptions, ServedBy } from "../../src/listeners/listener.ts";
import { headerOf, query } from "../helpers/dns-client.ts";
import { isGone } from "../helpers/garbage.ts";
import {
  askerOf,
  generation,
  HIT,
  LATER,
  load as loadOver,
  MISS,
  numberOf,
  type Bounds,
  type Generation,
  type Load,
} from "../helpers/generations.ts";
import { countedMetrics, recordedLog, until, type RecordedLog } from "../helpers/listening.ts";

export type ServeFactory = (options: ListenerOptions & ServedBy) => Listener;

interface Served extends AsyncDisposable {
  readonly listener: Listener;
  readonly log: RecordedLog;
}

/** Starts a listener on loopback. */
export async function served(create: ServeFactory, first: ServedBy, address = "127.0.0.1"): Promise<Served> {
  const log = recordedLog();
  const { responder, share, unshare } = first;
  const listener = create({ address, port: 0, responder, share, unshare, log, metrics: countedMetrics() });
  await listener.start();
  return { listener, log, [Symbol.asyncDispose]: () => listener.stop(0) };
}

export function serveContract(name: string, create: ServeFactory, rounds: number, connect: typeof askerOf = askerOf): void {
  const load = (listener: Listener, bounds: Bounds, clients: number): Promise<Load> => loadOver(listener, bounds, clients, connect);
  describe(`${name}: another configuration takes over`, function () {
    this.timeout(30_000 + rounds * 1000);

    it(`${rounds} times under load: nothing is lost, what is asked afterwards is answered by the new one, fronts come back`, async () => {
      const generations = [await generation(0)];
      const dns = await served(create, generations[0] as Generation);
      const bounds = { oldest: 0, newest: 0 };
      const asking = await load(dns.listener, bounds, 4);
      const answeredBy = (number: number) => (): boolean => asking.failure !== undefined || asking.answered.has(number);
      await until(answeredBy(0), "the first answers");
      let before = openThings();
      const lines = dns.log.lines.length;
      for (let number = 1; number <= rounds && asking.failure === undefined; number++) {
        const next = await generation(number);
        generations.push(next);
        bounds.newest = number;
        await dns.listener.serve(next);
        bounds.oldest = number;
        expect(generations.slice(0, -1).filter(isLent), "fronts of those before").to.deep.equal([]);
        await until(answeredBy(number), "the new one answers");
        if (number === 1) before = openThings();
      }
      const after = openThings();
      await asking.end();
      await dns.listener.stop(1000);
      expect(generations.filter(isLent)).to.deep.equal([]);
      expect(generations.filter(({ strangers }) => strangers > 0)).to.deep.equal([]);
      expect(dns.log.lines.slice(lines)).to.deep.equal([]);
      expect(after.descriptors).to.be.at.most(before.descriptors);
      expect(after.threads).to.be.at.most(before.threads);
    });

    it("an open connection goes on, and an answer that was promised before is sent", async () => {
      const [first, second] = [await generation(1), await generation(2)];
      await using dns = await served(create, first);
      const connection = await connect(dns.listener);
      let promise: (answer: Uint8Array) => void = () => {};
      const { respond } = first.responder;
      first.responder.respond = (io) => {
        const answer = respond(io);
        if (typeof answer === "number") return answer;
        return answer.then((bytes) => new Promise((resolve) => (promise = () => resolve(bytes))));
      };
      const asked = promise;
      connection.send(query({ name: LATER, id: 1 }));
      await until(() => promise !== asked, "it is asked");
      await dns.listener.serve(second);
      for (const [id, asks] of [HIT, MISS].entries()) {
        connection.send(query({ name: asks, id: 10 + id }));
        const answer = (await connection.receive()) as Buffer;
        expect([headerOf(answer).id, numberOf(answer)]).to.deep.equal([10 + id, 2]);
      }
      promise(new Uint8Array());
      const promised = (await connection.receive()) as Buffer;
      expect([headerOf(promised).id, numberOf(promised)]).to.deep.equal([1, 1]);
      connection.close();
    });

    it("nothing of the configuration before is kept", async () => {
      const [dns, first] = await (async () => {
        const before = await generation(1);
        return [await served(create, before), new WeakRef(before.responder)] as const;
      })();
      const asking = await load(dns.listener, { oldest: 1, newest: 2 }, 1);
      await until(() => asking.failure !== undefined || asking.answered.has(1), "the first answers");
      await dns.listener.serve(await generation(2));
      await until(() => asking.failure !== undefined || asking.answered.has(2), "the second answers");
      await asking.end();
      await isGone(first, "the first");
      await dns.listener.stop(1000);
    });

    it("several at once end with the last", async () => {
      const [first, ...later] = (await Promise.all([1, 2, 3, 4, 5].map(generation))) as [Generation, ...Generation[]];
      await using dns = await served(create, first);
      const asking = await load(dns.listener, { oldest: 1, newest: 5 }, 2);
      await until(() => asking.failure !== undefined || asking.answered.has(1), "the first answers");
      await Promise.all(later.map((next) => dns.listener.serve(next)));
      expect([first, ...later.slice(0, -1)].filter(isLent)).to.deep.equal([]);
      await until(() => asking.failure !== undefined || asking.answered.has(5), "the last answers");
      await asking.end();
      await dns.listener.stop(1000);
      expect([first, ...later].filter(isLent)).to.deep.equal([]);
    });

    it("stop() while it does ends both", async () => {
      const [first, second] = [await generation(1), await generation(2)];
      const dns = await served(create, first);
      const asking = await load(dns.listener, { oldest: 1, newest: 2 }, 1);
      await until(() => asking.answered.has(1), "it answers");
      await asking.end();
      const taken = dns.listener.serve(second);
      await Promise.all([dns.listener.stop(1000), taken]);
      expect([first, second].filter(isLent)).to.deep.equal([]);
      await dns.listener.serve(first);
      expect([first, second].filter(isLent)).to.deep.equal([]);
    });

    it("before start() it is the first", async () => {
      const [first, second] = [await generation(1), await generation(2)];
      const { responder, share, unshare } = first;
      const listener = create({ address: "127.0.0.1", port: 0, responder, share, unshare, log: recordedLog(), metrics: countedMetrics() });
      await listener.serve(second);
      await listener.start();
      const asking = await load(listener, { oldest: 2, newest: 2 }, 1);
      await until(() => asking.failure !== undefined || asking.answered.has(2), "it answers");
      await asking.end();
      await listener.stop(1000);
      expect(first.shared).to.equal(0);
      expect(isLent(second)).to.equal(false);
    });
  });
}

/** A thread still has a front, or gave one back twice. */
export function isLent({ shared, back }: Generation): boolean {
  return shared !== back;
}

/** Descriptors and threads of this process. */
function openThings(): { descriptors: number; threads: number } {
  return { descriptors: readdirSync("/proc/self/fd").length, threads: readdirSync("/proc/self/task").length };
}
