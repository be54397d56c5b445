import { expect } from "chai";

import { Rcodes } from "../../src/dns/message.ts";
import type { Name } from "../../src/dns/name.ts";
import { RRTypes } from "../../src/dns/records.ts";
import { createLog } from "../../src/log.ts";
import log from "../../src/plugins/log/log.ts";
import { fakeHost, query, readDirective, sent, setUp, type Asked } from "../helpers/fake-host.ts";
import type { Sent } from "../../src/plugin.ts";

const ipv6 = { address: "2001:db8::7", localAddress: "2001:db8::53", family: 6 } as const;

describe("plugins/log", () => {
  const cases: readonly { readonly format: string; readonly asked?: Asked; readonly was?: Partial<Sent>; readonly prints: string }[] = [
    {
      format: "{common}",
      asked: { id: 29008, edns: { udpSize: 4096 } },
      was: { flags: 0x8180, durationMs: 37.990251 },
      prints: '192.0.2.7:50759 - 29008 "A IN example.org. udp 41 false 4096" NOERROR qr,rd,ra 68 0.037990251s',
    },
    {
      format: "{combined}",
      asked: { client: ipv6, type: RRTypes.AAAA, edns: { dnssecOk: true } },
      was: { flags: 0x8583, rcode: Rcodes.NXDOMAIN, durationMs: 2 },
      prints: '[2001:db8::7]:50759 - 1 "AAAA IN example.org. udp 41 true 1232" NXDOMAIN qr,aa,rd,ra 68 0.002s "0"',
    },
    { format: "{local} {>bufsize} {proto}", asked: { client: { transport: "tcp" } }, prints: "192.0.2.53 65535 tcp" },
    { format: "{local} {>bufsize} {proto}", asked: { client: ipv6 }, prints: "[2001:db8::53] 512 udp" },
    {
      format: "{remote} {>rflags} {>opcode}",
      was: { flags: 0x87f0 },
      asked: { flags: 0x2800 },
      prints: "192.0.2.7 qr,aa,tc,rd,ra,z,ad,cd 5",
    },
    { format: "{/kubernetes/namespace} {unknown} {>rflags}", was: { flags: 0 }, prints: "- {unknown} -" },
    { format: "{rcode} {rsize} {size}", was: { rcode: 4000, replyBytes: 12 }, prints: "RCODE4000 12 41" },
    { format: "{duration}", was: { durationMs: 0 }, prints: "0s" },
    { format: "{type} {class}", asked: { type: 1000 }, prints: "TYPE1000 IN" },
    { format: "{name} is {name}", prints: "example.org. is example.org." },
  ];
  for (const { format, asked, was, prints } of cases) {
    it(`${format} prints ${prints}`, async () => {
      const host = fakeHost("log");
      const { observe } = await setUp(log, `log . "${format}"`, host);
      observe?.(query("example.org", asked), sent(was));
      expect(host.lines).to.deep.equal([`[INFO] ${prints}`]);
    });
  }

  it("escapes odd bytes in names, in text and in JSON (C18)", async () => {
    const name = "\x05a\0\x1b\n\xff\x07example\x03org\0" as Name;
    for (const format of ["text", "json"] as const) {
      let line = "";
      const host = fakeHost("log", { log: createLog({ format, to: (text) => void (line += text) }).plugin("log") });
      const { observe } = await setUp(log, "log . {name}", host);
      observe?.(query(name), sent());
      expect(line.trimEnd()).not.to.match(/[^\x20-\x7e]/);
      const text = format === "json" ? (JSON.parse(line) as { msg: string }).msg : line.trimEnd();
      expect(text).to.equal(`${format === "json" ? "" : "[INFO] "}a\\000\\027\\010\\255.example.org.`);
    }
  });

  describe("classes", () => {
    const replies: Readonly<Record<string, Partial<Sent>>> = {
      answer: {},
      NODATA: { answerCount: 0 },
      NXDOMAIN: { rcode: Rcodes.NXDOMAIN, answerCount: 0 },
      SERVFAIL: { rcode: Rcodes.SERVFAIL, answerCount: 0 },
      REFUSED: { rcode: Rcodes.REFUSED, answerCount: 0 },
    };
    for (const [block, logged] of [
      ["log", "answer NODATA NXDOMAIN SERVFAIL REFUSED"],
      ["log . {\n class all\n}", "answer NODATA NXDOMAIN SERVFAIL REFUSED"],
      ["log . {\n class success\n}", "answer"],
      ["log . {\n class denial\n}", "NODATA NXDOMAIN"],
      ["log . {\n class error\n}", "SERVFAIL REFUSED"],
      ["log . {\n class denial error\n}", "NODATA NXDOMAIN SERVFAIL REFUSED"],
      ["log . {\n class denial\n class success\n}", "answer NODATA NXDOMAIN"],
    ] as const) {
      it(`${JSON.stringify(block)} logs ${logged}`, async () => {
        const host = fakeHost("log");
        const { observe } = await setUp(log, block, host);
        const found = Object.entries(replies).filter(([, reply]) => {
          const before = host.lines.length;
          observe?.(query("example.org"), sent(reply));
          return host.lines.length > before;
        });
        expect(found.map(([name]) => name).join(" ")).to.equal(logged);
      });
    }
  });

  it("asks only the first line whose names hold the qname", async () => {
    const host = fakeHost("log");
    const { observe } = await setUp(
      log,
      `log example.org 192.0.2.0/24 "one {name}" {
         class denial
       }
       log example.com org "two {name}"`,
      host,
    );
    for (const name of ["a.example.org", "a.example.com", "x.org", "example.net", "notexample.org"]) observe?.(query(name), sent());
    observe?.(query("gone.example.org"), sent({ rcode: Rcodes.NXDOMAIN }));
    observe?.(query("7.2.0.192.in-addr.arpa"), sent({ answerCount: 0 }));
    expect(host.lines).to.deep.equal([
      "[INFO] two a.example.com.",
      "[INFO] two x.org.",
      "[INFO] two notexample.org.",
      "[INFO] one gone.example.org.",
      "[INFO] one 7.2.0.192.in-addr.arpa.",
    ]);
  });

  it("refuses a class that does not exist, and says which do", () => {
    const { findings } = readDirective(log, "log . {\n class denials\n}");
    expect(findings).to.deep.equal([
      'Corefile:3:8: log: class: must be success, denial, error or all, found "denials", did you mean "denial"?',
    ]);
  });
});
