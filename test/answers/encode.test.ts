// The encoder of the table's answers: what may be rotated in place. That its bytes are the chain's is test/contracts/table-is-chain.test.ts.

import { expect } from "chai";
import { createEncoder } from "../../src/answers/encode.ts";
import { emptyReply, Rcodes } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { parseRecordSets } from "../../src/dns/text.ts";

const encoder = createEncoder();
const NAME = parseName("example.org");

function rotated(type: keyof typeof RRTypes, records: string, additional = ""): string {
  const reply = { ...emptyReply(Rcodes.NOERROR, ""), answer: parseRecordSets(records), additional: parseRecordSets(additional) };
  const answer = encoder.answer(NAME, RRTypes[type], reply, new Set([RRTypes[type]]));
  return answer === undefined ? "left to the chain" : `${answer.rotateCount} of ${answer.rotateSize} bytes at ${answer.rotateAt}`;
}

describe("rotation in the answer table", () => {
  it("takes records of one length", () => {
    expect(rotated("A", "example.org. 5 A 192.0.2.1\nexample.org. 5 A 192.0.2.2")).to.equal("2 of 16 bytes at 0");
    expect(rotated("MX", "example.org. 5 MX 1 a.example.org.\nexample.org. 5 MX 1 b.example.org.")).to.equal("2 of 18 bytes at 0");
  });

  it("leaves records of several lengths to the chain", () => {
    expect(rotated("MX", "example.org. 5 MX 1 a.example.org.\nexample.org. 5 MX 1 bb.example.org.")).to.equal("left to the chain");
  });

  it("leaves records to the chain that other names are compressed with: rotated, they would be other names", () => {
    // The second target is written as a pointer into the first, and both have nine bytes.
    expect(rotated("MX", "example.org. 5 MX 1 a.bc.de.\nexample.org. 5 MX 1 xxxxxx.bc.de.")).to.equal("left to the chain");
    const targets = "example.org. 5 MX 1 a.example.org.\nexample.org. 5 MX 1 b.example.org.";
    expect(rotated("MX", targets, "a.example.org. 5 A 192.0.2.1")).to.equal("left to the chain");
    expect(rotated("MX", targets, "c.example.org. 5 A 192.0.2.1")).to.equal("2 of 18 bytes at 0");
  });
});
