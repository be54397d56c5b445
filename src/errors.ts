// Every coded error that ndots throws on purpose. DNS failures are replies, not exceptions; what is thrown
// is about configuration, manifests and the life of the server. The CLI prints `message`, code looks at `code`.

/** Codes of the errors that ndots throws. Stable: a code is never reused for another meaning. */
export type ErrorCode =
  | "NDOTS_ERR_CONFIG" // a Corefile is wrong, or names what is not there
  | "NDOTS_ERR_MANIFEST" // a manifest is wrong (start with --strict)
  | "NDOTS_ERR_NAME" // text is not a domain name
  | "NDOTS_ERR_RDATA" // text is not a record of its type
  | "NDOTS_ERR_RANGE" // an address range is exhausted or in conflict
  | "NDOTS_ERR_LISTEN" // a socket could not be opened
  | "NDOTS_ERR_NOT_SYNCED" // a reload's new source has not delivered what the one that runs has
  | "NDOTS_ERR_USAGE" // wrong arguments on the command line or to the library
  | "NDOTS_ERR_NO_ANSWER" // a query got no answer, or none that is a DNS message
  | "NDOTS_ERR_CLOSED"; // used after close()

/** An error with a code that programs can test for. */
export class NdotsError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "NdotsError";
    this.code = code;
  }
}

/** Where something stands in a text file; `line` and `column` count from 1, `column` 0 means unknown. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong in a file, in words for the person who wrote it. */
export interface Finding extends Position {
  readonly severity: "error" | "warning";
  /** What is wrong, what is allowed; without the position. */
  readonly message: string;
}

/** `FILE:LINE:COL: message`, the form that editors and CI systems make a link of. */
export function formatFinding(finding: Finding): string {
  const column = finding.column > 0 ? `:${finding.column}` : "";
  const severity = finding.severity === "warning" ? "warning: " : "";
  return `${finding.file}:${finding.line}${column}: ${severity}${finding.message}`;
}

/** A file is wrong: all its findings at once, never only the first. */
export class FindingsError extends NdotsError {
  readonly findings: readonly Finding[];
  constructor(code: ErrorCode, findings: readonly Finding[], options?: ErrorOptions) {
    super(code, findings.map(formatFinding).join("\n"), options);
    this.name = "FindingsError";
    this.findings = findings;
  }
}

/** For `host.report()`: `at` may be more than a place. */
export function findingAt({ file, line, column }: Position, severity: Finding["severity"], message: string): Finding {
  return { file, line, column, severity, message };
}

/** What a plugin throws that can't be set up or started as it is written. */
export function refusalAt(at: Position, message: string): FindingsError {
  return new FindingsError("NDOTS_ERR_CONFIG", [findingAt(at, "error", message)]);
}

/** An address that can't be listened on, told with the line that asks for it; any other error as it is. */
export function listenErrorAt(at: Position, error: unknown): unknown {
  // By its code: where loaders keep two graphs of modules (tsx under mocha), a lazily loaded listener's errors are of another class.
  if (!(error instanceof Error && "code" in error && error.code === "NDOTS_ERR_LISTEN")) return error;
  return new FindingsError("NDOTS_ERR_LISTEN", [findingAt(at, "error", error.message)], { cause: error });
}

/**
 * The word of `known` that is nearest to `word` (edit distance at most a third of its length; 2 from four letters on), if any; of equally near ones
 * the first that `word` begins ("of": off, not on).
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length < 2) return undefined; // every letter is near to every other
  let best: string | undefined;
  let bestDistance = Math.max(word.length < 4 ? 1 : 2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate, bestDistance);
    const isBegun = candidate.startsWith(word) && candidate.length - word.length === bestDistance;
    if (distance < bestDistance || (best?.startsWith(word) === false && isBegun)) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

// Optimal string alignment distance (a swap of neighbours counts as one), given up at `limit`.
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    let smallest = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforePrevious[j - 2] ?? 0) + 1);
      }
      current.push(cost);
      smallest = Math.min(smallest, cost);
    }
    if (smallest >= limit) return limit;
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? limit;
}
