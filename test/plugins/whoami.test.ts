import { expect } from "chai";

import type { Client, Records } from "../../src/dns/message.ts";
import { ROOT, type Name } from "../../src/dns/name.ts";
import { formatRecord } from "../../src/dns/text.ts";
import whoami from "../../src/plugins/whoami/whoami.ts";
import { fakeHost, nextGives, query, setUp } from "../helpers/fake-host.ts";

describe("plugins/whoami", () => {
  const long = `${`\x3f${"a".repeat(63)}`.repeat(3)}\x3d${"a".repeat(61)}\0` as Name;
  const cases: readonly { readonly name: string; readonly client?: Partial<Client>; readonly gives: readonly string[] }[] = [
    { name: "example.org", gives: ["example.org. 0 IN A 192.0.2.7", "_udp.example.org. 0 IN SRV 0 0 50759 ."] },
    { name: ROOT, client: { transport: "tcp" }, gives: [". 0 IN A 192.0.2.7", "_tcp. 0 IN SRV 0 0 50759 ."] },
    {
      name: "example.org",
      client: { address: "2001:db8::7", family: 6, transport: "tcp", port: 40212 },
      gives: ["example.org. 0 IN AAAA 2001:db8::7", "_tcp.example.org. 0 IN SRV 0 0 40212 ."],
    },
  ];
  for (const { name, client = {}, gives } of cases) {
    it(`answers ${JSON.stringify(name)} by ${client.transport ?? "udp"} with ${gives.join(", ")} in the additional section`, async () => {
      const { handle } = await setUp(whoami, "whoami", fakeHost("whoami"));
      const reply = (await handle?.(query(name, { client }), nextGives(undefined))) as Records;
      expect(reply.additional.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata)))).to.deep.equal(gives);
      expect(reply).to.include({ rcode: 0, authoritative: true, by: "whoami" });
      expect(reply.answer).to.deep.equal([]);
    });
  }

  it("leaves the SRV record out where its name would be too long", async () => {
    const { handle } = await setUp(whoami, "whoami", fakeHost("whoami"));
    const reply = (await handle?.(query(long), nextGives(undefined))) as Records;
    expect(reply.additional).to.have.length(1);
  });
});
