// Random names, rdata and rrsets for property tests: few different labels, so that names share suffixes.

import fc from "fast-check";
import { formatName, nameBelow, ROOT, type Name } from "../../src/dns/name.ts";
import type { RecordSet } from "../../src/dns/records.ts";
import { rdataFromText, typeOf } from "../../src/dns/text.ts";

const anyLabel = fc.uint8Array({ minLength: 1, maxLength: 63 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const plainLabel = fc.constantFrom("a", "b", "web", "svc", "example", "org", "_tcp", "a.b", "x".repeat(63));

function nameOf(label: fc.Arbitrary<string>): fc.Arbitrary<Name> {
  return fc.array(label, { maxLength: 6 }).map((labels) => labels.reduceRight<Name>((base, each) => nameBelow(base, each) ?? base, ROOT));
}

/** Any name that the wire can hold. */
export const anyName: fc.Arbitrary<Name> = nameOf(anyLabel);
/** Names of few labels. */
export const plainName: fc.Arbitrary<Name> = nameOf(plainLabel);

const uint16 = fc.nat({ max: 0xffff });
const uint32 = fc.nat({ max: 0xffff_ffff });
const target = plainName.map(formatName);
const ipv4 = fc.ipV4();
const text = fc.string({ maxLength: 80 }).map((chars) => `"${chars.replace(/["\\]/g, "\\$&")}"`);

const fieldsOf: Readonly<Record<string, fc.Arbitrary<string[]>>> = {
  A: fc.tuple(ipv4),
  AAAA: fc.tuple(fc.ipV6()),
  NS: fc.tuple(target),
  CNAME: fc.tuple(target),
  PTR: fc.tuple(target),
  MX: fc.tuple(uint16.map(String), target),
  SRV: fc.tuple(uint16.map(String), uint16.map(String), uint16.map(String), target),
  SOA: fc.tuple(target, target, ...Array.from({ length: 5 }, () => uint32.map(String))),
  TXT: fc.array(text, { minLength: 1, maxLength: 3 }),
  HINFO: fc.tuple(text, text),
  CAA: fc.tuple(fc.nat({ max: 255 }).map(String), fc.constantFrom("issue", "iodef"), text),
  HTTPS: fc
    .tuple(
      uint16.map(String),
      target,
      fc.subarray(["port=1", 'alpn="h2,h3"', "ipv4hint=192.0.2.1", "no-default-alpn", 'key9="\\255 x"', "key10"]),
    )
    .map(([priority, name, parameters]) => [priority, name, ...parameters]),
  DS: fc
    .tuple(uint16.map(String), fc.uint8Array({ minLength: 1, maxLength: 40 }))
    .map(([tag, digest]) => [tag, "13", "2", Buffer.from(digest).toString("hex")]),
  TYPE1000: fc.uint8Array({ maxLength: 40 }).map((bytes) => ["\\#", String(bytes.length), Buffer.from(bytes).toString("hex")]),
};

/** An rrset of any type that has a text form, and of one that has none. */
export const anyRecordSet: fc.Arbitrary<RecordSet> = fc.constantFrom(...Object.keys(fieldsOf)).chain((typeText) => {
  const type = typeOf(typeText) ?? 0;
  const rdata = fc.array(
    (fieldsOf[typeText] as fc.Arbitrary<string[]>).map((fields) => rdataFromText(type, fields)),
    { minLength: 1, maxLength: 8 },
  );
  return fc.record({ owner: plainName, type: fc.constant(type), ttl: fc.nat({ max: 0x7fff_ffff }), rdata });
});
