import { expect } from "chai";

import plugin from "../../../src/plugins/cache/cache.ts";
import { readDirective } from "../../helpers/fake-host.ts";

const read = (lines: string) => readDirective(plugin, lines);
const HOUR = 3_600_000;

describe("plugins/cache: options", () => {
  const good: readonly [lines: string, key: string, value: unknown][] = [
    ["cache", "args", { ttl: undefined, zones: [] }],
    ["cache 30", "args", { ttl: 30, zones: [] }],
    ["cache {\n success 5000\n}", "success", { capacity: 5000, ttl: undefined, minTtl: undefined }],
    ["cache {\n denial 2500 60 1\n}", "denial", { capacity: 2500, ttl: 60, minTtl: 1 }],
    ["cache {\n success 0 5 0\n}", "success", { capacity: 0, ttl: 5, minTtl: 0 }],
    ["cache {\n success 10\n success 20\n}", "success", { capacity: 20, ttl: undefined, minTtl: undefined }],
    ["cache {\n prefetch 2\n}", "prefetch", { amount: 2, gapMs: 60_000, percentage: 10 }],
    ["cache {\n prefetch 2 10m 90%\n}", "prefetch", { amount: 2, gapMs: 600_000, percentage: 90 }],
    ["cache {\n serve_stale\n}", "serve_stale", stale({})],
    ["cache {\n serve_stale 20m\n}", "serve_stale", stale({ upToMs: 1_200_000 })],
    ["cache {\n serve_stale 1h20m Immediate\n}", "serve_stale", stale({ upToMs: 4_800_000 })],
    ["cache {\n serve_stale 1h immediate 30s\n}", "serve_stale", stale({ responseTtl: 30 })],
    ["cache {\n serve_stale 1h immediate 30s 5m\n}", "serve_stale", stale({ responseTtl: 30, failureRecheckMs: 300_000 })],
    ["cache {\n serve_stale 1h VERIFY\n}", "serve_stale", stale({ refresh: "verify" })],
    ["cache {\n serve_stale 1h verify 100ms\n}", "serve_stale", stale({ refresh: "verify", verifyTimeoutMs: 100 })],
    [
      "cache {\n serve_stale 1h verify 0 30s 30s\n}",
      "serve_stale",
      stale({ refresh: "verify", responseTtl: 30, failureRecheckMs: 30_000 }),
    ],
    ["cache {\n serve_stale\n serve_stale_policy prefer_positive\n}", "serve_stale_policy", "prefer_positive"],
    ["cache {\n servfail 1m\n}", "servfail", 60_000],
    ["cache {\n servfail 0\n}", "servfail", 0],
    ["cache {\n keepttl\n}", "keepttl", true],
    ["cache {\n disable success\n}", "disable", [{ kind: "success", zones: [] }]],
  ];
  for (const [lines, key, value] of good) {
    it(`${lines.replaceAll("\n", ";")} is read`, () => {
      const { options, findings } = read(lines);
      expect(findings).to.deep.equal([]);
      expect((options[0] as unknown as Record<string, unknown>)[key]).to.deep.equal(value);
    });
  }

  it("takes zones and networks, with and without a TTL", () => {
    expect(read("cache 30 example.org 192.0.2.0/24").options[0]?.args).to.deep.equal({
      ttl: 30,
      zones: ["\x07example\x03org\0", "\x012\x010\x03192\x07in-addr\x04arpa\0"],
    });
    expect(read("cache example.org").options[0]?.args.ttl).to.equal(undefined);
    expect(read("cache {\n disable denial a.example.org b.example.org\n}").options[0]?.disable[0]?.zones).to.have.length(2);
  });

  const bad: readonly [lines: string, finding: string][] = [
    ["cache 0", 'Corefile:2:7: cache: TTL must be 1–2147483647, found "0"'],
    ["cache -1", 'Corefile:2:7: cache: TTL must be 1–2147483647, found "-1"'],
    ["cache 30 30:53", "Corefile:2:10: cache: ZONES must be a zone or a network: a zone has no colon"],
    ["cache {\n success\n}", "Corefile:3:2: cache: success: expected CAPACITY [TTL [MINTTL]], found nothing"],
    ["cache {\n success 1 0\n}", 'Corefile:3:12: cache: success: TTL must be 1–2147483647, found "0"'],
    ["cache {\n denial 1 5 -1\n}", 'Corefile:3:13: cache: denial: MINTTL must be 0–2147483647, found "-1"'],
    ["cache {\n denial a\n}", 'Corefile:3:9: cache: denial: CAPACITY must be an integer of at least 0, found "a"'],
    ["cache {\n prefetch\n}", "Corefile:3:2: cache: prefetch: expected AMOUNT [[DURATION] [PERCENTAGE%]], found nothing"],
    ["cache {\n prefetch -1\n}", 'Corefile:3:11: cache: prefetch: AMOUNT must be an integer of at least 0, found "-1"'],
    ["cache {\n prefetch 1 10m 9%\n}", 'Corefile:3:17: cache: prefetch: PERCENTAGE must be 10%–90%, found "9%"'],
    ["cache {\n prefetch 1 10m 50\n}", 'Corefile:3:17: cache: prefetch: PERCENTAGE must be 10%–90%, found "50"'],
    ["cache {\n prefetch 1 10m 50% x\n}", 'cache: prefetch: expected AMOUNT [[DURATION] [PERCENTAGE%]], found "1 10m 50% x"'],
    ["cache {\n serve_stale -1h\n}", "cache: serve_stale: DURATION must be a duration"],
    ["cache {\n serve_stale 1h later\n}", 'cache: serve_stale: must be immediate or verify, found "later"'],
    ["cache {\n serve_stale 1h immediate 1500ms\n}", 'cache: serve_stale: RESPONSE_TTL must be whole seconds, found "1500ms"'],
    ["cache {\n serve_stale 1h immediate 30s 6m\n}", "cache: serve_stale: FAILURE_RECHECK must be a duration"],
    ["cache {\n serve_stale 1h immediate 30s 30s 1s\n}", "cache: serve_stale: expected [DURATION] [immediate"],
    ["cache {\n serve_stale_policy prefer_positive\n}", "cache: serve_stale_policy requires serve_stale"],
    ["cache {\n serve_stale\n serve_stale_policy x\n}", 'cache: serve_stale_policy: must be prefer_positive, found "x"'],
    ["cache {\n servfail 6m\n}", 'cache: servfail: DURATION must be a duration like "30s", "1m30s" or "500ms", at most 300000 ms'],
    ["cache {\n disable\n}", "cache: disable: expected success|denial [ZONES...], found nothing"],
    ["cache {\n disable servfail\n}", 'cache: disable: must be success or denial, found "servfail"'],
    ["cache {\n keepttl 1\n}", 'cache: keepttl: takes no arguments, found "1"'],
    ["cache {\n sucess 1\n}", "cache: unknown property 'sucess', did you mean 'success'?"],
    ["cache\ncache", "Corefile:3:1: cache: this plugin can only be used once per Server Block"],
  ];
  for (const [lines, finding] of bad) {
    it(`${lines.replaceAll("\n", ";")} is refused`, () => {
      expect(read(lines).findings.join("\n")).to.contain(finding);
    });
  }

  function stale(given: object): object {
    return { upToMs: HOUR, refresh: "immediate", verifyTimeoutMs: 0, responseTtl: 0, failureRecheckMs: 0, ...given };
  }
});
