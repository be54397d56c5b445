import { expect } from "chai";
import {
  countLabels,
  formatName,
  isWithin,
  labelsBelow,
  labelsOf,
  lowerCase,
  nameBelow,
  nameToWire,
  parentOf,
  parseName,
  readName,
  ROOT,
} from "../../src/dns/name.ts";
import { NdotsError } from "../../src/errors.ts";

describe("dns/name: text to wire and back", () => {
  const rows: [text: string, hex: string, canonical: string][] = [
    [".", "00", "."],
    ["", "00", "."],
    ["Web.Example.ORG", "03776562076578616d706c65036f726700", "web.example.org."],
    ["web.example.org.", "03776562076578616d706c65036f726700", "web.example.org."],
    ["a\\.b.c", "03612e62016300", "a\\.b.c."],
    ["a\\046b.c", "03612e62016300", "a\\.b.c."],
    ["\\000.c", "0100016300", "\\000.c."],
    ["\\255\\065", "02ff6100", "\\255a."],
    ["a\\ b\\\\", "0461" + "20625c" + "00", "a\\032b\\\\."],
    ["é", "02c3a900", "\\195\\169."],
    ["\u{1f600}x", "05f09f988078" + "00", "\\240\\159\\152\\128x."],
    ["É", "02c38900", "\\195\\137."], // only ASCII letters have a lower case (RFC 4343)
    ["_http._tcp", "055f68747470045f74637000", "_http._tcp."],
    ["*", "012a00", "*."],
    ['@"();$', "0640222829" + "3b24" + "00", '\\@\\"\\(\\)\\;$.'],
  ];
  for (const [text, hex, canonical] of rows) {
    it(`${JSON.stringify(text)} is ${canonical}`, () => {
      const name = parseName(text);
      expect(Buffer.from(nameToWire(name)).toString("hex")).to.equal(hex);
      expect(formatName(name)).to.equal(canonical);
      expect(parseName(canonical)).to.equal(name);
    });
  }

  it("takes labels of 63 octets and names of 255", () => {
    const label = "a".repeat(63);
    expect(parseName(`${label}.${label}.${label}.${"a".repeat(61)}`)).to.have.length(255);
    expect(parseName("a.".repeat(127))).to.have.length(255);
  });

  const wrong: [text: string, says: RegExp][] = [
    ["a..b", /a label is empty/],
    [".a", /a label is empty/],
    ["..", /a label is empty/],
    ["a".repeat(64), /at most 63 octets, found 64/],
    ["a.".repeat(128), /at most 255 octets, found 257/],
    ["a\\", /bad escape/],
    ["a\\256", /bad escape/],
    ["a\\1", /bad escape/],
    ["a\\12b", /bad escape/],
    ["a\\€", /bad escape/],
  ];
  for (const [text, says] of wrong) {
    it(`refuses ${text.slice(0, 20)}`, () => {
      expect(() => parseName(text))
        .to.throw(NdotsError, says)
        .with.property("code", "NDOTS_ERR_NAME");
    });
  }
});

describe("dns/name: labels", () => {
  const name = parseName("a.b\\.c.example.org.");
  it("are counted and listed from left to right", () => {
    expect(labelsOf(name)).to.deep.equal(["a", "b.c", "example", "org"]);
    expect(countLabels(name)).to.equal(4);
    expect([labelsOf(ROOT), countLabels(ROOT)]).to.deep.equal([[], 0]);
  });
  it("are left away one by one up to the root", () => {
    expect(formatName(parentOf(name))).to.equal("b\\.c.example.org.");
    expect([parentOf(parseName("org")), parentOf(ROOT)]).to.deep.equal([ROOT, ROOT]);
  });
  it("are put in front of a name", () => {
    expect(formatName(nameBelow(parseName("example.org"), "WEB", "b.c") ?? ROOT)).to.equal("web.b\\.c.example.org.");
    expect(nameBelow(ROOT)).to.equal(ROOT);
  });
  it("make no name when one is empty or too long, or all are", () => {
    expect(nameBelow(ROOT, "")).to.equal(undefined);
    expect(nameBelow(ROOT, "a".repeat(64))).to.equal(undefined);
    expect(nameBelow(parseName("a.".repeat(127)), "a")).to.equal(undefined);
  });
});

describe("dns/name: a zone holds a name by whole labels", () => {
  const rows: [name: string, zone: string, below: string[] | undefined][] = [
    ["web.cluster.local", "cluster.local", ["web"]],
    ["a.b.cluster.local", "cluster.local", ["a", "b"]],
    ["cluster.local", "cluster.local", []],
    ["evilcluster.local", "cluster.local", undefined],
    ["evil\\007cluster.local", "cluster.local", undefined], // ends in the zone's bytes
    ["local", "cluster.local", undefined],
    ["web.cluster.local", ".", ["web", "cluster", "local"]],
    [".", ".", []],
    [".", "local", undefined],
    ["a.cluster\\.local", "cluster.local", undefined],
  ];
  for (const [text, zone, below] of rows) {
    it(`${text} in ${zone}: ${below === undefined ? "no" : "yes"}`, () => {
      expect(isWithin(parseName(text), parseName(zone))).to.equal(below !== undefined);
      expect(labelsBelow(parseName(text), parseName(zone))).to.deep.equal(below);
    });
  }
});

describe("dns/name: reading out of a message (RFC 9267)", () => {
  const header = "00".repeat(12);
  const label63 = `3f${"61".repeat(63)}`;
  const rows: [rule: string, hex: string, start: number, name: string | undefined, end?: number][] = [
    ["a plain name", "01610000", 0, "a.", 3],
    ["is lower-cased", "0141" + "00", 0, "a.", 3],
    ["the root", "00", 0, ".", 1],
    ["a pointer back", `${header}016100` + "0162c00c", 15, "b.a.", 19],
    ["a pointer to a pointer", `${header}016100` + "c00c" + "c00f", 17, "a.", 19],
    ["a pointer to itself", `${header}c00c`, 12, undefined],
    ["a pointer forward", `${header}c00e` + "016100", 12, undefined],
    ["two pointers in a circle", `${header}c00e` + "c00c", 14, undefined],
    ["a name that points into itself", `${header}0161c00c`, 12, undefined],
    ["a pointer cut in two", `${header}c0`, 12, undefined],
    ["a pointer behind the end", `${header}c0ff`, 12, undefined],
    ["no terminator", "0161", 0, undefined],
    ["a label cut short", "0561", 0, undefined],
    ["nothing", "", 0, undefined],
    ["label type 0x40", "4161", 0, undefined],
    ["label type 0x80", "8161", 0, undefined],
    ["255 octets", `${label63.repeat(3)}3d${"61".repeat(61)}00`, 0, `${`${"a".repeat(63)}.`.repeat(3)}${"a".repeat(61)}.`, 255],
    ["256 octets", `${label63.repeat(3)}3e${"61".repeat(62)}00`, 0, undefined],
    ["more than 255 octets through a pointer", `${label63.repeat(3)}3d${"61".repeat(61)}00` + "0162c000", 255, undefined],
  ];
  for (const [rule, hex, start, name, end] of rows) {
    it(`${rule}: ${name === undefined ? "no name" : "a name"}`, () => {
      const found = readName(Buffer.from(hex, "hex"), start);
      expect(found && { name: formatName(found.name), end: found.end }).to.deep.equal(name === undefined ? undefined : { name, end });
    });
  }

  it("a chain of 8,000 pointers, each going back, is given up early", () => {
    const bytes = Buffer.alloc(16_002);
    for (let at = 2; at < bytes.length; at += 2) bytes.writeUInt16BE(0xc000 | (at - 2), at);
    bytes.writeUInt16BE(0, 0);
    expect(readName(bytes, 2 * 127)?.name).to.equal(ROOT);
    expect(readName(bytes, 2 * 128)).to.equal(undefined);
    expect(readName(bytes, 16_000)).to.equal(undefined);
  });
});

describe("dns/name: lower case", () => {
  it("changes ASCII letters only, so that length bytes pass", () => expect(lowerCase("\x3fAZ@[`{\xc9")).to.equal("\x3faz@[`{\xc9"));
});
