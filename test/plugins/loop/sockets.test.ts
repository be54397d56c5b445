// Loops through real sockets and `forward`: a server that is its own upstream, and two that are each other's.

import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";

import { Rcodes } from "../../../src/dns/message.ts";
import { parseName } from "../../../src/dns/name.ts";
import { startServer, type RunningServer } from "../../../src/index.ts";
import { askOurselves, waysTo } from "../../../src/plugins/loop/probe.ts";
import { headerOf, query as packet, udpAsk } from "../../helpers/dns-client.ts";
import { fakeLog } from "../../helpers/fake-host.ts";
import { freePort } from "../../helpers/free-port.ts";
import { startUpstream } from "../../helpers/upstream.ts";

const BOUND_MS = 10_000;
const LOOK_MS = 5;

interface Forwarder extends AsyncDisposable {
  readonly dns: RunningServer;
  readonly lines: readonly string[];
  /** Resolves once `loop` has found one; gives its line. */
  found(): Promise<string>;
}

async function forwarder(port: number, to: string): Promise<Forwarder> {
  const log = fakeLog();
  const dns = await startServer({ corefile: `.:${port} {\n errors\n loop\n cache\n forward . ${to}\n}`, log });
  return {
    dns,
    lines: log.lines,
    async found() {
      for (const untilMs = performance.now() + BOUND_MS; performance.now() < untilMs; await delay(LOOK_MS)) {
        const line = log.lines.find((text) => text.includes("plugin/loop: Loop ("));
        if (line !== undefined) return line;
      }
      throw new Error(`no loop found within ${BOUND_MS} ms: ${log.lines.join("\n")}`);
    },
    [Symbol.asyncDispose]: () => dns.close(),
  };
}

async function ask({ dns }: Forwarder, name: string): Promise<{ readonly rcode: number; readonly isLoop: boolean }> {
  const answer = await udpAsk(dns.address, packet({ name, edns: {} }), BOUND_MS);
  if (answer === undefined) throw new Error(`no answer for ${name}`);
  return { rcode: headerOf(answer).rcode, isLoop: answer.subarray(-4).toString() === "loop" };
}

const LOOPED = { rcode: Rcodes.SERVFAIL, isLoop: true };

describe("plugins/loop: a probe", () => {
  const name = parseName("1.2");
  const { signal } = new AbortController();

  it("gives the answer's rcode, and asks as a client would", async () => {
    await using upstream = await startUpstream({ script: { rcode: Rcodes.SERVFAIL } });
    const { address, port } = upstream;
    expect(await askOurselves(name, { address, port, host: address }, signal)).to.equal(Rcodes.SERVFAIL);
    expect(upstream.asked.map((asked) => `${asked.name} ${asked.type} ${asked.flags}`)).to.deep.equal(["1.2. HINFO 256"]);
  });

  it("gives nothing where it can't be sent, and when the server stops", async () => {
    expect(await askOurselves(name, { address: "", port: 53, host: "255.255.255.255" }, signal)).to.equal(undefined);
    await using upstream = await startUpstream({ script: { silent: true } });
    const { address, port } = upstream;
    const stopping = new AbortController();
    const asked = askOurselves(name, { address, port, host: address }, stopping.signal);
    await upstream.received(1);
    stopping.abort();
    expect(await asked).to.equal(undefined);
  });

  it("of a wildcard is sent to both loopback addresses, one after the other", () => {
    const hosts = (address: string): readonly string[] => waysTo({ address, port: 53 }).map(({ host }) => host);
    expect(["", "::", "0.0.0.0", "192.0.2.1", "::1"].map(hosts)).to.deep.equal([
      ["127.0.0.1", "::1"],
      ["127.0.0.1", "::1"],
      ["127.0.0.1"],
      ["192.0.2.1"],
      ["::1"],
    ]);
  });
});

describe("plugins/loop over sockets", function () {
  this.timeout(3 * BOUND_MS);

  it("a server that forwards to itself says so, answers SERVFAIL with the reason at once, and goes on (C95)", async () => {
    const port = await freePort();
    await using self = await forwarder(port, `127.0.0.1:${port}`);
    expect(await self.found()).to.match(
      new RegExp(
        `^\\[ERROR\\] plugin/loop: Loop \\(127\\.0\\.0\\.1:\\d+ -> 127\\.0\\.0\\.1:${port}\\) detected for zone "\\.", ` +
          `see https://coredns\\.io/plugins/loop#troubleshooting\\. Query: "HINFO \\d+\\.\\d+\\."$`,
      ),
    );
    for (const name of ["www.example.org.", "www.example.org.", "www.example.com."]) expect(await ask(self, name)).to.deep.equal(LOOPED);
    expect(self.lines.filter((line) => line.includes("Loop ("))).to.have.length(1);
  });

  it("two servers that forward to each other find it, and answer from the moment one of them does not any more (C95)", async () => {
    await using upstream = await startUpstream({ records: "www.example.org. 300 IN A 192.0.2.1" });
    const [a, b] = [await freePort(), await freePort()];
    await using first = await forwarder(a, `127.0.0.1:${b}`);
    await using second = await forwarder(b, `127.0.0.1:${a}`);
    await Promise.all([first.found(), second.found()]);
    expect(await ask(first, "www.example.org.")).to.deep.equal(LOOPED);
    expect(await ask(second, "www.example.com.")).to.deep.equal(LOOPED);

    await second.dns.reload(`.:${b} {\n loop\n forward . ${upstream.to}\n}`);
    expect(await ask(first, "www.example.org."), "healed").to.deep.equal({ rcode: Rcodes.NOERROR, isLoop: false });
  });

  it("one that does not loop probes once and says nothing", async () => {
    await using upstream = await startUpstream({ records: "www.example.org. 300 IN A 192.0.2.1" });
    await using server = await forwarder(await freePort(), upstream.to);
    await upstream.received(1);
    expect(upstream.asked[0]?.type).to.equal("HINFO");
    expect((await ask(server, "www.example.org.")).rcode).to.equal(Rcodes.NOERROR);
    expect(server.lines.filter((line) => line.includes("plugin/loop"))).to.deep.equal([]);
  });
});
