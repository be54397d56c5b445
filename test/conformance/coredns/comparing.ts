// The answers of both servers to all questions about random clusters: how they are recorded, and how they are compared.

import { gunzipSync, gzipSync } from "node:zlib";
import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import type { Answer } from "./asking.ts";
import { whyDeliberate } from "./deliberate.ts";
import type { Question } from "./questions.ts";

/** A cluster, and what CoreDNS answered about it: a line of answers.jsonl.gz. */
export interface Recorded {
  /** Of randomFrom(): what to look for again. */
  readonly seed: number;
  /** The name of the Variant. */
  readonly variant: string;
  readonly objects: readonly KubeObject[];
  readonly answers: Readonly<Record<Answer, readonly Question[]>>;
}

export function packed(all: readonly Recorded[]): Buffer {
  return gzipSync(all.map((one) => `${JSON.stringify(one)}\n`).join(""), { level: 9 });
}

export function unpacked(bytes: Uint8Array): Recorded[] {
  const lines = gunzipSync(bytes).toString().trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Recorded);
}

export function byAnswer(questions: readonly Question[], answers: readonly Answer[]): Record<Answer, Question[]> {
  const all: Record<Answer, Question[]> = {};
  questions.forEach((question, at) => (all[answers[at] ?? "nothing"] ??= []).push(question));
  return all;
}

export interface Compared {
  equal: number;
  /** By the reason. */
  readonly deliberate: Map<string, number>;
  /** In words. */
  readonly mistakes: string[];
}

export function emptyComparison(): Compared {
  return { equal: 0, deliberate: new Map(), mistakes: [] };
}

/** Adds what differs between a record and our answers to the same questions. */
export function compare(into: Compared, { seed, variant, objects, answers }: Recorded, ours: ReadonlyMap<Question, Answer>): void {
  for (const [theirs, questions] of Object.entries(answers)) {
    for (const question of questions) {
      const own = ours.get(question) ?? "nothing";
      if (own === theirs) {
        into.equal++;
        continue;
      }
      const why = whyDeliberate({ question, theirs, ours: own, variant, objects });
      if (why === undefined) into.mistakes.push(`cluster ${seed}, ${variant}: ${question}\n  CoreDNS: ${theirs}\n  ours:    ${own}`);
      else into.deliberate.set(why, (into.deliberate.get(why) ?? 0) + 1);
    }
  }
}
