// Files that a `kubernetes` block names and that can't be used: `ndots check`, the start and a reload say the same, at the
// option's line; what the service account of a Pod lacks is waited for.

import { expect } from "chai";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { formatFinding } from "../../../src/errors.ts";
import { startServer } from "../../../src/index.ts";
import { silentLog } from "../../../src/log.ts";
import { checkConfiguration } from "../../../src/server.ts";
import { temporaryFolder } from "../../helpers/ndots-process.ts";

const KUBECONFIG = `apiVersion: v1
kind: Config
clusters: [{ name: test, cluster: { server: "https://127.0.0.1:1" } }]
contexts: [{ name: prod, context: { cluster: test } }]
current-context: prod
`;

/** `HERE` stands for the folder. */
const rows: readonly { readonly what: string; readonly lines: string; readonly found: string }[] = [
  { what: "a kubeconfig that is missing", lines: "kubeconfig gone", found: "kubeconfig: HERE/gone: can't be read: no such file" },
  { what: "a kubeconfig that is a folder", lines: "kubeconfig folder", found: "kubeconfig: HERE/folder: can't be read: is a folder" },
  {
    what: "a kubeconfig without the context",
    lines: "kubeconfig kubeconfig prud",
    found: 'kubeconfig: HERE/kubeconfig:4:1: no context "prud"; did you mean "prod"?',
  },
  { what: "a kubeconfig that is none", lines: "kubeconfig empty", found: "kubeconfig: HERE/empty: is empty, expected a kubeconfig" },
  {
    what: "a file of tls that is missing",
    lines: "endpoint 127.0.0.1:1\ntls empty empty gone",
    found: "tls: HERE/gone: can't be read: no such file",
  },
  {
    what: "a snapshot that is a folder",
    lines: "kubeconfig kubeconfig\nsnapshot folder",
    found: "snapshot: HERE/folder: is a folder, expected a file's path",
  },
  {
    what: "a snapshot in a folder that is missing",
    lines: "kubeconfig kubeconfig\nsnapshot gone/snapshot",
    found: "snapshot: HERE/gone/snapshot: there is no folder HERE/gone",
  },
];

describe("kubernetes: files that can't be used", () => {
  for (const { what, lines, found } of rows) {
    it(`${what}: an error of the configuration, for check, start and reload`, async () => {
      using folder = temporaryFolder({ kubeconfig: KUBECONFIG, empty: "" });
      mkdirSync(join(folder.path, "folder"));
      const file = join(folder.path, "Corefile");
      const corefile = `. {\n  kubernetes cluster.local {\n    startup_timeout 1ms\n${lines.replace(/^/gm, "    ")}\n  }\n}\n`;
      const line = 3 + lines.split("\n").length; // the last one is the bad one
      const expected = `${file}:${line}:5: kubernetes: ${found.replaceAll("HERE", folder.path)}`;

      const findings = await checkConfiguration({ corefile, file, port: 0, address: "", log: silentLog, embedded: false, env: {} });
      expect(findings.map(formatFinding)).to.deep.equal([expected]);
      const failed = await startServer({ corefile, file }).catch((error: unknown) => error);
      expect(failed).to.include({ code: "NDOTS_ERR_CONFIG", message: expected });
    });
  }

  it("in a file that the Corefile imports by a pattern leave out that file only", async () => {
    using folder = temporaryFolder({
      "custom/bad.server": "team.example {\n  kubernetes {\n    kubeconfig gone\n  }\n}\n",
      "custom/good.server": "good.example {\n  whoami\n}\n",
    });
    const corefile = "example.org {\n  whoami\n}\nimport custom/*.server\n";
    await using server = await startServer({ corefile, file: join(folder.path, "Corefile") });
    expect(server.findings.map(formatFinding)).to.deep.equal([
      `${join(folder.path, "custom/bad.server")}:3:5: kubernetes: kubeconfig: ${folder.path}/gone: can't be read: no such file ` +
        "(this file is bad: it is left out)",
    ]);
  });

  it("is no matter of a service account, whose files may come later", async () => {
    const corefile = ". {\n  kubernetes cluster.local {\n    startup_timeout 1ms\n  }\n}\n";
    const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "1" };
    const findings = await checkConfiguration({ corefile, file: "Corefile", port: 0, address: "", log: silentLog, embedded: false, env });
    expect(findings.map(formatFinding)).to.deep.equal([]);
  });
});
