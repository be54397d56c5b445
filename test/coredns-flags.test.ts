// CoreDNS's flags, as Go's flag package reads them.

import { expect } from "chai";
import { fromCoreDnsFlags } from "../src/coredns-flags.ts";
import { NdotsError } from "../src/errors.ts";

const rows: readonly { given: string; gives: string }[] = [
  { given: "-conf Corefile", gives: "--conf=Corefile" },
  { given: "-conf=Corefile", gives: "--conf=Corefile" },
  { given: "--conf Corefile", gives: "--conf=Corefile" },
  { given: "--conf=Corefile", gives: "--conf=Corefile" },
  { given: "-conf stdin", gives: "--conf=stdin" },
  { given: "-conf=", gives: "--conf=" },
  { given: "-conf=a=b", gives: "--conf=a=b" },
  { given: "-conf -p", gives: "--conf=-p" },
  { given: "-dns.port 1053", gives: "--port=1053" },
  { given: "-dns.port=1053", gives: "--port=1053" },
  { given: "--dns.port=1053", gives: "--port=1053" },
  { given: "-p 1053", gives: "--port=1053" },
  { given: "-p=1053", gives: "--port=1053" },
  { given: "-pidfile /tmp/x", gives: "--pidfile=/tmp/x" },
  { given: "-plugins", gives: "--plugins" },
  { given: "-quiet", gives: "--quiet" },
  { given: "-quiet=true", gives: "--quiet" },
  { given: "-quiet=1", gives: "--quiet" },
  { given: "-quiet=false", gives: "" },
  { given: "-version", gives: "--version" },
  { given: "-log-format=json", gives: "--log-format=json" },
  { given: "-help", gives: "--help" },
  { given: "-conf A -p 1 -quiet", gives: "--conf=A --port=1 --quiet" },
  { given: "serve -conf A", gives: "serve --conf=A" },
  { given: "check -conf A -o json", gives: "check --conf=A -o json" },
  { given: "env --namespace shop", gives: "env --namespace shop" },
  { given: "-listeners portable", gives: "--listeners=portable" },
  { given: "-strict", gives: "--strict" },
  { given: "-unknown x", gives: "-unknown x" },
  { given: "-toString", gives: "-toString" },
  { given: "-constructor", gives: "-constructor" },
  { given: "-- -conf A", gives: "-- -conf A" },
  { given: "", gives: "" },
];

describe("CoreDNS's flags", () => {
  for (const { given, gives } of rows) {
    it(`${given || "(none)"} is ${gives || "(none)"}`, () => {
      expect(fromCoreDnsFlags(given === "" ? [] : given.split(" ")).join(" ")).to.equal(gives);
    });
  }

  for (const [given, message] of [
    ["-conf", "-conf: a value is missing"],
    ["-quiet=maybe", '-quiet=maybe: must be true or false, found "maybe"'],
  ] as const) {
    it(`${given} is refused`, () => {
      expect(() => fromCoreDnsFlags(given.split(" ")))
        .to.throw(NdotsError, message)
        .with.property("code", "NDOTS_ERR_USAGE");
    });
  }
});
