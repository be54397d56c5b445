// Fields of what the API server has sent, which may be anything: each function gives what the type says, or throws Unfit
// with the field's path. Used by projection.ts for each field of each object; nothing is allocated unless it is wrong.

import { canonicalAddress, NOT_AN_ADDRESS } from "../kube-names.ts";
import { formatPath, invalid, isObject } from "../manifest-fields.ts";
import type { Path } from "../manifest-text.ts";

export type Raw = Readonly<Record<string, unknown>>;

/** An object that can't be used, and why. */
export class Unfit extends Error {
  constructor(path: Path, fault: string) {
    super(path.length === 0 ? fault : `${formatPath(path)}: ${fault}`);
  }
}

const NONE: readonly never[] = Object.freeze([]);

export function isNothing(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

export function object(value: unknown, path: Path): Raw {
  if (!isObject(value)) throw new Unfit(path, invalid(value, "must be an object"));
  return value;
}

export function fields(raw: Raw, key: string): Raw {
  if (isNothing(raw[key])) throw new Unfit([key], "Required value");
  return object(raw[key], [key]);
}

// Go marshals an empty slice that was never made as null.
export function list(value: unknown, path: Path): readonly unknown[] {
  if (isNothing(value)) return NONE;
  if (!Array.isArray(value)) throw new Unfit(path, invalid(value, "must be an array"));
  return value as readonly unknown[];
}

export function texts(value: unknown, path: Path): readonly string[] {
  const items = list(value, path);
  for (const item of items) if (typeof item !== "string") throw new Unfit(path, invalid(item, "must be a string"));
  return items as readonly string[];
}

/** "" for what is not there: the API server leaves empty fields out. */
export function text(value: unknown, path: Path): string {
  if (isNothing(value)) return "";
  if (typeof value !== "string") throw new Unfit(path, invalid(value, "must be a string"));
  return value;
}

export function checked(value: string, rule: (text: string) => string | undefined, path: Path): string {
  const fault = rule(value);
  if (fault !== undefined) throw new Unfit(path, invalid(value, fault));
  return value;
}

export function oneOf<T extends string>(value: unknown, supported: readonly T[], path: Path): T | undefined {
  if (isNothing(value) || value === "") return undefined;
  const found = supported.find((each) => each === value);
  if (found === undefined) throw new Unfit(path, invalid(value, `supported values: ${supported.join(", ")}`));
  return found;
}

export function address(value: string, path: Path): string {
  const canonical = canonicalAddress(value);
  if (canonical === undefined) throw new Unfit(path, invalid(value, NOT_AN_ADDRESS));
  return canonical;
}
