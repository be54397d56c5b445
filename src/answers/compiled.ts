// What the compiler gives the answer table: answers as wire bytes behind a question, and what is true of a name or a
// zone besides.

import type { Name } from "../dns/name.ts";

/** One type's answer at a name. Sizes in bytes; offsets from the start of the body. */
export interface CompiledAnswer {
  readonly type: number;
  readonly answerCount: number;
  readonly authorityCount: number;
  readonly additionalCount: number;
  readonly body: Uint8Array;
  readonly rotateAt: number;
  /** 0 or 1: nothing to rotate. */
  readonly rotateCount: number;
  readonly rotateSize: number;
  /** `body` is the beginning of an answer that is too long: more than fits any UDP answer. Not with `rotateCount` above 1. */
  readonly isBeginning?: true;
  /** Of an answer that was remembered: its TTLs are counted down. */
  readonly kept?: Kept;
}

/** Where a remembered answer comes from, and how long it may be told: to askers without DO, CD and AD. */
export interface Kept {
  /** As given to setZone(): whose hits they are. */
  readonly zone: number;
  /** When its TTLs were what they are in the body, and from when on it may not be told: seconds of the listeners' clock. */
  readonly storedAt: number;
  readonly deadline: number;
  /** 0–15. */
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly recursionAvailable: boolean;
}

/** All that the table knows of a name. */
export interface CompiledName {
  readonly zone: number;
  readonly block: number;
  /** Ask the chain for everything at this name. */
  readonly askChain: boolean;
  /** Ask the chain for names below that have no entry: for all, or for those whose label right below looks like an address. */
  readonly openBelow: boolean | "addresses";
  /** Ask the chain for types that have no answer here. */
  readonly partial: boolean;
  /** Why a name right below does not exist; "" for no reason. */
  readonly reasonBelow: string;
  /** Why there is no answer of another type; "" for no reason. */
  readonly reason: string;
  readonly answers: readonly CompiledAnswer[];
}

/** A zone's part in negative answers. */
export interface CompiledZone {
  readonly apex: Name;
  /** SOA record as encoded behind a question for the apex itself; undefined: negative answers ask the chain. */
  readonly soa: Uint8Array | undefined;
  /** Offsets in `soa` of its compression pointers: they move with the length of the question. */
  readonly soaPointers: readonly number[];
  /** Labels right below the apex with which the SOA would compress further: such questions ask the chain. */
  readonly soaLabels: readonly Uint8Array[];
  /** Types of which the chain is asked where there is no answer of theirs; at most 255. */
  readonly types?: readonly number[];
  /** NXDOMAIN may be answered: every name of the zone has its entry. */
  readonly complete: boolean;
  /** NXDOMAIN with OPT asks the chain, for it knows a nearer reason. */
  readonly namesNearest: boolean;
  /** Why all of the zone's answers may be old, told with each of them as EDE 3; "" where they are not. */
  readonly staleness: string;
  /** Size of our OPT record and bound of UDP answers in the server block. */
  readonly udpSize: number;
}
