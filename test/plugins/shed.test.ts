import { expect } from "chai";
import { FindingsError } from "../../src/errors.ts";
import shed from "../../src/plugins/shed/shed.ts";
import { fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

describe("plugins/shed", () => {
  it("is not in the query path, and counts what is dropped; 0 from the start on", async () => {
    const host = fakeHost("shed");
    const instance = await setUp(shed, "shed", host);
    expect(instance.handle).to.equal(undefined);
    const shown = (): unknown[] =>
      [...host.metrics.all()].flatMap(({ name, collect }) => [...collect()].map(({ labels, value }) => [name, labels, value]));
    await instance.start?.();
    expect(shown()).to.deep.equal([["coredns_shed_dropped_total", { server: "dns://:53", reason: "query" }, 0]]);
    instance.onShed?.();
    instance.onShed?.();
    expect(shown()).to.deep.equal([["coredns_shed_dropped_total", { server: "dns://:53", reason: "query" }, 2]]);
  });

  for (const scheme of ["tls", "https"] as const) {
    it(`a block with ${scheme}:// can't have it`, async () => {
      const error = await setUp(shed, "shed", fakeHost("shed", { schemes: new Set(["dns", scheme]) })).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(FindingsError);
      expect((error as Error).message).to.include(
        `Corefile:2:5: shed: only server blocks of plain DNS can have it, this one has a key with ${scheme}://`,
      );
    });
  }

  for (const text of ["shed 10", "shed {\n depth 10\n}", "shed\nshed"]) {
    it(`${text.replaceAll(/\s+/g, " ")} is refused`, () => expect(readDirective(shed, text).findings).to.not.deep.equal([]));
  }
});
