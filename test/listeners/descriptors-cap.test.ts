// TCP clients leave descriptors for everything else (C115).

import { expect } from "chai";
import { tcpConnectionCap } from "../../src/listeners/descriptors.ts";

describe("TCP's share of the file descriptors", () => {
  for (const [limit, cap] of [
    [1_048_576, 1000],
    [1024, 864],
    [300, 140],
    [40, 8],
  ] as const) {
    it(`${cap} connections under a limit of ${limit}`, () => expect(tcpConnectionCap(limit)).to.equal(cap));
  }

  it("reads the limit of this process", () => expect(tcpConnectionCap()).to.be.within(8, 1000));
});
