import { expect } from "chai";

import { hostname } from "node:os";
import { decodeMessage } from "../../src/dns/decode.ts";
import { emptyReply, type Query, type Records } from "../../src/dns/message.ts";
import { RRTypes, type RRType } from "../../src/dns/records.ts";
import { formatRecord } from "../../src/dns/text.ts";
import { startServer } from "../../src/index.ts";
import chaos from "../../src/plugins/chaos/chaos.ts";
import { query as packet, udpAsk } from "../helpers/dns-client.ts";
import { fakeHost, nextGives, query, readDirective, setUp } from "../helpers/fake-host.ts";

const CH = 3;
const passed: Records = emptyReply(0, "next");

async function ask(line: string, name: string, asked: { readonly type?: RRType; readonly qclass?: number } = {}): Promise<Records> {
  const { type = RRTypes.TXT, qclass = CH } = asked;
  const { handle } = await setUp(chaos, line, fakeHost("chaos"));
  const question: Query = { ...query(name, { type }), qclass };
  return (await handle?.(question, nextGives(passed))) as Records;
}

const texts = ({ answer }: Records): string[] => answer.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata)));

describe("plugins/chaos", () => {
  const rows: readonly { readonly line: string; readonly name: string; readonly gives: readonly (string | RegExp)[] }[] = [
    { line: "chaos", name: "version.bind", gives: [/^version\.bind\. 0 CH TXT "ndots-\d+\.\d+\.\d+[^"]*"$/] },
    { line: "chaos v1", name: "version.bind", gives: ['version.bind. 0 CH TXT "v1"'] },
    { line: 'chaos "v 1" a b', name: "version.server", gives: ['version.server. 0 CH TXT "v 1"'] },
    { line: "chaos", name: "hostname.bind", gives: [/^hostname\.bind\. 0 CH TXT "[^"]+"$/] },
    { line: "chaos", name: "id.server", gives: [/^id\.server\. 0 CH TXT "[^"]+"$/] },
    { line: "chaos", name: "authors.bind", gives: ['authors.bind. 0 CH TXT "the authors of ndots"'] },
    { line: "chaos v1 b a b", name: "authors.bind", gives: ['authors.bind. 0 CH TXT "a"', 'authors.bind. 0 CH TXT "b"'] },
    { line: `chaos ${"é".repeat(200)}`, name: "version.bind", gives: [`version.bind. 0 CH TXT "${"\\195\\169".repeat(127)}"`] },
  ];
  for (const { line, name, gives } of rows) {
    it(`${line.slice(0, 30)}: ${name} gives ${String(gives).slice(0, 60)}`, async () => {
      const reply = await ask(line, name);
      expect(reply).to.include({ rcode: 0, authoritative: false, by: "chaos" });
      const found = texts(reply).toSorted();
      expect(found).to.have.length(gives.length);
      for (const [index, one] of gives.entries()) {
        if (typeof one === "string") expect(found[index]).to.equal(one);
        else expect(found[index]).to.match(one);
      }
    });
  }

  it("does not begin with the same author each time", async () => {
    const { handle } = await setUp(chaos, "chaos v1 a b", fakeHost("chaos"));
    const firsts = new Set<string | undefined>();
    for (let turn = 0; turn < 200 && firsts.size < 2; turn++) {
      firsts.add(
        texts((await handle?.({ ...query("authors.bind", { type: RRTypes.TXT }), qclass: CH }, nextGives(undefined))) as Records)[0],
      );
    }
    expect(firsts.size).to.equal(2);
  });

  it("refuses other questions of class CH: no zone behind it has records of that class", async () => {
    expect(await ask("chaos", "version.bind", { type: RRTypes.A })).to.include({ rcode: 5, by: "chaos" });
    expect(await ask("chaos", "kubernetes.default.svc.cluster.local")).to.include({ rcode: 5, by: "chaos" });
  });

  it("passes them where rewrite has a rule for class CH", async () => {
    const host = fakeHost("chaos");
    const { handle } = await setUp(chaos, "chaos", host);
    host.siblings["rewrite"] = { takesClasses: [CH] };
    expect(await handle?.({ ...query("web.example.org"), qclass: CH }, nextGives(passed))).to.equal(passed);
  });

  it("passes every question of class IN, and lets the answer table skip it", async () => {
    expect(await ask("chaos", "version.bind", { qclass: 1 })).to.equal(passed);
    const instance = await setUp(chaos, "chaos", fakeHost("chaos"));
    expect(instance)
      .to.include({ transparent: true })
      .and.to.deep.include({ takesClasses: [CH] });
  });

  it("through a socket, as OpenShift's Corefile has it", async () => {
    await using dns = await startServer({ corefile: "hostname.bind {\n chaos\n}\n. {\n chaos v1\n whoami\n}\n" });
    const texts = async (name: string, qclass = CH): Promise<string[] | number> => {
      const answer = (await udpAsk(dns.address, packet({ name, type: "TXT", class: qclass, edns: {} }))) as Buffer;
      const message = decodeMessage(answer);
      return message?.rcode === 0 ? message.answer.map((record) => formatRecord(record, record.rdata)) : (message?.rcode ?? -1);
    };
    expect(await texts("hostname.bind")).to.deep.equal([`hostname.bind. 0 CH TXT "${hostname()}"`]);
    expect(await texts("Version.Bind")).to.deep.equal(['version.bind. 0 CH TXT "v1"']);
    expect(await texts("example.org")).to.equal(5);
    expect(await texts("hostname.bind", 1)).to.equal(5);
    expect(await texts("version.bind", 4)).to.equal(5);
    expect(await texts("version.bind", 1)).to.deep.equal([]); // whoami answers with nothing
  });

  it("takes no block and no empty version", () => {
    expect(readDirective(chaos, "chaos {\n v1\n}").findings).to.deep.equal(["Corefile:2:1: chaos: takes no block"]);
    expect(readDirective(chaos, 'chaos ""').findings.join()).to.contain('TEXT must be not empty, found ""');
  });
});
