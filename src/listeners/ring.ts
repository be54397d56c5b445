// A queue of byte records from one thread to another over shared memory: one writer, one reader, no locks. The batch
// listener's threads hand packets over through it, and lines of the query log. When it is full the writer is told.
//
//   control  Int32: WRITTEN, READ   bytes so far modulo 2^32; each side stores only its own
//   bytes    …│size│record, padded to 8 bytes│size│record│… -1 │   -1: go on at the start; a record never wraps

/** Shared memory of a ring, structured-cloneable. */
export interface SharedRing {
  readonly control: Int32Array;
  readonly bytes: Uint8Array;
}

const WRITTEN = 0;
const READ = 1;
// The two words lie on cache lines of their own.
const WORDS_APART = 16;
const HEAD_BYTES = 8;
const ALIGN = 8;
const WRAP = -1;

/** @param bytes a power of two, at most 2^30. */
export function createRing(bytes: number): SharedRing {
  return {
    control: new Int32Array(new SharedArrayBuffer(2 * WORDS_APART * Int32Array.BYTES_PER_ELEMENT)),
    bytes: new Uint8Array(new SharedArrayBuffer(bytes)),
  };
}

/** Empties a ring that neither end uses any more. */
export function clearRing({ control }: SharedRing): void {
  control.fill(0);
}

/** The writing end. */
export class RingWriter {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly #control: Int32Array;
  readonly #capacity: number;
  #written: number;
  #at = 0;
  #total = 0;

  constructor({ control, bytes }: SharedRing) {
    this.#control = control;
    this.bytes = bytes;
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.#capacity = bytes.length;
    this.#written = Atomics.load(control, WRITTEN);
  }

  /** Makes room for a record; returns where to write it in `bytes`, at a multiple of 8, or -1: full. Nothing is read before commit(). */
  claim(recordBytes: number): number {
    const total = (HEAD_BYTES + recordBytes + ALIGN - 1) & -ALIGN;
    const used = (this.#written - Atomics.load(this.#control, READ * WORDS_APART)) | 0;
    const start = this.#written & (this.#capacity - 1);
    const left = this.#capacity - start;
    const skipped = total > left ? left : 0;
    if (used + skipped + total > this.#capacity) return -1;
    if (skipped > 0) this.words[start >> 2] = WRAP;
    const at = skipped > 0 ? 0 : start;
    this.words[at >> 2] = recordBytes;
    this.#total = skipped + total;
    this.#at = at + HEAD_BYTES;
    return this.#at;
  }

  /** Publishes what claim() made room for. */
  commit(): void {
    this.#written = (this.#written + this.#total) | 0;
    Atomics.store(this.#control, WRITTEN, this.#written);
  }

  /** Bytes that the reader has not taken. */
  get used(): number {
    return (this.#written - Atomics.load(this.#control, READ * WORDS_APART)) | 0;
  }
}

/** The reading end. */
export class RingReader {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly #control: Int32Array;
  readonly #capacity: number;
  #read: number;
  /** Where the record that next() found begins in `bytes`, and its length. */
  at = 0;
  length = 0;

  constructor({ control, bytes }: SharedRing) {
    this.#control = control;
    this.bytes = bytes;
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.#capacity = bytes.length;
    this.#read = Atomics.load(control, READ * WORDS_APART);
  }

  /** Finds the oldest record; it stays where it is until release(). */
  next(): boolean {
    if (this.isEmpty()) return false;
    let start = this.#read & (this.#capacity - 1);
    if (this.words[start >> 2] === WRAP) {
      this.#read = (this.#read + this.#capacity - start) | 0;
      start = 0;
    }
    this.length = this.words[start >> 2] as number;
    this.at = start + HEAD_BYTES;
    return true;
  }

  /** Gives the room of the record that next() found back to the writer. */
  release(): void {
    this.#read = (this.#read + ((HEAD_BYTES + this.length + ALIGN - 1) & -ALIGN)) | 0;
    Atomics.store(this.#control, READ * WORDS_APART, this.#read);
  }

  /** Bytes that wait. */
  get used(): number {
    return (Atomics.load(this.#control, WRITTEN) - this.#read) | 0;
  }

  isEmpty(): boolean {
    return Atomics.load(this.#control, WRITTEN) === this.#read;
  }
}
