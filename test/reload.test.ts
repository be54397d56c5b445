// A reload through the library: what stays, what changes, and what a Corefile that can't be served leaves as it was.

import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FindingsError, startServer, type RunningServer, type StartOptions } from "../src/index.ts";
import { definePlugin, directive, emptyReply, isWithin, parseName, Rcodes, type Host, type Plugin } from "../src/plugin.ts";
import type { Source } from "../src/registry/registry.ts";
import { service } from "../src/testing.ts";
import { freePort } from "./helpers/free-port.ts";
import { fakeLog } from "./helpers/fake-host.ts";

const WEB = "web.default.svc.cluster.local.";

function corefile(ttl: number, more = ""): string {
  return `. {\n  kubernetes cluster.local {\n    ttl ${ttl}\n  }\n${more}}\n`;
}

function applyWeb({ registry }: RunningServer): void {
  registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.3.0.10"] }) });
}

async function answerOf(dns: RunningServer): Promise<readonly string[]> {
  return (await dns.query(WEB)).answer;
}

describe("reload", () => {
  for (const listeners of ["portable", "auto"] as const) {
    it(`keeps sockets and registry, and answers by the new Corefile (${listeners})`, async () => {
      await using dns = await startServer({ corefile: corefile(7), listeners });
      applyWeb(dns);
      const before = dns.address;
      await dns.reload(corefile(9));
      expect(dns.address).to.deep.equal(before);
      expect(await answerOf(dns)).to.deep.equal([`${WEB} 9 IN A 10.3.0.10`]);
    });
  }

  it("leaves all as it was when the new Corefile has errors, and says them by file and line", async () => {
    await using dns = await startServer({ corefile: corefile(7) });
    applyWeb(dns);
    const error: unknown = await dns.reload(corefile(9, "  nonsense\n")).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(FindingsError);
    expect(String(error)).to.contain("Corefile:5");
    expect(await answerOf(dns)).to.deep.equal([`${WEB} 7 IN A 10.3.0.10`]);
    await dns.reload(); // the Corefile that runs
    expect(await answerOf(dns)).to.deep.equal([`${WEB} 7 IN A 10.3.0.10`]);
  });

  it("leaves all as it was when an address of the new Corefile is taken", async () => {
    await using holder = await startServer({ corefile: corefile(1) });
    await using dns = await startServer({ corefile: corefile(7) });
    applyWeb(dns);
    const taken = `.:${holder.address.port} {\n  whoami\n}\n`;
    const error: unknown = await dns.reload(corefile(9) + taken).catch((reason: unknown) => reason);
    expect(error).to.include({ code: "NDOTS_ERR_LISTEN" });
    expect(dns.addresses).to.have.length(1);
    expect(await answerOf(dns)).to.deep.equal([`${WEB} 7 IN A 10.3.0.10`]);
  });

  it("opens the sockets of a block that is new, and closes those of one that is gone", async () => {
    await using dns = await startServer({ corefile: corefile(7) });
    const first = dns.address;
    await dns.reload(`${corefile(7)}example.org:0 {\n  bind 127.0.0.2\n  whoami\n}\n`);
    expect(dns.addresses).to.have.length(2);
    expect(dns.addresses[0]).to.deep.equal({ ...first, scheme: "dns" });
    expect(dns.addresses[1]?.address).to.equal("127.0.0.2");
    await dns.reload(corefile(7));
    expect(dns.addresses).to.deep.equal([{ ...first, scheme: "dns" }]);
  });

  it("runs a source once while its key stays, ends it when nobody uses it, and waits for a new one", async () => {
    const events: string[] = [];
    await using dns = await startServer({ corefile: ". {\n  sourced a\n}\n", plugins: [sourced(events)] });
    await dns.reload(". {\n  sourced a\n  whoami\n}\n");
    expect(events).to.deep.equal(["a runs"]);
    await dns.reload(". {\n  sourced b\n}\n");
    expect(events).to.deep.equal(["a runs", "b runs", "a ends"]);
    const error: unknown = await dns.reload(". {\n  sourced broken\n}\n").catch((reason: unknown) => reason);
    expect(String(error)).to.contain("broken from the start");
    expect(events).to.deep.equal(["a runs", "b runs", "a ends", "broken runs"]);
  });

  it("keeps what runs while a new source has not delivered, unless that has nothing either", async () => {
    const events: string[] = [];
    await using dns = await startServer({ corefile: ". {\n  sourced a\n}\n", plugins: [sourced(events)] });
    const error: unknown = await dns.reload(". {\n  sourced late\n}\n").catch((reason: unknown) => reason);
    expect(error).to.include({ code: "NDOTS_ERR_NOT_SYNCED" });
    expect(events).to.deep.equal(["a runs", "late runs", "late ends"]);
    await using cold = await startServer({ corefile: ". {\n  sourced late\n}\n", plugins: [sourced(events)] });
    await cold.reload(". {\n  sourced late\n  whoami\n}\n");
    expect(events.slice(3)).to.deep.equal(["late runs"]);
  });

  it("ends what one generation has started when the next one has taken over", async () => {
    const events: string[] = [];
    const dns = await startServer({ corefile: ". {\n  lived 1\n}\n", plugins: [lived(events)] });
    await dns.reload(". {\n  lived 2\n}\n");
    expect(events).to.deep.equal(["1 starts", "2 starts", "1 stops"]);
    const error: unknown = await dns.reload(". {\n  lived fails\n}\n").catch((reason: unknown) => reason);
    expect(String(error)).to.contain("can't start");
    await dns.close();
    expect(events).to.deep.equal(["1 starts", "2 starts", "1 stops", "fails starts", "fails stops", "2 stops"]);
  });

  it("lets go of all that it has set up when a source of it fails", async () => {
    const events: string[] = [];
    const plugins = [sourced(events), lived(events)];
    await using dns = await startServer({ corefile: ". {\n  lived 1\n}\n", plugins });
    const error: unknown = await dns.reload(". {\n  lived 2\n  sourced broken\n}\n").catch((reason: unknown) => reason);
    expect(String(error)).to.contain("broken from the start");
    expect(events).to.deep.equal(["1 starts", "broken runs", "2 stops"]);
  });

  it("has taken over also where a plugin of the one before fails to stop, which is told", async () => {
    const events: string[] = [];
    const log = fakeLog();
    await using dns = await startServer({
      corefile: ". {\n  lived clings\n}\nexample.org {\n  lived 1\n}\n",
      plugins: [lived(events)],
      log,
    });
    await dns.reload(". {\n  lived 2\n}\n");
    expect(events).to.deep.equal(["clings starts", "1 starts", "2 starts", "clings stops", "1 stops"]);
    expect(log.lines.join("\n")).to.contain("[ERROR] plugin/lived: stop: Error: can't stop");
  });

  it("asked for while the server starts, waits until it has started", async () => {
    const log = fakeLog();
    let reloaded: Promise<void> | undefined;
    const eager = plugin("eager", (_word, { registry, configuration }) => {
      const run: Source["run"] = async (_registry, synced) => {
        for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
        log.info("delivered");
        synced();
      };
      registry({ key: "slow", create: () => ({ name: "slow", run }) });
      return { start: () => void (reloaded ??= configuration.reload()) };
    });
    await using dns = await startServer({ corefile: ". {\n  eager now\n}\n", plugins: [eager], log });
    await reloaded;
    expect(log.lines.filter((line) => /delivered|Reloading/.test(line))).to.deep.equal([
      "[INFO] delivered",
      "[INFO] Reloading",
      "[INFO] Reloading complete",
    ]);
    expect(dns.addresses).to.have.length(1);
  });

  it("one at a time, in order; none once the server stops", async () => {
    const dns = await startServer({ corefile: corefile(1) });
    applyWeb(dns);
    await Promise.all([dns.reload(corefile(2)), dns.reload(corefile(3)), dns.reload(corefile(4))]);
    expect(await answerOf(dns)).to.deep.equal([`${WEB} 4 IN A 10.3.0.10`]);
    const [bad, good] = await Promise.allSettled([dns.reload("nonsense {\n"), dns.reload(corefile(5))]);
    expect([bad.status, good.status]).to.deep.equal(["rejected", "fulfilled"]);
    expect(await answerOf(dns), "a bad one takes nothing from the next").to.deep.equal([`${WEB} 5 IN A 10.3.0.10`]);
    await dns.reload();
    expect(await answerOf(dns), "the one that runs, again").to.deep.equal([`${WEB} 5 IN A 10.3.0.10`]);
    const closed = dns.close();
    const error: unknown = await dns.reload(corefile(5)).catch((reason: unknown) => reason);
    expect(error).to.include({ code: "NDOTS_ERR_CLOSED" });
    await closed;
  });

  it("PR 7562: a stop while a reload waits for its source ends both", async () => {
    const events: string[] = [];
    const dns = await startServer({ corefile: ". {\n  whoami\n}\n", plugins: [sourced(events)] });
    const reloading = dns.reload(". {\n  sourced never\n}\n").catch((reason: unknown) => reason);
    await waitFor(() => events.includes("never runs"));
    await dns.close();
    expect(await reloading).to.include({ code: "NDOTS_ERR_CLOSED" });
    expect(events).to.deep.equal(["never runs", "never ends"]);
  });
});

async function waitFor(isDone: () => boolean): Promise<void> {
  for (let turns = 0; !isDone(); turns++) {
    expect(turns, "turns of the event loop").to.be.below(10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// `sourced NAME` has a source NAME: "broken" fails, "never" and "late" never deliver, "late" is not waited for.
function sourced(events: string[]): Plugin<unknown> {
  const source = (name: string): Source => ({
    name,
    async run(_registry, synced, signal) {
      events.push(`${name} runs`);
      if (name === "broken") throw new Error("broken from the start");
      if (name !== "never" && name !== "late") synced();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      events.push(`${name} ends`);
    },
  });
  return plugin("sourced", (name, host) => {
    host.registry({ key: name, create: () => source(name), ...(name === "late" && { startupTimeoutMs: 1 }) });
    return {};
  });
}

function lived(events: string[]): Plugin<unknown> {
  return plugin("lived", (name) => ({
    start() {
      events.push(`${name} starts`);
      if (name === "fails") throw new Error("can't start");
    },
    stop() {
      events.push(`${name} stops`);
      if (name === "clings") throw new Error("can't stop");
    },
  }));
}

function plugin(name: string, setup: (word: string, host: Host) => object): Plugin<unknown> {
  return definePlugin({
    name,
    syntax: directive({ args: { usage: "WORD", read: (tokens) => tokens[0]?.text ?? "" } }),
    setup: ({ args }, host) => setup(args, host),
  });
}

describe("imported fragments", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ndots-fragments-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const fragment = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  const start = (main: string, more: Partial<StartOptions> = {}): Promise<RunningServer> =>
    startServer({ corefile: main, file: join(folder, "Corefile"), plugins: [answering("first"), answering("second")], ...more });
  const answers = async (dns: RunningServer, name: string): Promise<string> => (await dns.query(name)).rcode;
  const MAIN = ". {\n  import *.override\n}\nimport *.server\n";

  it("one team's bad file holds up nobody at the start, and is told as an error", async () => {
    fragment("a.override", "nonsense\n");
    fragment("b.override", "second\n");
    await using dns = await start(MAIN);
    expect(await answers(dns, "second.example.org.")).to.equal("NXDOMAIN");
    expect(dns.findings.map(({ severity, file }) => `${severity} ${file}`)).to.include(`error ${join(folder, "a.override")}`);
  });

  it("the last good version of a file that has become bad goes on, and its next good one is used", async () => {
    fragment("a.override", "first\n");
    await using dns = await start(MAIN);
    fragment("a.override", "first {\n");
    fragment("b.override", "second\n");
    await dns.reload();
    expect(await answers(dns, "first.example.org."), "last good").to.equal("NXDOMAIN");
    expect(await answers(dns, "second.example.org.")).to.equal("NXDOMAIN");
    fragment("a.override", "\n");
    await dns.reload();
    expect(await answers(dns, "first.example.org.")).to.equal("REFUSED");
  });

  it("a zone that is served already is the fault of the file that serves it again", async () => {
    fragment("a.server", "example.org {\n  first\n}\n");
    fragment("b.server", "example.org {\n  second\n}\n");
    await using dns = await start(MAIN);
    expect(await answers(dns, "first.example.org.")).to.equal("NXDOMAIN");
    expect(dns.findings.filter(({ severity }) => severity === "error").map(({ file }) => file)).to.deep.equal([join(folder, "b.server")]);
  });

  it("with import_strict a bad file refuses the whole", async () => {
    fragment("a.override", "nonsense\n");
    const error: unknown = await start(". {\n  import *.override\n  reload {\n    import_strict\n  }\n}\n").catch((why: unknown) => why);
    expect(error).to.be.instanceOf(FindingsError);
    expect(String(error)).to.contain("a.override:1");
  });

  // 192.0.2.1 is of a network for documentation: no host has it (RFC 5737).
  const AWAY = "away.example.org {\n  bind 192.0.2.1\n  first\n}\n";
  const failedFragments = (metrics: string): string[] => metrics.split("\n").filter((line) => line.startsWith("ndots_import_failed{"));
  const metricsOf = (address: { port: number }): Promise<string> =>
    fetch(`http://127.0.0.1:${address.port}/metrics`).then((response) => response.text());

  for (const listeners of ["portable", "auto"] as const) {
    it(`one whose address this host lacks is left out at the start and at a reload (${listeners})`, async () => {
      const port = await freePort();
      const main = `. {\n  prometheus 127.0.0.1:${port}\n}\nimport *.server\n`;
      const away = join(folder, "a.server");
      fragment("a.server", AWAY);
      fragment("b.server", "example.org {\n  second\n}\n");
      await using dns = await start(main, { listeners });
      expect(await answers(dns, "second.example.org.")).to.equal("NXDOMAIN");
      expect(dns.findings).to.have.length(1);
      expect(dns.findings[0]).to.include({ file: away, line: 2, severity: "error" });
      expect(dns.findings[0]?.message).to.match(/^can't listen on 192\.0\.2\.1, port 0\/UDP: .* \(this file is bad: it is left out\)$/);
      expect(failedFragments(await metricsOf({ port }))).to.deep.equal([`ndots_import_failed{file="${away}",served="left out"} 1`]);
      fragment("a.server", "away.example.org {\n  first\n}\n");
      await dns.reload();
      expect(failedFragments(await metricsOf({ port }))).to.deep.equal([]);
      fragment("a.server", AWAY);
      fragment("b.server", "example.org {\n  whoami\n}\n");
      await dns.reload();
      expect(await answers(dns, "first.away.example.org."), "last good").to.equal("REFUSED");
      expect(await answers(dns, "second.example.org."), "the others as they are now").to.equal("NOERROR");
      expect(failedFragments(await metricsOf({ port }))).to.deep.equal([
        `ndots_import_failed{file="${away}",served="last good version"} 1`,
      ]);
    });
  }

  it("ones whose ports are taken, for DNS, health and prometheus, are left out, each by its line", async () => {
    await using holder = await heldPort();
    const { port } = holder;
    fragment("a.override", `health 127.0.0.1:${port}\n`);
    fragment("b.override", "second\n");
    fragment("c.server", `c.example.org:${port} {\n  bind 127.0.0.1\n  first\n}\n`);
    fragment("d.server", `d.example.org {\n  first\n  prometheus 127.0.0.1:${port}\n}\n`);
    fragment("e.server", `e.example.org:${port} {\n  first\n}\n`);
    const lines = (error: { file: string; line: number }): string => `${error.file.slice(folder.length + 1)}:${error.line}`;
    const all = ["a.override:1", "c.server:2", "d.server:3", "e.server:1"];
    await using cold = await start(MAIN);
    expect(cold.findings.map(lines)).to.have.members(all);
    expect(await answers(cold, "second.example.org.")).to.equal("NXDOMAIN");
    expect(cold.addresses).to.have.length(1);
    await using dns = await start(".:0 {\n  whoami\n}\n");
    await dns.reload(MAIN);
    expect(await answers(dns, "second.example.org.")).to.equal("NXDOMAIN");
    expect(dns.addresses).to.have.length(1);
  });

  it("a server block and an endpoint at one port: the fault is the fragment's, whichever it has", async () => {
    const port = await freePort();
    fragment("b.override", `health 127.0.0.1:${port}\n`);
    fragment("c.server", `example.org:${port} {\n  second\n}\n`);
    const files = ({ findings }: RunningServer): string[] => findings.map(({ file }) => file.slice(folder.length + 1));
    await using endpoint = await start(`.:${port} {\n  import b.*\n  first\n}\n`);
    expect(files(endpoint)).to.deep.equal(["b.override"]);
    await endpoint.close();
    await using block = await start(`. {\n  health 127.0.0.1:${port}\n}\nimport *.server\n`);
    expect(files(block)).to.deep.equal(["c.server"]);
    expect(block.findings[0]?.message).to.match(/with it, .*Corefile:2: \/health: port \d+ is where .*c\.server:1 serves DNS over TCP/);
  });

  it("a source that is kept runs on, and plugins start once, where a fragment can't be brought up", async () => {
    const events: string[] = [];
    fragment("a.server", AWAY);
    const plugins = [answering("first"), sourced(events), lived(events)];
    await using dns = await start(". {\n  sourced a\n  lived 1\n}\nimport *.server\n", { plugins });
    expect(events).to.deep.equal(["1 stops", "1 starts", "a runs"]);
    events.length = 0;
    await dns.reload(". {\n  sourced b\n}\nimport *.server\n");
    expect(events).to.deep.equal(["b runs", "a ends", "1 stops"]);
  });

  it("with import_strict, and outside of fragments, an address that can't be had refuses the whole, by file and line", async () => {
    fragment("a.server", AWAY);
    const strict = ". {\n  reload {\n    import_strict\n  }\n}\nimport *.server\n";
    const why = (error: unknown): unknown => error;
    const refused = [await start(strict).catch(why), await start(`. {\n  whoami\n}\nimport a.server\n`).catch(why)];
    await using dns = await start(". {\n  whoami\n}\n");
    refused.push(await dns.reload(strict).catch(why));
    for (const error of refused) {
      expect(error).to.include({ code: "NDOTS_ERR_LISTEN" });
      expect(String(error)).to.match(/a\.server:2:\d+: can't listen on 192\.0\.2\.1, port/);
    }
    await using holder = await heldPort();
    const main = await start(`. {\n  whoami\n  ready 127.0.0.1:${holder.port}\n}\nimport b*.server\n`).catch(why);
    expect(String(main)).to.match(/Corefile:3:\d+: \/ready: can't listen on/);
  });
});

async function heldPort(): Promise<AsyncDisposable & { readonly port: number }> {
  const holder = createTcpServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  return {
    port: (holder.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => void holder.close(() => resolve())),
  };
}

// `NAME` answers NXDOMAIN for names below NAME.example.org.
function answering(name: string): Plugin<unknown> {
  const suffix = parseName(`${name}.example.org.`);
  return definePlugin({
    name,
    syntax: directive(),
    setup: () => ({ handle: (query, next) => (isWithin(query.qname, suffix) ? emptyReply(Rcodes.NXDOMAIN, name) : next(query)) }),
  });
}
