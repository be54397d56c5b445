// Where relative file names lie: in the folder of `root`, else in the Corefile's.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { formatFinding, FindingsError } from "../../src/errors.ts";
import { startServer } from "../../src/index.ts";
import root from "../../src/plugins/root/root.ts";
import { fakeHost, readDirective, setUp } from "../helpers/fake-host.ts";

describe("plugins/root", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ndots-root-"));
    mkdirSync(join(folder, "zones"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const zone = (address: string): string => `@ 60 SOA ns hostmaster 7 2 3 4 30\na 60 A ${address}\n`;

  for (const [path, address] of [
    ["", "192.0.2.1"],
    ["root zones", "192.0.2.2"],
    ["root FOLDER/zones", "192.0.2.2"],
  ] as const) {
    it(`"${path}": a file of this server block, wherever root stands in it; other blocks have their own`, async () => {
      writeFileSync(join(folder, "db"), zone("192.0.2.1"));
      writeFileSync(join(folder, "zones/db"), zone("192.0.2.2"));
      const corefile = `example.org {\nfile db\n${path.replace("FOLDER", folder)}\n}\nexample.net {\nfile db\n}\n`;
      await using dns = await startServer({ corefile, file: join(folder, "Corefile"), address: "127.0.0.1", port: 0 });
      expect((await dns.query("a.example.org")).addresses).to.deep.equal([address]);
      expect((await dns.query("a.example.net")).addresses).to.deep.equal(["192.0.2.1"]);
    });
  }

  it("a folder that is not there is a warning, one that can't be one an error", async () => {
    const host = fakeHost("root", { file: join(folder, "Corefile") });
    expect((await setUp(root, "root later", host)).folder).to.equal(join(folder, "later"));
    expect(host.reported.map(formatFinding)).to.deep.equal([`Corefile:2:5: warning: root: Root path does not exist: ${folder}/later`]);
    writeFileSync(join(folder, "file"), "");
    const error = await setUp(root, "root file/below", host).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(FindingsError);
    expect((error as FindingsError).message).to.equal(`Corefile:2:5: root: unable to access root path '${folder}/file/below': ENOTDIR`);
  });

  it("takes one path", () => {
    expect(readDirective(root, "root").findings).to.deep.equal(["Corefile:2:1: root: expected PATH, found nothing"]);
  });
});
