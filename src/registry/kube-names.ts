// The rules that Kubernetes has for names, ports and addresses, in the API server's own words: a person who
// knows kubectl's errors knows ours. Each check returns what is wrong, or undefined.

import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** An address family, as `ipFamilies` and `addressType` spell it. */
export type Family = "IPv4" | "IPv6";

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const WHOLE_LABEL = new RegExp(`^${LABEL}$`);
const WHOLE_SUBDOMAIN = new RegExp(`^${SUBDOMAIN}$`);
/** Characters in a label (RFC 1123 §2.1 by way of RFC 1035 §2.3.4). */
const MAX_LABEL = 63;
/** Characters in a subdomain: 255 octets on the wire less the length and root bytes. */
const MAX_SUBDOMAIN = 253;
/** Characters in a port's name (RFC 6335 §5.1). */
const MAX_PORT_NAME = 15;

/** RFC 1123 label: Namespaces, Services (a leading digit by the gate RelaxedServiceNameValidation, since 1.34), hostnames, port names. */
export function checkLabel(text: string): string | undefined {
  if (text.length > MAX_LABEL) return `must be no more than ${MAX_LABEL} characters`;
  if (WHOLE_LABEL.test(text)) return undefined;
  return (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end " +
    `with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${LABEL}')`
  );
}

/** RFC 1123 subdomain: Pods, workloads, EndpointSlices, ExternalName targets. */
export function checkSubdomain(text: string): string | undefined {
  if (text.length > MAX_SUBDOMAIN) return `must be no more than ${MAX_SUBDOMAIN} characters`;
  if (WHOLE_SUBDOMAIN.test(text)) return undefined;
  return (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end " +
    `with an alphanumeric character (e.g. 'example.com', regex used for validation is '${SUBDOMAIN}')`
  );
}

/** The name of a container's port, which a targetPort may refer to (RFC 6335 §5.1, IANA_SVC_NAME). */
export function checkPortName(text: string): string | undefined {
  if (text.length > MAX_PORT_NAME) return `must be no more than ${MAX_PORT_NAME} characters`;
  if (!/^[-a-z0-9]+$/.test(text)) return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
  if (!/[a-z]/.test(text)) return "must contain at least one letter (a-z)";
  if (text.includes("--")) return "must not contain consecutive hyphens";
  if (text.startsWith("-") || text.endsWith("-")) return "must not begin or end with a hyphen";
  return undefined;
}

/** A port number, or what kubectl says of it. */
export function checkPort(value: number): string | undefined {
  return Number.isInteger(value) && value >= 1 && value <= 65535 ? undefined : "must be between 1 and 65535, inclusive";
}

/** What the API server says of text that is not an address. */
export const NOT_AN_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/** Canonical text (RFC 5952) of an address; undefined for anything else, IPv4-mapped IPv6 and zone ids included. */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? undefined : address.toRFC5952String();
}

/** The family of a canonical address. */
export function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}
