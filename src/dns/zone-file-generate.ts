// $GENERATE, BIND's directive for records that differ by a number: `$GENERATE 1-9 host-$ A 192.0.2.$`. A `$` in any word is
// the number, `${OFFSET[,WIDTH[,BASE]]}` a form of it, `\$` and `$$` are a dollar. Called by zone-file.ts; pure.

import { NdotsError } from "../errors.ts";

/** Records that one directive makes. */
const MAX_STEPS = 65_536;
const MAX_NUMBER = 0x7fff_ffff;
/** No label or string is longer. */
const MAX_WIDTH = 255;
const USAGE = "$GENERATE takes START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE RDATA";

/** Yields the words of each record. Throws NDOTS_ERR_RDATA. */
export function* generated([range = "", ...template]: readonly string[]): Generator<readonly string[]> {
  const match = /^(\d{1,10})-(\d{1,10})(?:\/(\d{1,10}))?$/.exec(range);
  if (match === null) throw wrong(`${USAGE}, found "${range}" for START-STOP[/STEP]`);
  if (template.length < 3) throw wrong(`${USAGE}, found ${template.length} words behind ${range}`);
  const [start, stop, step] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 1)];
  if (stop > MAX_NUMBER || start > stop || step < 1)
    throw wrong(`${range}: START is at most STOP, which is at most ${MAX_NUMBER}, and STEP at least 1`);
  if ((stop - start) / step >= MAX_STEPS) throw wrong(`${range}: one $GENERATE makes at most ${MAX_STEPS} records`);
  for (let number = start; number <= stop; number += step) yield template.map((word) => filled(word, number));
}

function filled(word: string, number: number): string {
  return word.replace(/\\[^]|\$\$|\$\{[^}]*\}?|\$/g, (found) => {
    if (found === "\\$" || found === "$$") return "$";
    if (found.startsWith("\\")) return found;
    return found === "$" ? String(number) : formatted(found, number);
  });
}

function formatted(modifier: string, number: number): string {
  const match = /^\$\{([+-]?\d{1,10})(?:,(\d{1,3})(?:,([doxXnN]))?)?\}$/.exec(modifier);
  if (match === null) throw wrong(`"${modifier}" is not \${OFFSET[,WIDTH[,BASE]]} with a BASE of d, o, x, X, n or N`);
  const value = number + Number(match[1]);
  const width = Number(match[2] ?? 0);
  if (value < 0 || value > MAX_NUMBER || width > MAX_WIDTH)
    throw wrong(`"${modifier}" for ${number}: the number is 0 to ${MAX_NUMBER} and the width at most ${MAX_WIDTH}`);
  switch (match[3]) {
    case "o":
      return value.toString(8).padStart(width, "0");
    case "x":
      return value.toString(16).padStart(width, "0");
    case "X":
      return value.toString(16).toUpperCase().padStart(width, "0");
    case "n":
      return nibbles(value, width);
    case "N":
      return nibbles(value, width).toUpperCase();
    default:
      return String(value).padStart(width, "0");
  }
}

// Hex digits from the last to the first, a dot between them: a part of an IPv6 address's reverse name. The width counts the dots.
function nibbles(value: number, width: number): string {
  const digits = value.toString(16).padStart(Math.ceil(width / 2), "0");
  const text = [...digits].toReversed().join(".");
  return width > text.length ? `${text}.` : text;
}

function wrong(message: string): NdotsError {
  return new NdotsError("NDOTS_ERR_RDATA", message);
}
