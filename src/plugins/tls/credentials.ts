// The files of a certificate, its key and clients' authorities: read, found to belong together, and put in the place of those
// before once what they say has changed. Used by tls.ts. Nothing of a key ever reaches a message.

import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Clock } from "../../clock.ts";
import { followedFile, type FollowedFile } from "../../followed-file.ts";
import type { ClientAuth, Credentials } from "../../plugin.ts";

export interface CredentialFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}

/** Good credentials, and until when. */
export interface Loaded {
  readonly credentials: Credentials;
  readonly validToMs: number;
}

/** Why there are none, in words for the person who named the files. */
export interface Unusable {
  readonly problem: string;
}

export interface FollowedCredentials {
  /** What the files say; undefined: the same as at the last look. */
  look(): Promise<Loaded | Unusable | undefined>;
}

/** A chain of certificates has some 10 kB. */
const MAX_BYTES = 1024 * 1024;

export function followCredentials(files: CredentialFiles, clientAuth: ClientAuth, clock: Pick<Clock, "now">): FollowedCredentials {
  const parts = [part("certificate", files.cert, clock), part("key", files.key, clock)];
  if (files.ca !== undefined) parts.push(part("CA", files.ca, clock));
  return {
    async look() {
      const looks = await Promise.all(parts.map(lookAt));
      if (!looks.includes(true)) return undefined;
      const lost = parts.find(({ why }) => why !== undefined);
      if (lost !== undefined) return { problem: `${lost.what} ${lost.path}: ${lost.why}` };
      const [cert, key, ca] = parts.map(({ text }) => Buffer.from(text));
      return judge(files, { cert: cert as Buffer, key: key as Buffer, ca, clientAuth });
    },
  };
}

interface Part {
  readonly what: string;
  readonly path: string;
  readonly file: FollowedFile;
  text: string;
  why: string | undefined;
}

function part(what: string, path: string, clock: Pick<Clock, "now">): Part {
  return { what, path, file: followedFile(path, MAX_BYTES, clock), text: "", why: undefined };
}

// Whether it is another than before. A file that is back with the same words counts, too.
async function lookAt(followed: Part): Promise<boolean> {
  const look = await followed.file.look();
  switch (look.kind) {
    case "same":
      return false;
    case "lost":
      followed.why = look.why;
      return true;
    case "read":
      followed.why = undefined;
      followed.text = look.text;
      return true;
    default:
      return look satisfies never;
  }
}

async function judge(files: CredentialFiles, credentials: Credentials): Promise<Loaded | Unusable> {
  const { cert, key, ca } = credentials;
  const own = certificateIn(cert);
  if (own === undefined) return { problem: `certificate ${files.cert}: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)` };
  if (ca !== undefined && certificateIn(ca) === undefined) {
    return { problem: `CA ${files.ca}: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)` };
  }
  const isEncrypted = key.includes("ENCRYPTED");
  try {
    if (!own.checkPrivateKey(createPrivateKey(key))) {
      return { problem: `the key in ${files.key} is not that of the certificate in ${files.cert}` };
    }
  } catch {
    const why = isEncrypted ? "is encrypted, and nobody is asked for its passphrase" : "holds no private key in PEM form";
    return { problem: `key ${files.key}: ${why}` };
  }
  try {
    const { createSecureContext } = await import("node:tls"); // loaded where it is used: a start is counted in milliseconds
    createSecureContext({ cert, key, ...(ca !== undefined && { ca }) }); // the rest of the chain, and what OpenSSL refuses
  } catch (error) {
    return { problem: `certificate ${files.cert}: ${error instanceof Error ? error.message : String(error)}` };
  }
  return { credentials, validToMs: Date.parse(own.validTo) };
}

function certificateIn(pem: Buffer): X509Certificate | undefined {
  try {
    return pem.includes("-----BEGIN ") ? new X509Certificate(pem) : undefined;
  } catch {
    return undefined;
  }
}
