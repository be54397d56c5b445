// What CoreDNS 1.14.7 answered about 200 random clusters (scripts/coredns-answers.ts recorded it), held against what we
// answer: rcode, flags and rrsets of every question are equal, or different on purpose. Both got the cluster from an API server.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import type { Target } from "../../helpers/dns-client.ts";
import { isOurs } from "../subject.ts";
import { needs } from "../../helpers/needs.ts";
import { askAll } from "./asking.ts";
import { compare, emptyComparison, unpacked } from "./comparing.ts";
import { deliberateDifferences } from "./deliberate.ts";
import { startFeed, startOurs, type Feed } from "./feeding.ts";
import { corefileFor, variants } from "./variants.ts";

const recorded = unpacked(readFileSync(fileURLToPath(new URL("answers.jsonl.gz", import.meta.url))));

describe("CoreDNS: its answers about random clusters, or ours on purpose", () => {
  const reasons = new Set<string>();
  let feed: Feed;

  before(async function () {
    needs(this, isOurs, "the server under test is not fed by a fake API server");
    feed = await startFeed();
  });

  after(async () => {
    await (feed as Feed | undefined)?.[Symbol.asyncDispose]();
  });

  for (const variant of variants) {
    it(variant.name, async () => {
      const server = await startOurs(corefileFor(0, 0, `endpoint ${feed.api.url}`, [variant]));
      const compared = emptyComparison();
      try {
        const target = server.addresses[0] as Target;
        for (const cluster of recorded.filter((one) => one.variant === variant.name)) {
          feed.show(cluster.objects);
          await feed.seen(target, variant);
          const questions = Object.values(cluster.answers).flat();
          const answers = await askAll(target, questions);
          compare(compared, cluster, new Map(questions.map((question, at) => [question, answers[at] ?? "nothing"])));
        }
      } finally {
        await server.stop("now");
      }
      expect(compared.mistakes.slice(0, 10).join("\n"), `${compared.mistakes.length} differences that are not deliberate`).to.equal("");
      expect(compared.equal).to.be.above(1000);
      for (const why of compared.deliberate.keys()) reasons.add(why);
    });
  }

  it("no difference stands on the list that there is not", () => {
    expect([...reasons].toSorted()).to.deep.equal([...deliberateDifferences].toSorted());
  });
});
