// Cuts the bodies of the API server into objects, each as soon as it is whole: the elements of a list's `items`, and the
// events of a watch. Called by the reflector with the bytes as they come. Only the object that is being received is held as
// text, so a page of 500 costs no more than its largest object; depth and strings are all that is looked at in between.

/** Takes a body piece by piece. Both throw MalformedBody. */
export interface BodyReader {
  push(chunk: Uint8Array): void;
  /** The body is at its end: what has begun must be whole by now. */
  end(): void;
}

/** What stands around the items of a list; what the body lacks is "". */
export interface ListHead {
  /** There are `items`, be they null: Go marshals an empty list that was never made so. */
  readonly isList: boolean;
  readonly resourceVersion: string;
  /** The token for the next page; "" on the last one. */
  readonly continue: string;
  readonly remainingItemCount: number | undefined;
}

export interface ListReader extends BodyReader {
  /** Complete after end(): the members come in any order. */
  head(): ListHead;
  /** All other members, for a body that turns out to be no list. */
  readonly members: Readonly<Record<string, unknown>>;
}

/** The body is not what an API server sends: HTML, cut short, no JSON. */
export class MalformedBody extends Error {}

export interface ReadOptions {
  /** Bytes of one object at most; a larger one is left out. etcd takes 1.5 MiB by default. */
  readonly maxObjectBytes?: number;
  /** Something of this many bytes, or more, was left out. */
  readonly onTooLarge?: (bytes: number) => void;
}

export const MAX_OBJECT_BYTES: number = 16 * 1024 * 1024;

const [QUOTE, BACKSLASH, COMMA, OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x22, 0x5c, 0x2c, 0x7b, 0x7d, 0x5b, 0x5d];
/** Of a body that makes no sense, for the message. */
const SHOWN_BYTES = 40;

/** Reads JSON documents one after the other, with or without white space between them. */
export function readDocuments(onDocument: (value: unknown) => void, options: ReadOptions = {}): BodyReader {
  const text = createCapture(options);
  const scan = createScan();
  return {
    push(chunk) {
      let from = scan.depth > 0 ? 0 : -1;
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at] as number;
        if (scan.depth === 0) {
          if (isSpace(byte)) continue;
          if (byte !== OPEN_BRACE) throw noJson(chunk, at);
          from = at;
          scan.depth = 1;
          continue;
        }
        at = scan.next(chunk, at);
        if (scan.depth > 0) continue;
        const whole = text.end(chunk, from, at + 1);
        from = -1;
        if (whole !== undefined) onDocument(parse(whole));
      }
      if (from >= 0) text.add(chunk, from, chunk.length);
    },
    end() {
      if (scan.depth > 0) throw new MalformedBody("cut short in the middle of an object");
    },
  };
}

/** Reads one object and gives the elements of its `items` away one by one; its other members are kept. */
export function readList(onItem: (item: unknown) => void, options: ReadOptions = {}): ListReader {
  const text = createCapture(options);
  const scan = createScan();
  const members: Record<string, unknown> = {};
  // Depth at which commas separate: before the object, of its members, of its items, behind it.
  let base: 0 | 1 | 2 | "done" = 0;
  // Where the member or item that is being read began in this chunk; -1 between two of them.
  let from = -1;
  // A member's value or an item has begun in an earlier chunk, or in this one.
  let isOpen = false;
  let hasItems = false;

  function finish(chunk: Uint8Array, to: number): void {
    if (!isOpen) return;
    const whole = text.end(chunk, from, to);
    isOpen = false;
    from = -1;
    if (whole === undefined) return;
    if (base === 2) onItem(parse(whole));
    else Object.assign(members, parse(`{${whole}}`));
  }

  function beginsItems(chunk: Uint8Array, at: number): boolean {
    return base === 1 && scan.depth === 1 && isOpen && /^"items"\s*:\s*$/.test(text.peek(chunk, from, at));
  }

  return {
    members,
    push(chunk) {
      if (isOpen) from = 0;
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at] as number;
        if (!isOpen && isSpace(byte)) continue;
        if (base === "done") throw noJson(chunk, at);
        if (base === 0) {
          if (byte !== OPEN_BRACE) throw noJson(chunk, at);
          base = scan.depth = 1;
          continue;
        }
        if (scan.depth === base && !scan.inString) {
          if (byte === COMMA) {
            finish(chunk, at);
            continue;
          }
          if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
            if ((byte === CLOSE_BRACE) !== (base === 1)) throw noJson(chunk, at);
            finish(chunk, at);
            scan.depth--;
            base = base === 2 ? 1 : "done";
            continue;
          }
          if (byte === OPEN_BRACKET && beginsItems(chunk, at)) {
            text.drop();
            isOpen = false;
            from = -1;
            base = scan.depth = 2;
            hasItems = true;
            continue;
          }
        }
        if (!isOpen) {
          isOpen = true;
          from = at;
        }
        at = scan.next(chunk, at);
      }
      if (isOpen) text.add(chunk, from, chunk.length);
    },
    end() {
      if (base !== "done") throw new MalformedBody(base === 0 ? "the body is empty" : "cut short in the middle of a list");
    },
    head() {
      const metadata = (members["metadata"] ?? {}) as Readonly<Record<string, unknown>>;
      const count = metadata["remainingItemCount"];
      return {
        isList: hasItems || members["items"] === null,
        resourceVersion: textOf(metadata["resourceVersion"]),
        continue: textOf(metadata["continue"]),
        remainingItemCount: typeof count === "number" ? count : undefined,
      };
    },
  };
}

interface Scan {
  depth: number;
  readonly inString: boolean;
  /** Takes the byte at `at`, and all up to a string's end where one begins; gives the place of the last byte taken. */
  next(chunk: Uint8Array, at: number): number;
}

// Bytes of UTF-8 sequences are never below 0x80, so no character is taken for another's part.
function createScan(): Scan {
  let inString = false;
  let isEscaped = false;
  const scan = {
    depth: 0,
    get inString() {
      return inString;
    },
    next(chunk: Uint8Array, start: number): number {
      let at = start;
      if (!inString) {
        const byte = chunk[at] as number;
        if (byte === OPEN_BRACE || byte === OPEN_BRACKET) scan.depth++;
        else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) scan.depth--;
        if (byte !== QUOTE) return at;
        inString = true;
        at++;
      }
      for (; at < chunk.length; at++) {
        const byte = chunk[at] as number;
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) {
          inString = false;
          return at;
        }
      }
      return chunk.length;
    },
  };
  return scan;
}

interface Capture {
  /** Keeps the beginning of something that goes on in the next chunk. */
  add(chunk: Uint8Array, from: number, to: number): void;
  /** All of it; undefined if it is too large. */
  end(chunk: Uint8Array, from: number, to: number): string | undefined;
  peek(chunk: Uint8Array, from: number, to: number): string;
  drop(): void;
}

/** Kept from one object to the next: most go on in one more chunk. */
const USUAL_BYTES = 64 * 1024;

function createCapture({ maxObjectBytes = MAX_OBJECT_BYTES, onTooLarge }: ReadOptions): Capture {
  let held = Buffer.allocUnsafe(USUAL_BYTES);
  let bytes = 0;

  function add(chunk: Uint8Array, from: number, to: number): void {
    const at = bytes;
    bytes += to - from;
    if (bytes > maxObjectBytes) return;
    if (bytes > held.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * held.length));
      held.copy(larger, 0, 0, at);
      held = larger;
    }
    held.set(chunk.subarray(from, to), at); // a copy: the chunk's memory is its sender's
  }

  function drop(): void {
    bytes = 0;
    if (held.length > USUAL_BYTES) held = Buffer.allocUnsafe(USUAL_BYTES);
  }

  return {
    add,
    peek(chunk, from, to) {
      if (bytes === 0) return Buffer.from(chunk.buffer, chunk.byteOffset + from, to - from).toString();
      add(chunk, from, to);
      const text = held.toString("utf8", 0, Math.min(bytes, maxObjectBytes));
      bytes -= to - from;
      return text;
    },
    end(chunk, from, to) {
      const total = bytes + to - from;
      const whole = total > maxObjectBytes ? undefined : this.peek(chunk, from, to);
      drop();
      if (whole === undefined) onTooLarge?.(total);
      return whole;
    },
    drop,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MalformedBody("not JSON");
  }
}

function noJson(chunk: Uint8Array, at: number): MalformedBody {
  const shown = Buffer.from(chunk.subarray(at, at + SHOWN_BYTES)).toString();
  return new MalformedBody(`not JSON: ${JSON.stringify(shown)}`);
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
