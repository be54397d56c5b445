// Asks CoreDNS and ndots everything about random clusters, which both get from one fake API server, and prints what differs
// and is not on the list of what differs on purpose (test/conformance/coredns/deliberate.ts). Needs COREDNS=path to its binary
// (`go install github.com/coredns/coredns@v1.14.7`).
//
//   COREDNS=PATH node --import=tsx scripts/coredns-answers.ts [--clusters 200] [--first SEED] [--record]
//
// --record writes what CoreDNS answered where the tests look for it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { askAll } from "../test/conformance/coredns/asking.ts";
import { byAnswer, compare, emptyComparison, packed, type Recorded } from "../test/conformance/coredns/comparing.ts";
import { startFeed, startOurs } from "../test/conformance/coredns/feeding.ts";
import { questionsAbout } from "../test/conformance/coredns/questions.ts";
import { randomCluster, randomFrom } from "../test/conformance/coredns/random-cluster.ts";
import { addressFor, corefileFor, variants, type Variant } from "../test/conformance/coredns/variants.ts";
import type { Target } from "../test/helpers/dns-client.ts";

const RECORD = fileURLToPath(new URL("../test/conformance/coredns/answers.jsonl.gz", import.meta.url));
const PEER_NET = 1;
const PEER_PORT = 15_353;
/** CoreDNS gives no answer at all to some questions. */
const NO_ANSWER_MS = 2000;

const { values } = parseArgs({
  options: {
    clusters: { type: "string", default: "200" },
    first: { type: "string", default: "0" },
    record: { type: "boolean", default: false },
  },
});
const coredns = process.env["COREDNS"];
if (coredns === undefined) throw new Error("COREDNS=path to CoreDNS's binary is needed");

await using feed = await startFeed();
const access = `endpoint ${feed.api.url}`;
const server = await startOurs(corefileFor(0, 0, access));
// CoreDNS can't be asked which port it got for 0.
const folder = mkdtempSync(join(tmpdir(), "coredns-answers-"));
writeFileSync(join(folder, "Corefile"), corefileFor(PEER_NET, PEER_PORT, access));
const peer = spawn(coredns, ["-conf", join(folder, "Corefile")], { stdio: ["ignore", "ignore", "inherit"] });

const compared = emptyComparison();
const recorded: Recorded[] = [];
try {
  const first = Number(values.first);
  for (let seed = first; seed < first + Number(values.clusters); seed++) {
    const index = seed % variants.length;
    const variant = variants[index] as Variant;
    const objects = randomCluster(randomFrom(seed), variant);
    feed.show(objects);
    const [theirs, ours] = [{ address: addressFor(PEER_NET, index), port: PEER_PORT }, server.addresses[index] as Target];
    await Promise.all([feed.seen(theirs, variant), feed.seen(ours, variant)]);
    const questions = questionsAbout(objects, { zones: variant.zonal });
    const record = { seed, variant: variant.name, objects, answers: byAnswer(questions, await askAll(theirs, questions, NO_ANSWER_MS)) };
    const own = await askAll(ours, questions);
    compare(compared, record, new Map(questions.map((question, at) => [question, own[at] ?? "nothing"])));
    recorded.push(record);
  }
} finally {
  peer.kill();
  await server.stop("now");
  rmSync(folder, { recursive: true });
}
console.log(`${recorded.length} clusters: ${compared.equal} answers are equal`);
for (const [why, count] of compared.deliberate) console.log(`${count} differ: ${why}`);
console.log(`${compared.mistakes.length} differ and should not`);
for (const mistake of compared.mistakes) console.log(mistake);
if (values.record) writeFileSync(RECORD, packed(recorded));
process.exitCode = compared.mistakes.length > 0 ? 1 : 0;
