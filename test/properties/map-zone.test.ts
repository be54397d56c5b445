import { expect } from "chai";
import fc from "fast-check";
import { createZone } from "../../src/dns/map-zone.ts";
import { parseName } from "../../src/dns/name.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import { query } from "../helpers/dns-client.ts";
import { createZoneResponder, respond } from "../malformed/world.ts";

const APEX = "example.org.";
const label = fc.constantFrom("a", "b", "*", "ns");
const below = fc.array(label, { maxLength: 3 }).map((labels) => [...labels, APEX].join("."));
const rdata = fc.oneof(
  fc.constantFrom("A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", 'TXT "x"', "DS 1 13 2 00"),
  fc.tuple(fc.constantFrom("NS", "MX 10", "SRV 0 0 80"), below).map(([type, target]) => `${type} ${target}`),
);
const alias = below.map((target) => `CNAME ${target}`);

const records = fc
  .array(fc.tuple(below, fc.oneof({ weight: 5, arbitrary: rdata }, { weight: 1, arbitrary: alias })), { maxLength: 12 })
  .map((rows) =>
    withoutConflicts(rows)
      .map(([owner, data]) => `${owner} 5 ${data}\n`)
      .join(""),
  );

type Row = [owner: string, data: string];

// An owner has one alias or other records; the apex has a SOA.
function withoutConflicts(rows: readonly Row[]): Row[] {
  const isAlias = ([, data]: Row): boolean => data.startsWith("CNAME");
  const others = rows.filter((row) => !isAlias(row));
  const taken = new Set([APEX, ...others.map(([owner]) => owner)]);
  const aliases = new Map(rows.filter((row) => isAlias(row) && !taken.has(row[0])));
  return [...others, ...aliases];
}

const question = fc.record({
  name: fc.array(fc.oneof(label, fc.constantFrom("c", "d")), { maxLength: 4 }).map((labels) => [...labels, APEX].join(".")),
  type: fc.constantFrom("A", "AAAA", "TXT", "MX", "NS", "DS", "SRV", "CNAME", "SOA", "ANY"),
  edns: fc.constantFrom(undefined, { udpSize: 1232 }),
} as const);

describe("properties: a stored zone", () => {
  it("the answer table says what the chain says, byte for byte: wildcards, zone cuts, aliases, empty non-terminals", async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.array(question, { minLength: 1, maxLength: 20 }), async (text, questions) => {
        const soa = `${APEX} 60 SOA ns.${APEX} hostmaster.${APEX} 1 7200 1800 86400 30\n`;
        const zone = createZone({
          apex: parseName(APEX),
          records: parseRecordSets(soa + text),
        });
        const withTable = await createZoneResponder(zone, "on");
        const without = await createZoneResponder(zone, "off");
        for (const { name, type, edns } of questions) {
          const packet = query({ name, type, edns });
          const [found, wanted] = [await respond(withTable, packet, "udp"), await respond(without, packet, "udp")];
          expect(Buffer.from(found ?? []).toString("latin1"), `${name} ${type}`).to.equal(Buffer.from(wanted ?? []).toString("latin1"));
        }
      }),
      { numRuns: 150 },
    );
  });
});
