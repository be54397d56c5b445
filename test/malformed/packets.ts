// Wrong packets, byte by byte (cases C2–C19), and what any server of ours does with them. suite.ts sends them.

import { nameBytes, query, uint16s } from "../helpers/dns-client.ts";

export interface MalformedPacket {
  readonly case: string;
  readonly rule: string;
  readonly packet: Buffer;
  /**
   * `drop`: nothing comes. `FORMERR`, `NOTIMP`: a header of 12 bytes. `answer`: any rcode, with the question echoed byte
   * for byte (`question`: how many bytes of it).
   */
  readonly gives: "drop" | "FORMERR" | "NOTIMP" | "answer";
}

const header = (flags: number, ...counts: readonly [number, number, number, number]): Buffer => uint16s(1, flags, ...counts);
const question = (name: Uint8Array): Buffer => Buffer.concat([name, uint16s(1, 1)]);
const asks = (name: readonly number[] | Buffer): Buffer => query({ name: Uint8Array.from(name) });
const label = (bytes: number, fill = 0x61): Buffer => Buffer.concat([Uint8Array.of(bytes), Buffer.alloc(bytes, fill)]);
const names = (...lengths: readonly number[]): Buffer => Buffer.concat([...lengths.map((bytes) => label(bytes)), Uint8Array.of(0)]);
const record = (type: number, rdata = Buffer.alloc(0), owner = Buffer.from([0]), length = rdata.length): Buffer =>
  Buffer.concat([owner, uint16s(type, 1, 0, 0, length), rdata]);
const OPT = 41;

export const malformedPackets: readonly MalformedPacket[] = [
  { case: "C2", rule: "nothing at all", packet: Buffer.alloc(0), gives: "drop" },
  { case: "C2", rule: "one byte", packet: Buffer.alloc(1), gives: "drop" },
  { case: "C2", rule: "a byte less than a header", packet: Buffer.alloc(11), gives: "drop" },
  { case: "C3", rule: "a header with all counts 65,535", packet: header(0x0100, 65_535, 65_535, 65_535, 65_535), gives: "FORMERR" },
  { case: "C3", rule: "a header that announces a question", packet: header(0x0100, 1, 0, 0, 0), gives: "FORMERR" },
  { case: "C4", rule: "a response", packet: query({ flags: 0x8100 }), gives: "drop" },
  { case: "C4", rule: "a response with another opcode", packet: query({ flags: 0xa000 }), gives: "drop" },
  { case: "C6", rule: "no question", packet: header(0x0100, 0, 0, 0, 0), gives: "FORMERR" },
  { case: "C6", rule: "no question but OPT", packet: Buffer.concat([header(0x0100, 0, 0, 0, 1), record(OPT)]), gives: "FORMERR" },
  {
    case: "C7",
    rule: "two good questions",
    packet: query({ counts: [2, 0, 0, 0], trailer: question(nameBytes("example.org.")) }),
    gives: "FORMERR",
  },
  { case: "C7", rule: "65,535 questions announced", packet: query({ counts: [65_535, 0, 0, 0] }), gives: "FORMERR" },
  { case: "C8", rule: "a qname that points to itself", packet: asks([0xc0, 12]), gives: "FORMERR" },
  { case: "C8", rule: "a loop of two pointers", packet: asks([0xc0, 14, 0xc0, 12]), gives: "FORMERR" },
  { case: "C8", rule: "a chain of 8,000 pointers", packet: asks(pointerChain(8000)), gives: "FORMERR" },
  { case: "C9", rule: "a pointer into the header", packet: asks([1, 0x61, 0xc0, 0]), gives: "FORMERR" },
  {
    case: "C9",
    rule: "a pointer forward to a good name",
    packet: query({ name: Uint8Array.of(0xc0, 18), trailer: nameBytes("example.org.") }),
    gives: "FORMERR",
  },
  { case: "C10", rule: "label type 0x40", packet: asks([0x41, 0x61, 0]), gives: "FORMERR" },
  { case: "C10", rule: "label type 0x80", packet: asks([0x81, 0x61, 0]), gives: "FORMERR" },
  { case: "C11", rule: "a name of 255 octets", packet: asks(names(63, 63, 63, 61)), gives: "answer" },
  { case: "C11", rule: "a name of 256 octets", packet: asks(names(63, 63, 63, 62)), gives: "FORMERR" },
  { case: "C11", rule: "a name of 65 labels of 63 octets", packet: asks(names(...Array<number>(65).fill(63))), gives: "FORMERR" },
  { case: "C13", rule: "a label cut mid-way", packet: query().subarray(0, 16), gives: "FORMERR" },
  { case: "C13", rule: "a name without its end", packet: query().subarray(0, 24), gives: "FORMERR" },
  { case: "C13", rule: "a type cut", packet: query().subarray(0, 26), gives: "FORMERR" },
  { case: "C13", rule: "a class cut", packet: query().subarray(0, 28), gives: "FORMERR" },
  { case: "C14", rule: "garbage behind the question", packet: query({ trailer: Buffer.alloc(40, 0xff) }), gives: "answer" },
  { case: "C14", rule: "garbage behind OPT", packet: query({ edns: {}, trailer: Buffer.alloc(40, 0xff) }), gives: "answer" },
  {
    case: "C15",
    rule: "an answer in a query",
    packet: query({ counts: [1, 1, 0, 0], trailer: record(1, Buffer.alloc(4)) }),
    gives: "FORMERR",
  },
  {
    case: "C15",
    rule: "an authority in a query",
    packet: query({ counts: [1, 0, 1, 0], trailer: record(2, Buffer.alloc(1)) }),
    gives: "FORMERR",
  },
  {
    case: "C16",
    rule: "three additional records",
    packet: query({ counts: [1, 0, 0, 3], trailer: Buffer.concat([record(1), record(1), record(OPT)]) }),
    gives: "FORMERR",
  },
  {
    case: "C16",
    rule: "an additional record that is not OPT",
    packet: query({ counts: [1, 0, 0, 1], trailer: record(1, Buffer.alloc(4)) }),
    gives: "answer",
  },
  {
    case: "C16",
    rule: "an additional record that is cut",
    packet: query({ counts: [1, 0, 0, 1], trailer: record(1, Buffer.alloc(4), undefined, 5) }),
    gives: "FORMERR",
  },
  { case: "C16", rule: "an additional record announced and not there", packet: query({ counts: [1, 0, 0, 1] }), gives: "FORMERR" },
  { case: "C17", rule: "a dot inside a label", packet: asks(nameBytes("kubernetes\\.default.svc.cluster.local.")), gives: "answer" },
  { case: "C18", rule: "a label of control characters", packet: asks(nameBytes("\\000\\001\\010\\027.example.org.")), gives: "answer" },
  { case: "C18", rule: "a label of 63 octets 0xFF", packet: asks(Buffer.concat([label(63, 0xff), Uint8Array.of(0)])), gives: "answer" },
  ...["__proto__", "constructor", "hasOwnProperty", "toString"].map((name): MalformedPacket => ({
    case: "C19",
    rule: `a Service called ${name}`,
    packet: asks(nameBytes(`${name}.default.svc.cluster.local.`)),
    gives: "answer",
  })),
  { case: "C22", rule: "opcode STATUS", packet: query({ flags: 0x1000 }), gives: "NOTIMP" },
  { case: "C22", rule: "opcode UPDATE with counts of its own", packet: query({ flags: 0x2800, counts: [1, 0, 9, 9] }), gives: "NOTIMP" },
];

function pointerChain(length: number): Buffer {
  return uint16s(...Array.from({ length }, (_, index) => 0xc000 | (14 + 2 * index)));
}
