// Reads the fields of one object of a manifest and reports what is wrong in kubectl's wording, with the path of the
// field. Called by manifest-projection.ts; wrong or missing values come back as absent, so that all faults of an object
// are found in one go.

import type { Labels } from "./manifest-objects.ts";
import type { Path } from "./manifest-text.ts";

/** Told about each fault: the field's path within the object, and the message after it. */
export type Report = (path: Path, message: string) => void;
/** Gives equal strings one copy, cut loose from the file's text (a slice of it would keep all of it in memory). */
export type Intern = (text: string) => string;

export const NO_LABELS: Labels = Object.freeze({});
const SHOWN_CHARACTERS = 80;

export class Fields {
  readonly path: Path;
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #report: Report;
  readonly #intern: Intern;

  constructor(value: unknown, path: Path, report: Report, intern: Intern) {
    this.path = path;
    this.#report = report;
    this.#intern = intern;
    if (isObject(value)) this.#value = value;
    else {
      this.#value = {};
      if (value !== undefined && value !== null) report(path, invalid(value, "must be an object"));
    }
  }

  has(key: string): boolean {
    return this.raw(key) !== undefined;
  }

  raw(key: string): unknown {
    return Object.hasOwn(this.#value, key) ? (this.#value[key] ?? undefined) : undefined;
  }

  /** Reports a fault of a field, or of something below it. */
  fail(at: string | Path, message: string): void {
    this.#report(typeof at === "string" ? [...this.path, at] : [...this.path, ...at], message);
  }

  required(key: string, detail?: string): void {
    this.fail(key, detail === undefined ? "Required value" : `Required value: ${detail}`);
  }

  fields(key: string): Fields {
    return new Fields(this.raw(key), [...this.path, key], this.#report, this.#intern);
  }

  list(key: string): Fields[] {
    return this.#array(key).map((item, index) => new Fields(item, [...this.path, key, index], this.#report, this.#intern));
  }

  text(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value === "string") return this.#intern(value);
    this.fail(key, invalid(value, mustBeString(value)));
    return undefined;
  }

  /** Text that a rule holds for; what breaks the rule is reported and still given, so that checks go on. */
  checked(key: string, rule: (text: string) => string | undefined): string | undefined {
    const value = this.text(key);
    const fault = value === undefined ? undefined : rule(value);
    if (value !== undefined && fault !== undefined) this.fail(key, invalid(value, fault));
    return value;
  }

  /** Text that is one of a few words. */
  oneOf<T extends string>(key: string, supported: readonly T[]): T | undefined {
    const value = this.text(key);
    if (value === undefined || value === "") return undefined;
    if ((supported as readonly string[]).includes(value)) return value as T;
    this.fail(key, `Unsupported value: ${show(value)}: supported values: ${supported.map((word) => `"${word}"`).join(", ")}`);
    return undefined;
  }

  number(key: string): number | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "number") return value;
    this.fail(key, invalid(value, "must be a number"));
    return undefined;
  }

  flag(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "boolean") return value;
    this.fail(key, invalid(value, "must be true or false"));
    return undefined;
  }

  texts(key: string): string[] {
    const texts: string[] = [];
    for (const [index, item] of this.#array(key).entries()) {
      if (typeof item === "string") texts.push(this.#intern(item));
      else this.#report([...this.path, key, index], invalid(item, mustBeString(item)));
    }
    return texts;
  }

  /** A map from text to text. Own properties only, whatever their names. */
  labels(key: string): Labels {
    const value = this.raw(key);
    if (value === undefined) return NO_LABELS;
    if (!isObject(value)) {
      this.fail(key, invalid(value, "must be an object"));
      return NO_LABELS;
    }
    const entries: [string, string][] = [];
    for (const [name, label] of Object.entries(value)) {
      if (typeof label === "string") entries.push([this.#intern(name), this.#intern(label)]);
      else if (label === null) entries.push([this.#intern(name), ""]);
      else this.#report([...this.path, key, name], invalid(label, mustBeString(label)));
    }
    return entries.length === 0 ? NO_LABELS : Object.fromEntries(entries);
  }

  #array(key: string): readonly unknown[] {
    const value = this.raw(key);
    if (value === undefined) return [];
    if (Array.isArray(value)) return value as readonly unknown[];
    this.fail(key, invalid(value, "must be an array"));
    return [];
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function invalid(value: unknown, why: string): string {
  return `Invalid value: ${show(value)}: ${why}`;
}

/** `spec.ports[0].name`, as kubectl writes a path. */
export function formatPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z]\w*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${step}]`;
  }
  return text;
}

function mustBeString(value: unknown): string {
  return typeof value === "number" || typeof value === "boolean" ? `must be a string: quote it ("${value}")` : "must be a string";
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.every((item) => typeof item === "string") ? cut(JSON.stringify(value)) : "[…]";
  if (typeof value === "object" && value !== null) return "{…}";
  return typeof value === "string" ? cut(JSON.stringify(value)) : String(value);
}

function cut(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
