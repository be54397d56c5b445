// Labels that look like an address with dashes for dots and colons: 10-244-0-9, 2001-db8--1. Endpoints and Pods are called
// so by their thousands, and hardly anybody asks for them: where a zone leaves such names out of names(), the answer table
// asks the chain for what looks like one. Two forms of one rule: for text, and for the wire form in the hot path.

const PATTERN = /^[0-9a-f]*-[0-9a-f]*-[0-9a-f-]*$/;

/** Only hexadecimal digits and dashes, two dashes at least. Canonical (lower case) text. */
export function isAddressLabel(label: string): boolean {
  return PATTERN.test(label);
}

/** The same of the label whose length octet is at `at`. */
export function isAddressLabelAt(name: Uint8Array, at: number): boolean {
  const end = at + 1 + (name[at] as number);
  let dashes = 0;
  for (let index = at + 1; index < end; index++) {
    const code = name[index] as number;
    if (code === DASH) dashes++;
    else if (!((code >= ZERO && code <= NINE) || (code >= A && code <= F))) return false;
  }
  return dashes >= 2;
}

const [DASH, ZERO, NINE, A, F] = [0x2d, 0x30, 0x39, 0x61, 0x66] as const;

/** An address as a label: dots and colons become dashes, and an end in `::` gets the `0` that a label needs. */
export function dashed(address: string): string {
  const label = address.replaceAll(/[.:]/g, "-");
  return label.endsWith("-") ? `${label}0` : label;
}
