// Server blocks over TLS through real sockets: what a Corefile with tls:// serves, how it is reloaded, and what is refused.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { FindingsError, startServer, type RunningServer } from "../src/index.ts";
import { createAuthority } from "./helpers/certificates.ts";
import { headerOf, query, tcpConnection, tlsConnection, udpAsk, type Target } from "./helpers/dns-client.ts";
import { freePort } from "./helpers/free-port.ts";
import { temporaryFolder, type Folder } from "./helpers/ndots-process.ts";

const authority = createAuthority();
const trust = { ca: authority.cert };
const own = authority.issue({ commonName: "first", names: ["localhost"] });
const next = authority.issue({ commonName: "second", names: ["localhost"] });
const MANIFEST = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.96.0.10, ports: [{ name: http, port: 80 }] }
`;
const WEB = "web.default.svc.cluster.local.";
const BLOCK = `{
  tls tls.crt tls.key
  kubernetes cluster.local {
    manifests web.yaml
  }
}
`;

describe("tls://", function () {
  this.timeout(20_000);
  let folder: Folder;
  beforeEach(() => {
    folder = temporaryFolder({ "tls.crt": own.cert, "tls.key": own.key, "web.yaml": MANIFEST });
  });
  afterEach(() => folder[Symbol.dispose]());

  const start = (corefile: string): Promise<RunningServer> => startServer({ corefile, file: join(folder.path, "Corefile") });
  const overTls = (dns: RunningServer): Target => dns.addresses.find(({ scheme }) => scheme === "tls") ?? expect.fail("no tls://");

  for (const listeners of ["portable", "auto"] as const) {
    it(`answers what plain DNS answers, from the same zone (listeners: ${listeners})`, async () => {
      await using dns = await startServer({ corefile: `.:0 tls://.:0 ${BLOCK}`, file: join(folder.path, "Corefile"), listeners });
      expect(dns.addresses.map(({ scheme }) => scheme)).to.deep.equal(["dns", "tls"]);
      const connection = await tlsConnection(overTls(dns), trust);
      const asked = [query({ name: WEB, id: 1 }), query({ name: `no-${WEB}`, id: 2 }), query({ name: "example.org.", id: 3 })];
      connection.send(...asked);
      for (const packet of asked) expect(await connection.receive()).to.deep.equal(await udpAsk(dns.address, packet));
      await dns.reload();
      connection.send(query({ name: WEB, id: 4 }));
      expect(headerOf((await connection.receive()) as Buffer).counts[1]).to.equal(1);
      connection.close();
    });
  }

  it("who pads queries gets padded answers over TLS, and not over UDP (C48)", async () => {
    await using dns = await start(`.:0 tls://.:0 ${BLOCK}`);
    const connection = await tlsConnection(overTls(dns), trust);
    const edns = { options: [{ code: 12, data: Buffer.alloc(64) }] };
    for (const name of [WEB, `no-${WEB}`, "1-2-3-4.default.pod.cluster.local.", "example.org."]) {
      connection.send(query({ name, edns }));
      expect(await connection.receive()).to.have.length(468);
      expect((await udpAsk(dns.address, query({ name, edns })))?.length).to.be.lessThan(200);
    }
    connection.close();
  });

  it("a zone is transferred over it in several messages (RFC 9103 §6.1), also to who pads queries", async () => {
    const hosts = Array.from({ length: 5000 }, (_, index) => `h${index} A 10.0.${index >> 8}.${index & 255}`);
    writeFileSync(join(folder.path, "zone"), `$ORIGIN example.org.\n$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n${hosts.join("\n")}\n`);
    await using dns = await start("tls://example.org.:0 {\n tls tls.crt tls.key\n file zone\n transfer {\n  to *\n }\n}\n");
    const connection = await tlsConnection(overTls(dns), trust);
    for (const edns of [undefined, { options: [{ code: 12, data: Buffer.alloc(64) }] }]) {
      connection.send(query({ name: "example.org.", type: "AXFR", edns }));
      let records = 0;
      let messages = 0;
      for (; records < hosts.length + 3; messages++) records += headerOf((await connection.receive()) as Buffer).counts[1] ?? 0;
      expect([records, messages > 1]).to.deep.equal([hosts.length + 3, true]);
    }
    connection.close();
  });

  it("plugins are told of it as tls, metrics count it as tcp of its own server", async () => {
    await using dns = await start('tls://.:0 {\n tls tls.crt tls.key\n prometheus 127.0.0.1:0\n whoami\n log . "{proto}"\n}\n');
    const connection = await tlsConnection(overTls(dns), trust);
    connection.send(query({ name: "a.example.", id: 1 }));
    const answer = (await connection.receive()) as Buffer;
    expect(answer.includes(Buffer.from("\x04_tcp", "latin1"))).to.equal(true);
    expect(dns.address.port).to.equal(overTls(dns).port);
    connection.close();
  });

  it("an answer larger than UDP's comes whole", async () => {
    const many = Array.from({ length: 200 }, (_, index) => `10.0.${index >> 7}.${(index & 127) + 1}`);
    writeFileSync(
      join(folder.path, "web.yaml"),
      `apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: None, ports: [{ name: http, port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: default, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 80 }]
endpoints: [${many.map((address) => `{ addresses: ["${address}"] }`).join(", ")}]
`,
    );
    await using dns = await start(`tls://.:0 ${BLOCK}`);
    const connection = await tlsConnection(overTls(dns), trust);
    connection.send(query({ name: WEB, id: 1 }));
    const { flags, counts } = headerOf((await connection.receive()) as Buffer);
    expect([counts[1], flags & 0x0200]).to.deep.equal([200, 0]);
    connection.close();
  });

  it("a reload keeps connections open, new ones get its certificate; one that is bad changes nothing", async () => {
    await using dns = await start(`tls://.:0 ${BLOCK}`);
    const held = await tlsConnection(overTls(dns), trust);
    const nameNow = async (): Promise<string> => {
      const connection = await tlsConnection(overTls(dns), trust);
      const { CN } = connection.socket.getPeerCertificate().subject;
      connection.close();
      return String(CN);
    };
    writeFileSync(join(folder.path, "tls.key"), next.key);
    const error = await dns.reload().catch((refused: unknown) => refused);
    expect((error as Error).message)
      .to.include("Corefile:2:3: tls: the key in ")
      .and.include("is not that of the certificate in ");
    expect(await nameNow()).to.equal("first");
    writeFileSync(join(folder.path, "tls.crt"), next.cert);
    await dns.reload();
    expect(await nameNow()).to.equal("second");
    held.send(query({ name: WEB, id: 9 }));
    expect(headerOf((await held.receive()) as Buffer).counts[1]).to.equal(1);
    held.close();
  });

  it("a reload may add it, and take it away: then its connections end", async () => {
    const port = await freePort();
    const plain = `.:${port} {\n whoami\n}\n`;
    await using dns = await start(plain);
    const also = `${plain}tls://.:0 {\n tls tls.crt tls.key\n whoami\n}\n`;
    await dns.reload(also);
    const target = overTls(dns);
    const connection = await tlsConnection(target, trust);
    connection.send(query({ id: 1 }));
    expect(headerOf((await connection.receive()) as Buffer).id).to.equal(1);
    await dns.reload(plain);
    expect(await connection.ended).to.equal("fin");
    expect(dns.addresses.map(({ scheme }) => scheme)).to.deep.equal(["dns"]);
    const error = await tlsConnection(target, trust).catch((refused: unknown) => refused);
    expect((error as Error).message).to.include("ECONNREFUSED");
    connection.close();
  });

  it("root names the folder of its files", async () => {
    using other = temporaryFolder({ "certs/tls.crt": own.cert, "certs/tls.key": own.key });
    await using dns = await start(`tls://.:0 {\n  root ${other.path}/certs\n  tls tls.crt tls.key\n  whoami\n}\n`);
    (await tlsConnection(overTls(dns), trust)).close();
    const error = await start(`tls://.:0 {\n  root ${other.path}\n  tls tls.crt tls.key\n  whoami\n}\n`).catch((thrown: unknown) => thrown);
    expect((error as Error).message).to.include(`certificate ${other.path}/tls.crt: no such file`);
  });

  it("server blocks share an address: each zone is its own, others are refused", async () => {
    await using dns = await start(
      "tls://a.org.:0 {\n tls tls.crt tls.key\n whoami\n}\ntls://b.org.:0 {\n tls tls.crt tls.key\n whoami\n}\n",
    );
    expect(dns.addresses).to.have.length(1);
    const connection = await tlsConnection(overTls(dns), trust);
    const rcodes: number[] = [];
    for (const name of ["x.a.org.", "x.b.org.", "x.c.org."]) {
      connection.send(query({ name }));
      rcodes.push(headerOf((await connection.receive()) as Buffer).rcode);
    }
    expect(rcodes).to.deep.equal([0, 0, 5]);
    connection.close();
  });

  it("files that are swapped under load fail no connection, and are shown without a reload", async () => {
    await using dns = await start(`tls://.:0 ${BLOCK}`);
    const target = overTls(dns);
    const shown = new Set<string>();
    let isSwapped = false;
    for (const endMs = performance.now() + 15_000; !shown.has("second") && performance.now() < endMs;) {
      const connections = await Promise.all(Array.from({ length: 4 }, () => tlsConnection(target, trust)));
      for (const connection of connections) {
        connection.send(query({ name: WEB, id: 4 }));
        expect(headerOf((await connection.receive()) as Buffer).counts[1]).to.equal(1);
        shown.add(String(connection.socket.getPeerCertificate().subject.CN));
        connection.close();
      }
      if (isSwapped) continue;
      isSwapped = true;
      writeFileSync(join(folder.path, "tls.crt"), next.cert);
      writeFileSync(join(folder.path, "tls.key"), next.key);
    }
    expect([...shown]).to.deep.equal(["first", "second"]);
  });

  it("close() ends connections, with what was asked answered", async () => {
    const dns = await start(`tls://.:0 ${BLOCK}`);
    const connection = await tlsConnection(overTls(dns), trust);
    connection.send(query({ name: WEB, id: 1 }));
    expect(headerOf((await connection.receive()) as Buffer).id).to.equal(1);
    await dns.close();
    expect(await connection.ended).to.equal("fin");
    connection.close();
  });

  it("timeouts hold over TLS and over TCP, and a reload changes them", async () => {
    const port = await freePort();
    const corefile = (most: number): string =>
      `.:${port} tls://.:0 {\n tls tls.crt tls.key\n timeouts {\n  maxtcpqueries ${most}\n }\n whoami\n}\n`;
    await using dns = await start(corefile(2));
    for (const most of [2, 3]) {
      if (most === 3) await dns.reload(corefile(3));
      for (const connect of [() => tlsConnection(overTls(dns), trust), () => tcpConnection({ address: "127.0.0.1", port })]) {
        const connection = await connect();
        for (let id = 0; id < most; id++) {
          connection.send(query({ id }));
          expect(headerOf((await connection.receive()) as Buffer).id).to.equal(id);
        }
        expect(await connection.ended).to.equal("fin");
        connection.close();
      }
    }
  });

  const refused: readonly [what: string, corefile: string, says: string][] = [
    [
      "without tls",
      "tls://. {\n whoami\n}\n",
      'Corefile:1:1: tls://. needs a certificate: add "tls CERT KEY" to the server block, with PEM files of the certificate and its key',
    ],
    ["a file that is not there", "tls://. {\n tls none.crt tls.key\n whoami\n}\n", "none.crt: no such file"],
    [
      "two blocks that share an address and differ",
      "tls://a. {\n tls tls.crt tls.key\n}\ntls://b. {\n tls tls.crt tls.key {\n  client_auth require\n }\n}\n",
      "Corefile:5:2: tls: Corefile:2 says otherwise for the same address, port 853; server blocks that share one have the same tls",
    ],
    [
      "a port that plain DNS has",
      ".:8853 {\n whoami\n}\ntls://.:8853 {\n tls tls.crt tls.key\n}\n",
      "Corefile:4:1: port 8853 can't be tls://: it is dns:// at Corefile:1",
    ],
    [
      "two blocks that share a port of the kernel's choice and differ",
      "tls://a.:0 {\n tls tls.crt tls.key\n}\ntls://b.:0 {\n tls tls.crt tls.key {\n  client_auth require\n }\n}\n",
      "Corefile:5:2: tls: Corefile:2 says otherwise for the same address, port 0",
    ],
    ["quic://", "quic://. {\n whoami\n}\n", "Corefile:1:1: quic:// is not supported: Node.js has no QUIC"],
    ["grpc://", "grpc://. {\n whoami\n}\n", "Corefile:1:1: grpc:// is not supported: DNS over gRPC is not served"],
    ["https3://", "https3://. {\n whoami\n}\n", "Corefile:1:1: https3:// is not supported: Node.js has no QUIC; serve https://"],
  ];
  for (const [what, corefile, says] of refused) {
    it(`${what} is refused at its line`, async () => {
      const error = await start(corefile).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(FindingsError);
      expect((error as Error).message.replaceAll(`${folder.path}/`, "")).to.include(says);
    });
  }
});
