// Which addresses Services get, and what is said when they get none.

import { expect } from "chai";
import { addressForKey, checkDisjoint, createClusterIPs, parseRange, parseRanges } from "../../src/registry/cluster-ips.ts";
import { serviceManifest } from "../helpers/manifests.ts";

const V4 = "10.0.0.0/16";
const V6 = "fd00:10::/108";

describe("ClusterIPs", () => {
  const table: readonly {
    readonly rule: string;
    readonly cidrs?: readonly string[];
    readonly service: Parameters<typeof serviceManifest>[0];
    readonly gives: readonly string[] | RegExp;
  }[] = [
    { rule: "kubernetes gets .1 without asking", service: { name: "kubernetes" }, gives: ["10.0.0.1"] },
    { rule: "kube-dns gets .10 without asking", service: { namespace: "kube-system", name: "kube-dns" }, gives: ["10.0.0.10"] },
    {
      rule: "kube-dns gets its place in both families",
      cidrs: [V4, V6],
      service: { namespace: "kube-system", name: "kube-dns", ipFamilyPolicy: "PreferDualStack" },
      gives: ["10.0.0.10", "fd00:10::a"],
    },
    {
      rule: "another namespace's kubernetes does not get .1",
      service: { namespace: "a", name: "kubernetes" },
      gives: [addressForKey("a", "kubernetes", V4)],
    },
    { rule: "an explicit address is honoured", service: { clusterIPs: ["10.0.7.7"] }, gives: ["10.0.7.7"] },
    { rule: "an explicit address outside the range is honoured", service: { clusterIPs: ["172.20.0.9"] }, gives: ["172.20.0.9"] },
    {
      rule: "both explicit addresses are honoured on a single-stack cluster",
      service: { clusterIPs: ["10.3.0.10", "fd00::10"] },
      gives: ["10.3.0.10", "fd00::10"],
    },
    { rule: "a headless Service gets none", service: { headless: true }, gives: [] },
    { rule: "an ExternalName gets none", service: { type: "ExternalName" }, gives: [] },
    {
      rule: "ipFamilies chooses the family",
      cidrs: [V4, V6],
      service: { ipFamilies: ["IPv6"] },
      gives: [addressForKey("default", "web", V6)],
    },
    {
      rule: "PreferDualStack gives two, the primary family first",
      cidrs: [V6, V4],
      service: { ipFamilyPolicy: "PreferDualStack" },
      gives: [addressForKey("default", "web", V6), addressForKey("default", "web", V4)],
    },
    {
      rule: "PreferDualStack is content with one",
      service: { ipFamilyPolicy: "PreferDualStack" },
      gives: [addressForKey("default", "web", V4)],
    },
    {
      rule: "the second address is allocated beside an explicit one",
      cidrs: [V4, V6],
      service: { clusterIPs: ["10.0.7.7"], ipFamilyPolicy: "RequireDualStack" },
      gives: ["10.0.7.7", addressForKey("default", "web", V6)],
    },
    {
      rule: "RequireDualStack needs two ranges",
      service: { ipFamilyPolicy: "RequireDualStack" },
      gives:
        /^spec\.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services: add an IPv6 range to service_cidr$/,
    },
    {
      rule: "a family needs a range",
      service: { ipFamilies: ["IPv6"] },
      gives: /^spec\.ipFamilies\[0\]: Invalid value: "IPv6": not configured on this cluster: add an IPv6 range to service_cidr$/,
    },
    {
      rule: "families and addresses agree",
      service: { ipFamilies: ["IPv6"], clusterIPs: ["10.0.7.7"] },
      gives: /^spec\.ipFamilies\[0\]: Invalid value: "IPv6": expected to be "IPv4" to match/,
    },
  ];
  for (const { rule, cidrs = [V4], service, gives } of table) {
    it(rule, () => {
      const got = createClusterIPs(parseRanges(cidrs)).allocate(serviceManifest(service));
      if (gives instanceof RegExp) expect("error" in got ? got.error : "").to.match(gives);
      else expect(got).to.deep.equal({ addresses: gives });
    });
  }

  it("an address that is taken is refused, with the name of its holder", () => {
    const ips = createClusterIPs(parseRanges([V4]));
    ips.allocate(serviceManifest({ name: "a", clusterIPs: ["10.0.7.7"] }));
    expect(ips.allocate(serviceManifest({ name: "b", clusterIPs: ["10.0.7.7"] }))).to.deep.equal({
      error:
        'spec.clusterIPs: Invalid value: ["10.0.7.7"]: failed to allocate IP 10.0.7.7: provided IP is already allocated (Service default/a has it)',
    });
  });
  const exchanges: readonly {
    readonly rule: string;
    readonly has: Readonly<Record<string, string>>;
    readonly asks: Readonly<Record<string, string>>;
    readonly gives: Readonly<Record<string, string>>;
  }[] = [
    { rule: "two swap", has: { a: "1", b: "2" }, asks: { a: "2", b: "1" }, gives: { a: "2", b: "1" } },
    { rule: "three in a ring", has: { a: "1", b: "2", c: "3" }, asks: { a: "2", b: "3", c: "1" }, gives: { a: "2", b: "3", c: "1" } },
    {
      rule: "a chain, whatever its order",
      has: { a: "1", b: "2", c: "3" },
      asks: { a: "4", b: "1", c: "2" },
      gives: { a: "4", b: "1", c: "2" },
    },
    {
      rule: "who asks for what another keeps stays, and so does who asks for its place",
      has: { a: "1", b: "2", c: "3", d: "4" },
      asks: { a: "4", b: "1", c: "2" },
      gives: { a: "1", b: "2", c: "3", d: "4" },
    },
    {
      rule: "of two that ask for one address the first by name gets it",
      has: { a: "1", b: "2", c: "3" },
      asks: { a: "3", b: "3", c: "1" },
      gives: { a: "3", b: "2", c: "1" },
    },
    { rule: "a new one takes a place in the ring", has: { b: "1", c: "2" }, asks: { a: "1", b: "2", c: "1" }, gives: { b: "1", c: "2" } },
    {
      rule: "an address goes to one that becomes headless's successor",
      has: { a: "1", b: "2" },
      asks: { a: "2", b: "None" },
      gives: { a: "2", b: "" },
    },
  ];
  for (const { rule, has, asks, gives } of exchanges) {
    it(`addresses asked for in one edit: ${rule}`, () => {
      const ips = createClusterIPs(parseRanges([V4]));
      const made = (wishes: Readonly<Record<string, string>>): ReturnType<typeof serviceManifest>[] =>
        Object.entries(wishes).map(([name, host]) =>
          serviceManifest(host === "None" ? { name, headless: true } : { name, clusterIPs: [`10.0.7.${host}`] }),
        );
      const now = new Map(made(has).map((service) => [service.name, ips.allocate(service)]));
      const inOrder = ips.order(made(asks));
      ips.exchange(inOrder);
      for (const service of inOrder) {
        const got = ips.allocate(service);
        if ("addresses" in got) now.set(service.name, got);
      }
      const expected = Object.entries(gives).map(([name, host]) => [name, { addresses: host === "" ? [] : [`10.0.7.${host}`] }]);
      expect(Object.fromEntries(now)).to.deep.equal(Object.fromEntries(expected));
      // Nothing is held twice or forgotten: what each has it gets again.
      for (const [name, host] of Object.entries(gives)) {
        if (host !== "") expect(ips.allocate(serviceManifest({ name, clusterIPs: [`10.0.7.${host}`] }))).to.have.property("addresses");
      }
    });
  }
  it("explicit addresses come first, then names in order", () => {
    const services = ["c", "a", "b"].map((name) => serviceManifest({ name, ...(name === "c" ? { clusterIPs: ["10.0.0.9"] } : {}) }));
    expect(
      createClusterIPs(parseRanges([V4]))
        .order(services)
        .map(({ name }) => name),
    ).to.deep.equal(["c", "a", "b"]);
  });
  it("an exhausted range says so, and has room again after a deletion", () => {
    const ips = createClusterIPs(parseRanges(["192.0.2.0/29"]));
    const names = ["a", "b", "c", "d", "e", "f"];
    const got = names.map((name) => ips.allocate(serviceManifest({ name })));
    // Six usable addresses, of which .1 is kept for the API server.
    expect(got.filter((one) => "addresses" in one)).to.have.length(5);
    expect(got.at(-1)).to.deep.equal({
      error: "spec.clusterIPs: failed to allocate a serviceIP: range 192.0.2.0/29 is full (6 addresses)",
    });
    ips.release("default", "a");
    expect(ips.allocate(serviceManifest({ name: "f" }))).to.deep.equal(got[0]);
  });
  it("an address stays when its Service stops asking for it", () => {
    const ips = createClusterIPs(parseRanges([V4]));
    ips.allocate(serviceManifest({ clusterIPs: ["10.0.7.7"] }));
    expect(ips.allocate(serviceManifest({}))).to.deep.equal({ addresses: ["10.0.7.7"] });
  });
  for (const [cidrs, message] of [
    [["10.0.0.0"], '"10.0.0.0" is not a CIDR (e.g. 10.0.0.0/16)'],
    [["10.0.0.0/33"], '"10.0.0.0/33" is not a CIDR (e.g. 10.0.0.0/16)'],
    [["10.0.0.0/30"], '"10.0.0.0/30" is too small: it needs at least 8 addresses'],
    [[V4, "10.1.0.0/16"], '"10.0.0.0/16" and "10.1.0.0/16" are both IPv4: one CIDR of each family is allowed'],
  ] as const) {
    it(`refuses ${cidrs.join(" ")}`, () =>
      expect(() => parseRanges(cidrs))
        .to.throw(message)
        .with.property("code", "NDOTS_ERR_RANGE"));
  }
  it("refuses ranges that overlap", () =>
    expect(() => checkDisjoint(parseRanges(["10.0.0.0/8"]), parseRanges(["10.244.0.0/16"]))).to.throw(
      "service_cidr 10.0.0.0/8 and pod_cidr 10.244.0.0/16 overlap",
    ));
  it("host bits in a CIDR don't matter", () => expect(parseRange("10.0.3.4/16").at(1)).to.equal("10.0.0.1"));
  it("carries over octets", () => expect(parseRange("10.0.0.0/8").at(0x01ff_ff)).to.equal("10.1.255.255"));
});
