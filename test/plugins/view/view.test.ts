import { expect } from "chai";

import { startServer } from "../../../src/index.ts";
import view from "../../../src/plugins/view/view.ts";
import { headerOf, query as packet, udpClient } from "../../helpers/dns-client.ts";
import { fakeHost, query, readDirective, setUp } from "../../helpers/fake-host.ts";

describe("plugins/view", () => {
  it("takes what all its expressions are true for; without one, everything", async () => {
    const takes = async (lines: string): Promise<boolean | undefined> =>
      (await setUp(view, lines, fakeHost("view"))).filter?.(query("www.example.org."));
    expect(await takes("view v {\n expr type() == 'A'\n expr name() matches '^www\\\\.'\n}")).to.equal(true);
    expect(await takes("view v {\n expr type() == 'A'\n expr name() matches '^mail\\\\.'\n}")).to.equal(false);
    expect(await takes("view v")).to.equal(true);
    expect((await setUp(view, "view v", fakeHost("view"))).view).to.equal("v");
  });

  it("asks metadata for labels, where the server block has it, and has one itself", async () => {
    const host = fakeHost("view");
    const instance = await setUp(view, "view v {\n expr metadata('kubernetes/client-namespace') == 'default'\n}", host);
    expect(instance.filter?.(query("www.example.org."))).to.equal(false);
    host.siblings["metadata"] = { metadata: (_, label) => (label === "kubernetes/client-namespace" ? "default" : undefined) };
    expect(instance.filter?.(query("www.example.org."))).to.equal(true);
    expect(instance.metadata?.(query("www.example.org."), "view/name")).to.equal("v");
  });

  const wrong: readonly (readonly [string, string])[] = [
    ["view", "Corefile:2:1: view: expected NAME, found nothing"],
    ["view a b", 'Corefile:2:8: view: expected NAME, found "a b"'],
    ["view a {\n expr\n}", "Corefile:3:2: view: expr: expected EXPRESSION, found nothing"],
    ["view a {\n expr type() == 'A' and\n}", `Corefile:3:21: view: expr: expected a function, a value or "(", found "the end"`],
    ["view a {\n expr type() == 'A' and id() == 'x'\n}", "Corefile:3:30: view: expr: a number == a text can't be compared"],
    ["view a {\n foo bar\n}", "Corefile:3:2: view: unknown property 'foo'; known: expr"],
  ];
  for (const [lines, says] of wrong) {
    it(`refuses ${lines.replaceAll("\n", " ")}`, () => expect(readDirective(view, lines).findings[0]).to.equal(says));
  }

  it("over the socket: of blocks with one zone, the first that takes the query answers, and none refuses", async () => {
    const block = (name: string, network: string, address: string): string =>
      `example.org {\n view ${name} {\n expr incidr(client_ip(), '${network}')\n }\n hosts {\n ${address} www.example.org\n }\n}\n`;
    const corefile = block("one", "127.0.0.1/32", "192.0.2.1") + block("both", "127.0.0.0/30", "192.0.2.2");
    await using dns = await startServer({ corefile });
    const ask = async (from: string): Promise<string> => {
      const client = await udpClient(dns.address, { address: from });
      client.send(packet({ name: "www.example.org." }));
      const answer = (await client.receive()) ?? Buffer.alloc(12);
      client.close();
      return `${headerOf(answer).rcode} ${[...answer.subarray(-4)].join(".")}`;
    };
    expect(await ask("127.0.0.1")).to.equal("0 192.0.2.1");
    expect(await ask("127.0.0.2")).to.equal("0 192.0.2.2");
    expect(await ask("127.0.0.1"), "again, with a table").to.equal("0 192.0.2.1");
    expect(await ask("127.0.0.9")).to.match(/^5 /);
  });
});
