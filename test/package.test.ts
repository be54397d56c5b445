// The package as users import it, by its name, from what the build made.

import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { root } from "./helpers/source-tree.ts";

const PROGRAM = `
import { startServer, NdotsError } from "ndots";
import { definePlugin, directive, parseName } from "ndots/plugin";
import { ask, rr, service, slice } from "ndots/testing";
const dns = await startServer();
dns.registry.apply({ verb: "upsert", object: service({ name: "web", ports: [{ port: 80 }] }) });
const reply = await ask(dns.address, "web.default.svc.cluster.local", "A");
console.log(reply.rcode, reply.answer.length, typeof rr, typeof slice, typeof definePlugin, typeof directive, parseName("a").length, typeof NdotsError);
await dns.close();
`;

describe("the package", () => {
  it("exports the library, the plugin kit and the test helpers; prints nothing itself; lets the program end", () => {
    const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", PROGRAM], {
      cwd: root,
      encoding: "utf8",
      timeout: 10_000,
    });
    expect(printed).to.equal("NOERROR 1 function function function function 3 function\n");
  });
});
