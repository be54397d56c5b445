import { expect } from "chai";

import debug from "../../src/plugins/debug/debug.ts";
import { fakeHost, setUp } from "../helpers/fake-host.ts";

describe("plugins/debug", () => {
  it("lets debug lines through", async () => {
    const host = fakeHost("debug");
    await setUp(debug, "debug", host);
    expect(host.lines).to.deep.equal(["debug enabled"]);
  });
});
