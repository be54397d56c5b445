import { expect } from "chai";
import fc from "fast-check";
import {
  formatName,
  isWithin,
  labelsBelow,
  labelsOf,
  nameBelow,
  nameToWire,
  parentOf,
  parseName,
  readName,
  ROOT,
} from "../../src/dns/name.ts";
import { NdotsError } from "../../src/errors.ts";
import { formatRecord, parseRecord } from "../../src/dns/text.ts";
import { anyName, anyRecordSet, plainName } from "./arbitraries.ts";

describe("properties: names", () => {
  it("parse ∘ format = id", () => {
    fc.assert(fc.property(anyName, (name) => parseName(formatName(name)) === name));
  });
  it("read ∘ write = id", () => {
    fc.assert(
      fc.property(anyName, (name) => {
        expect(readName(nameToWire(name), 0)).to.deep.equal({ name, end: name.length });
      }),
    );
  });
  it("labels put below the root make the name again", () => {
    fc.assert(fc.property(anyName, (name) => nameBelow(ROOT, ...labelsOf(name)) === name));
  });
  it("a name is within a zone exactly if the zone's labels are its last ones", () => {
    fc.assert(
      fc.property(plainName, plainName, (name, zone) => {
        const labels = labelsOf(name);
        const zoneLabels = labelsOf(zone);
        const last = labels.slice(labels.length - zoneLabels.length);
        const within = zoneLabels.length <= labels.length && JSON.stringify(last) === JSON.stringify(zoneLabels);
        expect(isWithin(name, zone)).to.equal(within);
        expect(labelsBelow(name, zone)).to.deep.equal(within ? labels.slice(0, labels.length - zoneLabels.length) : undefined);
      }),
    );
  });
  it("a name is within each of its parents", () => {
    fc.assert(
      fc.property(anyName, (name) => {
        for (let above = name; above !== ROOT; above = parentOf(above)) expect(isWithin(name, above)).to.equal(true);
      }),
    );
  });
  it("text is a name or a coded error", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: fc.constantFrom(".", "\\", "0", "9", "a", "é") })), (text) => {
        try {
          expect(parseName(formatName(parseName(text)))).to.equal(parseName(text));
        } catch (error) {
          if (!(error instanceof NdotsError && error.code === "NDOTS_ERR_NAME")) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
  it("bytes are read as a name or as none, whatever they are", () => {
    const bytes = fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 0xc0, 0x40), fc.nat({ max: 255 })), { maxLength: 80 });
    fc.assert(
      fc.property(bytes, fc.nat({ max: 90 }), (values, start) => {
        const found = readName(Uint8Array.from(values), start);
        if (found === undefined) return;
        expect(found.end).to.be.within(start + 1, values.length);
        expect(readName(nameToWire(found.name), 0)?.name).to.equal(found.name);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("properties: records as text", () => {
  it("parse ∘ format = id", () => {
    fc.assert(
      fc.property(anyRecordSet, (rrset) => {
        for (const rdata of rrset.rdata) {
          const { rdata: again, rrclass, ...head } = parseRecord(formatRecord(rrset, rdata));
          expect({ ...head, rdata: Buffer.from(again) }).to.deep.equal({
            owner: rrset.owner,
            ttl: rrset.ttl,
            type: rrset.type,
            rdata: Buffer.from(rdata),
          });
          expect(rrclass).to.equal(1);
        }
      }),
      { numRuns: 300 },
    );
  });
  it("text is a record or a coded error", () => {
    const words = fc.constantFrom(
      "a",
      "5",
      "IN",
      "A",
      "AAAA",
      "TXT",
      "MX",
      "SOA",
      "SRV",
      "CAA",
      "TYPE9",
      "\\#",
      "1",
      "00",
      '"',
      "\\",
      ";",
      "192.0.2.1",
      "::",
      ".",
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 9 }), (fields) => {
        try {
          const { rdata, ...head } = parseRecord(fields.join(" "));
          parseRecord(formatRecord(head, rdata));
        } catch (error) {
          if (!(error instanceof NdotsError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
