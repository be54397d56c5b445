import { expect } from "chai";

import bufsize from "../../src/plugins/bufsize/bufsize.ts";
import { fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

describe("plugins/bufsize", () => {
  for (const [line, bytes] of [
    ["bufsize", 1232],
    ["bufsize 512", 512],
    ["bufsize 4096", 4096],
  ] as const) {
    it(`${line} bounds UDP replies to ${bytes} bytes`, async () => {
      expect((await setUp(bufsize, line, fakeHost("bufsize"))).udpSizeBytes).to.equal(bytes);
    });
  }

  for (const line of ["bufsize 511", "bufsize 4097", "bufsize x", "bufsize 1232 1232"]) {
    it(`refuses ${line}`, () => expect(readDirective(bufsize, line).findings).to.have.length(1));
  }
});
