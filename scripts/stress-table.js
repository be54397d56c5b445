// Whether readers of the answer table ever see a wrong byte: threads read 200 names while the main thread replaces them
// as fast as it can. Every byte of an answer follows from its name and version, and no thread may see an older version
// behind a newer one. Run by scripts/stress-table, which builds, and by a test; exits with 1 if one read was wrong.

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { createHit, Outcomes } from "../dist/answers/answer-table.js";
import { openTable } from "../dist/answers/reader.js";
import { TableWriter } from "../dist/answers/table.js";
import { parseName } from "../dist/dns/name.js";
import { Exchange, readQuestion } from "../dist/dns/question.js";

const NAMES = 200;
/** The first names are always there, the others come and go. */
const STEADY = 150;
const BATCH = 64;
const TYPE_A = 1;
const names = Array.from({ length: NAMES }, (_, index) => parseName(`n${index}.example.org`));

// Most answers are small; some are larger than others by far, so that memory changes hands between names.
const sizeOf = (index, version) => 8 + ((index * 7 + version * 13) % 90) + (version % 16 === 0 ? (version * 31) % 1000 : 0);

function fill(body, index, version) {
  const view = new DataView(body.buffer, body.byteOffset);
  view.setUint32(0, index);
  view.setUint32(4, version);
  for (let at = 8; at < body.length; at++) body[at] = index * 31 + version * 17 + at;
  return body;
}

if (isMainThread) await main();
else read(workerData);

async function main() {
  const reads = Number(process.argv[2] ?? 100_000_000);
  const threads = Number(process.argv[3] ?? 2);
  const table = new TableWriter();
  describe(table, 0);
  for (let index = 0; index < NAMES; index++) put(table, index, 1);
  const counts = { reads: 0, missing: 0, wrong: 0 };
  let running = threads;
  const startMs = performance.now();
  for (let thread = 0; thread < threads; thread++) {
    const shared = table.attach();
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { shared, reads: Math.ceil(reads / threads) },
      transferList: [shared.updates],
    });
    worker.on("message", (counted) => {
      for (const key of Object.keys(counts)) counts[key] += counted[key];
    });
    worker.on("error", (error) => {
      console.error(error);
      counts.wrong++;
    });
    worker.on("exit", () => {
      table.detach(shared);
      running--;
    });
  }
  let replaced = 0;
  let most = 0;
  while (running > 0) {
    for (let round = 0; round < 1000; round++, replaced++) {
      const index = (replaced * 17) % NAMES;
      const version = 2 + Math.floor(replaced / NAMES);
      if (index >= STEADY && version % 3 === 0) table.remove(names[index]);
      else put(table, index, version);
      if (replaced % 50 === 0) describe(table, replaced);
      // Names that nobody asks for leave deleted slots behind, so that the slots are moved again and again.
      const passing = parseName(`p${replaced}.example.org`);
      table.put(passing, compiled(new Uint8Array(8)));
      table.remove(passing);
      if (replaced % 200_000 === 0)
        for (let more = 0; more < 20_000; more++)
          table.put(parseName(`m${replaced}-${more % 2000}.example.org`), compiled(new Uint8Array(8)));
    }
    most = Math.max(most, table.bytes);
    await new Promise(setImmediate);
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${counts.reads} reads (${counts.missing} of names that were gone), ${replaced} replacements, ${counts.wrong} wrong`);
  console.log(`${threads} threads, ${seconds} s, ${(most / 2 ** 20).toFixed(0)} MiB at most, ${table.size} names`);
  process.exitCode = counts.wrong === 0 && counts.reads >= reads ? 0 : 1;
}

function put(table, index, version) {
  table.put(names[index], compiled(fill(new Uint8Array(sizeOf(index, version)), index, version)));
}

function compiled(body) {
  const answer = { type: TYPE_A, answerCount: 1, authorityCount: 0, additionalCount: 0, body, rotateAt: 0, rotateCount: 0, rotateSize: 0 };
  return { zone: 0, block: 0, askChain: false, openBelow: false, partial: false, reasonBelow: "", reason: "", answers: [answer] };
}

// The zone's SOA is one byte, over and over.
function describe(table, version) {
  const soa = new Uint8Array(40 + (version % 7) * 16).fill(version);
  const zone = { apex: parseName("example.org"), soa, soaPointers: [], soaLabels: [] };
  table.setZone(0, { ...zone, complete: true, namesNearest: false, staleness: "", udpSize: 4096 });
  if (version === 0) table.put(zone.apex, { ...compiled(new Uint8Array(0)), answers: [] });
}

function read({ shared, reads }) {
  const reader = openTable(shared);
  const exchanges = names.map(questionOf);
  const versions = new Uint32Array(NAMES);
  const hit = createHit();
  const counts = { reads: 0, missing: 0, wrong: 0 };
  let turn = 0;
  while (counts.reads < reads) {
    reader.enter();
    for (let left = BATCH; left > 0; left--, counts.reads++) {
      turn = (turn * 1_103_515_245 + 12_345) & 0x7fffffff;
      const index = (turn >>> 8) % NAMES;
      const io = exchanges[index];
      if (reader.answer(io, hit) !== Outcomes.HIT) counts.wrong++;
      else if (hit.rcode === 0) counts.wrong += isRight(io, hit, index, versions) ? 0 : 1;
      else if (index < STEADY || !isOneByte(io.out, io.questionEnd, hit.length)) counts.wrong++;
      else counts.missing++;
    }
    reader.leave();
  }
  parentPort.postMessage(counts);
}

function questionOf(name) {
  const io = new Exchange(4096);
  io.in = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), Buffer.from(name, "latin1"), Buffer.from([0, 1, 0, 1])]);
  io.inEnd = io.in.length;
  io.transport = "tcp";
  readQuestion(io);
  return io;
}

function isRight({ out, questionEnd }, { length }, index, versions) {
  const at = (offset) =>
    ((out[questionEnd + offset] << 24) |
      (out[questionEnd + offset + 1] << 16) |
      (out[questionEnd + offset + 2] << 8) |
      out[questionEnd + offset + 3]) >>>
    0;
  const version = at(4);
  if (at(0) !== index || version < versions[index] || length - questionEnd !== sizeOf(index, version)) return false;
  versions[index] = version;
  const first = index * 31 + version * 17;
  for (let offset = 8, end = length - questionEnd; offset < end; offset++) {
    if (out[questionEnd + offset] !== ((first + offset) & 0xff)) return false;
  }
  return true;
}

function isOneByte(out, start, end) {
  for (let at = start + 1; at < end; at++) if (out[at] !== out[start]) return false;
  return end > start;
}
