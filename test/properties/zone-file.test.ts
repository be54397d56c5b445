// Master files: what is written reads back the same, and nothing that a file says makes the reader throw.

import { expect } from "chai";
import fc from "fast-check";
import { formatName, isWithin, nameBelow, parseName, type Name } from "../../src/dns/name.ts";
import { labelsOf } from "../../src/dns/name.ts";
import { RRTypes, type RecordSet } from "../../src/dns/records.ts";
import { formatRecord, parseRecord, typeName } from "../../src/dns/text.ts";
import { readZoneFile } from "../../src/dns/zone-file.ts";
import { anyRecordSet } from "./arbitraries.ts";

const APEX = parseName("example.org.");
const SOA = "example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 5";

// Into the zone, and one of a kind where there may be one only.
const records = fc.array(anyRecordSet, { maxLength: 12 }).map((sets) => {
  const byKey = new Map<string, RecordSet>();
  for (const set of sets) {
    const owner: Name = isWithin(set.owner, APEX) ? set.owner : (nameBelow(APEX, ...labelsOf(set.owner).slice(0, 2)) ?? APEX);
    if (set.type === RRTypes.SOA || set.type === RRTypes.CNAME) continue;
    byKey.set(`${set.type} ${owner}`, { ...set, owner });
  }
  return [...byKey.values()];
});

const linesOf = (sets: readonly RecordSet[]): string[] => sets.flatMap((set) => set.rdata.map((rdata) => formatRecord(set, rdata)));

describe("properties/zone-file", () => {
  it("records that are written one a line read back the same, in any layout", () => {
    const blank = fc.constantFrom(" ", "\t", "  ", " ( ", " ) ");
    fc.assert(
      fc.property(records, fc.infiniteStream(blank), (sets, blanks) => {
        const lines = linesOf(sets);
        const text = [SOA, ...lines].join("\n");
        const { records: read, findings } = readZoneFile({ file: "zone", text, apex: APEX });
        expect(findings.filter(({ severity }) => severity === "error")).to.deep.equal([]);
        expect(linesOf(read)).to.deep.equal([SOA, ...new Set(lines)]);
        const open = blanks.next().value === " ( ";
        const wrapped = lines.map((line) => (open ? line.replace(/ IN (\S+) (.*)$/s, " IN $1 (\n $2 ; )\n)") : line));
        expect(linesOf(readZoneFile({ file: "zone", text: [SOA, ...wrapped].join("\r\n"), apex: APEX }).records)).to.deep.equal(
          linesOf(read),
        );
      }),
    );
  });

  it("rdata of any type and any bytes has a text that reads back as these bytes", () => {
    const types = fc.constantFrom(...Object.values(RRTypes));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      // Near to what SVCB has: priority, root, keys with lengths.
      fc
        .array(fc.tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 9, 255), fc.uint8Array({ maxLength: 6 })), { maxLength: 3 })
        .map((pairs) => Uint8Array.from([0, 1, 0, ...pairs.flatMap(([key, value]) => [0, key, 0, value.length, ...value])])),
    );
    fc.assert(
      fc.property(types, bytes, (type, rdata) => {
        const text = formatRecord({ owner: APEX, type, ttl: 5 }, rdata);
        // What is not rdata of its type is shown, and is not read.
        if (text.includes(" \\# ") && typeName(type) !== `TYPE${type}`) return;
        expect(formatRecord({ owner: APEX, type, ttl: 5 }, parseRecord(text).rdata)).to.equal(text);
        expect(Buffer.from(parseRecord(text).rdata).toString("hex").length).to.equal(rdata.length * 2);
      }),
      { numRuns: 5_000 },
    );
  });

  const word = fc.constantFrom(
    ...'a @ * $ORIGIN $TTL $INCLUDE $GENERATE 1-3 1-3/0 x$ ${1,2,x} ${ IN CH A TXT SOA CNAME TYPE1 \\# 0 60 1h30m example.org. ( ) ; " \\ \\032 \\9 \\300 .'.split(
      " ",
    ),
    "\n",
    " ",
    "\t",
    "\0",
    "é",
    "\ud800",
  );
  const soup = fc.array(fc.oneof({ weight: 8, arbitrary: word }, { weight: 1, arbitrary: fc.string() }), { maxLength: 60 });

  it("nothing makes it throw; what is wrong has a line of the file", () => {
    fc.assert(
      fc.property(soup, fc.constantFrom("", " "), (words, glue) => {
        const text = words.join(glue);
        const { findings, records: read } = readZoneFile({ file: "zone", text, apex: APEX, include: () => ({ file: "zone", text }) });
        const lines = text.split("\n").length;
        for (const { line, message } of findings) {
          expect(line).to.be.within(0, lines);
          expect(message).to.not.equal("");
        }
        for (const { owner } of read) expect(isWithin(owner, APEX), formatName(owner)).to.equal(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
