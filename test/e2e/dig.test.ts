// What the README promises to a person with dig: the shipped zones/ on a loopback port, asked by the real program.

import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { needsPrograms } from "../helpers/needs.ts";
import { startNdots, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";

const FULL = "my-nginx.default.svc.cluster.local";
/** What scripts/start gives out: an address of service_cidr. */
const CLUSTER_IP = /^10\.0\.\d+\.\d+$/;

describe("dig at what scripts/start serves", function () {
  this.timeout(60_000);
  let folder: Folder;
  let server: Running;
  let port: string;

  before(async function () {
    needsPrograms(this, "dig");
    folder = temporaryFolder(); // without a Corefile, so that the shipped one is taken
    server = startNdots(["-p", "0"], { cwd: folder.path, patienceMs: 60_000 });
    port = (await server.shows(/listening on 127\.0\.0\.1:(\d+)/))[1] as string;
  });

  after(async () => {
    await (server as Running | undefined)?.[Symbol.asyncDispose]();
    (folder as Folder | undefined)?.[Symbol.dispose]();
  });

  const dig = (...args: readonly string[]): string =>
    execFileSync("dig", ["-p", port, "@127.0.0.1", "+time=2", "+tries=2", ...args], { encoding: "utf8" });
  const short = (...args: readonly string[]): string[] =>
    dig("+short", ...args)
      .trimEnd()
      .split("\n");
  const clusterIP = (): string => short(FULL).at(-1) as string;

  it("the Service has an address in 10.0.0.0/16", () => {
    expect(short(FULL)).to.have.length(1);
    expect(clusterIP()).to.match(CLUSTER_IP);
  });

  for (const name of ["my-nginx", "my-nginx.default", "my-nginx.default.svc", "my-nginx.default.cluster.local"]) {
    it(`${name} ends in the same address by way of a CNAME`, () => {
      expect(short(name)).to.deep.equal([`${FULL}.`, clusterIP()]);
    });
  }

  it("kube-dns has 10.0.0.10", () => {
    expect(short("kube-dns.kube-system.svc.cluster.local")).to.deep.equal(["10.0.0.10"]);
  });

  it("-x of both gives the names", () => {
    expect(short("-x", clusterIP())).to.deep.equal([`${FULL}.`]);
    expect(short("-x", "10.0.0.10")).to.deep.equal(["kube-dns.kube-system.svc.cluster.local."]);
  });

  it("SRV gives the port, and the address with it", () => {
    expect(short("SRV", `_https._tcp.${FULL}`)).to.deep.equal([`0 100 443 ${FULL}.`]);
    expect(dig("SRV", `_https._tcp.${FULL}`)).to.match(
      new RegExp(`ADDITIONAL SECTION:\\n${FULL}\\.\\s+30\\s+IN\\s+A\\s+${clusterIP()}\\n`),
    );
  });

  for (const options of [
    ["+tcp"],
    ["+bufsize=512"],
    ["+noedns"],
    ["+nocookie"],
    ["+dnssec"],
    ["+norec"],
    ["+tcp", "+keepopen"],
    ["+cdflag", "+adflag"],
  ]) {
    it(`${options.join(" ")} gives the same`, () => {
      expect(short(...options, FULL)).to.deep.equal([clusterIP()]);
    });
  }

  it("mixed case gives the same, and the case comes back", () => {
    const mixed = "My-NginX.DEFAULT.svc.Cluster.LOCAL";
    expect(short(mixed)).to.deep.equal([clusterIP()]);
    expect(dig("+noall", "+answer", mixed)).to.match(new RegExp(`^${mixed}\\.\\s+30\\s+IN\\s+A\\s`));
  });

  it("AAAA is NODATA with the SOA", () => {
    const text = dig("AAAA", FULL);
    expect(text).to.match(/status: NOERROR, .*\n;; flags: qr aa rd; QUERY: 1, ANSWER: 0, AUTHORITY: 1,/);
    expect(text).to.match(
      /AUTHORITY SECTION:\ncluster\.local\.\s+30\s+IN\s+SOA\s+ns\.dns\.cluster\.local\. hostmaster\.cluster\.local\. \d+ 7200 1800 86400 30\n/,
    );
  });

  const unknown: readonly (readonly [name: string, reason: string])[] = [
    ["my-ngnix.default.svc.cluster.local", "no such Service; nearest: my-nginx.default"],
    ["my-nginx.defualt.svc.cluster.local", "no such namespace; nearest: my-nginx.default"],
    ["nothing-like-it.default.svc.cluster.local", "no such Service"],
  ];
  for (const [name, reason] of unknown) {
    it(`${name} is NXDOMAIN with the SOA and a reason: ${reason}`, () => {
      const text = dig(name);
      expect(text).to.match(/status: NXDOMAIN/);
      expect(text).to.match(/AUTHORITY SECTION:\ncluster\.local\.\s+30\s+IN\s+SOA\s/);
      expect(text).to.match(new RegExp(`^; EDE: 0 \\(Other\\): \\(${reason}\\)$`, "m"));
    });
  }

  it("+search goes through a search list, over UDP and TCP", () => {
    for (const transport of ["+notcp", "+tcp"]) {
      for (const name of ["kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]) {
        expect(short(transport, "+search", "+domain=default.svc.cluster.local", "+ndots=5", name).at(-1), name).to.equal("10.0.0.1");
      }
    }
  });

  it("dig warns of nothing", () => {
    for (const args of [[FULL], ["+tcp", FULL], ["AAAA", FULL], ["nosuch.default.svc.cluster.local"], ["my-nginx"]]) {
      // With +rec it would warn that there is no recursion: RA is for foreign names.
      expect(dig("+norec", ...args)).not.to.match(/malformed|mismatch|WARNING: (?!\.local is reserved)/i);
    }
  });
});
