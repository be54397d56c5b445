// Packets that try a server's patience, each with the answer it must get: a table that is run on a Responder, and
// over the UDP and TCP sockets of a server. Groups: A malformed packets, B opcodes, classes, types and flags (RFC 8906
// §8), C EDNS, D sizes. The world that is asked: WORLD below, authoritative for cluster.local and nothing else.

import { query, uint16s, type QueryOptions } from "../helpers/dns-client.ts";

/** Text for parseRecordSets(); a server may hold the same as Services and EndpointSlices. */
export const WORLD: string = `
  cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
  kubernetes.default.svc.cluster.local. 5 A 10.96.0.1
  ${Array.from({ length: 121 }, (_, index) => `big.default.svc.cluster.local. 5 A 10.244.0.${index + 1}`).join("\n  ")}`;

export const KUBERNETES = "kubernetes.default.svc.cluster.local.";
export const BIG = "big.default.svc.cluster.local.";

export type Expectation =
  /** Nothing is sent. */
  | { readonly drop: true }
  /** 12 bytes: id, opcode and RD of the query, QR and the rcode; all else 0. */
  | { readonly header: "FORMERR" | "NOTIMP" }
  /** The question is echoed byte for byte, the OPT record is our own and only for those who sent one. */
  | {
      readonly rcode: "NOERROR" | "NXDOMAIN" | "REFUSED" | "BADVERS";
      /** How many answer records, at least and at most; none unless given. */
      readonly answers?: readonly [least: number, most: number];
      /** A SOA in authority. */
      readonly soa?: true;
      /** TC is set. */
      readonly truncated?: true;
      /** Largest message; 1232 over UDP, 65,535 over TCP unless given. */
      readonly maxBytes?: number;
    };

export interface Case {
  /** Cases of one rule have one id. */
  readonly id: string;
  readonly title: string;
  readonly packet: Buffer;
  readonly expect: Expectation;
  /** Where TCP differs; "skip" where it makes no sense over TCP. */
  readonly tcp?: Expectation | "skip";
  /** Not to be sent over UDP: too large for a datagram. */
  readonly tcpOnly?: true;
}

const DROP = { drop: true } as const;
const FORMERR = { header: "FORMERR" } as const;
const NOTIMP = { header: "NOTIMP" } as const;
const REFUSED = { rcode: "REFUSED" } as const;
const ONE = { rcode: "NOERROR", answers: [1, 1] } as const;
const NODATA = { rcode: "NOERROR", soa: true } as const;
const NXDOMAIN = { rcode: "NXDOMAIN", soa: true } as const;
const BADVERS = { rcode: "BADVERS" } as const;

const RD = 0x0100;
const header = (...counts: [qd: number, an: number, ns: number, ar: number]): Buffer => uint16s(0x0101, RD, ...counts);
const bytes = (...values: readonly number[]): Buffer => Buffer.from(values);
const good = (options: QueryOptions = {}): Buffer => query({ name: KUBERNETES, id: 0x0101, ...options });
/** A question alone, without its header. */
const question = good().subarray(12);
const label = (size: number): Buffer => Buffer.concat([bytes(size), Buffer.alloc(size, 0x61)]);
const a = Buffer.concat([bytes(0xc0, 12), uint16s(1, 1, 0, 5, 4), bytes(192, 0, 2, 1)]);
const soa = Buffer.concat([bytes(0xc0, 12), uint16s(6, 1, 0, 5, 22), bytes(0, 0), Buffer.alloc(20)]);
const opt = (rdlength: number, ...rdata: readonly number[]): Buffer =>
  Buffer.concat([bytes(0), uint16s(41, 1232, 0, 0, rdlength), bytes(...rdata)]);
const option = (code: number, size: number, fill = 0x61): { code: number; data: Buffer } => ({ code, data: Buffer.alloc(size, fill) });
const withName = (...parts: readonly Uint8Array[]): Buffer => good({ name: Buffer.concat(parts) });

export const cases: readonly Case[] = [
  // --- A: malformed packets -------------------------------------------------------------------------------------
  { id: "C2", title: "no bytes", packet: bytes(), expect: DROP, tcp: "skip" },
  { id: "C2", title: "1 byte", packet: bytes(1), expect: DROP, tcp: "skip" },
  { id: "C2", title: "11 bytes", packet: header(1, 0, 0, 0).subarray(0, 11), expect: DROP, tcp: "skip" },
  { id: "C3", title: "a header alone whose counts are all 65535", packet: header(65535, 65535, 65535, 65535), expect: FORMERR },
  { id: "C3", title: "a header alone that promises a question", packet: header(1, 0, 0, 0), expect: FORMERR },
  { id: "C4", title: "a response", packet: good({ flags: 0x8180 }), expect: DROP },
  { id: "C4", title: "a response of an opcode that we don't know", packet: good({ flags: 0xf980 }), expect: DROP },
  { id: "C4", title: "a bare response header", packet: uint16s(1, 0x8001, 0, 0, 0, 0), expect: DROP },
  { id: "C6", title: "no question", packet: header(0, 0, 0, 0), expect: FORMERR },
  { id: "C6", title: "no question, but OPT", packet: Buffer.concat([header(0, 0, 0, 1), opt(0)]), expect: FORMERR },
  { id: "C7", title: "two questions", packet: Buffer.concat([header(2, 0, 0, 0), question, question]), expect: FORMERR },
  { id: "C7", title: "65535 questions promised, one there", packet: Buffer.concat([header(65535, 0, 0, 0), question]), expect: FORMERR },
  { id: "C8", title: "a qname that points to itself", packet: withName(bytes(0xc0, 12)).subarray(0, -1), expect: FORMERR },
  { id: "C8", title: "a qname of two pointers in a circle", packet: withName(bytes(0xc0, 14, 0xc0, 12)), expect: FORMERR },
  {
    id: "C8",
    title: "a chain of 8,000 pointers",
    packet: withName(Buffer.concat(Array.from({ length: 8000 }, (_, index) => uint16s(0xc000 | ((14 + index * 2) & 0x3fff))))),
    expect: FORMERR,
  },
  { id: "C8", title: "a label, then a pointer back to it", packet: withName(label(3), bytes(0xc0, 12)), expect: FORMERR },
  { id: "C9", title: "a pointer into the header", packet: withName(bytes(0xc0, 4)), expect: FORMERR },
  { id: "C9", title: "a pointer forward", packet: Buffer.concat([withName(bytes(0xc0, 18)), label(3), bytes(0)]), expect: FORMERR },
  { id: "C10", title: "label type 0x40", packet: withName(bytes(0x41, 0x61, 0)), expect: FORMERR },
  { id: "C10", title: "label type 0x80", packet: withName(bytes(0x81, 0x61, 0)), expect: FORMERR },
  { id: "C11", title: "a name of 255 octets", packet: withName(label(63), label(63), label(63), label(61), bytes(0)), expect: REFUSED },
  { id: "C11", title: "a name of 256 octets", packet: withName(label(63), label(63), label(63), label(62), bytes(0)), expect: FORMERR },
  { id: "C11", title: "a name of 128 labels", packet: good({ name: "a.".repeat(128) }), expect: FORMERR },
  {
    id: "C12",
    title: "65,535 bytes with 4,000 answers",
    packet: Buffer.concat([
      header(1, 4000, 0, 0),
      question,
      Buffer.concat(Array.from({ length: 4000 }, () => a)),
      Buffer.alloc(1467),
    ]).subarray(0, 65535),
    expect: FORMERR,
    tcpOnly: true,
  },
  { id: "C13", title: "a label cut short", packet: good().subarray(0, 15), expect: FORMERR },
  { id: "C13", title: "a name without its end", packet: good().subarray(0, -5), expect: FORMERR },
  { id: "C13", title: "a type cut short", packet: good().subarray(0, -3), expect: FORMERR },
  { id: "C13", title: "a class cut short", packet: good().subarray(0, -1), expect: FORMERR },
  { id: "C14", title: "seven bytes behind the question", packet: good({ trailer: Buffer.from("garbage") }), expect: ONE },
  {
    id: "C14",
    title: "seven bytes behind OPT",
    packet: good({ counts: [1, 0, 0, 1], edns: {}, trailer: Buffer.from("garbage") }),
    expect: ONE,
  },
  { id: "C15", title: "an answer", packet: good({ counts: [1, 1, 0, 0], trailer: a }), expect: FORMERR },
  { id: "C15", title: "an authority record", packet: good({ counts: [1, 0, 1, 0], trailer: soa }), expect: FORMERR },
  { id: "C15", title: "IXFR with its SOA", packet: good({ type: "IXFR", counts: [1, 0, 1, 0], trailer: soa }), expect: REFUSED },
  {
    id: "C15",
    title: "IXFR without its SOA's end",
    packet: good({ type: "IXFR", counts: [1, 0, 1, 0], trailer: soa.subarray(0, -1) }),
    expect: FORMERR,
  },
  {
    id: "C16",
    title: "three additional records",
    packet: good({ counts: [1, 0, 0, 3], trailer: Buffer.concat([a, a, a]) }),
    expect: FORMERR,
  },
  { id: "C16", title: "one additional record that is not OPT", packet: good({ counts: [1, 0, 0, 1], trailer: a }), expect: ONE },
  {
    id: "C16",
    title: "an additional record cut short",
    packet: good({ counts: [1, 0, 0, 1], trailer: a.subarray(0, -1) }),
    expect: FORMERR,
  },
  { id: "C16", title: "an additional record that is missing", packet: good({ counts: [1, 0, 0, 1] }), expect: FORMERR },
  {
    id: "C16",
    title: "an additional record whose owner is no name",
    packet: good({ counts: [1, 0, 0, 1], trailer: bytes(0x40, ...a) }),
    expect: FORMERR,
  },
  { id: "C17", title: "a dot inside a label", packet: good({ name: "kubernetes\\.default.svc.cluster.local." }), expect: NXDOMAIN },
  { id: "C17", title: "…and then the real name", packet: good(), expect: ONE },
  ...["\\000", "\\001", "a\\010b", "\\027[31m", "\\255".repeat(63), '"', "\\\\"].map((text): Case => ({
    id: "C18",
    title: `a label of ${text.slice(0, 12)}`,
    packet: good({ name: `${text}.default.svc.cluster.local.` }),
    expect: NXDOMAIN,
  })),
  ...["__proto__", "constructor", "hasOwnProperty", "toString"].flatMap((text): Case[] => [
    { id: "C19", title: `a Service ${text}`, packet: good({ name: `${text}.default.svc.cluster.local.` }), expect: NXDOMAIN },
    { id: "C19", title: `a namespace ${text}`, packet: good({ name: `kubernetes.${text}.svc.cluster.local.` }), expect: NXDOMAIN },
  ]),

  // --- B: opcodes, classes, types, flags ------------------------------------------------------------------------
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].flatMap((opcode): Case[] => [
    {
      id: opcode === 4 ? "C23" : "C22",
      title: `opcode ${opcode} with a question`,
      packet: good({ flags: (opcode << 11) | RD }),
      expect: NOTIMP,
    },
    { id: opcode === 4 ? "C23" : "C22", title: `opcode ${opcode} alone`, packet: uint16s(7, opcode << 11, 0, 0, 0, 0), expect: NOTIMP },
  ]),
  { id: "C24", title: "SOA of our zone without EDNS", packet: good({ name: "cluster.local.", type: "SOA" }), expect: ONE },
  ...[0, 43, 64, 65, 253, 254, 1000, 65535].map((type): Case => ({
    id: "C25",
    title: `type ${type} at a name that exists`,
    packet: good({ type }),
    expect: NODATA,
  })),
  ...[41, 249, 250].map((type): Case => ({
    id: "C26",
    title: `type ${type}, which is never asked for`,
    packet: good({ type }),
    expect: FORMERR,
  })),
  { id: "C26", title: "IXFR", packet: good({ type: "IXFR" }), expect: REFUSED },
  { id: "C27", title: "AXFR", packet: good({ name: "cluster.local.", type: "AXFR" }), expect: REFUSED },
  { id: "C28", title: "ANY", packet: good({ type: "ANY" }), expect: NODATA },
  ...[0, 2, 3, 4, 254, 255, 9999, 0x8001].map((rrclass): Case => ({
    id: "C29",
    title: `class ${rrclass}`,
    packet: good({ class: rrclass }),
    expect: REFUSED,
  })),
  { id: "C29", title: "version.bind CH TXT", packet: good({ name: "version.bind.", type: "TXT", class: 3 }), expect: REFUSED },
  ...Object.entries({
    "RD=0": 0,
    "Z=1": 0x0140,
    "AD=1": 0x0120,
    "CD=1": 0x0110,
    "TC=1": 0x0300,
    "AA=RA=1": 0x0580,
    "RCODE=5": 0x0105,
    "all at once": 0x07f5,
  }).map(([title, flags]): Case => ({ id: "C30", title: `flags ${title}`, packet: good({ flags }), expect: ONE })),
  { id: "C32", title: "a name outside all zones", packet: good({ name: "www.example.org." }), expect: REFUSED },
  { id: "C32", title: "a name that only ends like our zone", packet: good({ name: "evilcluster.local." }), expect: REFUSED },
  { id: "C33", title: "NS of the root", packet: good({ name: ".", type: "NS" }), expect: REFUSED },
  { id: "C33", title: "a top-level domain", packet: good({ name: "org." }), expect: REFUSED },
  { id: "C33", title: "127 labels", packet: good({ name: "a.".repeat(127) }), expect: REFUSED },
  { id: "C34", title: "mixed case", packet: good({ name: "KuBeRnEtEs.DeFaUlT.SvC.cLuStEr.LoCaL." }), expect: ONE },
  ...Array.from({ length: 64 }, (_, mask): Case => {
    const name = KUBERNETES.replace(/^.{6}/, (start) =>
      start
        .split("")
        .map((char, bit) => ((mask >> bit) & 1 ? char.toUpperCase() : char))
        .join(""),
    );
    return { id: "C35", title: name.slice(0, 10), packet: good({ name }), expect: ONE };
  }),

  // --- C: EDNS --------------------------------------------------------------------------------------------------
  { id: "C36", title: "EDNS 0", packet: good({ edns: {} }), expect: ONE },
  ...[1, 100, 255].map((version): Case => ({
    id: "C37",
    title: `version ${version}`,
    packet: good({ edns: { version } }),
    expect: BADVERS,
  })),
  { id: "C37", title: "version 1 with DO", packet: good({ edns: { version: 1, dnssecOk: true } }), expect: BADVERS },
  {
    id: "C38",
    title: "version 1 with an unknown option",
    packet: good({ edns: { version: 1, options: [option(100, 4)] } }),
    expect: BADVERS,
  },
  {
    id: "C38",
    title: "version 1 with the flag 0x40",
    packet: good({ counts: [1, 0, 0, 1], trailer: Buffer.concat([bytes(0), uint16s(41, 1232, 1, 0x40, 0)]) }),
    expect: BADVERS,
  },
  {
    id: "C38",
    title: "version 1 with options of another form",
    packet: good({ counts: [1, 0, 0, 1], trailer: Buffer.concat([bytes(0), uint16s(41, 1232, 1, 0, 3), bytes(1, 2, 3)]) }),
    expect: BADVERS,
  },
  { id: "C39", title: "an unknown option", packet: good({ edns: { options: [option(100, 4)] } }), expect: ONE },
  {
    id: "C39",
    title: "200 unknown options",
    packet: good({ edns: { options: Array.from({ length: 200 }, () => option(65001, 0)) } }),
    expect: ONE,
  },
  {
    id: "C40",
    title: "EDNS flag 0x40",
    packet: good({ counts: [1, 0, 0, 1], trailer: Buffer.concat([bytes(0), uint16s(41, 1232, 0, 0x40, 0)]) }),
    expect: ONE,
  },
  {
    id: "C40",
    title: "an extended rcode of 255 in the query",
    packet: good({ counts: [1, 0, 0, 1], trailer: Buffer.concat([bytes(0), uint16s(41, 1232, 0xff00, 0, 0)]) }),
    expect: ONE,
  },
  {
    id: "C41",
    title: "two OPT records",
    packet: good({ counts: [1, 0, 0, 2], trailer: Buffer.concat([opt(0), opt(0)]) }),
    expect: FORMERR,
  },
  {
    id: "C41",
    title: "an OPT record with an owner",
    packet: good({ counts: [1, 0, 0, 1], trailer: Buffer.concat([label(1), opt(0)]) }),
    expect: FORMERR,
  },
  {
    id: "C41",
    title: "an OPT record whose owner is a pointer",
    packet: good({ counts: [1, 0, 0, 1], trailer: Buffer.concat([bytes(0xc0, 12), opt(0).subarray(1)]) }),
    expect: FORMERR,
  },
  { id: "C42", title: "an RDLENGTH of OPT past the end", packet: good({ counts: [1, 0, 0, 1], trailer: opt(8, 0, 10) }), expect: FORMERR },
  {
    id: "C42",
    title: "an option past RDLENGTH",
    packet: good({ counts: [1, 0, 0, 1], trailer: opt(5, 0, 10, 0, 8, 0x61) }),
    expect: FORMERR,
  },
  { id: "C42", title: "three stray bytes of options", packet: good({ counts: [1, 0, 0, 1], trailer: opt(3, 0, 10, 0) }), expect: FORMERR },
  ...Object.entries({
    "ECS 0.0.0.0/0": bytes(0, 1, 0, 0),
    "ECS of family 9": bytes(0, 9, 24, 0, 192, 0, 2),
    "an empty ECS": bytes(),
  }).map(([title, data]): Case => ({ id: "C43", title, packet: good({ edns: { options: [{ code: 8, data }] } }), expect: ONE })),
  ...[0, 1, 2].map((size): Case => ({
    id: "C43",
    title: `keepalive of ${size} bytes`,
    packet: good({ edns: { options: [option(11, size)] } }),
    expect: ONE,
  })),
  ...[7, 8, 9, 15, 16, 24, 40, 41].map((size): Case => ({
    id: "C44–C46",
    title: `a cookie of ${size} bytes`,
    packet: good({ edns: { options: [option(10, size)] } }),
    expect: ONE,
  })),
  { id: "C47", title: "NSID", packet: good({ edns: { options: [option(3, 0)] } }), expect: ONE },
  { id: "C47", title: "NSID with data", packet: good({ edns: { options: [option(3, 1)] } }), expect: ONE },
  { id: "C48", title: "64 bytes of padding", packet: good({ edns: { options: [option(12, 64, 0)] } }), expect: ONE },
  { id: "C49", title: "DO", packet: good({ edns: { dnssecOk: true } }), expect: ONE },
  { id: "C50", title: "NXDOMAIN without OPT has no reason", packet: good({ name: "nope.default.svc.cluster.local." }), expect: NXDOMAIN },
  { id: "C50", title: "NXDOMAIN with OPT", packet: good({ name: "nope.default.svc.cluster.local.", edns: {} }), expect: NXDOMAIN },

  // --- D: size and truncation -----------------------------------------------------------------------------------
  ...(
    [
      ["C52", "without EDNS", undefined, [27, 30], 512],
      ["C53", "EDNS 0", 0, [26, 29], 512],
      ["C53", "EDNS 100", 100, [26, 29], 512],
      ["C53", "EDNS 511", 511, [26, 29], 512],
      ["C54", "EDNS 1232", 1232, [72, 75], 1232],
      ["C55", "EDNS 4096", 4096, [72, 75], 1232],
      ["C55", "EDNS 65535", 65535, [72, 75], 1232],
    ] as const
  ).map(([id, title, udpSize, answers, maxBytes]): Case => ({
    id,
    title: `121 A records, ${title}`,
    packet: good({ name: BIG, edns: udpSize === undefined ? undefined : { udpSize } }),
    expect: { rcode: "NOERROR", answers, truncated: true, maxBytes },
    tcp: { rcode: "NOERROR", answers: [121, 121] },
  })),
];
