// What a kubeconfig may say, what is refused and in which words. The files are those that kubectl, cloud tools and
// kubeadm write.

import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Clock } from "../../../src/clock.ts";
import { FindingsError, NdotsError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/log.ts";
import { readKubeconfig } from "../../../src/registry/kube/config.ts";
import { createCredentials, type KubeCluster, type Presented } from "../../../src/registry/kube/credentials.ts";
import { KubeError } from "../../../src/registry/kube/kube-error.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { until } from "../../helpers/listening.ts";
import { fixture } from "./api-server.ts";

// What must never be seen in an error.
const SECRET = "geheim-0815";

describe("a kubeconfig", () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ndots-kubeconfig-"));
    file = join(folder, "config");
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function read(text: string, context?: string, clock: Clock = fakeClock()): Promise<KubeCluster> {
    await writeFile(file, text);
    return readKubeconfig({ file, env: { PATH: process.env["PATH"] }, clock, ...(context !== undefined && { context }) });
  }

  const present = async (cluster: KubeCluster, clock: Clock = fakeClock()): Promise<Presented> =>
    createCredentials(cluster, { clock, log: silentLog }).current();

  describe("says", () => {
    it("which cluster and user the current context has, or the one that is named", async () => {
      const text = kubeconfig({
        extra: `
- name: dev
  context: {cluster: dev, user: dev}`,
        clusters: `
- name: dev
  cluster: {server: "http://127.0.0.1:8080"}`,
        users: `
- name: dev
  user: {username: u, password: ${SECRET}}`,
      });
      const prod = await read(text);
      expect(prod.server.href).to.equal("https://api.example.org:6443/k8s");
      expect(await present(prod)).to.include({ authorization: `Bearer ${SECRET}` });
      const dev = await read(text, "dev");
      expect(dev.server.href).to.equal("http://127.0.0.1:8080/");
      expect(await present(dev)).to.deep.equal({ authorization: `Basic ${Buffer.from(`u:${SECRET}`).toString("base64")}` });
    });

    it("certificates in the file, which go before those in files", async () => {
      const [ca, cert, key] = await Promise.all(["ca.crt", "client.crt", "client.key"].map((name) => readFile(fixture(name), "utf8")));
      const data = (text = ""): string => Buffer.from(text).toString("base64");
      const cluster = await read(
        kubeconfig({
          cluster: `{server: "https://h", certificate-authority: none, certificate-authority-data: ${data(ca)}}`,
          user: `{client-certificate-data: ${data(cert)}, client-key-data: ${data(key)}}`,
        }),
      );
      expect(await present(cluster)).to.deep.equal({ ca: ca?.trim(), cert: cert?.trim(), key: key?.trim() });
    });

    it("certificates and tokens in files, from the kubeconfig's folder; a tokenFile goes before a token", async () => {
      for (const name of ["ca.crt", "client.crt", "client.key"]) await writeFile(join(folder, name), await readFile(fixture(name)));
      await writeFile(join(folder, "token"), "from-file\n");
      const cluster = await read(
        kubeconfig({
          cluster: '{server: "https://h", certificate-authority: ca.crt, tls-server-name: kubernetes.default.svc}',
          user: `{client-certificate: client.crt, client-key: ./client.key, token: ${SECRET}, tokenFile: token}`,
        }),
      );
      expect(cluster.serverName).to.equal("kubernetes.default.svc");
      expect(await present(cluster)).to.include({ authorization: "Bearer from-file" });
    });

    it("that the certificate is not to be verified", async () => {
      expect((await read(kubeconfig({ cluster: '{server: "https://h", insecure-skip-tls-verify: true}' }))).skipVerify).to.equal(true);
    });

    it("nothing of a user: requests are anonymous", async () => {
      expect(await present(await read(kubeconfig({ context: "{cluster: prod}" })))).to.deep.equal({});
    });

    it("a server without a scheme: https with certificates, else http, as client-go reads it", async () => {
      expect((await read(kubeconfig({ cluster: "{server: localhost:8080}" }))).server.href).to.equal("http://localhost:8080/");
      const secure = await read(kubeconfig({ cluster: "{server: localhost:6443, insecure-skip-tls-verify: true}" }));
      expect(secure.server.href).to.equal("https://localhost:6443/");
    });

    it("all of it as JSON", async () => {
      const text = JSON.stringify({
        "current-context": "x",
        contexts: [{ name: "x", context: { cluster: "c" } }],
        clusters: [{ name: "c", cluster: { server: "https://[fd00::1]:6443" } }],
      });
      expect((await read(text)).server.hostname).to.equal("[fd00::1]");
    });
  });

  describe("that can't be used is refused with file, line and what is allowed:", () => {
    const many = Array.from({ length: 12 }, (_, n) => `\n- name: c${n}\n  context: {cluster: prod, user: prod}`).join("");
    const cases: readonly (readonly [string, { text?: string; context?: string } & Partial<Parameters<typeof kubeconfig>[0]>, string])[] = [
      ["a context that is nearly there", { wanted: "prdo" }, '3:1: no context "prdo"; did you mean "prod"?'],
      ["a context that is not there", { wanted: "stage" }, '3:1: no context "stage"; there are prod'],
      [
        "one of many contexts",
        { wanted: "stage", extra: many },
        '3:1: no context "stage"; there are prod, c0, c1, c2, c3, c4, c5, c6, c7, c8, …',
      ],
      ["a current-context that is not there", { current: "porD" }, '2:18: no context "porD"; did you mean "prod"?'],
      ["no current-context", { current: '""' }, "2:18: current-context is not set; name a context; there are prod"],
      ["a cluster that is not there", { context: "{cluster: prd}" }, '5:22: no cluster "prd"; did you mean "prod"?'],
      ["a user that is not there", { context: "{cluster: prod, user: root}" }, '5:34: no user "root"; there are prod'],
      ["a context without a cluster", { context: "{user: prod}" }, '5:3: context "prod" names no cluster'],
      ["no server", { cluster: "{}" }, "8:3: server: missing; expected the API server's URL"],
      [
        "a server that is no URL",
        { cluster: `{server: "ftp://h"}` },
        "8:21: server: expected [http[s]://]HOST[:PORT][/PATH], without credentials",
      ],
      [
        "a server with a password",
        { cluster: `{server: "https://u:${SECRET}@h"}` },
        "8:21: server: expected [http[s]://]HOST[:PORT][/PATH], without credentials",
      ],
      [
        "a proxy",
        { cluster: '{server: "https://h", proxy-url: "http://p:3128"}' },
        "8:45: proxy-url: proxies are not supported; the server must be reachable directly",
      ],
      [
        "an authority that would go unused",
        { cluster: '{server: "https://h", insecure-skip-tls-verify: true, certificate-authority: ca.crt}' },
        "8:60: insecure-skip-tls-verify: not together with certificate-authority, which would go unused",
      ],
      [
        "an address as name",
        { cluster: '{server: "https://h", tls-server-name: 10.0.0.1}' },
        "8:51: tls-server-name: expected a name, found an address",
      ],
      [
        "data that is no certificate",
        { cluster: `{server: "https://h", certificate-authority-data: ${SECRET}}` },
        "8:62: certificate-authority-data: expected PEM in base64",
      ],
      [
        "a key without its certificate",
        { user: `{client-key: k}` },
        "11:3: client-key needs client-certificate or client-certificate-data",
      ],
      [
        "a token and a password",
        { user: `{token: ${SECRET}, username: u, password: ${SECRET}}` },
        "11:3: a token and a username with password: only one of them is allowed",
      ],
      ["a token that is a number", { user: `{token: 12345}` }, "11:17: token: expected text, found a number"],
      ["an impersonation", { user: `{token: ${SECRET}, as: admin}` }, "11:34: as: impersonation is not supported"],
      ["an old way in", { user: "{auth-provider: {name: gcp}}" }, "11:10: auth-provider: Kubernetes 1.26 has removed these; use exec"],
      [
        "an old exec",
        { user: "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}" },
        '11:29: exec: apiVersion must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1, found "client.authentication.k8s.io/v1alpha1"',
      ],
      [
        "an exec that wants a terminal",
        { user: "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}}" },
        "11:91: exec: interactiveMode Always needs a terminal, and there is none",
      ],
      [
        "an exec v1 without interactiveMode",
        { user: "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x}}" },
        '11:10: exec: interactiveMode must be Never, IfAvailable or Always, found ""',
      ],
      ["a cluster twice", { clusters: "\n- name: prod\n  cluster: {server: h}" }, '9:3: clusters: "prod" is there twice'],
      ["not a kubeconfig", { text: "- a\n" }, "1:1: expected a kubeconfig: a mapping with clusters, users, contexts"],
      ["a list that is a mapping", { text: "contexts: {a: b}\ncurrent-context: a" }, "1:1: contexts: expected a list, found a mapping"],
      ["text that is no YAML", { text: `users:\n- name: "a\n  token: ${SECRET}` }, "3:"],
    ];
    for (const [what, { text, wanted, ...parts }, words] of cases) {
      it(what, async () => {
        const error = await thrown(read(text ?? kubeconfig(parts), wanted));
        expect(error).to.be.instanceOf(FindingsError);
        expect((error as NdotsError).code).to.equal("NDOTS_ERR_CONFIG");
        expect(error.message.split("\n")[0]?.slice(file.length + 1)).to.match(new RegExp(`^${escape(words)}`));
        expect(`${error.stack} ${String(error.cause)}`).to.not.include(SECRET);
      });
    }

    it("several at once", async () => {
      const error = await thrown(read(kubeconfig({ cluster: '{server: "https://h", proxy-url: p}', user: "{as: a, as-uid: b}" })));
      expect((error as FindingsError).findings.map(({ line }) => line)).to.deep.equal([8, 11, 11]);
    });

    it("a file that is not there, empty, or far too large", async () => {
      expect((await thrown(readKubeconfig({ file, env: {}, clock: fakeClock() }))).message).to.equal(`${file}: can't be read: ENOENT`);
      expect((await thrown(read(""))).message).to.equal(`${file}: is empty, expected a kubeconfig`);
      expect((await thrown(read("#".repeat(9 * 1024 * 1024)))).message).to.match(/is larger than 8388608 bytes/);
    });

    it("syntax errors don't quote what stands there", async () => {
      for (const broken of [
        `a: *${SECRET}`,
        `a: !${SECRET} b`,
        `a: "\\${SECRET}"`,
        `${SECRET}: 1\n${SECRET}: 2`,
        `a: @${SECRET}`,
        `{${SECRET}`,
      ]) {
        const error = await thrown(read(broken));
        expect(`${error.message} ${error.stack}`, broken).to.not.include(SECRET);
      }
    });
  });

  describe("with an exec plugin", () => {
    // A plugin is a script of Node's; what it is told is in the files beside it.
    async function plugin(script: string, exec: Readonly<Record<string, unknown>> = {}, cluster: object = {}): Promise<KubeCluster> {
      await writeFile(join(folder, "plugin"), `#!${process.execPath}\n${script}`);
      await chmod(join(folder, "plugin"), 0o755);
      const user = {
        exec: {
          apiVersion: "client.authentication.k8s.io/v1",
          interactiveMode: "Never",
          command: "./plugin",
          args: ["get-token"],
          ...exec,
        },
      };
      return read(
        kubeconfig({ cluster: JSON.stringify({ server: "https://h:6443", ...cluster }), user: JSON.stringify(user) }),
        undefined,
        clock,
      );
    }
    const gives = (status: object, apiVersion = "client.authentication.k8s.io/v1"): string =>
      `console.log(JSON.stringify(${JSON.stringify({ apiVersion, kind: "ExecCredential", status })}));`;
    let clock: FakeClock;
    beforeEach(() => {
      clock = fakeClock();
    });

    it("its token is presented; it gets its arguments, its environment and what version to speak", async () => {
      const cluster = await plugin(
        `require("fs").writeFileSync(${JSON.stringify(join(folder, "seen"))}, JSON.stringify({ args: process.argv.slice(2), region: process.env.REGION, info: JSON.parse(process.env.KUBERNETES_EXEC_INFO) }));
         ${gives({ token: SECRET })}`,
        { env: [{ name: "REGION", value: "eu-1" }], args: ["get-token", "--cluster", "a b"] },
      );
      expect(await present(cluster, clock)).to.deep.equal({ authorization: `Bearer ${SECRET}` });
      expect(JSON.parse(await readFile(join(folder, "seen"), "utf8"))).to.deep.equal({
        args: ["get-token", "--cluster", "a b"],
        region: "eu-1",
        info: { kind: "ExecCredential", apiVersion: "client.authentication.k8s.io/v1", spec: { interactive: false } },
      });
    });

    it("it is told of the cluster where the kubeconfig says so", async () => {
      const extensions = [{ name: "client.authentication.k8s.io/exec", extension: { audience: "x" } }];
      const cluster = await plugin(
        `require("fs").writeFileSync(${JSON.stringify(join(folder, "seen"))}, process.env.KUBERNETES_EXEC_INFO); ${gives({ token: "t" })}`,
        { provideClusterInfo: true },
        { "certificate-authority": fixture("ca.crt"), "tls-server-name": "kubernetes", extensions },
      );
      await present(cluster, clock);
      const { spec } = JSON.parse(await readFile(join(folder, "seen"), "utf8")) as { spec: { cluster: Record<string, unknown> } };
      const { "certificate-authority-data": authority, ...rest } = spec.cluster;
      expect(rest).to.deep.equal({ server: "https://h:6443", "tls-server-name": "kubernetes", config: { audience: "x" } });
      expect(Buffer.from(String(authority), "base64").toString()).to.equal((await readFile(fixture("ca.crt"), "utf8")).trim());
    });

    it("a client certificate of it is presented", async () => {
      const cluster = await plugin(gives({ clientCertificateData: "CERT", clientKeyData: "KEY" }));
      expect(await present(cluster, clock)).to.deep.equal({ cert: "CERT", key: "KEY" });
    });

    it("v1beta1 needs no interactiveMode", async () => {
      const apiVersion = "client.authentication.k8s.io/v1beta1";
      const cluster = await plugin(gives({ token: "t" }, apiVersion), { apiVersion, interactiveMode: undefined });
      expect(await present(cluster, clock)).to.deep.equal({ authorization: "Bearer t" });
    });

    it("it is asked again shortly before what it gave expires, and after a 401, never twice at a time", async () => {
      const counter = JSON.stringify(join(folder, "count"));
      const expirationTimestamp = new Date(clock.now() + 600_000).toISOString();
      const cluster = await plugin(
        `const fs = require("fs"); let n = 0; try { n = Number(fs.readFileSync(${counter}, "utf8")); } catch {}
         fs.writeFileSync(${counter}, String(n + 1));
         console.log(JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", status: { token: "t" + n, ...(n === 0 && { expirationTimestamp: "${expirationTimestamp}" }) } }));`,
      );
      const credentials = createCredentials(cluster, { clock, log: silentLog });
      const [first, same] = await Promise.all([credentials.current(), credentials.current()]);
      expect([first.authorization, same]).to.deep.equal(["Bearer t0", first]);
      await clock.advance(589_000);
      expect(await credentials.current()).to.equal(first);
      await clock.advance(1_000);
      const second = await credentials.current();
      expect(second.authorization).to.equal("Bearer t1");
      const renewed = await Promise.all([credentials.renew(second), credentials.renew(second), credentials.renew(first)]);
      expect(renewed.map(({ authorization }) => authorization))
        .to.include("Bearer t2")
        .and.not.include("Bearer t3");
    });

    const faults: readonly (readonly [string, string, RegExp])[] = [
      [
        "ends with an error",
        `console.error("x\\nlogin needed for ${SECRET} eyJhbGciOi.e30.c2ln"); process.exit(3)`,
        /ended with exit code 3: login needed for … …$/,
      ],
      ["prints no JSON", `console.log("${SECRET}")`, /its output is not JSON$/],
      ["prints another version", gives({ token: SECRET }, "v2"), /gave apiVersion "v2", expected "client\.authentication\.k8s\.io\/v1"$/],
      ["gives nothing", gives({}), /gave neither a token nor a client certificate$/],
      ["gives half", gives({ clientKeyData: SECRET }), /gave only one of clientCertificateData and clientKeyData$/],
      [
        "gives a wrong time",
        gives({ token: SECRET, expirationTimestamp: "soon" }),
        /status\.expirationTimestamp is not a time \(RFC 3339\)$/,
      ],
      ["gives a token of two lines", gives({ token: `${SECRET}\n${SECRET}` }), /^the token: a token is one word of ASCII characters$/],
      ["prints without end", `for (;;) require("fs").writeSync(1, "${SECRET}".repeat(1000))`, /printed more than 1048576 bytes$/],
    ];
    for (const [what, script, words] of faults) {
      it(`that ${what}: said, and no secret with it`, async () => {
        const cluster = await plugin(script, { args: [SECRET], env: [{ name: "CLIENT_SECRET", value: SECRET }] });
        const error = await thrown(present(cluster, clock));
        expect(error).to.be.instanceOf(KubeError).with.property("kind", "credentials");
        expect(error.message).to.match(words);
        expect(`${error.message} ${error.stack} ${String(error.cause)}`)
          .to.not.include(SECRET)
          .and.not.include("eyJ");
      });
    }

    it("that is not installed: said with the hint how to get it", async () => {
      const cluster = await plugin("", { command: "ndots-no-such-plugin", installHint: "brew install it" });
      expect((await thrown(present(cluster, clock))).message).to.equal(
        "exec plugin ndots-no-such-plugin: no such program. brew install it",
      );
    });

    it("that never ends is killed after 30 s, with its children's hold on its output", async () => {
      const pids = join(folder, "pids");
      const cluster = await plugin(
        `const child = require("child_process").spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"], { stdio: "inherit" });
         require("fs").writeFileSync(${JSON.stringify(pids)}, process.pid + " " + child.pid); setTimeout(() => {}, 60000);`,
      );
      const asked = thrown(present(cluster, clock));
      const started = (): number[] => (existsSync(pids) ? readFileSync(pids, "utf8").split(" ").map(Number) : []);
      await until(() => started().length === 2, "the plugin runs");
      try {
        await clock.advance(30_000);
        expect((await asked).message).to.match(/gave no credentials within 30 s$/);
      } finally {
        process.kill(started()[1] as number, "SIGKILL");
      }
    });
  });
});

// Lines 1–11, with one context, cluster and user called prod.
function kubeconfig(
  parts: {
    current?: string;
    context?: string;
    extra?: string;
    cluster?: string;
    clusters?: string;
    user?: string;
    users?: string;
    wanted?: string;
  } = {},
): string {
  const {
    current = "prod",
    context = "{cluster: prod, user: prod}",
    cluster = '{server: "https://api.example.org:6443/k8s"}',
    user = `{token: ${SECRET}}`,
  } = parts;
  return `apiVersion: v1
current-context: ${current}
contexts:
- name: prod
  context: ${context}${parts.extra ?? ""}
clusters:
- name: prod
  cluster: ${cluster}${parts.clusters ?? ""}
users:
- name: prod
  user: ${user}${parts.users ?? ""}
`;
}

async function thrown(work: Promise<unknown>): Promise<Error> {
  const error: unknown = await work.then(
    () => new Error("nothing was thrown"),
    (reason: unknown) => reason,
  );
  return error as Error;
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
