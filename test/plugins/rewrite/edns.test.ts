// What `rewrite edns0` puts into questions.

import { expect } from "chai";

import type { Query } from "../../../src/dns/message.ts";
import { fakeHost } from "../../helpers/fake-host.ts";
import { formatName } from "../../../src/dns/name.ts";
import { anAddress, rewriting, toQuery } from "./fixture.ts";

const option = (code: number, data: Uint8Array): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(code, 0);
  head.writeUInt16BE(data.length, 2);
  return Buffer.concat([head, data]);
};

/** Options as `code:hex`. */
function shown(query: Query | undefined): string {
  const bytes = Buffer.from(query?.edns?.options ?? []);
  const options: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    options.push(`${bytes.readUInt16BE(at)}:${bytes.toString("hex", at + 4, end)}`);
    at = end;
  }
  return options.join(" ");
}

function asking(options: readonly Buffer[] | undefined, address = "192.0.2.7"): Query {
  const query = toQuery("a.nl AAAA");
  const family = address.includes(":") ? 6 : 4;
  const client = { ...query.client, address, family, localAddress: family === 6 ? "2001:db8::53" : "192.0.2.53" } as const;
  const edns = options === undefined ? undefined : { udpSize: 4096, dnssecOk: true, options: Buffer.concat(options) };
  return { ...query, client, edns };
}

const LOCAL = option(0xffee, Buffer.from("old"));
const COOKIE = option(10, Buffer.from("cookie!!"));

describe("rewrite edns0", () => {
  const rows: readonly (readonly [rules: string, options: readonly Buffer[] | undefined, gives: string, address?: string])[] = [
    ["local set 0xffee 0x61626364", undefined, "65518:61626364"],
    ["local set 0xffee abcd", [], "65518:61626364"],
    ["local set 0xffee abcd", [LOCAL, COOKIE], "65518:61626364 10:636f6f6b69652121"],
    ["local append 0xffee abcd", [COOKIE], "10:636f6f6b69652121 65518:61626364"],
    ["local append 0xffee abcd", [LOCAL], "65518:6f6c64"],
    ["local replace 0xffee abcd", [LOCAL], "65518:61626364"],
    ["local replace 0xffee abcd", [COOKIE], "10:636f6f6b69652121"],
    ["local replace 0xffee abcd", undefined, ""],
    ["local unset 0xffee", [LOCAL, COOKIE, LOCAL], "10:636f6f6b69652121"],
    ["local unset 0xffee", undefined, ""],
    ["local set 0xffee abcd revert", [], "65518:61626364"],
    ['local set 0xffee ""', [], "65518:"],
    ["local set 0xffee {qname}", [], `65518:${Buffer.from("a.nl.").toString("hex")}`],
    ["local set 0xffee {qtype}", [], "65518:001c"],
    ["local set 0xffee {client_ip}", [], "65518:c0000207"],
    ["local set 0xffee {client_ip}", [], "65518:20010db8000000000000000000000007", "2001:db8::7"],
    ["local set 0xffee {client_port}", [], "65518:c647"],
    ["local set 0xffee {protocol}", [], `65518:${Buffer.from("udp").toString("hex")}`],
    ["local set 0xffee {server_ip}", [], "65518:c0000235"],
    ["local set 0xffee {server_port}", [], "65518:0035"],
    ["nsid set", undefined, "3:"],
    ["nsid set", [option(3, Buffer.from("x"))], "3:"],
    ["nsid append", [option(3, Buffer.from("x"))], "3:78"],
    ["nsid replace", [], ""],
    ["nsid unset", [option(3, Buffer.from("x")), LOCAL], "65518:6f6c64"],
    ["subnet set 24 56", undefined, "8:00011800c00002"],
    ["subnet set 31 56", [], "8:00011f00c0000206"],
    ["subnet set 32 56", [], "8:00012000c0000207"],
    ["subnet set 0 56", [], "8:00010000"],
    ["subnet set 24 56", [], "8:0002380020010db8000000", "2001:db8::7"],
    ["subnet set 24 33", [], "8:0002210020010db880", "2001:db8:ffff::7"],
    ["subnet append 24 56", [option(8, Buffer.from("00010000", "hex"))], "8:00010000"],
    ["subnet unset", [option(8, Buffer.from("00010000", "hex"))], ""],
    ["local replace 0xffee abcdef\nrewrite edns0 local set 0xffee fedcba", [], "65518:666564636261"],
    ["local replace 0xffee abcdef\nrewrite edns0 local set 0xffee fedcba", [LOCAL], "65518:616263646566"],
  ];
  for (const [rules, options, gives, address] of rows) {
    const before = options === undefined ? "no EDNS" : shown(asking(options)) || "no option";
    it(`${rules.replaceAll("\n", "; ")}${address === undefined ? "" : ` for ${address}`}: ${before} gives ${gives || "none"}`, async () => {
      const { ask } = await rewriting(`rewrite edns0 ${rules}`);
      const { asked, isUntouched } = await ask(asking(options, address));
      expect(shown(asked)).to.equal(gives);
      expect(isUntouched).to.equal(true);
      if (options !== undefined) expect(asked?.edns).to.include({ udpSize: 4096, dnssecOk: true });
      else if (gives !== "") expect(asked?.edns).to.include({ udpSize: 1232, dnssecOk: false });
    });
  }

  it("{protocol} is tcp over TLS and HTTPS, too, and {qname} the name as it was rewritten", async () => {
    const { ask } = await rewriting(
      "rewrite continue name a.nl b.nl\nrewrite continue edns0 local set 1 {protocol}\nrewrite edns0 local set 2 {qname}",
    );
    const query = asking([]);
    const { asked } = await ask({ ...query, client: { ...query.client, transport: "https" } });
    expect(shown(asked)).to.equal(`1:${Buffer.from("tcp").toString("hex")} 2:${Buffer.from("b.nl.").toString("hex")}`);
  });

  it("a label of metadata, of the question as it was asked; nothing where there is none", async () => {
    const host = fakeHost("rewrite");
    const rules =
      "rewrite continue name a.nl b.nl\nrewrite continue edns0 local set 1 {some/label}\nrewrite edns0 local set 2 {some/empty}";
    const { ask } = await rewriting(rules, anAddress, host);
    expect(shown((await ask(asking([]))).asked)).to.equal("");
    host.siblings["metadata"] = { metadata: ({ qname }, label) => (label === "some/label" ? formatName(qname) : "") };
    expect(shown((await ask(asking([]))).asked)).to.equal(`1:${Buffer.from("a.nl.").toString("hex")}`);
  });

  it("an address that is none to the wire gives no option", async () => {
    const { ask } = await rewriting("rewrite continue edns0 local set 1 {client_ip}\nrewrite edns0 subnet set 24 56");
    expect(shown((await ask(asking([], "fe80::1%eth0"))).asked)).to.equal("");
  });
});
