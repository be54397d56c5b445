// Label selectors in the text form of kubectl (`environment in (production, qa),tier!=db,!legacy`), for the options
// `labels` and `namespace_labels`. Pure; evaluated on the registry's labels, since manifests have no server to ask.

/** True if the labels meet every requirement. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean;

const KEY = String.raw`(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?`;
const VALUE = String.raw`(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?`;
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s+\\(([^()]*)\\)$`);
const EQUALITY = new RegExp(`^(${KEY})\\s*(==?|!=)\\s*(${VALUE})$`);
const EXISTENCE = new RegExp(`^(!?)\\s*(${KEY})$`);

/** Reads a selector; undefined if the text is none. */
export function parseLabelSelector(text: string): LabelSelector | undefined {
  const requirements: LabelSelector[] = [];
  // Commas between requirements, not those in parentheses.
  for (const part of text.split(/,(?![^(]*\))/)) {
    const requirement = parseRequirement(part.trim());
    if (requirement === undefined) return undefined;
    requirements.push(requirement);
  }
  return (labels) => requirements.every((requirement) => requirement(labels));
}

function parseRequirement(text: string): LabelSelector | undefined {
  const [, setKey, operator, list] = SET.exec(text) ?? [];
  if (setKey !== undefined && list !== undefined) {
    const values = list.split(",").map((value) => value.trim());
    if (!values.every((value) => new RegExp(`^${VALUE}$`).test(value))) return undefined;
    // Like Kubernetes: a label that is not there is in no set, and so "not in" every one.
    const isIn: LabelSelector = (labels) => {
      const value = valueOf(labels, setKey);
      return value !== undefined && values.includes(value);
    };
    return operator === "in" ? isIn : (labels) => !isIn(labels);
  }
  const [, key, sign, wanted] = EQUALITY.exec(text) ?? [];
  if (key !== undefined) return (labels) => (valueOf(labels, key) === wanted) === (sign !== "!=");
  const [, not, present] = EXISTENCE.exec(text) ?? [];
  if (present !== undefined) return (labels) => (valueOf(labels, present) !== undefined) === (not === "");
  return undefined;
}

function valueOf(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
