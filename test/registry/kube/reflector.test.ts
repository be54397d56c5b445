// One resource against a scripted server and a clock that the test moves: what is asked, when, and what the registry has.

import { expect } from "chai";
import { createMirror, type Mirror } from "../../../src/registry/kube/mirror.ts";
import { projectService, projectSlice, type Project } from "../../../src/registry/kube/projection.ts";
import { reflect } from "../../../src/registry/kube/reflector.ts";
import type { Applied } from "../../../src/registry/objects.ts";
import { createRegistry, type Registry } from "../../../src/registry/registry.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import {
  bookmark,
  event,
  initialEnd,
  listOf,
  rawService,
  rawSlice,
  status,
  stubClient,
  type StubClient,
  type StubRequest,
} from "./stub-client.ts";

interface Reflected extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly client: StubClient;
  readonly registry: Registry;
  readonly mirror: Mirror;
  /** What the reflector has told: `listed`, `relist`, `restart REASON`, `problem TEXT`, `well`. */
  readonly told: string[];
  /** Each batch that the registry has applied, as text. */
  readonly batches: string[];
  /** When the server was heard of. */
  readonly contacts: number[];
  /** Lets happen what needs no time; gives the newest request. */
  settled(): Promise<StubRequest>;
  /** Moves the clock on until another request comes; gives the time that took. */
  next(boundMs: number): Promise<number>;
  /** Answers the first request as a server with WatchList does. */
  listed(...items: readonly unknown[]): Promise<StubRequest>;
}

interface Settings {
  readonly random?: number;
  readonly project?: Project;
}

async function start({ random = 0.5, project = projectService }: Settings = {}): Promise<Reflected> {
  const clock = fakeClock();
  const client = stubClient(clock);
  const registry = createRegistry();
  const ending = new AbortController();
  const told: string[] = [];
  const batches: string[] = [];
  const contacts: number[] = [];
  const mirror = createMirror({ project, onSkip: () => told.push("skip") });
  registry.subscribe((changes: readonly Applied[]) => batches.push(changes.map(({ verb, object }) => `${verb} ${object.name}`).join(", ")));
  const run = reflect(
    {
      path: "/api/v1/services",
      query: { labelSelector: "a=b" },
      client,
      clock,
      mirror,
      apply: (changes) => registry.apply(...changes),
      onListed: () => told.push("listed"),
      onApplied: () => {},
      onContact: () => void contacts.push(clock.monotonic()),
      onProblem: (problem) => (problem === undefined ? told.at(-1) === "well" || told.push("well") : told.push(`problem ${problem.text}`)),
      onRelist: () => told.push("relist"),
      onRestart: (reason) => told.push(`restart ${reason}`),
      onTooLarge: () => told.push("too large"),
      random: () => random,
    },
    ending.signal,
  );
  await clock.settle();
  const reflected: Reflected = {
    clock,
    client,
    registry,
    mirror,
    told,
    batches,
    contacts,
    async settled() {
      await clock.settle();
      return client.last();
    },
    async next(boundMs) {
      const [count, from] = [client.requests.length, clock.monotonic()];
      await clock.settle();
      while (client.requests.length === count) {
        const waiting = clock.waiting[0];
        if (waiting === undefined || clock.monotonic() + waiting - from > boundMs)
          expect.fail(`no request within ${boundMs} ms; waiting: ${clock.waiting.join()}; told: ${told.join()}`);
        await clock.advance(waiting);
      }
      return clock.monotonic() - from;
    },
    async listed(...items) {
      const request = client.last().open();
      request.send(...items.map((item) => event("ADDED", item)), initialEnd(100));
      await clock.settle();
      told.length = batches.length = 0;
      return request;
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await run;
    },
  };
  return reflected;
}

const addressOf = (registry: Registry, name = "web"): string | undefined => registry.service("default", name)?.clusterIPs[0];

describe("registry/kube: the first list", () => {
  it("is asked for at once, as a watch that begins with all there is", async () => {
    await using it = await start();
    const { path, verb, query, atMs } = it.client.last();
    expect({ path, verb, atMs }).to.deep.equal({ path: "/api/v1/services", verb: "watch", atMs: 0 });
    const { timeoutSeconds, ...others } = query;
    expect(others).to.deep.equal({
      watch: "true",
      sendInitialEvents: "true",
      resourceVersionMatch: "NotOlderThan",
      allowWatchBookmarks: "true",
      labelSelector: "a=b",
    });
    expect(Number(timeoutSeconds)).to.be.within(300, 600);
  });

  it("is whole with the bookmark that says so, and goes on as a watch", async () => {
    await using it = await start();
    const request = it.client.last().open();
    request.send(event("ADDED", rawService("web", 5)));
    await it.clock.settle();
    expect(it.told).to.deep.equal([]);
    request.send(initialEnd(100), event("MODIFIED", rawService("web", 101, "10.0.0.2")));
    await it.clock.settle();
    expect(it.told).to.deep.equal(["well", "listed"]);
    expect(addressOf(it.registry)).to.equal("10.0.0.2");
    expect(it.client.requests).to.have.lengthOf(1);
  });

  for (const code of [400, 405, 422]) {
    it(`is asked for in pages where the server answers ${code} to that`, async () => {
      await using it = await start();
      it.client.last().answer(code, status(code, "Invalid"));
      const first = await it.settled();
      expect(first).to.deep.include({ verb: "list", query: { limit: "500", labelSelector: "a=b" } });
      first.answer(200, listOf(100, [rawService("a", 1)], { continue: "token" }));
      const second = await it.settled();
      expect(second.query).to.deep.equal({ limit: "500", continue: "token", labelSelector: "a=b" });
      expect(it.told).to.deep.equal([]);
      second.answer(200, listOf(100, [rawService("b", 2)]));
      const watch = await it.settled();
      expect(watch.query).to.include({ watch: "true", resourceVersion: "100", allowWatchBookmarks: "true" });
      expect(it.told).to.deep.equal(["well", "listed"]);
      expect(it.mirror.size).to.equal(2);
    });
  }

  it("is asked for in pages where the server knows nothing of initial events", async () => {
    await using it = await start();
    it.client
      .last()
      .open()
      .send(event("ADDED", rawService("web", 5)), bookmark(100));
    await it.next(2_000);
    expect(it.client.last().verb).to.equal("list");
  });

  it("starts over when its token has expired, in one page (C104)", async () => {
    await using it = await start();
    it.client.last().answer(422, status(422, "Invalid"));
    (await it.settled()).answer(200, listOf(100, [rawService("a", 1)], { continue: "token" }));
    (await it.settled()).answer(410, status(410, "Expired", { metadata: { continue: "inconsistent" } }));
    expect(await it.next(1_000)).to.equal(500);
    expect(it.client.last().query).to.deep.equal({ labelSelector: "a=b" });
    it.client.last().answer(200, listOf(101, [rawService("b", 2)]));
    await it.clock.settle();
    expect([...it.registry.services()].map(({ name }) => name)).to.deep.equal(["b"]);
  });

  it("is empty where the server says so", async () => {
    await using it = await start();
    it.client.last().answer(400, "");
    (await it.settled()).answer(200, listOf(100, null));
    await it.clock.settle();
    expect(it.told).to.deep.equal(["well", "listed"]);
  });

  const broken: Readonly<Record<string, string>> = {
    "an empty body": "",
    HTML: "<html>502</html>",
    "JSON cut short": '{"kind":"ServiceList","items":[{"metadata":{"name":"x"',
    "200 with kind Status": JSON.stringify(status(500, "InternalError")),
    "no version": JSON.stringify({ kind: "ServiceList", metadata: {}, items: [] }),
    "something else": JSON.stringify({ kind: "Version" }),
  };
  for (const [what, body] of Object.entries(broken)) {
    it(`${what} instead of it is a problem, and asked for again (C103)`, async () => {
      await using it = await start();
      it.client.last().answer(400, "");
      (await it.settled()).answer(200, body);
      const ms = await it.next(3_000);
      expect(ms).to.be.within(1_000, 2_000);
      expect(it.told[0]).to.match(/^problem ./);
      it.client.last().answer(200, listOf(100, [rawService("web", 1)]));
      await it.clock.settle();
      expect(it.told.slice(1)).to.deep.equal(["well", "listed"]);
    });
  }

  it("fails and is tried again after 1–30 s, longer each time (C99)", async () => {
    await using it = await start({ random: 1 });
    const delays: number[] = [];
    for (let n = 0; n < 7; n++) {
      it.client.last().fail("unreachable", "connection refused by 192.0.2.1:6443");
      delays.push(await it.next(30_000));
    }
    expect(delays).to.deep.equal([2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    expect(it.told[0]).to.equal("problem connection refused by 192.0.2.1:6443");
    await using other = await start({ random: 0 });
    other.client.last().fail("unreachable", "…");
    expect(await other.next(30_000)).to.equal(1_000);
  });

  it("waits as long as a 429 says, and a little longer (C102)", async () => {
    await using it = await start();
    it.client.last().answer(429, status(429, "TooManyRequests"), 7_000);
    expect(await it.next(10_000)).to.equal(7_500);
    expect(it.told).to.deep.equal(["problem 429 TooManyRequests"]);
  });

  it("is refused by RBAC: a problem, and tried again, less and less often (C101)", async () => {
    await using it = await start();
    const delays: number[] = [];
    for (let n = 0; n < 5; n++) {
      it.client.last().answer(403, status(403, "Forbidden"));
      delays.push(await it.next(30_000));
    }
    expect(delays.at(-1)).to.be.within(15_000, 30_000);
    expect(it.told).to.deep.equal(Array.from({ length: 5 }, () => "problem 403 Forbidden"));
    await it.listed(rawService("web", 5));
    expect(addressOf(it.registry)).to.equal("10.0.0.1");
  });
});

describe("registry/kube: a watch", () => {
  it("gives what comes together as one batch, at once", async () => {
    await using it = await start({ project: projectSlice });
    const request = await it.listed(rawSlice("a", 1, ["10.1.0.1"]), rawSlice("b", 2, []));
    request.send(event("MODIFIED", rawSlice("a", 101, [])), event("MODIFIED", rawSlice("b", 102, ["10.1.0.1"])));
    await it.clock.settle();
    expect(it.batches).to.deep.equal(["upsert a, upsert b"]);
    request.send(event("DELETED", rawSlice("a", 103, [])));
    await it.clock.settle();
    expect(it.batches).to.deep.equal(["upsert a, upsert b", "delete a"]);
    expect(it.clock.monotonic()).to.equal(0);
  });

  it("that the server ends goes on from the last version seen, bookmarks included, in 0.1–0.3 s", async () => {
    await using it = await start();
    const request = await it.listed();
    request.send(event("ADDED", rawService("web", 105)), bookmark(120));
    await it.clock.settle();
    request.end();
    expect(await it.next(1_000)).to.be.within(100, 300);
    expect(it.client.last().query).to.include({ resourceVersion: "120", watch: "true" }).and.not.to.have.property("sendInitialEvents");
    expect(it.told).to.deep.equal(["restart ended"]);
  });

  it("that is cut goes on just so, and nobody calls that a problem (C107)", async () => {
    await using it = await start();
    const request = await it.listed();
    request.send(event("ADDED", rawService("web", 105)));
    await it.clock.settle();
    request.cut();
    expect(await it.next(1_000)).to.be.within(100, 300);
    expect(it.client.last().query["resourceVersion"]).to.equal("105");
    expect(it.told).to.deep.equal(["restart cut"]);
    it.client
      .last()
      .open()
      .send(event("MODIFIED", rawService("web", 106, "10.0.0.2")));
    await it.clock.settle();
    expect(addressOf(it.registry)).to.equal("10.0.0.2");
  });

  it("is opened again within 2 s however long the server is away, and the registry stays (C106)", async () => {
    await using it = await start({ random: 1 });
    const request = await it.listed(rawService("web", 5));
    request.cut();
    const delays: number[] = [];
    while (it.clock.monotonic() < 600_000) {
      delays.push(await it.next(2_000));
      it.client.last().fail("unreachable", "connection refused");
    }
    expect(Math.max(...delays)).to.equal(1_750);
    expect(addressOf(it.registry)).to.equal("10.0.0.1");
    await it.next(2_000);
    it.client.last().open();
    await it.clock.advance(250); // open for so long, be it silent
    expect(it.told.at(-1)).to.equal("well");
    expect(it.client.requests.every(({ verb }) => verb === "watch")).to.equal(true);
  });

  it("with an ERROR of 410 is followed by a list after a random 0–1 s, whose differences are applied (C104)", async () => {
    await using it = await start();
    const request = await it.listed(rawService("web", 5), rawService("gone", 6));
    request.send(event("MODIFIED", rawService("web", 101, "10.0.0.2")), event("ERROR", status(410, "Expired")));
    expect(await it.next(1_000)).to.equal(500);
    expect(it.told).to.deep.equal(["restart expired", "relist"]);
    expect(addressOf(it.registry), "what came before the error counts").to.equal("10.0.0.2");
    expect(it.client.last().query).to.include({ sendInitialEvents: "true" });
    const relist = it.client.last().open();
    it.batches.length = 0;
    relist.send(event("ADDED", rawService("new", 110)));
    await it.clock.settle();
    expect(it.batches, "nothing before all is known").to.deep.equal([]);
    relist.send(event("ADDED", rawService("web", 101, "10.0.0.2")), initialEnd(120));
    await it.clock.settle();
    expect(it.batches).to.deep.equal(["upsert new, delete gone"]);
  });

  it("that is expired again and again, right after each list, is no reason to list without end", async () => {
    await using it = await start();
    await it.listed(rawService("web", 5));
    const delays: number[] = [];
    for (let n = 0; n < 8; n++) {
      it.client.requests.at(-1)?.send(event("ERROR", status(410, "Expired")));
      delays.push(await it.next(30_000));
      it.client.last().open().send(initialEnd(100));
      await it.clock.settle();
    }
    expect(delays.slice(0, 3)).to.deep.equal([500, 500, 500]);
    expect(delays.at(-1)).to.be.greaterThan(10_000);
  });

  it("whose list and first error come together has been listed all the same", async () => {
    await using it = await start();
    it.client
      .last()
      .open()
      .send(event("ADDED", rawService("web", 5)), initialEnd(100), event("ERROR", status(500, "InternalError")));
    await it.next(2_000);
    expect(it.told).to.include("listed");
    expect(it.client.last().query["resourceVersion"]).to.equal("100");
  });

  it("that HTTP 410 refuses is followed by a list just so (C104)", async () => {
    await using it = await start();
    (await it.listed(rawService("web", 5))).end();
    await it.next(1_000);
    it.client.last().answer(410, status(410, "Expired"));
    expect(await it.next(1_000)).to.equal(500);
    expect(it.client.last().query).to.include({ sendInitialEvents: "true" });
    expect(it.told).to.deep.equal(["restart ended", "restart expired", "relist"]);
    expect(addressOf(it.registry)).to.equal("10.0.0.1");
  });

  it("from a version that the server does not have yet is followed by a list", async () => {
    await using it = await start();
    (await it.listed()).end();
    await it.next(1_000);
    const details = { causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }] };
    it.client.last().answer(504, status(504, "Timeout", { details }), 1_000);
    await it.next(1_000);
    expect(it.told).to.deep.equal(["restart ended", "restart expired", "relist"]);
  });

  it("without a byte for 130 s is given up and goes on from where it was (C105, coredns#3587)", async () => {
    await using it = await start();
    const request = await it.listed(rawService("web", 5));
    await it.clock.advance(129_000);
    request.send(bookmark(130));
    await it.clock.advance(129_000);
    expect(request.signal.aborted).to.equal(false);
    await it.clock.advance(1_000);
    expect(request.signal.aborted).to.equal(true);
    await it.next(1_000);
    expect(it.told).to.deep.equal(["restart stalled"]);
    expect(it.client.last().query["resourceVersion"]).to.equal("130");
  });

  it("that stays without even a bookmark, twice in a row, is followed by a list: a restored server has not reached the version (C108)", async () => {
    await using it = await start();
    (await it.listed(rawService("web", 500))).end();
    await it.next(1_000);
    it.client.last().open();
    await it.clock.advance(130_000);
    await it.next(1_000);
    expect(it.client.last().query["resourceVersion"]).to.equal("100");
    it.client.last().open();
    await it.clock.advance(130_000);
    await it.next(1_000);
    expect(it.client.last().query).to.include({ sendInitialEvents: "true" });
    expect(it.told.filter((what) => what !== "well")).to.deep.equal([
      "restart ended",
      "restart stalled",
      "problem nothing was sent for 130 s",
      "restart stalled",
      "relist",
    ]);
  });

  it("whose head never comes is given up too", async () => {
    await using it = await start();
    await it.clock.advance(130_000);
    await it.next(2_000);
    expect(it.client.requests).to.have.lengthOf(2);
    expect(it.told).to.deep.equal(["problem nothing was sent for 130 s"]);
  });

  const broken: Readonly<Record<string, string>> = {
    HTML: "<html>504</html>",
    "an event cut short": '{"type":"MODIFIED","object":{"metadata":{"na',
    "a Status": JSON.stringify(status(500, "InternalError")),
    "an ERROR of 500": JSON.stringify(event("ERROR", status(500, "InternalError"))),
    "an event without a type": JSON.stringify({ object: {} }),
  };
  for (const [what, body] of Object.entries(broken)) {
    it(`with ${what} goes on from where it was; the registry is kept (C103)`, async () => {
      await using it = await start();
      const request = await it.listed(rawService("web", 5));
      request.send(body);
      await it.clock.settle();
      request.end();
      await it.next(2_000);
      expect(it.client.last().query["resourceVersion"]).to.equal("100");
      expect(it.told[0]).to.match(/^restart (malformed|refused)$/);
      expect(addressOf(it.registry)).to.equal("10.0.0.1");
    });
  }

  it("with events that are wrong, of unknown types or out of order goes on (C108, C110)", async () => {
    await using it = await start();
    const request = await it.listed(rawService("web", 5));
    request.send(
      event("ADDED", null),
      event("ADDED", {}),
      event("MODIFIED", { ...rawService("web", 103), spec: null }),
      event("LATER", rawService("web", 104)),
      event("DELETED", rawService("web", 4)),
      event("DELETED", rawService("unknown", 105)),
      event("MODIFIED", rawService("web", 102, "10.0.0.2")),
    );
    await it.clock.settle();
    expect(addressOf(it.registry)).to.equal("10.0.0.2");
    expect(it.told).to.deep.equal(["skip", "skip", "skip"]);
    request.cut();
    await it.next(1_000);
    expect(it.client.last().query["resourceVersion"], "the highest seen").to.equal("105");
  });

  it("that is forbidden later is a problem, tried less and less often; the registry is kept", async () => {
    await using it = await start({ random: 1 });
    (await it.listed(rawService("web", 5))).end();
    const delays: number[] = [];
    for (let n = 0; n < 11; n++) {
      delays.push(await it.next(30_000));
      it.client.last().answer(403, status(403, "Forbidden"));
    }
    expect(delays.at(-1)).to.equal(30_000);
    expect(it.told).to.include("problem 403 Forbidden");
    expect(addressOf(it.registry)).to.equal("10.0.0.1");
  });

  it("that is forbidden by a server that has just come back, and reads its roles yet, is tried again soon (C99)", async () => {
    await using it = await start({ random: 1 });
    (await it.listed(rawService("web", 5))).end();
    for (let n = 0; n < 20; n++) {
      await it.next(2_000);
      it.client.last().fail("unreachable", "connection refused");
    }
    for (let n = 0; n < 5; n++) {
      await it.next(2_000);
      it.client.last().answer(403, status(403, "Forbidden"));
    }
    await it.next(2_000);
  });

  it("is listed soon where a server that was away refuses at first", async () => {
    await using it = await start({ random: 1 });
    for (let n = 0; n < 20; n++) {
      it.client.last().fail("unreachable", "connection refused");
      await it.next(30_000);
    }
    it.client.last().answer(403, status(403, "Forbidden"));
    expect(await it.next(30_000)).to.equal(2_000);
  });

  it("ends with its signal, in whatever state", async () => {
    for (const prepare of [
      async () => {},
      async (it: Reflected) => void (await it.listed()),
      async (it: Reflected) => it.client.last().fail("unreachable", "…"),
      async (it: Reflected) => (await it.listed()).cut(),
    ]) {
      const it = await start();
      await prepare(it);
      await it.clock.settle();
      await it[Symbol.asyncDispose]();
      expect(it.clock.waiting).to.deep.equal([]);
    }
  });
});

describe("registry/kube: contact", () => {
  const object = JSON.stringify(event("MODIFIED", rawService("web", 101)));
  const rubbish: Readonly<Record<string, readonly unknown[]>> = {
    HTML: ["<html>captive portal</html>"],
    nothing: [],
    "an event that is cut short": [object.slice(0, -10)],
    "lines of rubbish": ["x".repeat(100_000), "\n"],
    "events of nothing": [event("ADDED", {}), event("ADDED", { kind: "Service" }), event("BOGUS", null)],
  };
  for (const [what, pieces] of Object.entries(rubbish)) {
    it(`is not ${what} with status 200, for as long as that lasts, and soon it is a problem (C103)`, async () => {
      await using it = await start();
      const first = await it.listed();
      it.contacts.length = 0;
      first.cut();
      for (let n = 0; n < 40; n++) {
        await it.next(2_000);
        it.client.last().answer(200, pieces.map((piece) => (typeof piece === "string" ? piece : `${JSON.stringify(piece)}\n`)).join(""));
      }
      await it.clock.settle();
      expect(it.contacts).to.deep.equal([]);
      if (what !== "nothing" && what !== "events of nothing")
        expect(it.told.filter((text) => text.startsWith("problem"))).not.to.have.lengthOf(0);
      expect(it.told).not.to.include("well");
    });
  }

  it("is not a list that is cut short each time, but one that is whole (C103)", async () => {
    await using it = await start();
    it.client.last().answer(400, "");
    const whole = JSON.stringify(listOf(100, [rawService("a", 1), rawService("b", 2)]));
    (await it.settled()).answer(200, whole.slice(0, -30));
    await it.next(3_000);
    expect(it.contacts).to.deep.equal([]);
    it.client.last().answer(200, whole);
    await it.clock.settle();
    expect(it.contacts).not.to.have.lengthOf(0);
  });

  for (const [what, piece] of Object.entries({ "an event": event("MODIFIED", rawService("web", 101)), "a bookmark": bookmark(102) })) {
    it(`is ${what}, and the end of a problem`, async () => {
      await using it = await start();
      (await it.listed()).cut();
      await it.next(1_000);
      it.client.last().fail("unreachable", "connection refused");
      await it.next(1_000);
      expect(it.told.at(-1)).to.equal("problem connection refused");
      it.contacts.length = 0;
      it.client.last().open().send(piece);
      await it.clock.settle();
      expect(it.contacts).to.have.lengthOf(1);
      expect(it.told.at(-1)).to.equal("well");
    });
  }

  it("is a watch that the server has kept open for a quarter of a second, be it silent", async () => {
    await using it = await start();
    (await it.listed()).cut();
    await it.next(1_000);
    it.contacts.length = 0;
    it.client.last().open();
    await it.clock.settle();
    expect(it.contacts).to.deep.equal([]);
    await it.clock.advance(250);
    expect(it.contacts).to.have.lengthOf(1);
  });
});

describe("registry/kube: a large list", () => {
  it("is applied in pieces that keep a Service's slices together, while the event loop runs (C111, C112)", async () => {
    await using it = await start({ project: projectSlice });
    const services = Array.from({ length: 100 }, (_, n) => `svc-${n}`);
    const slices = (version: number, address: string): unknown[] =>
      services.flatMap((service, n) =>
        [1, 2, 3].map((part) => rawSlice(`${service}-${part}`, version + n, [`${address}.${part}`], service)),
      );
    const request = await it.listed(...slices(1, "10.1.0"));
    request.send(event("ERROR", status(410, "Expired")));
    await it.next(1_000);
    const seen = new Set<string>();
    it.registry.subscribe((changes) => {
      const ofBatch = new Set(changes.map(({ object }) => (object.kind === "EndpointSlice" ? object.service : "")));
      for (const service of ofBatch) {
        expect(seen.has(service), `${service} in two batches`).to.equal(false);
        seen.add(service);
      }
    });
    const relist = it.client.last().open();
    relist.send(...slices(1001, "10.2.0").map((slice) => event("ADDED", slice)));
    relist.send(initialEnd(2_000));
    await it.clock.settle();
    await it.clock.settle();
    expect(it.batches.length).to.be.greaterThan(1);
    expect(seen).to.have.lengthOf(100);
  });
});
