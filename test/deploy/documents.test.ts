// The READMEs below deploy/: what they show works, what they name is there.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { openedBy } from "../helpers/rendered.ts";
import { codeBlocks, read, root } from "../helpers/source-tree.ts";

const documents = ["deploy/README.md", "deploy/kubernetes/README.md", "deploy/sidecar/README.md"];

describe("deploy: documents", () => {
  for (const document of documents) {
    it(`${document}: its Corefiles have no errors`, () => {
      const examples = codeBlocks(read(document)).filter(({ language }) => language === "corefile");
      expect(examples.flatMap(({ text }) => openedBy(text).errors)).to.deep.equal([]);
    });

    it(`${document}: names only folders and files that are there`, () => {
      const text = read(document);
      const named = [...text.matchAll(/\bdeploy\/[\w./-]*\w/g)].map(([path]) => path);
      const linked = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => join(dirname(document), target));
      expect([...named, ...linked].filter((path) => !existsSync(join(root, path)))).to.deep.equal([]);
    });
  }
});
