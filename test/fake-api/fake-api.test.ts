// The fake API server's own behaviour, where no recording shows it: what a selection gets, whom it lets in, how it fails,
// and its life as a process of its own.

import { request } from "node:http";
import { request as tlsRequest } from "node:https";
import { PassThrough } from "node:stream";
import { gunzipSync } from "node:zlib";
import { expect } from "chai";
import { bigCluster } from "../helpers/fake-api/big-cluster.ts";
import { obey } from "../helpers/fake-api/control.ts";
import { startFakeApi, type FakeApi } from "../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../helpers/fake-api/objects.ts";
import { parseScript, runScript } from "../helpers/fake-api/script.ts";
import { fakeClock } from "../helpers/fake-clock.ts";
import { until } from "../helpers/listening.ts";

const SERVICES = "/api/v1/services";

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Buffer;
}

/** What comes before the end, however it ends. */
interface Stream {
  text: string;
  ended: "" | "end" | "error";
  close(): void;
}

describe("the fake API server: lists", () => {
  it("gives what is in a namespace, or has the labels", async () => {
    await using api = await startFakeApi({ objects: [service("a", { team: "x" }), service("b"), service("c", { team: "y" }, "other")] });
    expect(await named(api, SERVICES)).to.deep.equal(["a", "b", "c"]);
    expect(await named(api, "/api/v1/namespaces/other/services")).to.deep.equal(["c"]);
    expect(await named(api, `${SERVICES}?labelSelector=team`)).to.deep.equal(["a", "c"]);
    expect(await named(api, `${SERVICES}?labelSelector=team!%3Dx`)).to.deep.equal(["b", "c"]);
    expect(await named(api, `${SERVICES}?labelSelector=team+in+(x,z)`)).to.deep.equal(["a"]);
    expect(await named(api, `${SERVICES}?labelSelector=team+notin+(x,z)`)).to.deep.equal(["b", "c"]);
    expect(await named(api, `${SERVICES}?fieldSelector=metadata.namespace%3Dother`)).to.deep.equal(["c"]);
  });

  it("pages are of one revision, whatever happens between them", async () => {
    await using api = await startFakeApi({ objects: [service("a"), service("b"), service("c")] });
    const first = await list(api, `${SERVICES}?limit=1`);
    api.delete("Service", "default", "b");
    api.apply(service("bb"));
    const second = await list(api, `${SERVICES}?limit=5&continue=${first.metadata.continue}`);
    expect(second.items.map(({ metadata }) => metadata.name)).to.deep.equal(["b", "c"]);
    expect(second.metadata.resourceVersion).to.equal(first.metadata.resourceVersion);
    expect(await named(api, SERVICES)).to.deep.equal(["a", "bb", "c"]);
  });

  it("the token of a 410 gives the rest as it is now", async () => {
    await using api = await startFakeApi({ objects: [service("a"), service("b"), service("c")] });
    const first = await list(api, `${SERVICES}?limit=1`);
    api.delete("Service", "default", "b");
    api.compact();
    const gone = await get(api, `${SERVICES}?limit=1&continue=${first.metadata.continue}`);
    expect(gone.status).to.equal(410);
    const token = (JSON.parse(gone.body.toString()) as { metadata: { continue: string } }).metadata.continue;
    expect(await named(api, `${SERVICES}?limit=1&continue=${token}`)).to.deep.equal(["c"]);
  });

  it("resourceVersion=0 pays no heed to limits, as the watch cache doesn't", async () => {
    await using api = await startFakeApi({ objects: [service("a"), service("b")] });
    expect(await named(api, `${SERVICES}?limit=1&resourceVersion=0`)).to.have.lengthOf(2);
  });

  it("big ones are compressed for those who take it", async () => {
    const size = { services: 200, endpointsEach: 2, namespaces: 10, headlessEndpoints: 250 };
    await using api = await startFakeApi({ objects: bigCluster(size) });
    const answer = await get(api, SERVICES, { "Accept-Encoding": "gzip" });
    expect(answer.headers["content-encoding"]).to.equal("gzip");
    const { items } = JSON.parse(gunzipSync(answer.body).toString()) as { items: unknown[] };
    expect(items).to.have.lengthOf(201);
    expect((await get(api, "/api/v1/namespaces", { "Accept-Encoding": "gzip" })).headers).not.to.have.property("content-encoding");
  });
});

describe("the fake API server: watches", () => {
  it("an object that leaves a selection is deleted from it", async () => {
    await using api = await startFakeApi({ objects: [service("a", { team: "x" })] });
    const stream = open(api, `${SERVICES}?watch=1&resourceVersion=${api.revision}&labelSelector=team%3Dx`);
    await watching(api);
    api.apply(service("a", { team: "y" }));
    api.apply(service("a", { team: "x" }));
    api.apply(service("b"));
    api.endWatches();
    await until(() => stream.ended === "end", "the end");
    expect(events(stream)).to.deep.equal(["DELETED a", "ADDED a"]);
  });

  it("replays what came after the revision, and begins with everything at none", async () => {
    await using api = await startFakeApi({ objects: [service("a")] });
    const { revision } = api;
    api.apply(service("b"));
    const late = open(api, `${SERVICES}?watch=1&resourceVersion=${revision}`);
    const all = open(api, `${SERVICES}?watch=1`);
    await watching(api, 2);
    await until(() => events(late).length === 1 && events(all).length === 2, "the events");
    expect([events(late), events(all)]).to.deep.equal([["ADDED b"], ["ADDED a", "ADDED b"]]);
  });

  it("bookmarks by the clock, for those who allow them, and the end after timeoutSeconds", async () => {
    const clock = fakeClock();
    await using api = await startFakeApi({ clock, objects: [service("a")] });
    const with_ = open(api, `${SERVICES}?watch=1&resourceVersion=501&allowWatchBookmarks=true&timeoutSeconds=150`);
    const without = open(api, `${SERVICES}?watch=1&resourceVersion=501&timeoutSeconds=150`);
    await watching(api, 2);
    await clock.advance(150_000);
    await until(() => with_.ended === "end" && without.ended === "end", "both end");
    expect([events(with_), events(without)]).to.deep.equal([["BOOKMARK undefined", "BOOKMARK undefined", "BOOKMARK undefined"], []]);
  });

  const old = `${SERVICES}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`;
  it("a server whose WatchList is off refuses sendInitialEvents", async () => {
    await using api = await startFakeApi({ watchList: "off" });
    expect((await get(api, old)).status).to.equal(422);
  });

  it("what is held back comes in any order", async () => {
    await using api = await startFakeApi();
    const stream = open(api, `${SERVICES}?watch=1&resourceVersion=500`);
    await watching(api);
    api.hold("services");
    api.apply(service("a"));
    api.apply(service("b"));
    api.release("services", ([a = "", b = ""]) => [b, a, b]);
    await until(() => events(stream).length === 3, "the events");
    expect(events(stream)).to.deep.equal(["ADDED b", "ADDED a", "ADDED b"]);
  });
});

describe("the fake API server: who is let in", () => {
  it("tokens, as they are rotated", async () => {
    await using api = await startFakeApi({ tokens: ["one"] });
    const status = async (token: string): Promise<number> => (await get(api, SERVICES, { Authorization: `Bearer ${token}` })).status;
    expect([await status("one"), await status("two")]).to.deep.equal([200, 401]);
    api.tokens.add("two").delete("one");
    expect([await status("one"), await status("two")]).to.deep.equal([401, 200]);
  });

  it("client certificates of its authority", async () => {
    await using api = await startFakeApi({ tls: true, tokens: ["one"], clientCertificates: true });
    const { cert, key } = api.clientCertificate();
    expect((await get(api, SERVICES, {}, { ca: api.authority.cert, cert, key })).status).to.equal(200);
    expect((await get(api, SERVICES, {}, { ca: api.authority.cert })).status).to.equal(401);
  });

  it("its own certificate is valid when it is said to be", async () => {
    await using api = await startFakeApi({ tls: { validFrom: new Date(Date.now() + 3_600_000) } });
    const refused = await get(api, SERVICES, {}, { ca: api.authority.cert }).catch((error: NodeJS.ErrnoException) => error.code);
    expect(refused).to.equal("CERT_NOT_YET_VALID");
    api.certify();
    expect((await get(api, SERVICES, {}, { ca: api.authority.cert })).status).to.equal(200);
  });

  it("roles: nowhere, or only in some namespaces", async () => {
    await using api = await startFakeApi();
    api.forbid("services", ["mine"]);
    const statuses = [SERVICES, "/api/v1/namespaces/mine/services", "/api/v1/namespaces/yours/services"].map(
      async (path) => (await get(api, path)).status,
    );
    expect(await Promise.all(statuses)).to.deep.equal([403, 200, 403]);
    api.allow("services");
    expect((await get(api, SERVICES)).status).to.equal(200);
  });
});

describe("the fake API server: faults", () => {
  it("spoil as many requests as they say, of their resource and verb", async () => {
    await using api = await startFakeApi();
    api.faults.at("services", { kind: "status", code: 429, retryAfterSeconds: 7 }, { times: 1, verb: "list" });
    const answers = [await get(api, "/api/v1/pods"), await get(api, SERVICES), await get(api, SERVICES)];
    expect(answers.map(({ status, headers }) => [status, headers["retry-after"]])).to.deep.equal([
      [200, undefined],
      [429, "7"],
      [200, undefined],
    ]);
  });

  it("bodies that are none", async () => {
    await using api = await startFakeApi({ objects: [service("a")] });
    api.faults.at("services", { kind: "status", code: 503, body: "html" }, { times: 1 });
    api.faults.at("services", { kind: "truncate", bytes: 40 }, { times: 1 });
    api.faults.at("services", { kind: "truncate", bytes: 40, cut: true }, { times: 1 });
    expect((await get(api, SERVICES)).body.toString()).to.match(/^<!DOCTYPE html>/);
    expect((await get(api, SERVICES)).body).to.have.lengthOf(40);
    const cut = await get(api, SERVICES).catch((error: NodeJS.ErrnoException) => error.code);
    expect(cut).to.equal("ECONNRESET");
  });

  it("slow: piece by piece, by the clock", async () => {
    const clock = fakeClock();
    await using api = await startFakeApi({ clock, objects: [service("a")] });
    api.faults.at("services", { kind: "slow", bytes: 100, everyMs: 1000 });
    const stream = open(api, SERVICES);
    await until(() => stream.text.length === 100, "the first piece");
    await clock.advance(3000);
    await until(() => stream.text.length === 400, "three more");
  });

  it("stalled: the connection stays and nothing comes; others work after resume()", async () => {
    await using api = await startFakeApi();
    const stream = open(api, `${SERVICES}?watch=1&resourceVersion=500`);
    await watching(api);
    api.stall();
    api.apply(service("a"));
    const silent = open(api, SERVICES);
    await until(() => api.requests.length === 2, "the request");
    api.resume();
    expect((await get(api, SERVICES)).status).to.equal(200);
    expect([stream, silent].map(({ text, ended }) => text + ended)).to.deep.equal(["", ""]);
  });

  it("cut, and stopped: the port refuses until the start, on which all is as it was", async () => {
    await using api = await startFakeApi({ objects: [service("a")] });
    const stream = open(api, `${SERVICES}?watch=1&resourceVersion=501`);
    await watching(api);
    await api.stop();
    await until(() => stream.ended === "error", "the watch broke");
    expect(await get(api, SERVICES).catch((error: NodeJS.ErrnoException) => error.code)).to.equal("ECONNREFUSED");
    await api.start();
    expect(await named(api, SERVICES)).to.deep.equal(["a"]);
  });

  it("by a script and a clock", async () => {
    const clock = fakeClock();
    await using api = await startFakeApi({ clock });
    const ended = new AbortController();
    const done = runScript(api, clock, "at 5s: 500 services times 1\nat 2s: forbid pods", ended.signal);
    const seen: number[][] = [];
    for (let second = 0; second < 6; second += 2) {
      seen.push([(await get(api, "/api/v1/pods")).status, (await get(api, SERVICES)).status]);
      await clock.advance(2000);
    }
    seen.push([(await get(api, "/api/v1/pods")).status, (await get(api, SERVICES)).status]);
    await done;
    expect(seen).to.deep.equal([
      [200, 200],
      [403, 200],
      [403, 200],
      [403, 500],
    ]);
    expect(() => parseScript("at 2s: explode")).to.throw("no such step: at 2s: explode");
  });

  it("by lines on its input", async () => {
    await using api = await startFakeApi();
    const [input, output] = [new PassThrough(), new PassThrough()];
    const obeyed = obey(api, input, output);
    input.end(`${JSON.stringify({ do: "apply", object: service("a") })}\n{"do":"compact"}\n{"do":"nonsense"}\n`);
    await obeyed;
    expect(await named(api, SERVICES)).to.deep.equal(["a"]);
    expect(String(output.read())).to.equal(
      '{"done":"apply","revision":501}\n{"done":"compact","revision":501}\n{"wrong":"Error: there is no command {\\"do\\":\\"nonsense\\"}"}\n',
    );
  });
});

function service(name: string, labels?: Record<string, string>, namespace = "default"): KubeObject {
  return { kind: "Service", metadata: { name, namespace, ...(labels !== undefined && { labels }) }, spec: { ports: [{ port: 80 }] } };
}

async function get({ url }: FakeApi, path: string, headers: Record<string, string> = {}, tls: object = {}): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const ask = url.startsWith("https") ? tlsRequest : request;
    const sent = ask(`${url}${path}`, { headers, agent: false, ...tls }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }));
      response.once("error", reject);
    });
    sent.once("error", reject);
    sent.end();
  });
}

function open({ url }: FakeApi, path: string): Stream {
  const stream: Stream = { text: "", ended: "", close: () => sent.destroy() };
  const sent = request(`${url}${path}`, { agent: false }, (response) => {
    response.setEncoding("utf8");
    response.on("data", (piece: string) => (stream.text += piece));
    response.once("end", () => (stream.ended = "end"));
    response.once("error", () => (stream.ended = "error"));
  });
  sent.once("error", () => (stream.ended = "error"));
  sent.end();
  return stream;
}

async function watching(api: FakeApi, count = 1): Promise<void> {
  await until(() => api.watches().length === count, "the watch is open");
}

function events({ text }: Stream): string[] {
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line) => {
    const { type, object } = JSON.parse(line) as { type: string; object: KubeObject };
    return `${type} ${object.metadata.name}`;
  });
}

interface ServiceList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly KubeObject[];
}

async function list(api: FakeApi, path: string): Promise<ServiceList> {
  return JSON.parse((await get(api, path)).body.toString()) as ServiceList;
}

async function named(api: FakeApi, path: string): Promise<string[]> {
  return (await list(api, path)).items.map(({ metadata }) => metadata.name);
}
