// Search lists and aliases between real sockets: clients here, a scripted upstream there, `acl`, `cache` and the answer table
// in between.

import { expect } from "chai";
import { EdeCodes } from "../../../src/dns/message.ts";
import { startServer, type RunningServer } from "../../../src/index.ts";
import { ask, namespace, service, type Result } from "../../../src/testing.ts";
import { freePort } from "../../helpers/free-port.ts";
import { startUpstream, type Upstream } from "../../helpers/upstream.ts";

const ZONE = "default.svc.cluster.local.";
const RECORDS = `
. 300 IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 300
google.com. 300 IN A 192.0.2.1
www.example.org. 300 IN CNAME cdn.example.net.
cdn.example.net. 60 IN A 192.0.2.2
`;

async function serve(upstream: Upstream, before: string, listeners: "auto" | "portable" = "portable"): Promise<RunningServer> {
  const dns = await startServer({
    listeners,
    corefile: `. {
  ${before}
  kubernetes cluster.local
  forward . ${upstream.to} {
    read_timeout 300ms
  }
}`,
  });
  dns.registry.apply(
    { verb: "upsert", object: namespace("prod") },
    { verb: "upsert", object: service({ name: "web", headless: true }) },
    { verb: "upsert", object: service({ name: "ext", type: "ExternalName", externalName: "www.example.org" }) },
    { verb: "upsert", object: service({ name: "gone", type: "ExternalName", externalName: "nosuch.example.org" }) },
    { verb: "upsert", object: service({ name: "local", type: "ExternalName", externalName: "db.internal" }) },
  );
  return dns;
}

const questions = ({ asked }: Upstream): string[] => asked.map(({ name, type }) => `${name.replace(/^[0-9a-f]{24}\./, "RANDOM.")} ${type}`);
const addressesOf = ({ answer }: Result): string[] => answer.map((line) => line.replace(/ \d+ IN /, " "));

describe("plugins/autopath: with an upstream, over sockets", () => {
  for (const listeners of ["portable", "auto"] as const) {
    it(`one round trip, remembered for each namespace (${listeners} listeners)`, async () => {
      await using upstream = await startUpstream({ records: RECORDS });
      await using dns = await serve(upstream, "autopath @kubernetes\n  cache 30", listeners);
      for (let round = 0; round < 3; round++) {
        for (const zone of [ZONE, "prod.svc.cluster.local."]) {
          const a = await ask(dns.address, `google.com.${zone}`, "A");
          expect(addressesOf(a)).to.deep.equal([`google.com.${zone} CNAME google.com.`, "google.com. A 192.0.2.1"]);
          const aaaa = await ask(dns.address, `google.com.${zone}`, "AAAA");
          expect(addressesOf(aaaa)).to.deep.equal([`google.com.${zone} CNAME google.com.`]);
          expect([a.rcode, aaaa.rcode, a.flags.includes("ra"), aaaa.flags.includes("ra")]).to.deep.equal([
            "NOERROR",
            "NOERROR",
            true,
            true,
          ]);
        }
      }
      expect(questions(upstream)).to.deep.equal(["google.com. A", "RANDOM.com. A", "google.com. AAAA"]);
    });
  }

  it("a name that may be the cluster's is never asked for elsewhere", async () => {
    await using upstream = await startUpstream({ records: "*. 60 IN A 192.0.2.99" });
    await using dns = await serve(upstream, "autopath @kubernetes\n  cache 30");
    for (const name of ["web-7.web", "nosuch", "_http._tcp.nosuch", "db.prod", "db.prod.svc"]) {
      expect((await ask(dns.address, `${name}.${ZONE}`, "A")).rcode, name).to.equal("NXDOMAIN");
    }
    expect(upstream.asked).to.deep.equal([]);
    expect((await ask(dns.address, `web-0.missing.${ZONE}`, "A")).rcode, "the upstream knows every name").to.equal("NXDOMAIN");
  });

  it("acl sees the name that is found: a client that it blocks there gets our own NXDOMAIN, remembered or not", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve(upstream, "autopath @kubernetes\n  acl google.com {\n block net 127.0.0.0/8\n }\n  cache 30");
    for (let round = 0; round < 2; round++) {
      expect((await ask(dns.address, `google.com.${ZONE}`, "A")).rcode).to.equal("NXDOMAIN");
      expect((await ask(dns.address, `www.example.org.${ZONE}`, "A")).addresses).to.deep.equal(["192.0.2.2"]);
    }
    expect(questions(upstream)).to.not.include("google.com. A");
  });

  it("an upstream that does not answer: our own NXDOMAIN; the name as it stands then fails by itself", async () => {
    await using upstream = await startUpstream({ script: { silent: true } });
    await using dns = await serve(upstream, "autopath @kubernetes");
    expect((await ask(dns.address, `google.com.${ZONE}`, "A")).rcode).to.equal("NXDOMAIN");
    expect((await ask(dns.address, "google.com.", "A")).rcode).to.equal("SERVFAIL");
  });
});

describe("ExternalName: with an upstream, over sockets", () => {
  const cname = (name: string, target: string): string => `${name}.${ZONE} CNAME ${target}.`;

  it("the target is asked of the upstream, and remembered under its own name", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve(upstream, "cache 30");
    for (let round = 0; round < 3; round++) {
      const reply = await ask(dns.address, `ext.${ZONE}`, "A");
      expect(addressesOf(reply)).to.deep.equal([
        cname("ext", "www.example.org"),
        "www.example.org. CNAME cdn.example.net.",
        "cdn.example.net. A 192.0.2.2",
      ]);
      expect(reply.flags).to.include.members(["aa", "ra"]);
      expect(addressesOf(await ask(dns.address, `ext.${ZONE}`, "CNAME"))).to.deep.equal([cname("ext", "www.example.org")]);
    }
    expect(questions(upstream)).to.deep.equal(["www.example.org. A"]);
    dns.registry.apply({ verb: "upsert", object: service({ name: "ext", type: "ExternalName", externalName: "google.com" }) });
    expect((await ask(dns.address, `ext.${ZONE}`, "A")).addresses, "a change is not hidden by what is remembered").to.deep.equal([
      "192.0.2.1",
    ]);
  });

  it("the rcode and SOA of the chain's end (RFC 6604)", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve(upstream, "cache 30");
    for (let round = 0; round < 2; round++) {
      const missing = await ask(dns.address, `gone.${ZONE}`, "A");
      expect([missing.rcode, ...addressesOf(missing)]).to.deep.equal(["NXDOMAIN", cname("gone", "nosuch.example.org")]);
      expect(missing.authority[0]).to.match(/^\. \d+ IN SOA /);
      const nodata = await ask(dns.address, `ext.${ZONE}`, "AAAA");
      expect([nodata.rcode, ...addressesOf(nodata)]).to.deep.equal([
        "NOERROR",
        cname("ext", "www.example.org"),
        "www.example.org. CNAME cdn.example.net.",
      ]);
    }
  });

  it("C50: an upstream that fails is SERVFAIL with error 22 or 23, behind the CNAME; ours are unaffected", async () => {
    await using upstream = await startUpstream({ script: { silent: true } });
    await using dns = await serve(upstream, "cache 30");
    const silent = await ask(dns.address, `ext.${ZONE}`, "A");
    expect([silent.rcode, ...addressesOf(silent)]).to.deep.equal(["SERVFAIL", cname("ext", "www.example.org")]);
    expect(silent.ede?.code).to.be.oneOf([EdeCodes.NO_REACHABLE_AUTHORITY, EdeCodes.NETWORK_ERROR]);
    await upstream.down();
    const down = await ask(dns.address, `gone.${ZONE}`, "A");
    expect(down.ede?.code).to.be.oneOf([EdeCodes.NO_REACHABLE_AUTHORITY, EdeCodes.NETWORK_ERROR]);
    expect((await ask(dns.address, `ext.${ZONE}`, "CNAME")).rcode).to.equal("NOERROR");
  });

  it("a target in hosts is found there", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await serve(upstream, "hosts {\n 192.0.2.7 db.internal\n fallthrough\n }");
    const reply = await ask(dns.address, `local.${ZONE}`, "A");
    expect(addressesOf(reply)).to.deep.equal([cname("local", "db.internal"), "db.internal. A 192.0.2.7"]);
    expect(upstream.asked).to.deep.equal([]);
  });
});

describe("names of other server blocks", () => {
  it("a walk and an ExternalName end in the block that answers clients for the name, at the same address", async () => {
    await using upstream = await startUpstream({ records: RECORDS });
    await using dns = await startServer({
      corefile: `cluster.local {
  autopath @kubernetes
  kubernetes
}
example.org {
  hosts {
    192.0.2.77 www.example.org
  }
}
. {
  cache 30
  forward . ${upstream.to}
}
google.com:${await freePort()} {
  hosts {
    192.0.2.88 google.com
  }
}`,
    });
    dns.registry.apply(
      { verb: "upsert", object: service({ name: "ext", type: "ExternalName", externalName: "www.example.org" }) },
      { verb: "upsert", object: service({ name: "far", type: "ExternalName", externalName: "google.com" }) },
    );
    expect((await ask(dns.address, `google.com.${ZONE}`, "A")).addresses).to.deep.equal(["192.0.2.1"]);
    expect((await ask(dns.address, `ext.${ZONE}`, "A")).addresses).to.deep.equal(["192.0.2.77"]);
    expect((await ask(dns.address, `far.${ZONE}`, "A")).addresses).to.deep.equal(["192.0.2.1"]);
    expect((await ask(dns.address, `web-0.nosuch.${ZONE}`, "A")).rcode).to.equal("NXDOMAIN");
    expect(questions(upstream)).to.deep.equal(["google.com. A", "RANDOM.com. A", "web-0.nosuch. A"]);
  });

  it("a block that other clients would be sent to is not asked", async () => {
    await using dns = await startServer({
      corefile: `cluster.local {
  kubernetes
}
. {
  view others {
    expr incidr(client_ip(), '192.0.2.0/24')
  }
  hosts {
    192.0.2.66 google.com
  }
}
. {
  hosts {
    192.0.2.77 google.com
  }
}`,
    });
    dns.registry.apply({ verb: "upsert", object: service({ name: "far", type: "ExternalName", externalName: "google.com" }) });
    expect((await ask(dns.address, `far.${ZONE}`, "A")).addresses).to.deep.equal(["192.0.2.77"]);
  });
});
