// "Exposing Applications for Internal Access", a course's chapter: its manifest as printed is no YAML, and it writes
// names in three short forms.

import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunningServer } from "../../src/index.ts";
import { service } from "../../src/testing.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { alias, here, mentions, serve, serviceAt } from "./document.ts";

const PRINTED = "exposing-applications/printed";
const CORRECTED = "exposing-applications/corrected";
const NGINX_APPS = "exposing-applications/nginx-apps";
const nginx = serviceAt("nginx-service");
const inApps = serviceAt("nginx-service", "nginx-apps");
const exposed = serviceAt("service-name");

/** The line of the document that a manifest's first line comes from. */
const FIRST_LINE = 66;

describe("the exposing-applications chapter: its manifest as printed", () => {
  it("line 68: the error has its place and says what is wrong; nothing of it is served", async () => {
    await using server = await serve([PRINTED]);
    expect(server.findings).to.have.length(1);
    const [{ file, line, column, severity, message } = { file: "", line: 0, column: 0, severity: "", message: "" }] = server.findings;
    expect({ file, line, column, severity }).to.deep.equal({
      file: join(here, PRINTED, "nginx-service.yaml"),
      line: 68 - FIRST_LINE + 1,
      column: 7, // the colon
      severity: "error",
    });
    expect(message).to.match(/mapping values are not allowed here.*parent key is missing/);
    expect((await server.query(nginx.name)).rcode).to.equal("NXDOMAIN");
    expect((await server.query("kube-dns.kube-system.svc.cluster.local.")).addresses, "the rest is served").to.deep.equal(["10.0.0.10"]);
  });

  it("the marks are named one by one once the keys stand where they belong", async () => {
    const printed = readFileSync(join(here, PRINTED, "nginx-service.yaml"), "utf8");
    const withMetadata = printed
      .replace("  name:", "metadata:\n  name:")
      .replace("  selector: (2)", "spec:\n  selector:")
      .replace("ports: (3)", "ports:");
    using folder = temporaryFolder({ "nginx-service.yaml": withMetadata });
    await using server = await serve([folder.path]);
    expect(server.findings.map(({ line, message }) => `${line}: ${message}`).join("\n"))
      .to.match(/^4: metadata\.name: Invalid value: "nginx-service \(1\)"/m)
      .and.match(/^10: spec\.ports\[0\]\.port: Invalid value: "8081 \(4\)"/m);
  });
});

describe("the exposing-applications chapter: its manifest corrected", () => {
  let server: RunningServer;
  before(async () => {
    server = await serve([CORRECTED, NGINX_APPS]);
    // Named in the text, without a manifest.
    server.registry.apply(
      { verb: "upsert", object: service({ name: "service-name", ports: [{ port: 8081 }] }) }, // line 54
      { verb: "upsert", object: service({ name: "nginx-provider", ports: [{ port: 6379 }] }) }, // lines 94, 98
    );
  });
  after(() => server.close());

  it("has nothing to complain about", () => {
    expect(server.findings).to.deep.equal([]);
  });

  mentions(
    () => server,
    [
      { line: 54, ask: "service-name. A", gives: alias("service-name.", exposed) },
      { line: 54, ask: `${exposed.name} SRV`, gives: [`${exposed.name} IN SRV 0 100 8081 ${exposed.name}`] },
      { line: 68, ask: "nginx-service.default.svc.cluster.local. A", gives: [nginx.a] },
      { line: 73, ask: "nginx-service.default.svc.cluster.local. SRV", gives: [`${nginx.name} IN SRV 0 100 8081 ${nginx.name}`] },
      { line: 106, ask: "NGINX-Service.default.svc.cluster.local. A", gives: [nginx.a] },
      { line: 111, ask: "nginx-service.default.cluster.local. A", gives: alias("nginx-service.default.cluster.local.", nginx) },
      { line: 111, ask: "nginx-service.nginx-apps.cluster.local. A", gives: alias("nginx-service.nginx-apps.cluster.local.", inApps) },
      { line: 113, ask: "nginx-service.default. A", gives: alias("nginx-service.default.", nginx) },
      { line: 115, ask: "nginx-service. A", gives: alias("nginx-service.", nginx) },
      { line: 117, ask: "nginx-service.nginx-apps. A", gives: alias("nginx-service.nginx-apps.", inApps) },
      { line: 117, ask: "nginx-service.nginx-apps.svc.cluster.local. A", gives: [inApps.a] },
    ],
  );

  it("lines 96, 98: the environment of a Pod in the same namespace", () => {
    const provider = serviceAt("nginx-provider");
    expect(server.env("default")).to.include({ NGINX_PROVIDER_SERVICE_HOST: provider.address, NGINX_PROVIDER_SERVICE_PORT: "6379" });
    expect(server.env("default")).to.include({ NGINX_SERVICE_SERVICE_HOST: nginx.address, NGINX_SERVICE_SERVICE_PORT: "8081" });
    expect(server.env("nginx-apps")).to.include({ NGINX_SERVICE_SERVICE_HOST: inApps.address });
    expect(server.env("nginx-apps")).not.to.have.property("NGINX_PROVIDER_SERVICE_HOST");
  });
});
