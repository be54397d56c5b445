// Why the API server gave no answer, or only a part of one, in words for the person who has to mend it. Thrown by the
// client and its credentials; the reflector shows the message in the log, in /ready and in EDE texts. The system's
// error stays as `cause`, except where it may quote a secret.

/** What went wrong, for those who act on it; people read the message. */
export type KubeErrorKind = "unreachable" | "tls" | "credentials" | "cut" | "timeout";

export class KubeError extends Error {
  readonly kind: KubeErrorKind;
  constructor(kind: KubeErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KubeError";
    this.kind = kind;
  }
}

/** The caller's own doing: it aborted, cancelled or closed. */
export function givenUp(): KubeError {
  return new KubeError("cut", "given up");
}

/** Where the request went, and what the clock said. */
export interface Target {
  /** Without brackets, as names and addresses are said. */
  readonly hostname: string;
  readonly port: number;
  /** The name the certificate must have. */
  readonly serverName: string;
  readonly nowMs: number;
}

/** Words for an error before the answer's head has come. */
export function connectionError(error: unknown, target: Target): KubeError {
  if (error instanceof KubeError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const code = codeOf(cause);
  // Thrown before anything is sent: not PEM after all, or a key of another certificate.
  if (code.startsWith("ERR_OSSL_"))
    return new KubeError("credentials", `a certificate or key can't be used: ${reasonOf(cause)}`, { cause });
  const tls = certificateProblem(code, cause, target) ?? handshakeProblem(code, cause);
  if (tls !== undefined) return new KubeError("tls", tls, { cause });
  if (code.startsWith("HPE_")) return new KubeError("cut", `the answer is not HTTP (${code})`, { cause });
  const words = CONNECT_PROBLEMS[code];
  return new KubeError("unreachable", words?.(target) ?? `no answer: ${shorten(code || cause.message)}`, { cause });
}

/** Words for an error in the middle of an answer. */
export function bodyError(error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const code = codeOf(cause);
  if (code.startsWith("Z_")) return new KubeError("cut", `the answer is not valid gzip, or cut short (${code})`, { cause });
  if (code.startsWith("HPE_")) return new KubeError("cut", `the answer is not valid HTTP (${code})`, { cause });
  return new KubeError("cut", "the connection was closed in the middle of the answer", { cause });
}

const CONNECT_PROBLEMS: Readonly<Record<string, (target: Target) => string>> = {
  ECONNREFUSED: ({ hostname, port }) => `connection refused by ${at(hostname, port)}`,
  ECONNRESET: ({ hostname, port }) => `connection closed by ${at(hostname, port)} before an answer came`,
  EPIPE: ({ hostname, port }) => `connection closed by ${at(hostname, port)} before an answer came`,
  ETIMEDOUT: ({ hostname, port }) => `no connection to ${at(hostname, port)}: it does not answer`,
  EHOSTUNREACH: ({ hostname, port }) => `no route to ${at(hostname, port)}`,
  ENETUNREACH: ({ hostname, port }) => `no route to ${at(hostname, port)}`,
  EADDRNOTAVAIL: ({ hostname, port }) => `no route to ${at(hostname, port)}`,
  ENOTFOUND: ({ hostname }) => `DNS knows no address of "${hostname}"`,
  EAI_AGAIN: ({ hostname }) => `DNS gives no answer for "${hostname}" now`,
};

const UNKNOWN_AUTHORITY = "certificate is signed by an unknown authority";

// OpenSSL's verify codes as Node names them.
function certificateProblem(code: string, error: Error, { serverName, nowMs }: Target): string | undefined {
  switch (code) {
    case "CERT_NOT_YET_VALID":
      return `certificate is not yet valid (the clock here says ${new Date(nowMs).toISOString()})`;
    case "CERT_HAS_EXPIRED":
      return `certificate has expired (the clock here says ${new Date(nowMs).toISOString()})`;
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return UNKNOWN_AUTHORITY;
    case "CERT_SIGNATURE_FAILURE": // an authority of the same name with another key
      return UNKNOWN_AUTHORITY;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `certificate is not for ${serverName} but for ${namesOf(error)}`;
    default:
      return /^(CERT_|CRL_|INVALID_(CA|PURPOSE)|PATH_LENGTH|HOSTNAME_MISMATCH)/.test(code) ? `certificate is refused: ${code}` : undefined;
  }
}

function handshakeProblem(code: string, error: Error): string | undefined {
  if (/wrong.version.number|packet.length.too.long|http.request/i.test(`${code} ${error.message}`)) return "the server does not speak TLS";
  if (/alert/i.test(`${code} ${error.message}`)) {
    const alert = /alert[ _]([a-z_ ]+)/i.exec(`${code} ${error.message}`)?.[1] ?? "";
    return `the server refused the handshake: ${alert.trim().replaceAll("_", " ").toLowerCase()}`;
  }
  if (error.message.includes("before secure TLS connection")) return "the connection was closed during the TLS handshake";
  return code.startsWith("ERR_SSL_") || code === "EPROTO" ? `TLS: ${reasonOf(error)}` : undefined;
}

function reasonOf(error: Error): string {
  const { reason } = error as { readonly reason?: string };
  return shorten(reason ?? codeOf(error));
}

function namesOf(error: Error): string {
  const { cert } = error as { readonly cert?: { readonly subjectaltname?: string } };
  return shorten(cert?.subjectaltname ?? "no name");
}

/** The system's code of an error, or "". */
export function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : "";
}

const MAX_QUOTED = 200;

/** What others said, in bounded length. */
export function shorten(text: string): string {
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
}

function at(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
