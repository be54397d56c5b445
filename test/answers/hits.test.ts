// What listener threads answer by themselves of a cluster's zone, with the zones and options of kubeadm's Corefile, and
// what they leave to the chain. That both say the same is test/contracts/table-is-chain.test.ts.

import { expect } from "chai";
import { createHit, Outcomes } from "../../src/answers/answer-table.ts";
import { createCompiler } from "../../src/answers/compile.ts";
import { openTable } from "../../src/answers/reader.ts";
import { TableWriter } from "../../src/answers/table.ts";
import { decodeMessage } from "../../src/dns/decode.ts";
import { parseName } from "../../src/dns/name.ts";
import { readQuestion } from "../../src/dns/question.ts";
import { rcodeName } from "../../src/dns/text.ts";
import { query } from "../helpers/dns-client.ts";
import { exchangeOf } from "../helpers/exchange.ts";
import { CLUSTER, serving } from "../plugins/kubernetes/fixture.ts";

const KUBEADM = `kubernetes cluster.local in-addr.arpa ip6.arpa {
  pods insecure
  fallthrough in-addr.arpa ip6.arpa
  reasons fixed
  ttl 30
}`;

// rcode, number of answers and reason; "chain" for what the table leaves.
async function asking(block: string, objects = CLUSTER): Promise<(question: string) => string> {
  const { instance } = await serving(block, objects);
  const table = new TableWriter();
  const compiler = createCompiler(table, [{ zone: parseName("."), udpSize: 1232, instances: [{ name: "kubernetes", instance }] }], fail);
  compiler.start();
  await compiler.idle();
  const shared = table.attach();
  const reader = openTable(shared);
  table.detach(shared); // closes the port that would keep the test alive; nothing changes from here on
  return (question) => {
    const [name = "", type = "A"] = question.split(" ");
    const io = exchangeOf(query({ name, type: type as "A", edns: {} }));
    readQuestion(io);
    const hit = createHit();
    if (reader.answer(io, hit) !== Outcomes.HIT) return "chain";
    const message = decodeMessage(io.out.slice(0, hit.length));
    return [rcodeName(hit.rcode), hit.answerCount, message?.edns?.ede?.text].filter((part) => part !== undefined).join(" ");
  };
}

describe("a thread answers by itself", () => {
  const table: readonly (readonly [string, string])[] = [
    ["web.default.svc.cluster.local", "NOERROR 1"],
    ["web.default.svc.cluster.local TXT", "NOERROR 0 no records of this type"],
    ["svc.cluster.local", "NOERROR 0 no records of this type"],
    // A client's search walk for a name outside the cluster.
    ["www.example.org.default.svc.cluster.local", "NXDOMAIN 0 no such Service"],
    ["www.example.org.default.svc.cluster.local AAAA", "NXDOMAIN 0 no such Service"],
    ["www.example.org.svc.cluster.local", "NXDOMAIN 0 no such namespace"],
    ["www.example.org.cluster.local", "NXDOMAIN 0 no such name in the cluster's zone"],
    // Below Services.
    ["x.web.default.svc.cluster.local", "NXDOMAIN 0 no such endpoint or port"],
    ["www.example.org.web.default.svc.cluster.local", "NXDOMAIN 0 no such endpoint or port"],
    ["_http._tcp.web.default.svc.cluster.local SRV", "NOERROR 1"],
    ["_tcp.web.default.svc.cluster.local", "NOERROR 0 no records of this type"],
    ["_x._tcp.web.default.svc.cluster.local SRV", "NXDOMAIN 0 no such port"],
    ["x._http._tcp.web.default.svc.cluster.local SRV", "NXDOMAIN 0 no names below this one"],
    ["_sctp.web.default.svc.cluster.local", "NXDOMAIN 0 no such endpoint or port"],
    ["_tcp.raw.default.svc.cluster.local", "NXDOMAIN 0 no such endpoint or port"],
    ["db-0.db.default.svc.cluster.local", "NOERROR 1"],
    ["x.db-0.db.default.svc.cluster.local", "NXDOMAIN 0 no names below this one"],
    ["10-244-0-7.db.default.svc.cluster.local", "NOERROR 1"],
    ["10-244-0-9.db.default.svc.cluster.local", "NXDOMAIN 0 no such endpoint or port"],
    ["10.0.3.10.in-addr.arpa PTR", "NOERROR 1"],
    // Underscores are optional: rare, so the chain's.
    ["http.tcp.web.default.svc.cluster.local SRV", "chain"],
    ["_http.tcp.web.default.svc.cluster.local SRV", "chain"],
    ["http._tcp.web.default.svc.cluster.local SRV", "chain"],
    ["tcp.web.default.svc.cluster.local", "chain"],
    // Computed names, names that may be another plugin's, and names that the SOA would compress with.
    ["10-244-0-9.default.pod.cluster.local", "chain"],
    ["1.2.0.192.in-addr.arpa PTR", "chain"],
    // Endpoints of a Service with an address of its own are not listed.
    ["10-244-0-5.web.default.svc.cluster.local", "chain"],
    ["10-244-0-9.web.default.svc.cluster.local", "chain"],
    ["2001-db8--9.web.default.svc.cluster.local", "chain"],
    ["x.10-244-0-9.web.default.svc.cluster.local", "chain"],
    ["ext.default.svc.cluster.local", "chain"],
    ["x.dns.cluster.local", "chain"],
  ];
  let ask: (question: string) => string;
  before(async () => (ask = await asking(KUBEADM)));
  for (const [question, answer] of table) it(`${question}: ${answer}`, () => expect(ask(question)).to.equal(answer));

  it("gives no reasons with `reasons off`", async () => {
    const off = await asking(KUBEADM.replace("reasons fixed", "reasons off"));
    expect(["web.default.svc.cluster.local TXT", "x.web.default.svc.cluster.local"].map(off)).to.deep.equal(["NOERROR 0", "NXDOMAIN 0"]);
  });
});

function fail(error: unknown): never {
  throw error instanceof Error ? error : new Error(String(error));
}
