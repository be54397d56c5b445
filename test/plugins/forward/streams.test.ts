// Questions over TCP, TLS and HTTPS: shared connections, their ends, and whom they trust.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

import { systemClock, type Clock } from "../../../src/clock.ts";
import { Rcodes } from "../../../src/dns/message.ts";
import { createAuthority } from "../../helpers/certificates.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";
import { fakeHost } from "../../helpers/fake-host.ts";
import { startUpstream } from "../../helpers/upstream.ts";
import { forwarding, type Forwarding } from "./forwarding.ts";

const RECORDS = "*.example.org. 300 IN A 192.0.2.1";

describe("plugins/forward over TCP", () => {
  it("force_tcp: many questions share a few connections, answers come in any order", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await using upstream = await startUpstream({ records: RECORDS, script: (_, index) => (index === 0 ? { after: held } : {}) });
    await using forward = await forwarding(`forward . ${upstream.to} {\n force_tcp\n}`);
    const first = forward.ask("first.example.org.");
    await upstream.received(1);
    const others = await Promise.all(Array.from({ length: 20 }, (_, index) => forward.ask(`q${index}.example.org.`)));
    expect(others.map(({ answer }) => answer.length)).to.deep.equal(others.map(() => 1));
    release();
    expect((await first).answer).to.deep.equal(["first.example.org. 300 IN A 192.0.2.1"]);
    expect(upstream.connections.opened).to.equal(1);
    expect(new Set(upstream.asked.map(({ transport }) => transport))).to.deep.equal(new Set(["tcp"]));
  });

  it("an upstream that ends the connection behind each answer is asked on new ones", async () => {
    await using upstream = await startUpstream({ records: RECORDS, script: { end: true } });
    await using forward = await forwarding(`forward . ${upstream.to} {\n force_tcp\n}`);
    for (const name of ["a", "b", "c", "d"]) expect((await forward.ask(`${name}.example.org.`)).answer).to.have.length(1);
    expect(upstream.connections.opened).to.be.within(4, 8);
  });

  it("a connection that is reset under a question is a failure of that upstream", async () => {
    await using broken = await startUpstream({ script: { reset: true } });
    await using good = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${broken.to} ${good.to} {\n force_tcp\n policy sequential\n}`);
    expect((await forward.ask("a.example.org.")).answer).to.have.length(1);
    await good.down();
    const { rcode, reply } = await forward.ask("b.example.org.");
    expect(rcode).to.equal(Rcodes.SERVFAIL);
    expect(reply.error).to.match(/^(read tcp .*: (EOF|connection reset by peer)|dial tcp .*: connect: connection refused)$/);
  });

  it("answers with a wrong id or question are ignored, and the good one behind them taken", async () => {
    await using upstream = await startUpstream({ records: RECORDS, script: { bad: ["wrong-id", "wrong-name", "query"] } });
    await using forward = await forwarding(`forward . ${upstream.to} {\n force_tcp\n}`);
    expect((await forward.ask("a.example.org.")).answer).to.have.length(1);
  });

  it("expire ends idle connections", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to} {\n force_tcp\n expire 3s\n}`, { clock });
    await forward.ask("a.example.org.");
    await clock.advance(2000);
    expect(upstream.connections.open).to.equal(1);
    await clock.advance(3000);
    expect(upstream.connections.open).to.equal(0);
  });

  it("a connection on which nothing comes any more is not used again", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ records: RECORDS });
    await using forward = await forwarding(`forward . ${upstream.to} {\n force_tcp\n max_connect_attempts 1\n}`, { clock });
    await forward.ask("a.example.org.");
    upstream.behave({ silent: true });
    const lost = forward.ask("b.example.org.");
    await clock.advance(2100);
    expect((await lost).rcode).to.equal(Rcodes.SERVFAIL);
    upstream.behave({});
    expect((await forward.ask("c.example.org.")).answer).to.have.length(1);
    expect(upstream.connections.opened).to.be.greaterThan(1);
  });
});

describe("plugins/forward over TLS", () => {
  const authority = createAuthority("ours");
  const certified = authority.issue({ commonName: "dns.example.org", names: ["dns.example.org", "127.0.0.1"] });
  const other = createAuthority("other").issue({ commonName: "dns.example.org", names: ["dns.example.org", "127.0.0.1"] });
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ndots-forward-"));
    writeFileSync(join(folder, "ca.pem"), authority.cert);
  });
  after(() => rmSync(folder, { recursive: true }));

  const rows = [
    { rule: "the name behind the upstream", to: (port: number) => `tls://127.0.0.1%dns.example.org:${port}`, options: "", trusted: true },
    { rule: "tls_servername", to: (port: number) => `tls://127.0.0.1:${port}`, options: "tls_servername dns.example.org", trusted: true },
    { rule: "its address, without a name", to: (port: number) => `tls://127.0.0.1:${port}`, options: "", trusted: true },
    { rule: "a name that it has not", to: (port: number) => `tls://127.0.0.1%www.example.org:${port}`, options: "", trusted: false },
  ];
  for (const { rule, to, options, trusted } of rows) {
    it(`the certificate is checked by ${rule}: ${trusted ? "answered" : "SERVFAIL"}`, async () => {
      await using upstream = await startUpstream({ records: RECORDS, tls: certified });
      const host = fakeHost("forward", { file: join(folder, "Corefile") });
      await using forward = await forwarding(`forward . ${to(upstream.tlsPort)} {\n tls ca.pem\n ${options}\n}`, { host });
      const { rcode } = await forward.ask("a.example.org.");
      expect(rcode).to.equal(trusted ? Rcodes.NOERROR : Rcodes.SERVFAIL);
      expect(upstream.asked.filter(({ type }) => type === "A").map(({ transport }) => transport)).to.deep.equal(trusted ? ["tls"] : []);
    });
  }

  it("a certificate of another authority is refused: no question leaves", async () => {
    await using upstream = await startUpstream({ records: RECORDS, tls: other });
    const host = fakeHost("forward", { file: join(folder, "Corefile") });
    await using forward = await forwarding(`forward . tls://127.0.0.1%dns.example.org:${upstream.tlsPort} {\n tls ca.pem\n}`, { host });
    expect((await forward.ask("a.example.org.")).rcode).to.equal(Rcodes.SERVFAIL);
    expect(upstream.asked).to.have.length(0);
  });
});

describe("plugins/forward over HTTPS", () => {
  const authority = createAuthority("ours");
  const certified = authority.issue({ commonName: "dns.example.org", names: ["dns.example.org", "127.0.0.1"] });
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "ndots-forward-"));
    writeFileSync(join(folder, "ca.pem"), authority.cert);
  });
  after(() => rmSync(folder, { recursive: true }));

  async function overHttps(port: number, options = "", clock: Clock = systemClock): Promise<Forwarding> {
    const host = fakeHost("forward", { file: join(folder, "Corefile") });
    return forwarding(`forward . https://127.0.0.1:${port} {\n tls ca.pem\n ${options}\n}`, { host, clock });
  }

  for (const options of ["", "doh_method GET", "tls_servername dns.example.org"]) {
    it(`many questions share one connection ${options}`, async () => {
      await using upstream = await startUpstream({ records: RECORDS, https: certified });
      await using forward = await overHttps(upstream.httpsPort, options);
      const told = await Promise.all(Array.from({ length: 20 }, (_, index) => forward.ask(`q${index}.example.org.`)));
      expect(told.map(({ answer }) => answer.length)).to.deep.equal(told.map(() => 1));
      expect(new Set(upstream.asked.map(({ transport, id }) => `${transport} ${id}`))).to.deep.equal(new Set(["https 0"]));
      expect(new Set(upstream.asked.map(({ port }) => port)).size).to.equal(1);
    });
  }

  for (const [rule, script, error] of [
    ["an HTTP error", { httpStatus: 503 }, /^Post "https:\/\/127\.0\.0\.1:\d+\/dns-query": unexpected HTTP status 503$/],
    ["a connection that breaks", { reset: true }, /^Post "https:/],
  ] as const) {
    it(`${rule} is a failure of that upstream, and the next question is asked again`, async () => {
      await using upstream = await startUpstream({ records: RECORDS, https: certified, script });
      await using forward = await overHttps(upstream.httpsPort);
      const { rcode, reply } = await forward.ask("a.example.org.");
      expect(rcode).to.equal(Rcodes.SERVFAIL);
      expect(reply.error).to.match(error);
      upstream.behave({});
      expect((await forward.ask("b.example.org.")).answer).to.have.length(1);
    });
  }

  it("a connection that is older than max_age gives way to another, and ends with the last answer on it", async () => {
    const clock = fakeClock();
    let release = (): void => {};
    const after = new Promise<void>((resolve) => (release = resolve));
    await using upstream = await startUpstream({ records: RECORDS, https: certified, script: { after } });
    await using forward = await overHttps(upstream.httpsPort, "expire 2s\n max_age 3s\n read_timeout 9s", clock);
    const held = forward.ask("a.example.org.");
    await upstream.received(1);
    await clock.advance(4000);
    upstream.behave({});
    await forward.ask("b.example.org.");
    expect(upstream.connections.open).to.equal(2);
    release();
    expect((await held).answer).to.have.length(1);
    while (upstream.connections.open > 1) await new Promise((resolve) => setImmediate(resolve)); // mocha bounds it
  });

  it("a server of another name is not asked", async () => {
    await using upstream = await startUpstream({ records: RECORDS, https: certified });
    await using forward = await overHttps(upstream.httpsPort, "tls_servername www.example.org");
    expect((await forward.ask("a.example.org.")).rcode).to.equal(Rcodes.SERVFAIL);
    expect(upstream.asked).to.have.length(0);
  });

  it("a silent upstream gives SERVFAIL in time", async () => {
    const clock = fakeClock();
    await using upstream = await startUpstream({ https: certified, script: { silent: true } });
    await using forward = await overHttps(upstream.httpsPort, "", clock);
    const lost = forward.ask("a.example.org.");
    await upstream.received(1);
    await clock.advance(5000);
    expect((await lost).reply.error).to.match(/i\/o timeout$/);
  });
});
