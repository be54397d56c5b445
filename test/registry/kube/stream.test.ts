// Bodies cut into objects: whatever the pieces are in which they come.

import { expect } from "chai";
import fc from "fast-check";
import { MalformedBody, readDocuments, readList, type BodyReader } from "../../../src/registry/kube/stream.ts";

const chunkSizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
const object = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue());

function feed(reader: BodyReader, text: string | Uint8Array, sizes: readonly number[] = [1 << 20]): void {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    // A copy, spoiled afterwards: the reader may not hold on to its caller's memory.
    const chunk = Uint8Array.from(bytes.subarray(at, at + size));
    reader.push(chunk);
    chunk.fill(0x7b);
    at += size;
  }
  reader.end();
}

function documents(text: string | Uint8Array, sizes?: readonly number[]): unknown[] {
  const found: unknown[] = [];
  feed(
    readDocuments((value) => found.push(value)),
    text,
    sizes,
  );
  return found;
}

function items(text: string, sizes?: readonly number[]): unknown[] {
  const found: unknown[] = [];
  feed(
    readList((value) => found.push(value)),
    text,
    sizes,
  );
  return found;
}

describe("registry/kube: bodies of a watch", () => {
  it("any objects in any pieces are the same objects", () => {
    fc.assert(
      fc.property(fc.array(object), fc.constantFrom("", "\n", " \r\n\t"), chunkSizes, (objects, between, sizes) => {
        const text = objects.map((each) => JSON.stringify(each)).join(between);
        expect(documents(text, sizes)).to.deep.equal(objects.map((each) => JSON.parse(JSON.stringify(each)) as unknown));
      }),
    );
  });

  it("an object is given as soon as its last byte is there", () => {
    const found: unknown[] = [];
    const reader = readDocuments((value) => found.push(value));
    reader.push(Buffer.from('{"a":"}{"}'));
    expect(found).to.deep.equal([{ a: "}{" }]);
    reader.push(Buffer.from('{"b":'));
    expect(found).to.have.lengthOf(1);
    reader.push(Buffer.from("1}"));
    expect(found).to.deep.equal([{ a: "}{" }, { b: 1 }]);
  });

  it("characters of several bytes may be cut anywhere", () => {
    expect(documents('{"a":"ä€😀"}\n', [1])).to.deep.equal([{ a: "ä€😀" }]);
  });

  const malformed: Readonly<Record<string, string>> = {
    "HTML (C103)": "<html><body>502 Bad Gateway</body></html>",
    "JSON cut short (C103)": '{"type":"ADDED","object":{"meta',
    "brackets that don't match": '{"a":]}',
    "a bare value": "null",
    "text between objects": '{"a":1},{"b":2}',
  };
  for (const [what, text] of Object.entries(malformed)) {
    it(`${what} is told, in whatever pieces`, () => {
      fc.assert(fc.property(chunkSizes, (sizes) => void expect(() => documents(text, sizes)).to.throw(MalformedBody)));
    });
  }

  it("an object above the bound is left out, counted, and never held; the next one is fine (C110)", () => {
    const found: unknown[] = [];
    const tooLarge: number[] = [];
    const reader = readDocuments((value) => found.push(value), { maxObjectBytes: 100, onTooLarge: (bytes) => tooLarge.push(bytes) });
    const large = JSON.stringify({ a: "x".repeat(1000) });
    feed(reader, `{"b":1}${large}{"c":2}`, [7]);
    expect(found).to.deep.equal([{ b: 1 }, { c: 2 }]);
    expect(tooLarge).to.deep.equal([large.length]);
  });
});

describe("registry/kube: bodies of a list", () => {
  const metadata = fc.record({ resourceVersion: fc.string(), continue: fc.string(), remainingItemCount: fc.nat() });

  it("any items in any pieces, pretty-printed or not, wherever the metadata stands", () => {
    const property = fc.property(
      fc.array(fc.jsonValue()),
      metadata,
      fc.boolean(),
      fc.nat(3),
      chunkSizes,
      (all, meta, isFirst, indent, sizes) => {
        const body = isFirst ? { kind: "ServiceList", metadata: meta, items: all } : { items: all, metadata: meta, kind: "ServiceList" };
        const found: unknown[] = [];
        const reader = readList((value) => found.push(value));
        feed(reader, JSON.stringify(body, undefined, indent), sizes);
        expect(found).to.deep.equal(JSON.parse(JSON.stringify(all)));
        expect(reader.head()).to.deep.equal({ isList: true, ...meta });
        expect(reader.members).to.deep.equal({ kind: "ServiceList", metadata: meta });
      },
    );
    fc.assert(property);
  });

  it("a member that looks like the items is none of them", () => {
    expect(items('{"metadata":{"items":[1]},"other":["items"],"x":"\\"items\\":[3]","items":[2]}', [1])).to.deep.equal([2]);
  });

  it("items that are null are an empty list; without items it is no list", () => {
    const empty = readList(() => expect.fail("an item"));
    feed(empty, '{"kind":"ServiceList","metadata":{},"items":null}');
    expect(empty.head().isList).to.equal(true);
    const none = readList(() => expect.fail("an item"));
    feed(none, '{"kind":"Status","code":500}');
    expect(none.head().isList).to.equal(false);
    expect(none.members).to.deep.equal({ kind: "Status", code: 500 });
  });

  const malformed: Readonly<Record<string, string>> = {
    "HTML (C103)": "<!doctype html>",
    "an empty body (C103)": "",
    "a list cut short between items (C103)": '{"items":[{"a":1},',
    "a list cut short behind its items": '{"items":[{"a":1}]',
    "a list closed by the wrong bracket": '{"items":[{"a":1}}',
    "text behind the list": '{"items":[]}x',
    "an item that is no JSON": '{"items":[{a:1}]}',
  };
  for (const [what, text] of Object.entries(malformed)) {
    it(`${what} is told, in whatever pieces`, () => {
      fc.assert(fc.property(chunkSizes, (sizes) => void expect(() => items(text, sizes)).to.throw(MalformedBody)));
    });
  }
});
