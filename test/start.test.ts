// What a test that uses the library pays for at its start: modules that only a cluster needs are not among it.
// How many milliseconds it takes: scripts/bench/run start.

import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./helpers/source-tree.ts";
import { temporaryFolder } from "./helpers/ndots-process.ts";

const PROGRAM = `
import { startServer } from "ndots";
const dns = await startServer(JSON.parse(process.argv[1]));
await dns.close();
console.log(JSON.stringify(process.moduleLoadList.flatMap((module) => /^NativeModule (.*)/.exec(module)?.[1] ?? [])));
`;

interface Loaded {
  /** Node's own. */
  readonly native: readonly string[];
  /** Files below the package's folder, as V8's coverage names what was compiled. */
  readonly files: readonly string[];
}

function loadedBy(options: object): Loaded {
  using coverage = temporaryFolder();
  const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", PROGRAM, JSON.stringify(options)], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NODE_V8_COVERAGE: coverage.path },
    timeout: 20_000,
  });
  const reports = readdirSync(coverage.path).map((file) => readFileSync(join(coverage.path, file), "utf8"));
  const urls = reports.flatMap((text) => (JSON.parse(text) as { readonly result: readonly { readonly url: string }[] }).result);
  return {
    native: JSON.parse(printed) as string[],
    files: urls.map(({ url }) => url.replace(/^file:\/\/(.*?\/)?(?=dist\/|node_modules\/)/, "")),
  };
}

describe("startServer() in a test", function () {
  this.timeout(30_000);

  for (const [what, options] of [
    ["an empty cluster", {}],
    ["the shipped manifests", { manifests: "zones" }],
  ] as const) {
    it(`${what}: loads nothing of the Kubernetes API's client, of HTTP, TLS, native code, the command line or metrics' text`, () => {
      const { native, files } = loadedBy(options);
      expect(files).to.include("dist/server.js").and.to.include("dist/plugins/kubernetes/kubernetes.js");
      expect(native.filter((module) => /^(_?https?|http2|tls|_tls.*|zlib|inspector)(\/|$)/.test(module))).to.deep.equal([]);
      const only =
        /^dist\/(registry\/kube(\/|-api)|cli(\/|\.js)|listeners\/batch|coredns-flags)|^node_modules\/(koffi|pino|prom-client|commander|re2js)\//;
      expect(files.filter((file) => only.test(file))).to.deep.equal([]);
    });
  }

  it("a Kubernetes API that is asked for brings its client", () => {
    const corefile = ". {\n  kubernetes cluster.local {\n    endpoint http://127.0.0.1:1\n    startup_timeout 1ms\n  }\n}\n";
    expect(loadedBy({ corefile }).files).to.include("dist/registry/kube/client.js");
  });
});
