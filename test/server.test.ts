// The life of a server: what it refuses to start, what it does while it stops, and that servers live side by side.

import { expect } from "chai";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createSocket } from "node:dgram";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FindingsError, NdotsError, startServer } from "../src/index.ts";
import { silentLog } from "../src/log.ts";
import { formatFinding } from "../src/errors.ts";
import { checkConfiguration, createServer, type Server, type ServerOptions } from "../src/server.ts";
import { ask, rr, service } from "../src/testing.ts";
import { definePlugin, directive, emptyReply, isWithin, Rcodes, zones, type Name, type Plugin } from "../src/plugin.ts";
import type { Options } from "../src/config/directive.ts";
import type { Source } from "../src/registry/registry.ts";
import { fakeLog } from "./helpers/fake-host.ts";
import { freePort } from "./helpers/free-port.ts";
import { until } from "./helpers/listening.ts";

const BASE: ServerOptions = {
  corefile: ". {\n  kubernetes cluster.local\n}\n",
  file: "Corefile",
  port: 0,
  address: "127.0.0.1",
  embedded: true,
  strict: false,
  env: {},
  log: silentLog,
};

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("it was not refused"),
    (reason: unknown) => reason as Error,
  );
  return error.message;
}

describe("start", () => {
  it("lines that the log's destination did not take are in the metrics", async () => {
    const log = { ...silentLog, flush: () => {}, dropped: 3 };
    const server = await createServer({ ...BASE, log, corefile: ". {\n  prometheus 127.0.0.1:0\n  whoami\n}\n" });
    try {
      const text = await (await fetch(`http://127.0.0.1:${server.http.addresses[0]?.port}/metrics`)).text();
      expect(text).to.match(/^ndots_log_unwritten_total 3$/m);
    } finally {
      await server.stop("now");
    }
  });

  it("refuses a Corefile with every finding at once, by file and line", async () => {
    const corefile = ". {\n  kubernets cluster.local\n  bufsize 9\n  etcd\n}\n";
    const error = await startServer({ corefile }).catch((reason: unknown) => reason as FindingsError);
    expect(error).to.be.instanceOf(FindingsError);
    const message = (error as FindingsError).message;
    expect(message).to.match(/^Corefile:2:\d+: .*kubernets.*kubernetes/m);
    expect(message).to.match(/^Corefile:3:\d+: bufsize: /m);
    expect(message).to.match(/^Corefile:4:\d+: .*etcd/m);
  });

  it("says what a plugin has found wrong, also where those before it have metrics by block", async () => {
    const corefile = ". {\n  cache\n  forward . /nonexistent/resolv.conf\n}\n";
    expect(await messageOf(startServer({ corefile }))).to.match(/^Corefile:3:\d+: forward: .*nonexistent/);
  });

  it("refuses a zone that is served twice", async () => {
    const corefile = ".:1053 {\n  whoami\n}\n.:1053 {\n  whoami\n}\n";
    expect(await messageOf(startServer({ corefile }))).to.match(/Corefile:4:1: cannot serve dns:\/\/\.:1053 - it is already defined/);
  });

  it("refuses an address that is taken, says so, and leaves nothing open behind", async () => {
    const port = await freePort();
    const holder = createSocket("udp4");
    await new Promise<void>((resolve) => holder.bind(port, "127.0.0.1", resolve));
    const refused = await createServer({ ...BASE, port }).catch((reason: unknown) => reason as NdotsError);
    expect((refused as NdotsError).code).to.equal("NDOTS_ERR_LISTEN");
    expect((refused as NdotsError).message).to.include(`127.0.0.1, port ${port}/UDP`);
    await new Promise<void>((resolve) => holder.close(() => resolve()));
    const server = await createServer({ ...BASE, port });
    await server.stop("now");
  });

  it("leaves nothing open behind when it fails while its threads start", async () => {
    const holder = createTcpServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port: taken } = holder.address() as AddressInfo;
    const corefile = `. {\n  health 127.0.0.1:${taken}\n  whoami\n}\n`;
    try {
      for (let round = 0; round < 5; round++) {
        const lines: string[] = [];
        const refused = await createServer({ ...BASE, corefile, listeners: "auto", log: fakeLog(lines) }).catch((why: unknown) => why);
        expect(refused).to.include({ code: "NDOTS_ERR_LISTEN" });
        expect(lines.filter((line) => line.includes("the main thread answers"))).to.deep.equal([]);
      }
    } finally {
      holder.close();
    }
  });

  it("needs a source of Services unless a program may fill the registry", async () => {
    const lines: string[] = [];
    const refused = createServer({ ...BASE, embedded: false, env: {}, log: fakeLog(lines) });
    expect(await messageOf(refused)).to.include("not in a Pod: KUBERNETES_SERVICE_HOST");
    expect(lines.join("\n")).to.match(/^\[WARNING\] Corefile:2:\d+: warning: kubernetes: .*manifests PATH/m);
  });

  it("serves UDP and TCP on one port that the kernel chose, for every block without a port", async () => {
    const server = await createServer({ ...BASE, corefile: "cluster.local {\n  kubernetes\n}\nexample.org {\n  whoami\n}\n" });
    try {
      expect(server.addresses).to.have.length(1);
      const [address] = server.addresses;
      if (address === undefined) throw new Error("no address");
      for (const transport of ["udp", "tcp"] as const) {
        expect((await ask(address, "cluster.local", "SOA", { transport })).rcode).to.equal("NOERROR");
        expect((await ask(address, "example.org", "A", { transport })).additional).to.have.length(2);
        expect((await ask(address, "example.net", "A", { transport })).rcode).to.equal("REFUSED");
      }
    } finally {
      await server.stop("now");
    }
  });
});

describe("side by side", () => {
  it("ten servers answer each from its own registry and close for themselves", async () => {
    const servers = await Promise.all(Array.from({ length: 10 }, () => startServer()));
    servers.forEach((server, index) => {
      server.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: [`10.0.0.${100 + index}`] }) });
    });
    const replies = await Promise.all(servers.map((server) => ask(server.address, "web.default.svc.cluster.local", "A")));
    expect(replies.map((reply) => reply.addresses[0])).to.deep.equal(servers.map((_, index) => `10.0.0.${100 + index}`));
    await Promise.all(servers.map((server) => server.close()));
  });

  it("await using closes the server, and close() again does nothing", async () => {
    let address;
    {
      await using dns = await startServer();
      address = dns.address;
      await dns.close();
    }
    const again = await startServer({ port: address.port });
    expect(again.address).to.deep.equal(address);
    await again.close();
  });
});

describe("library", () => {
  it("serves manifests and tells what is wrong in them", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ndots-"));
    try {
      await writeFile(
        join(folder, "web.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.3.7, ports: [{port: 80}]}\n",
      );
      await writeFile(join(folder, "x.yaml"), "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 0}]}\n");
      await using dns = await startServer({ manifests: folder });
      expect((await dns.query("web")).answer.at(-1)).to.equal(rr("web.default.svc.cluster.local. 5 IN A 10.0.3.7"));
      expect(dns.findings.map(({ line, message }) => `${line}: ${message}`).join("\n")).to.match(
        /^4: .*spec\.ports\[0\]\.port: Invalid value: 0/,
      );
      expect(dns.env("default")).to.include({ WEB_SERVICE_HOST: "10.0.3.7", WEB_PORT_80_TCP: "tcp://10.0.3.7:80" });
      expect(await messageOf(startServer({ manifests: folder, strict: true }))).to.match(/x\.yaml:4:\d+: .*Invalid value: 0/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("refuses a Corefile and manifests together", async () => {
    expect(await messageOf(startServer({ corefile: ".", manifests: "." }))).to.match(/not both/);
  });

  for (const port of [99_999, -1, 1.5, Number.NaN]) {
    it(`refuses port ${port}`, async () => expect(await messageOf(startServer({ port }))).to.equal(`port must be 0–65535, found ${port}`));
  }

  it("refuses manifests that are not there", async () => {
    expect(await messageOf(startServer({ manifests: "nope/" }))).to.equal('manifests: there is no file or folder "nope/"');
  });

  it("answers no question after close()", async () => {
    const dns = await startServer();
    await dns.close();
    const error = await dns.query("cluster.local").catch((reason: unknown) => reason as NdotsError);
    expect((error as NdotsError).code).to.equal("NDOTS_ERR_CLOSED");
  });

  it("runs plugins of one's own, before ndots' own", async () => {
    const refuse = definePlugin<Options<readonly Name[], Record<never, never>>>({
      name: "refuse",
      syntax: directive({ args: zones({ min: 1 }) }),
      setup: ({ args }) => ({
        handle: (query, next) => (args.some((zone) => isWithin(query.qname, zone)) ? emptyReply(Rcodes.REFUSED, "refuse") : next(query)),
      }),
    });
    await using dns = await startServer({
      corefile: ". {\n  kubernetes cluster.local\n  refuse svc.cluster.local\n}\n",
      plugins: [refuse],
    });
    expect((await dns.query("cluster.local", "SOA")).rcode).to.equal("NOERROR");
    expect((await dns.query("web.default.svc.cluster.local")).rcode).to.equal("REFUSED");
    expect(await messageOf(startServer({ corefile: ". {\n  refuse\n}\n", plugins: [refuse] }))).to.match(
      /^Corefile:2:\d+: refuse: expected ZONES/,
    );
  });

  it("runs a source again that dies after its first load, and says so", async () => {
    const log = fakeLog();
    let runs = 0;
    let fail: (error: Error) => void = () => undefined;
    const source: Source = {
      name: "flaky",
      run: (registry, synced) => {
        runs++;
        registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.0.0.77"] }) });
        synced();
        return new Promise((_, reject) => (fail = reject));
      },
    };
    const flaky: Plugin<unknown> = definePlugin<unknown>({
      name: "flaky",
      syntax: directive(),
      setup: (_, host) => {
        host.registry({ key: "flaky", create: () => source });
        return {};
      },
    });
    const server = await createServer({ ...BASE, corefile: ". {\n  flaky\n}\n", plugins: [flaky], log });
    try {
      expect(server.registry.service("default", "web")?.clusterIPs).to.deep.equal(["10.0.0.77"]);
      fail(new Error("gone wrong"));
      await until(
        () => log.lines.some((line) => /source flaky failed and is started again in 1 s: Error: gone wrong/.test(line)),
        "the log line",
      );
      await until(() => runs === 2, "the second run");
    } finally {
      fail(new Error("the end"));
      await server.stop("now");
    }
  });

  it("rejects a question that is none, with a coded error", async () => {
    await using dns = await startServer();
    expect(await messageOf(dns.query("a..b"))).to.match(/a label is empty/);
    expect(await messageOf(dns.query("a.b", "NOPE"))).to.match(/"NOPE" is no record type/);
  });
});

describe("check", () => {
  it("finds what is wrong in a Corefile and in its manifests, and opens no socket", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ndots-"));
    try {
      await writeFile(join(folder, "x.yaml"), "apiVersion: v1\nkind: Service\nmetadata: {name: X}\nspec: {}\n");
      const corefile = `.:1 {\n  pprof\n  kubernetes cluster.local {\n    manifests ${folder}\n  }\n}\n`;
      const findings = await checkConfiguration({ ...BASE, corefile, port: 1, embedded: false });
      expect(findings.map(({ severity }) => severity)).to.include.members(["warning", "error"]);
      expect(findings.some(({ file, line }) => file.endsWith("x.yaml") && line === 3)).to.equal(true);
      const merged = corefile.replace("manifests", "endpoint https://192.0.2.1\n    manifests");
      const ofMerged = await checkConfiguration({ ...BASE, corefile: merged, port: 1, embedded: false });
      expect(
        ofMerged.some(({ file, line }) => file.endsWith("x.yaml") && line === 3),
        "beside an API",
      ).to.equal(true);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("refuses one snapshot of two sources, by file and line; blocks that share a source may share it", async () => {
    const block = (zone: string, more = ""): string =>
      `${zone} {\n  kubernetes ${zone} {\n    endpoint https://192.0.2.1\n    snapshot /tmp/cluster.json\n    ${more}\n  }\n}\n`;
    const messages = async (corefile: string): Promise<readonly string[]> =>
      (await checkConfiguration({ ...BASE, corefile, embedded: false })).map(formatFinding);
    expect(await messages(block("a.example.") + block("b.example."))).to.deep.equal([]);
    const [message, ...more] = await messages(block("a.example.") + block("b.example.", "noendpoints"));
    expect(message).to.match(/^Corefile:9:\d+: kubernetes: \/tmp\/cluster\.json is written by another source/);
    expect(more).to.deep.equal([]);
  });
});

describe("stop", () => {
  const HEALTHY = ". {\n  kubernetes cluster.local\n  health 127.0.0.1:0 {\n    lameduck 300ms\n  }\n  ready 127.0.0.1:0\n}\n";

  async function get(server: Server, path: string): Promise<number> {
    const at = server.http.addresses.find(({ paths }) => paths.includes(path));
    return (await fetch(`http://127.0.0.1:${at?.port}${path}`)).status;
  }

  it("answers through the lameduck time, stays ready for as long, and then is gone (C117)", async () => {
    const log = fakeLog();
    const server = await createServer({ ...BASE, corefile: HEALTHY, log });
    const [address] = server.addresses;
    if (address === undefined) throw new Error("no address");
    expect([await get(server, "/health"), await get(server, "/ready")]).to.deep.equal([200, 200]);
    let stopped = false;
    const startedMs = performance.now();
    const stop = server.stop("drain").then(() => (stopped = true));
    let answered = 0;
    while (!stopped && performance.now() - startedMs < 200) {
      expect((await ask(address, "cluster.local", "SOA")).rcode).to.equal("NOERROR");
      expect(await get(server, "/ready")).to.equal(200);
      answered++;
    }
    expect(answered).to.be.above(0);
    await stop;
    expect(performance.now() - startedMs).to.be.within(300, 3_000);
    expect(log.lines.join("\n")).to.include("Going into lameduck mode for 300ms");
    expect(await messageOf(ask(address, "cluster.local", "SOA", { transport: "tcp", timeoutMs: 500 }))).to.match(/ECONNREFUSED/);
  });

  it("goes on while queries come, at most twice the lameduck time (C117)", async () => {
    const server = await createServer({ ...BASE, corefile: HEALTHY });
    const [address] = server.addresses;
    if (address === undefined) throw new Error("no address");
    let stopped = false;
    const startedMs = performance.now();
    const stop = server.stop("drain").then(() => (stopped = true));
    let lastAnswerMs = 0;
    while (!stopped && performance.now() - startedMs < 5_000) {
      const answered = await ask(address, "cluster.local", "SOA", { timeoutMs: 200 }).then(
        () => true,
        () => false,
      );
      if (answered) lastAnswerMs = performance.now() - startedMs;
    }
    await stop;
    expect(lastAnswerMs).to.be.within(400, 1_000);
  });
});
