// Addresses and errors of the network in Go's words: what stands in the errors log is what people alert on.

/** As Go writes it. */
export function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Go's words for what went wrong: people alert on them. */
export function wordsOf({ code = "", message }: NodeJS.ErrnoException): string {
  return WORDS[code] ?? message;
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ECONNRESET: "connection reset by peer",
  EPIPE: "broken pipe",
  ETIMEDOUT: "i/o timeout",
  EMFILE: "too many open files",
  ENFILE: "too many open files in system",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EADDRNOTAVAIL: "cannot assign requested address",
};
