// Every metric that src registers is told in a README, and no README tells of one that is not there: dashboards and alerts
// are written from the READMEs.

import { expect } from "chai";
import { filesIn, read } from "./helpers/source-tree.ts";

describe("names of metrics", () => {
  const inSources = namesIn(filesIn("src", ".ts"), /"((?:coredns|ndots)_[a-z0-9_]+)"/g);
  const readmes = ["README.md", ...filesIn("src", ".md"), ...filesIn("deploy", ".md")];
  const inReadmes = namesIn(readmes, /`((?:coredns|ndots)_[a-z0-9_]+[a-z0-9])(?=[`{])/g);

  it("of src are each in a README", () => {
    expect([...inSources].filter((name) => !inReadmes.has(name))).to.deep.equal([]);
    expect(inSources).to.include.keys("ndots_tcp_closed_total", "coredns_dns_requests_total", "ndots_registry_objects");
  });

  it("in a README are each in src", () => {
    expect([...inReadmes].filter((name) => !inSources.has(name))).to.deep.equal([]);
  });
});

function namesIn(files: readonly string[], pattern: RegExp): ReadonlySet<string> {
  return new Set(files.flatMap((file) => [...read(file).matchAll(pattern)].map(([, name]) => name as string)));
}
