// Server blocks over HTTPS through real sockets: what a Corefile with https:// serves, and how it is reloaded.

import { connect, type ClientHttp2Session } from "node:http2";
import { request } from "node:https";
import { join } from "node:path";
import { expect } from "chai";
import { startServer, type RunningServer } from "../src/index.ts";
import { createAuthority } from "./helpers/certificates.ts";
import { headerOf, query, udpAsk } from "./helpers/dns-client.ts";
import { freePort } from "./helpers/free-port.ts";
import { temporaryFolder, type Folder } from "./helpers/ndots-process.ts";

const authority = createAuthority();
const clients = createAuthority("clients");
const own = authority.issue({ commonName: "dns", names: ["localhost"] });
const MANIFEST = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.96.0.10, ports: [{ name: http, port: 80 }] }
`;
const WEB = "web.default.svc.cluster.local.";
const TYPE = "application/dns-message";

interface Answer {
  readonly status: number;
  readonly maxAge: string | undefined;
  readonly body: Buffer;
}

describe("https://", function () {
  this.timeout(20_000);
  let folder: Folder;
  beforeEach(() => {
    folder = temporaryFolder({ "tls.crt": own.cert, "tls.key": own.key, "ca.crt": clients.cert, "web.yaml": MANIFEST });
  });
  afterEach(() => folder[Symbol.dispose]());

  const start = (corefile: string): Promise<RunningServer> => startServer({ corefile, file: join(folder.path, "Corefile") });
  const portOf = (dns: RunningServer): number => dns.addresses.find(({ scheme }) => scheme === "https")?.port ?? expect.fail("no https://");

  function open(dns: RunningServer): ClientHttp2Session {
    const session = connect(`https://localhost:${portOf(dns)}`, { ca: authority.cert });
    session.on("error", () => {});
    return session;
  }

  function ask(session: ClientHttp2Session, packet: Buffer): Promise<Answer> {
    const stream = session.request({ ":method": "POST", ":path": "/dns-query", "content-type": TYPE });
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let answer: Pick<Answer, "status" | "maxAge"> | undefined;
      stream.once("response", (headers) => (answer = { status: headers[":status"] ?? 0, maxAge: headers["cache-control"] }));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.once("error", reject);
      stream.once("end", () =>
        answer === undefined ? reject(new Error("no answer")) : resolve({ ...answer, body: Buffer.concat(chunks) }),
      );
      stream.end(packet);
    });
  }

  it("answers what plain DNS answers, says for how long, and counts", async () => {
    const metrics = await freePort();
    await using dns = await start(`.:0 https://.:0 {
  tls tls.crt tls.key
  prometheus 127.0.0.1:${metrics}
  kubernetes cluster.local {
    manifests web.yaml
    ttl 30
  }
}
`);
    const session = open(dns);
    for (const [id, name] of [WEB, `no-${WEB}`, "example.org."].entries()) {
      const packet = query({ id, name });
      const { status, maxAge, body } = await ask(session, packet);
      expect([status, maxAge]).to.deep.equal([200, ["max-age=30", "max-age=30", "max-age=0"][id]]);
      expect(body).to.deep.equal(await udpAsk(dns.address, packet));
    }
    session.close();
    const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    const server = `server="https://127.0.0.1:0"`;
    expect(text).to.match(new RegExp(`coredns_dns_https_responses_total\\{${server},status="200"\\} 3\n`));
    expect(text).to.match(new RegExp(`coredns_dns_requests_total\\{${server},zone="\\.",view="",proto="tcp",family="1",type="A"\\} 3\n`));
  });

  it("a reload keeps connections open and answers with the new Corefile", async () => {
    const corefile = (rest: string): string => `https://.:0 {\n  tls tls.crt tls.key\n  ${rest}\n}\n`;
    await using dns = await start(corefile("whoami"));
    const session = open(dns);
    expect(headerOf((await ask(session, query())).body).rcode).to.equal(0);
    await dns.reload(corefile("kubernetes cluster.local {\n manifests web.yaml\n}"));
    expect(headerOf((await ask(session, query({ name: WEB }))).body).counts[1]).to.equal(1);
    expect(session.closed).to.equal(false);
    session.close();
  });

  it("clients show their certificates where the Corefile asks for them", async () => {
    await using dns = await start("https://.:0 {\n tls tls.crt tls.key ca.crt {\n  client_auth require_and_verify\n }\n whoami\n}\n");
    const status = (shown: object): Promise<number | undefined> =>
      new Promise((resolve) => {
        const path = `/dns-query?dns=${query().toString("base64url")}`;
        const asking = request({ host: "localhost", port: portOf(dns), path, ca: authority.cert, agent: false, ...shown }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        asking.once("error", () => resolve(undefined));
        asking.end();
      });
    expect(await status(clients.issue({ commonName: "pod" }))).to.equal(200);
    expect(await status({})).to.equal(undefined);
    expect(await status(authority.issue({ commonName: "stranger" }))).to.equal(undefined);
  });

  it("max_connections holds, and a block without an https:// key warns", async () => {
    await using dns = await start(
      "https://.:0 {\n tls tls.crt tls.key\n https {\n  max_connections 1\n }\n whoami\n}\n.:0 {\n https\n whoami\n}\n",
    );
    expect(dns.findings.map(({ line, message }) => `${line}: ${message}`)).to.deep.equal([
      "9: https: bounds nothing: no key of this server block begins with https://",
    ]);
    const first = open(dns);
    await ask(first, query());
    const second = open(dns);
    expect((await ask(second, query())).status).to.equal(200);
    expect(first.closed || first.destroyed).to.equal(true);
    second.close();
  });
});
