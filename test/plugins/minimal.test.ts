import { expect } from "chai";

import { decodeMessage } from "../../src/dns/decode.ts";
import { encodeReply } from "../../src/dns/encode.ts";
import { DROP, emptyReply, Flags, isWire, type Records, type Reply } from "../../src/dns/message.ts";
import { formatRecord, parseRecordSets } from "../../src/dns/text.ts";
import { readAnswer, recordsOf } from "../../src/dns/wire.ts";
import { silentLog } from "../../src/log.ts";
import minimal from "../../src/plugins/minimal/minimal.ts";
import { createServer } from "../../src/server.ts";
import { service, slice } from "../../src/testing.ts";
import { query as packet } from "../helpers/dns-client.ts";
import { fakeHost, nextGives, query, setUp } from "../helpers/fake-host.ts";

const A = "a.nl. 5 IN A 192.0.2.1";
const NS = "nl. 5 IN NS ns.nl.";
const GLUE = "ns.nl. 5 IN A 192.0.2.2";
const SOA = "nl. 5 IN SOA ns.nl. m.nl. 1 2 3 4 5";

function reply(rcode: number, answer: string, authority: string, additional: string): Records {
  const [first, second, third] = [answer, authority, additional].map((text) => parseRecordSets(text));
  return { ...emptyReply(rcode, "next"), answer: first ?? [], authority: second ?? [], additional: third ?? [] };
}

/** As an upstream would have sent it. */
function wire(records: Records, flags = 0): Reply {
  const out = new Uint8Array(4096);
  const packet = out.slice(0, encodeReply(out, query("a.nl"), records, { maxBytes: 4096, udpSize: 1232 }));
  packet[2] = (packet[2] as number) | (flags >> 8);
  return readAnswer(packet, "forward") ?? expect.fail("not sound");
}

const shown = ({ answer, authority, additional }: Records): string[][] =>
  [answer, authority, additional].map((section) => section.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata))));

describe("plugins/minimal", () => {
  const rows: readonly (readonly [what: string, given: Records, gives: readonly [number, number, number]])[] = [
    ["an answer", reply(0, A, NS, GLUE), [1, 0, 0]],
    ["an answer with nothing more", reply(0, A, "", ""), [1, 0, 0]],
    ["NODATA", reply(0, "", SOA, ""), [0, 1, 0]],
    ["NXDOMAIN", reply(3, "", SOA, ""), [0, 1, 0]],
    ["NXDOMAIN behind a CNAME", reply(3, "a.nl. 5 IN CNAME b.nl.", SOA, ""), [1, 1, 0]],
    ["a referral", reply(0, "", NS, GLUE), [0, 1, 1]],
    ["SERVFAIL", reply(2, "", NS, GLUE), [0, 1, 1]],
    ["nothing in the answer, and no reason", reply(0, "", "", GLUE), [0, 0, 0]],
  ];
  for (const [what, given, gives] of rows) {
    it(`${what}: ${gives.join(", ")} records are left`, async () => {
      const { handle } = await setUp(minimal, "minimal", fakeHost("minimal"));
      for (const one of [given, wire(given)]) {
        const now = handle?.(query("a.nl"), nextGives(one)) as Reply;
        const later = (await handle?.(query("a.nl"), async () => one)) as Reply;
        for (const got of [now, later]) {
          expect(shown(recordsOf(got)).map((section) => section.length)).to.deep.equal(gives);
          expect(got.by).to.equal(one.by);
        }
      }
    });
  }

  it("what it does not change is not touched: bytes, cut answers, DROP", async () => {
    const { handle } = await setUp(minimal, "minimal", fakeHost("minimal"));
    for (const one of [wire(reply(0, A, "", "")), wire(reply(3, "", SOA, "")), wire(reply(0, A, NS, GLUE), Flags.TC), DROP] as const) {
      expect(handle?.(query("a.nl"), nextGives(one))).to.equal(one);
    }
    expect(isWire(wire(reply(0, A, "", "")))).to.equal(true);
  });

  for (const table of ["on", "off"] as const) {
    it(`with the answer table ${table}, answers for the cluster's names are as small`, async () => {
      const options = { file: "Corefile", port: 0, address: "127.0.0.1", embedded: true, strict: true, env: {}, log: silentLog };
      const server = await createServer({ corefile: ". {\n minimal\n kubernetes cluster.local\n}\n", table, ...options });
      try {
        const endpoints = [{ addresses: ["10.1.0.7"], hostname: "db-0" }];
        server.registry.apply(
          { verb: "upsert", object: service({ name: "db", headless: true, ports: [{ name: "sql", port: 5432 }] }) },
          { verb: "upsert", object: slice({ service: "db", endpoints, ports: [{ name: "sql", port: 5432 }] }) },
        );
        await server.settled();
        for (const [name, type] of [
          ["_sql._tcp.db.default.svc.cluster.local", "SRV"],
          ["db.default.svc.cluster.local", "A"],
          ["cluster.local", "NS"],
          ["cluster.local", "SOA"],
        ] as const) {
          const message = decodeMessage((await server.ask(packet({ name, type, edns: {} }), "udp")) ?? expect.fail("no answer"));
          const { answer, authority, additional } = message ?? expect.fail("not sound");
          expect([answer.length, authority.length, additional.length], `${name} ${type}`).to.deep.equal([1, 0, 0]);
        }
      } finally {
        await server.stop("now");
      }
    });
  }
});
