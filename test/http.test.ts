// The HTTP endpoints: shared addresses, methods, bounds, and errors that name the address.

import { expect } from "chai";
import { Agent, request as httpRequest } from "node:http";
import { connect, createServer, type AddressInfo } from "node:net";

import { NdotsError } from "../src/errors.ts";
import { createHttpServers, type HttpRoute, type HttpServers } from "../src/http.ts";
import { fakeLog } from "./helpers/fake-host.ts";
import { freePort } from "./helpers/free-port.ts";
import { isGone } from "./helpers/garbage.ts";

const route = (path: string, body: string, port = 0): HttpRoute => ({
  host: "127.0.0.1",
  port,
  path,
  handle: () => ({ status: 200, body }),
});

async function serve(servers: HttpServers, routes: readonly HttpRoute[]): Promise<void> {
  const prepared = await servers.prepare(routes);
  await prepared.commit();
}

async function ask(port: number, path: string, init: RequestInit = {}): Promise<{ status: number; body: string; headers: Headers }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
  return { status: response.status, body: await response.text(), headers: response.headers };
}

describe("http", () => {
  it("serves several paths at one address, the first of a path that is added twice", async () => {
    const port = await freePort();
    const servers = createHttpServers(fakeLog());
    await serve(servers, [route("/health", "OK", port), route("/ready", "ready", port), route("/ready", "again", port)]);
    try {
      expect(servers.addresses).to.deep.equal([{ address: "127.0.0.1", port, paths: ["/health", "/ready"] }]);
      expect(await ask(port, "/health?verbose")).to.include({ status: 200, body: "OK" });
      expect(await ask(port, "/ready")).to.include({ status: 200, body: "ready" });
      expect((await ask(port, "/health")).headers.get("content-type")).to.equal("text/plain; charset=utf-8");
    } finally {
      await servers.stop();
    }
    expect(servers.addresses).to.deep.equal([]);
  });

  it("answers HEAD without a body, other methods with 405, other paths with 404", async () => {
    const servers = createHttpServers(fakeLog());
    await serve(servers, [route("/health", "OK")]);
    const port = servers.addresses[0]?.port ?? 0;
    try {
      const head = await ask(port, "/health", { method: "HEAD" });
      expect(head).to.include({ status: 200, body: "" });
      expect(head.headers.get("content-length")).to.equal("2");
      const post = await ask(port, "/health", { method: "POST", body: "x" });
      expect(post.status).to.equal(405);
      expect(post.headers.get("allow")).to.equal("GET, HEAD");
      expect((await ask(port, "/nothing")).status).to.equal(404);
    } finally {
      await servers.stop();
    }
  });

  it("passes the Accept header on, and turns what a route throws into 500", async () => {
    const log = fakeLog();
    const servers = createHttpServers(log);
    await serve(servers, [
      {
        ...route("/metrics", ""),
        handle: ({ accept }) =>
          accept === "text/plain" ? { status: 200, body: "yes", contentType: "text/x" } : Promise.reject(new Error("broken")),
      },
    ]);
    const port = servers.addresses[0]?.port ?? 0;
    try {
      const answer = await ask(port, "/metrics", { headers: { accept: "text/plain" } });
      expect(answer.headers.get("content-type")).to.equal("text/x");
      expect((await ask(port, "/metrics")).status).to.equal(500);
      expect(log.lines).to.deep.equal(["[ERROR] HTTP /metrics: Error: broken"]);
    } finally {
      await servers.stop();
    }
  });

  it("opens all addresses or none, and says which one is taken", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as AddressInfo;
    const servers = createHttpServers(fakeLog());
    const wanted = [route("/health", "OK"), route("/ready", "OK", port)];
    const error: unknown = await servers.prepare(wanted).catch((reason: unknown) => reason);
    holder.close();
    expect(error).to.be.instanceOf(NdotsError);
    expect(error).to.include({
      code: "NDOTS_ERR_LISTEN",
      message: `/ready: can't listen on 127.0.0.1:${port} (TCP): the address is in use`,
    });
    expect(servers.addresses).to.deep.equal([]);
  });

  it("stops at once although a connection is kept alive, and twice", async () => {
    const servers = createHttpServers(fakeLog());
    await serve(servers, [route("/health", "OK")]);
    const port = servers.addresses[0]?.port ?? 0;
    await new Promise<void>((resolve, reject) => {
      const request = httpRequest({ host: "127.0.0.1", port, path: "/health", headers: { connection: "keep-alive" } }, (response) => {
        response.resume().once("end", resolve);
      });
      request.once("error", reject).end();
    });
    const startedMs = performance.now();
    await Promise.all([servers.stop(), servers.stop()]);
    await servers.stop();
    expect(performance.now() - startedMs).to.be.below(900);
  });

  it("a probe is answered while 200 connections say nothing", async () => {
    const servers = createHttpServers(fakeLog());
    await serve(servers, [route("/health", "OK")]);
    const port = servers.addresses[0]?.port ?? 0;
    const silent = Array.from({ length: 200 }, () => connect(port, "127.0.0.1").on("error", () => {}));
    const closed = silent.slice(0, 50).map((socket) => new Promise((resolve) => socket.resume().once("close", resolve)));
    try {
      await Promise.all(silent.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
      const startedMs = performance.now();
      expect(await ask(port, "/health")).to.include({ status: 200, body: "OK" });
      expect(performance.now() - startedMs).to.be.below(1_000);
      await Promise.all(closed); // the oldest made room
    } finally {
      for (const socket of silent) socket.destroy();
      await servers.stop();
    }
  });

  it("a request under way is not the one that makes room", async () => {
    const servers = createHttpServers(fakeLog());
    let finish = (): void => {};
    let begin = (): void => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    await serve(servers, [
      {
        ...route("/health", ""),
        handle: () =>
          new Promise((resolve) => {
            finish = () => resolve({ status: 200, body: "late" });
            begin();
          }),
      },
    ]);
    const port = servers.addresses[0]?.port ?? 0;
    const answered = ask(port, "/health");
    await begun;
    const silent = Array.from({ length: 200 }, () => connect(port, "127.0.0.1").on("error", () => {}));
    try {
      await Promise.all(silent.slice(0, 50).map((socket) => new Promise((resolve) => socket.resume().once("close", resolve))));
      finish();
      expect(await answered).to.include({ status: 200, body: "late" });
    } finally {
      for (const socket of silent) socket.destroy();
      await servers.stop();
    }
  });

  it("opens nothing when there is nothing to serve", async () => {
    const servers = createHttpServers(fakeLog());
    await serve(servers, []);
    expect(servers.addresses).to.deep.equal([]);
    await servers.stop();
  });

  it("keeps nothing of routes that others have replaced", async () => {
    const servers = createHttpServers(fakeLog());
    const first = await (async () => {
      const old = route("/health", "old");
      await serve(servers, [old]);
      return new WeakRef(old);
    })();
    try {
      await serve(servers, [route("/health", "new")]);
      await isGone(first, "the first");
    } finally {
      await servers.stop();
    }
  });

  it("serves other routes at an address that stays open, also one that the kernel chose", async () => {
    const fixed = await freePort();
    const servers = createHttpServers(fakeLog());
    await serve(servers, [route("/health", "old"), route("/ready", "old", fixed)]);
    const chosen = servers.addresses[0]?.port ?? 0;
    const held = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      expect(await bodyOver(held, fixed, "/ready")).to.equal("old");
      const socket = Object.values(held.freeSockets)[0]?.[0];
      await serve(servers, [route("/health", "new"), route("/ready", "new", fixed)]);
      expect(await bodyOver(held, fixed, "/ready")).to.equal("new");
      expect(Object.values(held.freeSockets)[0]?.[0], "the connection").to.equal(socket);
      expect(await ask(chosen, "/health")).to.include({ status: 200, body: "new" });
      await serve(servers, [route("/health", "alone")]);
      expect(servers.addresses).to.deep.equal([{ address: "127.0.0.1", port: chosen, paths: ["/health"] }]);
    } finally {
      held.destroy();
      await servers.stop();
    }
  });

  it("routes that can't be served, or are given up, change nothing", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port: taken } = holder.address() as AddressInfo;
    const servers = createHttpServers(fakeLog());
    await serve(servers, [route("/health", "old")]);
    const before = servers.addresses;
    try {
      const error: unknown = await servers.prepare([route("/health", "new"), route("/ready", "new", taken)]).catch((why: unknown) => why);
      expect(error).to.include({ code: "NDOTS_ERR_LISTEN" });
      const free = await freePort();
      const givenUp = await servers.prepare([route("/health", "new"), route("/ready", "new", free)]);
      await givenUp.cancel();
      expect(servers.addresses).to.deep.equal(before);
      expect(await ask(before[0]?.port ?? 0, "/health")).to.include({ body: "old" });
      const refused: unknown = await ask(free, "/ready").catch((why: unknown) => why);
      expect(refused).to.be.instanceOf(TypeError);
    } finally {
      holder.close();
      await servers.stop();
    }
  });
});

function bodyOver(agent: Agent, port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, agent }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.once("end", () => setImmediate(() => resolve(body))); // by then the socket is free again
    });
    request.once("error", reject).end();
  });
}
