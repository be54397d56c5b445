// What people write `rewrite` for, asked of whole servers: names of one's own for Services, as the documentation of CoreDNS, of
// clouds and of countless answers has it. What clients get must fit what they asked.

import { expect } from "chai";

import { startServer, type RunningServer } from "../../../src/index.ts";
import { decodeMessage } from "../../../src/dns/decode.ts";
import { formatName, readName } from "../../../src/dns/name.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import { namespace, service, slice } from "../../../src/testing.ts";
import { headerOf, query, udpAsk } from "../../helpers/dns-client.ts";

const WEB = "10.0.0.80";

async function serve(rules: string, behind = "", listeners: "auto" | "portable" = "portable"): Promise<RunningServer> {
  const dns = await startServer({
    corefile: `. {\n${rules}\nkubernetes cluster.local in-addr.arpa {\nttl 5\n}\n${behind}\n}\n`,
    listeners,
  });
  const objects = [
    namespace("default"),
    namespace("prod"),
    service({ name: "web", clusterIPs: [WEB], ports: [{ name: "http", port: 80 }] }),
    service({ name: "web", namespace: "prod", clusterIPs: ["10.0.0.81"] }),
    service({ name: "db", headless: true, ports: [{ name: "sql", port: 5432 }] }),
    slice({ service: "db", endpoints: [{ addresses: ["10.1.0.7"], hostname: "db-0" }], ports: [{ name: "sql", port: 5432 }] }),
  ];
  dns.registry.apply(...objects.map((object) => ({ verb: "upsert", object }) as const));
  return dns;
}

interface Recipe {
  readonly rules: string;
  readonly behind?: string;
  readonly asks: readonly {
    readonly ask: string;
    readonly rcode?: string;
    readonly gives: readonly string[];
    readonly additional?: readonly string[];
  }[];
}

describe("rewrite: recipes", () => {
  const recipes: Readonly<Record<string, Recipe>> = {
    "an alias of a Service (rewrite name)": {
      rules: "rewrite name shop.example.org web.default.svc.cluster.local",
      asks: [
        { ask: "shop.example.org A", gives: [`shop.example.org. 5 IN A ${WEB}`] },
        { ask: "shop.example.org AAAA", gives: [] },
        { ask: "web.default.svc.cluster.local A", gives: [`web.default.svc.cluster.local. 5 IN A ${WEB}`] },
        { ask: "x.shop.example.org A", rcode: "REFUSED", gives: [] },
      ],
    },
    "the API server under a name of one's own": {
      rules: "rewrite name exact api.internal web.default.svc.cluster.local.",
      asks: [{ ask: "API.internal A", gives: [`api.internal. 5 IN A ${WEB}`] }],
    },
    "a domain for the Services of a namespace (name suffix, answer auto)": {
      rules: "rewrite stop {\nname suffix .example.org .default.svc.cluster.local\nanswer auto\n}",
      asks: [
        { ask: "web.example.org A", gives: [`web.example.org. 5 IN A ${WEB}`] },
        { ask: "db.example.org A", gives: ["db.example.org. 5 IN A 10.1.0.7"] },
        { ask: "none.example.org A", rcode: "NXDOMAIN", gives: [] },
        {
          ask: "_sql._tcp.db.example.org SRV",
          gives: ["_sql._tcp.db.example.org. 5 IN SRV 0 100 5432 db-0.db.example.org."],
          additional: ["db-0.db.example.org. 5 IN A 10.1.0.7"],
        },
      ],
    },
    "the same by a regular expression, without a $": {
      rules: "rewrite name regex (.*)\\.example\\.org {1}.default.svc.cluster.local answer auto",
      asks: [
        { ask: "web.example.org A", gives: [`web.example.org. 5 IN A ${WEB}`] },
        { ask: "none.example.org A", rcode: "NXDOMAIN", gives: [] },
        { ask: "web.prod.svc.cluster.local A", gives: ["web.prod.svc.cluster.local. 5 IN A 10.0.0.81"] },
      ],
    },
    "groups, and names in the answer by another pattern": {
      rules: [
        "rewrite stop {",
        "name regex (.*)-(default|prod)\\.example\\.org\\.$ {1}.{2}.svc.cluster.local",
        "answer name (.*)\\.(default|prod)\\.svc\\.cluster\\.local\\.$ {1}-{2}.example.org",
        "}",
      ].join("\n"),
      asks: [
        { ask: "web-default.example.org A", gives: [`web-default.example.org. 5 IN A ${WEB}`] },
        { ask: "web-prod.example.org A", gives: ["web-prod.example.org. 5 IN A 10.0.0.81"] },
        { ask: "web-none.example.org A", rcode: "REFUSED", gives: [] },
      ],
    },
    "a part of names (name substring)": {
      rules: "rewrite name substring service.us-west-1.example.org default.svc.cluster.local answer auto",
      asks: [{ ask: "web.service.us-west-1.example.org A", gives: [`web.service.us-west-1.example.org. 5 IN A ${WEB}`] }],
    },
    "a namespace in the place of another: names of the cluster's own zone, there or not": {
      rules: "rewrite name suffix .prod.svc.cluster.local .default.svc.cluster.local answer auto",
      asks: [
        { ask: "web.prod.svc.cluster.local A", gives: [`web.prod.svc.cluster.local. 5 IN A ${WEB}`] },
        { ask: "db.prod.svc.cluster.local A", gives: ["db.prod.svc.cluster.local. 5 IN A 10.1.0.7"] },
        { ask: "none.prod.svc.cluster.local A", rcode: "NXDOMAIN", gives: [] },
        { ask: "web.default.svc.cluster.local A", gives: [`web.default.svc.cluster.local. 5 IN A ${WEB}`] },
        { ask: "none.default.svc.cluster.local A", rcode: "NXDOMAIN", gives: [] },
      ],
    },
    "a name that the cluster lacks leads to one that it has": {
      rules: "rewrite name old.default.svc.cluster.local web.default.svc.cluster.local",
      asks: [
        { ask: "old.default.svc.cluster.local A", gives: [`old.default.svc.cluster.local. 5 IN A ${WEB}`] },
        { ask: "older.default.svc.cluster.local A", rcode: "NXDOMAIN", gives: [] },
      ],
    },
    "names in PTR records (answer value)": {
      rules:
        "rewrite stop {\nname suffix .arpa .arpa\nanswer name auto\nanswer value (.*)\\.default\\.svc\\.cluster\\.local\\. {1}.example.org.\n}",
      asks: [{ ask: "80.0.0.10.in-addr.arpa PTR", gives: ["80.0.0.10.in-addr.arpa. 5 IN PTR web.example.org."] }],
    },
    "TTLs of a domain, and others as they were": {
      rules: "rewrite continue {\nttl regex (.*)\\.default\\.svc\\.cluster\\.local\\.$ 15\n}",
      asks: [
        { ask: "web.default.svc.cluster.local A", gives: [`web.default.svc.cluster.local. 15 IN A ${WEB}`] },
        { ask: "web.prod.svc.cluster.local A", gives: ["web.prod.svc.cluster.local. 5 IN A 10.0.0.81"] },
      ],
    },
    "one type for another": {
      rules: "rewrite type AAAA A",
      asks: [
        { ask: "web.default.svc.cluster.local AAAA", gives: [`web.default.svc.cluster.local. 5 IN A ${WEB}`] },
        { ask: "none.default.svc.cluster.local AAAA", rcode: "NXDOMAIN", gives: [] },
      ],
    },
    "a response code": {
      rules: "rewrite rcode suffix .prod.svc.cluster.local NXDOMAIN NOERROR",
      asks: [
        { ask: "none.prod.svc.cluster.local A", gives: [] },
        { ask: "none.default.svc.cluster.local A", rcode: "NXDOMAIN", gives: [] },
      ],
    },
    "the target of a CNAME, looked up anew": {
      rules: "rewrite cname suffix .cdn.example. .default.svc.cluster.local.",
      behind: 'template IN A shop.example.org {\nanswer "{{ .Name }} 60 IN CNAME web.cdn.example."\n}',
      asks: [
        {
          ask: "shop.example.org A",
          gives: ["shop.example.org. 60 IN CNAME web.default.svc.cluster.local.", `web.default.svc.cluster.local. 5 IN A ${WEB}`],
        },
      ],
    },
    "a name that would be none": {
      rules: "rewrite name regex (.*)\\.example\\.org\\.$ {1}..default.svc.cluster.local",
      asks: [{ ask: "web.example.org A", rcode: "SERVFAIL", gives: [] }],
    },
  };

  for (const [title, { rules, behind = "", asks }] of Object.entries(recipes)) {
    it(title, async () => {
      await using dns = await serve(rules, behind);
      // Twice: the second time the answer table may know more.
      for (const { ask, rcode = "NOERROR", gives, additional } of [...asks, ...asks]) {
        const [name = "", type = "A"] = ask.split(" ");
        const result = await dns.query(name, type);
        expect([ask, result.rcode, ...result.answer]).to.deep.equal([ask, rcode, ...gives]);
        if (additional !== undefined) expect(result.additional).to.deep.equal(additional);
      }
    });
  }

  it("through a socket: the question comes back as it was asked, letters and all, and owns the answer", async () => {
    await using dns = await serve("rewrite name shop.example.org web.default.svc.cluster.local");
    const packet = query({ name: "ShOp.Example.Org", id: 77, edns: {} });
    const answer = await udpAsk(dns.address, packet);
    if (answer === undefined) throw new Error("no answer");
    expect(headerOf(answer)).to.deep.include({ id: 77, rcode: 0, counts: [1, 1, 0, 1] });
    const end = 12 + "ShOp.Example.Org".length + 2 + 4;
    expect(answer.subarray(12, end)).to.deep.equal(packet.subarray(12, end));
    expect(answer.readUInt16BE(end)).to.equal(0xc00c); // a pointer to the question's name: the same letters
    expect(formatName(readName(answer, end)?.name ?? ("\0" as never))).to.equal("shop.example.org.");
    const [record] = decodeMessage(answer)?.answer ?? [];
    expect(record === undefined ? undefined : formatRecord(record, record.rdata)).to.equal(`shop.example.org. 5 IN A ${WEB}`);
  });

  it("through a socket, with threads that listen: what rules find is asked of them, its neighbours are told by the table", async () => {
    await using dns = await serve("rewrite name suffix .prod.svc.cluster.local .default.svc.cluster.local answer auto", "", "auto");
    for (let turn = 0; turn < 3; turn++) {
      for (const [name, rcode, records] of [
        ["web.prod.svc.cluster.local", 0, [`web.prod.svc.cluster.local. 5 IN A ${WEB}`]],
        ["web.default.svc.cluster.local", 0, [`web.default.svc.cluster.local. 5 IN A ${WEB}`]],
        ["none.prod.svc.cluster.local", 3, []],
        ["none.default.svc.cluster.local", 3, []],
      ] as const) {
        const message = decodeMessage((await udpAsk(dns.address, query({ name }))) as Buffer);
        expect(message?.rcode).to.equal(rcode);
        expect(message?.answer.map((record) => formatRecord(record, record.rdata))).to.deep.equal(records);
      }
    }
  });

  it("through a socket: class CH as IN", async () => {
    await using dns = await serve("rewrite class CH IN");
    const answer = await udpAsk(dns.address, query({ name: "web.default.svc.cluster.local", class: 3 }));
    expect(headerOf(answer as Buffer)).to.deep.include({ rcode: 0, counts: [1, 1, 0, 0] });
  });

  it("a reload takes rules away, and the table answers for their names again", async () => {
    const zone = "kubernetes cluster.local in-addr.arpa {\nttl 5\n}";
    await using dns = await serve("rewrite name web.prod.svc.cluster.local web.default.svc.cluster.local");
    expect((await dns.query("web.prod.svc.cluster.local")).addresses).to.deep.equal([WEB]);
    await dns.reload(`. {\n${zone}\n}\n`);
    expect((await dns.query("web.prod.svc.cluster.local")).addresses).to.deep.equal(["10.0.0.81"]);
  });
});
