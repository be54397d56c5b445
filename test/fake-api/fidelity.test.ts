// The fake API server against recordings of a real one (Kubernetes 1.36): the same heads and the same bodies, byte for byte
// but for what is another on every cluster (uids, times, revisions).

import { readFileSync } from "node:fs";
import { request, type IncomingHttpHeaders } from "node:http";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { startFakeApi, type FakeApi, type FakeApiOptions } from "../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../helpers/fake-api/objects.ts";
import { until } from "../helpers/listening.ts";

interface Message {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

describe("the fake API server: as recorded from a real one", () => {
  const page = JSON.parse(recorded("services-list-page1").body) as { items: Omit<KubeObject, "kind">[] };

  it("a page of a list", async () => {
    await using api = await startFakeApi({ revision: 459, objects: [...objectsOf("services-list-page1"), ...fillers(59)] });
    same(await get(api, "/api/v1/services?limit=2"), "services-list-page1");
    expect(page.items).to.have.lengthOf(2);
  });

  it("the next page, by the token of the first", async () => {
    await using api = await startFakeApi({
      revision: 457,
      objects: [...objectsOf("services-list-page1"), ...objectsOf("services-list-page2"), ...fillers(57)],
    });
    const token = tokenOf((await get(api, "/api/v1/services?limit=2")).body);
    same(await get(api, `/api/v1/services?limit=2&continue=${token}`), "services-list-page2");
  });

  it("EndpointSlices, which have a generation and may hold null", async () => {
    const more = Array.from({ length: 41 }, (_, n): KubeObject => ({
      kind: "EndpointSlice",
      metadata: { name: `z-${n}`, namespace: "zz" },
    }));
    await using api = await startFakeApi({ revision: 476, objects: [...objectsOf("endpointslices-list-page1"), ...more] });
    same(await get(api, "/apis/discovery.k8s.io/v1/endpointslices?limit=3"), "endpointslices-list-page1");
  });

  it("a body that is short: with its length", async () => {
    const more = Array.from({ length: 12 }, (_, n): KubeObject => ({ kind: "Namespace", metadata: { name: `ns-${n}` } }));
    await using api = await startFakeApi({ revision: 508, objects: [...objectsOf("namespaces-list-page1"), ...more] });
    same(await get(api, "/api/v1/namespaces?limit=2"), "namespaces-list-page1");
  });

  const statuses: readonly { name: string; path: string; options?: FakeApiOptions; prepare?: (api: FakeApi) => Promise<string> }[] = [
    { name: "services-list-bad-continue", path: "/api/v1/services?limit=2&continue=nonsense" },
    { name: "services-unauthorized-401", path: "/api/v1/services", options: { tokens: ["right"] } },
    {
      name: "services-list-future-rv",
      path: "/api/v1/services?resourceVersion=999999999&resourceVersionMatch=NotOlderThan",
      options: { revision: 522 },
    },
    {
      name: "services-list-continue-expired",
      path: "",
      options: { objects: [...objectsOf("services-list-page1"), ...fillers(3)] },
      prepare: async (api) => {
        const token = tokenOf((await get(api, "/api/v1/services?limit=2")).body);
        api.apply({ kind: "Service", metadata: { name: "later" } });
        api.compact();
        return `/api/v1/services?limit=2&continue=${token}`;
      },
    },
  ];
  for (const { name, path, options, prepare } of statuses) {
    it(name, async () => {
      await using api = await startFakeApi(options);
      same(await get(api, (await prepare?.(api)) ?? path), name);
    });
  }

  it("403: who may not do what, and where", async () => {
    await using api = await startFakeApi();
    api.forbid("services");
    const { status, headers, body } = await get(api, "/api/v1/services");
    const wanted = recorded("secrets-forbidden-403");
    const like = (text: string): string => text.replaceAll("secrets", "services").replace("cluster-dns", "coredns");
    expect({ status, body }).to.deep.equal({ status: wanted.status, body: like(wanted.body) });
    expect(names(headers)).to.deep.equal(names(wanted.headers));
  });

  it("a watch from a revision that is compacted: 200 and an ERROR event", async () => {
    await using api = await startFakeApi({ revision: 467, objects: fillers(1) });
    api.compact();
    same(await get(api, "/api/v1/services?watch=1&resourceVersion=230"), "services-watch-too-old");
  });

  for (const [name, path] of [
    ["services-watch", "/api/v1/services"],
    ["endpointslices-watch", "/apis/discovery.k8s.io/v1/endpointslices"],
  ] as const) {
    it(`${name}: a document a line, the last state at the end, bookmarks`, async () => {
      await using api = await startFakeApi({ revision: 526 });
      const lines = recorded(name).body.trimEnd().split("\n");
      const events = lines.map((line) => JSON.parse(line) as { type: string; object: KubeObject });
      const answer = get(api, `${path}?watch=1&resourceVersion=526&allowWatchBookmarks=true&timeoutSeconds=60`);
      await until(() => api.watches().length === 1, "the watch is open");
      for (const { type, object } of events) {
        if (type === "BOOKMARK") api.bookmark();
        else if (type === "DELETED") api.delete(object.kind, object.metadata.namespace ?? "", object.metadata.name);
        else api.apply(object);
      }
      api.endWatches();
      same(await answer, name);
    });
  }

  it("a watch that begins with a list: the mark at its end", async () => {
    const events = recorded("namespaces-watchlist").body.trimEnd().split("\n");
    const objects = events.map((line) => (JSON.parse(line) as { object: KubeObject }).object);
    await using api = await startFakeApi({ revision: 400, objects: objects.slice(0, -3) });
    const query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=60";
    const answer = get(api, `/api/v1/namespaces?${query}`);
    await until(() => api.watches().length === 1, "the watch is open");
    api.apply(objects.at(-2) as KubeObject);
    api.bookmark();
    api.endWatches();
    same(await answer, "namespaces-watchlist");
  });
});

function recorded(name: string): Message {
  const text = readFileSync(fileURLToPath(new URL(`../helpers/fake-api/recordings/${name}.http`, import.meta.url)), "utf8").replaceAll(
    "\r\n",
    "\n",
  );
  const end = text.indexOf("\n\n");
  const [first = "", ...lines] = text.slice(0, end).split("\n");
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]);
  return { status: Number(first.split(" ")[1]), headers: Object.fromEntries(headers) as IncomingHttpHeaders, body: text.slice(end + 2) };
}

function objectsOf(name: string): KubeObject[] {
  const { kind, items } = JSON.parse(recorded(name).body) as { kind: string; items: Omit<KubeObject, "kind">[] };
  return items.map((item) => ({ ...item, kind: kind.replace(/List$/, "") }) as KubeObject);
}

function fillers(count: number): KubeObject[] {
  return Array.from({ length: count }, (_, n) => ({ kind: "Service", metadata: { name: `z-${n}`, namespace: "zz" } }));
}

// As curl, for whom bodies are pretty.
async function get({ url }: FakeApi, path: string): Promise<Message> {
  return await new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { headers: { "User-Agent": "curl/8.5.0", Accept: "*/*" } }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (body += piece));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      response.once("error", reject);
    });
    sent.once("error", reject);
    sent.end();
  });
}

function same(answer: Message, name: string): void {
  const wanted = recorded(name);
  expect(answer.status).to.equal(wanted.status);
  expect(names(answer.headers)).to.deep.equal(names(wanted.headers));
  for (const header of ["content-type", "cache-control", "transfer-encoding", "retry-after"]) {
    expect(answer.headers[header], header).to.equal(wanted.headers[header]);
  }
  expect(neutral(answer.body)).to.equal(neutral(wanted.body));
}

// Node says how long it keeps a connection, Go does not.
function names(headers: IncomingHttpHeaders): string[] {
  return Object.keys(headers)
    .filter((name) => name !== "connection" && name !== "keep-alive")
    .toSorted();
}

function neutral(body: string): string {
  return body
    .replace(/"continue": ?"([^"]+)"/, (_, token: string) => {
      const { rv, start } = JSON.parse(Buffer.from(token, "base64url").toString()) as { rv: number; start: string };
      return `"continue": "${rv < 0 ? rv : "RV"} ${start}"`;
    })
    .replace(/("resourceVersion": ?)"\d+"/g, '$1"RV"')
    .replace(/("uid": ?)"[^"]+"/g, '$1"UID"')
    .replace(/("creationTimestamp": ?)"[^"]+"/g, '$1"TIME"')
    .replace(/("generation": ?)\d+/g, "$1N");
}

function tokenOf(body: string): string {
  return (JSON.parse(body) as { metadata: { continue: string } }).metadata.continue;
}
