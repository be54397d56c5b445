// The Dockerfile by its text: what clusters and the README rely on. test/e2e/image.test.ts runs its layout.

import { expect } from "chai";
import { inherited, lastOf, parseDockerfile, type Stage } from "./helpers/dockerfile.ts";
import { read } from "./helpers/source-tree.ts";

describe("Dockerfile", () => {
  const stages = parseDockerfile(read("Dockerfile"));
  const named = (name: string): Stage => stages.find((stage) => stage.name === name) as Stage;
  const standard = stages.at(-1) as Stage;
  const variants: readonly [string, Stage][] = [
    ["default", standard],
    ["nocap", named("nocap")],
  ];

  for (const [variant, stage] of variants) {
    const image = inherited(stages, stage);
    it(`${variant}: runs as a numeric user without root's rights`, () => {
      expect(lastOf(image, "USER")).to.deep.equal(["65532:65532"]);
    });
    it(`${variant}: takes CoreDNS's arguments, and serves /zones without any`, () => {
      const flags = ["--max-semi-space-size=2", "--v8-pool-size=2", "--inspect-port=192.0.2.1:9229"];
      expect(lastOf(image, "ENTRYPOINT")).to.deep.equal(["/usr/local/bin/node", ...flags, "/app/dist/cli.js"]);
      expect(lastOf(image, "CMD")).to.deep.equal(["-conf", "/app/zones/container.Corefile"]);
    });
    it(`${variant}: exposes DNS, health, ready and metrics`, () => {
      expect(lastOf(image, "EXPOSE")).to.have.members(["53", "53/udp", "8080", "8181", "9153"]);
    });
    it(`${variant}: carries OCI labels`, () => {
      const labels = image.filter(({ keyword }) => keyword === "LABEL").map(({ text }) => text);
      for (const label of ["title", "description", "licenses", "version", "revision"]) {
        expect(labels.join(" ")).to.include(`org.opencontainers.image.${label}=`);
      }
    });
    it(`${variant}: runs nothing in the runtime image, which has no shell`, () => {
      expect(image.filter(({ keyword }) => keyword === "RUN")).to.deep.equal([]);
    });
    it(`${variant}: needs no file that can be written`, () => {
      expect(image.filter(({ keyword }) => keyword === "VOLUME")).to.deep.equal([]);
    });
  }

  it("only the default's node has the file capability", () => {
    const nodeOf = (stage: Stage) =>
      stage.instructions.find(({ keyword, words }) => keyword === "COPY" && words[1]?.endsWith("/node"))?.flags;
    expect(nodeOf(standard)).to.deep.equal({ from: "setcap" });
    expect(nodeOf(named("nocap"))).to.deep.equal({ from: "build" });
    expect(named("setcap").instructions.map(({ text }) => text)).to.include("setcap cap_net_bind_service=+ep /usr/local/bin/node");
    const runs = named("build").instructions.map(({ text }) => text);
    expect(runs.filter((text) => text.includes("setcap "))).to.deep.equal([]);
  });

  it("packages come from the lockfile, and those for development stay behind", () => {
    const runs = named("build")
      .instructions.filter(({ keyword }) => keyword === "RUN")
      .map(({ text }) => text);
    expect(runs[0]).to.match(/^npm ci /);
    expect(runs.join("\n")).to.include("npm prune --omit=dev");
  });

  it("the base images are named by tag", () => {
    const outside = stages.map(({ from }) => from).filter((from) => stages.every(({ name }) => name !== from));
    expect(outside.filter((from) => !/:[\w.-]+$/.test(from) || from.endsWith(":latest"))).to.deep.equal([]);
  });

  it("what COPY takes from the context, .dockerignore lets through", () => {
    const allowed = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    const copied = stages.flatMap(({ instructions }) =>
      instructions
        .filter(({ keyword, flags }) => keyword === "COPY" && flags["from"] === undefined)
        .flatMap(({ words }) => words.slice(0, -1)),
    );
    expect(copied).to.not.have.lengthOf(0);
    expect(copied.filter((path) => !allowed.includes(path))).to.deep.equal([]);
  });

  it("the version label is the package's", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string };
    expect(read("Dockerfile")).to.include(`ARG VERSION=${version}\n`);
  });
});
