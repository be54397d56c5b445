// Policy sees the name that is answered, not the one that was asked for: no rule leads around `acl` (CVE-2026-26017).

import { expect } from "chai";
import fc from "fast-check";

import { composeChain } from "../../../src/chain.ts";
import { DROP, type Query } from "../../../src/dns/message.ts";
import { isWithin, parseName } from "../../../src/dns/name.ts";
import acl from "../../../src/plugins/acl/acl.ts";
import rewrite from "../../../src/plugins/rewrite/rewrite.ts";
import { fakeHost, query, setUp } from "../../helpers/fake-host.ts";
import { anAddress } from "./fixture.ts";

const BLOCKED = parseName("blocked.test");

describe("rewrite: in front of acl", () => {
  const label = fc.constantFrom("a", "b", "blocked", "open");
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => [...labels, "test"].join("."));
  const rule = fc.oneof(
    fc.tuple(fc.constantFrom("exact", "prefix", "suffix", "substring"), name, name).map(([kind, from, to]) => `${kind} ${from} ${to}`),
    fc.tuple(label, label).map(([from, to]) => `suffix .${from}.test .${to}.test answer auto`),
    fc.tuple(label, label).map(([from, to]) => `regex ^(.*)\\.${from}\\.test\\.$ {1}.${to}.test answer auto`),
    fc.tuple(label, label).map(([from, to]) => `substring ${from} ${to}`),
  );
  const rules = fc
    .array(fc.tuple(fc.constantFrom("continue", "stop"), rule), { minLength: 1, maxLength: 4 })
    .map((all) => all.map(([mode, one]) => `rewrite ${mode} name ${one}`).join("\n"));

  it("for whatever rules and names, what ends in a blocked zone is refused, and nothing else", async () => {
    let blocked = 0;
    await fc.assert(
      fc.asyncProperty(rules, fc.array(name, { minLength: 5, maxLength: 10 }), async (lines, names) => {
        const rewriting = await setUp(rewrite, lines, fakeHost("rewrite"));
        const filtering = await setUp(acl, "acl blocked.test {\nblock\n}", fakeHost("acl"));
        let answered: Query | undefined;
        const last = {
          handle(asked: Query) {
            answered = asked;
            return anAddress(asked);
          },
        };
        const chain = (...instances: readonly (typeof last | typeof rewriting)[]): ReturnType<typeof composeChain> =>
          composeChain(instances.map((instance) => ({ name: "", instance })));
        for (const asked of names) {
          await chain(rewriting, last).ask(query(asked));
          const ends = answered !== undefined && isWithin(answered.qname, BLOCKED);
          answered = undefined;
          const answer = await chain(rewriting, filtering, last).ask(query(asked));
          if (answer === DROP) throw new Error("dropped");
          expect([answer.rcode, answered === undefined], `${asked} with ${lines}`).to.deep.equal(ends ? [5, true] : [0, false]);
          if (ends) blocked++;
        }
      }),
      { numRuns: 200 },
    );
    expect(blocked).to.be.greaterThan(50);
  });
});
