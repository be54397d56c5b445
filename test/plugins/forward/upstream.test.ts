// The scripted upstream itself: tests that lean on it must be able to.

import { expect } from "chai";

import { decodeMessage } from "../../../src/dns/decode.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { query, tcpConnection, udpAsk, udpClient } from "../../helpers/dns-client.ts";
import { startUpstream } from "../../helpers/upstream.ts";

const RECORDS = `
  example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 86400 30
  www.example.org. 300 IN A 192.0.2.1
  alias.example.org. 300 IN CNAME www.example.org.
  *.many.example.org. 300 IN A 192.0.2.9
`;

const rows: readonly { readonly ask: string; readonly rcode: number; readonly gives: readonly string[] }[] = [
  { ask: "www.example.org.", rcode: 0, gives: ["www.example.org. 300 IN A 192.0.2.1"] },
  {
    ask: "alias.example.org.",
    rcode: 0,
    gives: ["alias.example.org. 300 IN CNAME www.example.org.", "www.example.org. 300 IN A 192.0.2.1"],
  },
  { ask: "x7.many.example.org.", rcode: 0, gives: ["x7.many.example.org. 300 IN A 192.0.2.9"] },
  { ask: "many.example.org.", rcode: 0, gives: [] },
  { ask: "missing.example.org.", rcode: 3, gives: [] },
];

describe("helpers/upstream", () => {
  for (const { ask, rcode, gives } of rows) {
    it(`answers ${ask} as an authoritative server does`, async () => {
      await using upstream = await startUpstream({ records: RECORDS });
      const reply = decodeMessage((await udpAsk(upstream, query({ name: ask }))) as Buffer);
      expect(reply?.rcode).to.equal(rcode);
      expect(reply?.answer.map((record) => formatRecord(record, record.rdata))).to.deep.equal(gives);
      expect(reply?.authority).to.have.length(gives.length === 0 ? 1 : 0);
    });
  }

  it("sends what is bad before what is good, the stranger's from another port", async () => {
    await using upstream = await startUpstream({ records: RECORDS, script: { bad: ["short", "wrong-id", "query", "stranger"] } });
    const client = await udpClient(upstream);
    client.send(query({ name: "www.example.org.", id: 7 }));
    const packets = await Promise.all(Array.from({ length: 5 }, () => client.receive()));
    client.close();
    const ids = packets.map((packet) => (packet === undefined || packet.length < 12 ? "short" : packet.readUInt16BE(0)));
    expect(ids).to.have.members([0x5552, 7, 7, 7, "short"]);
  });

  it("answers over TCP on the same port, out of order when told, and counts", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    upstream.behave((_asked, index) => (index === 0 ? { after: held } : {}));
    const connection = await tcpConnection(upstream);
    connection.send(query({ name: "www.example.org.", id: 1 }), query({ name: "www.example.org.", id: 2 }));
    expect((await connection.receive())?.readUInt16BE(0)).to.equal(2);
    release();
    expect((await connection.receive())?.readUInt16BE(0)).to.equal(1);
    connection.close();
    expect(upstream.asked.map(({ transport, name, type }) => `${transport} ${name} ${type}`)).to.deep.equal([
      "tcp www.example.org. A",
      "tcp www.example.org. A",
    ]);
  });

  it("goes down and comes up on the same port", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await upstream.down();
    expect(await udpAsk(upstream, query({ name: "www.example.org." }), 100)).to.equal(undefined);
    await upstream.up();
    expect(await udpAsk(upstream, query({ name: "www.example.org." }))).to.not.equal(undefined);
  });
});
