// Certificates for tests of TLS: an authority of the moment and what it signs, valid when the test says. Written as DER
// here (RFC 5280), because Node makes keys and signatures but no certificates.

import { createPrivateKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIP } from "node:net";

export interface Certified {
  /** PEM */
  readonly cert: string;
  /** PEM */
  readonly key: string;
}

export interface Authority extends Certified {
  issue(options: IssueOptions): Certified;
}

export interface IssueOptions {
  readonly commonName: string;
  readonly organization?: string;
  /** DNS names and addresses (subjectAltName). */
  readonly names?: readonly string[];
  /** An hour ago, if absent. */
  readonly validFrom?: Date;
  /** In an hour, if absent. */
  readonly validTo?: Date;
}

const HOUR_MS = 3_600_000;

/** An authority that signs whatever a test asks for. */
export function createAuthority(commonName = "kubernetes"): Authority {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const authority = certificate({ commonName, ...validity({}) }, commonName, privateKey, publicDer(privateKey), [BASIC_CONSTRAINTS_CA]);
  return {
    cert: authority,
    key: pemOf(privateKey),
    issue(options) {
      const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { names = [] } = options;
      const extensions = names.length === 0 ? [] : [subjectAltName(names)];
      return {
        cert: certificate({ ...options, ...validity(options) }, commonName, privateKey, publicDer(key), extensions),
        key: pemOf(key),
      };
    },
  };
}

interface Subject {
  readonly commonName: string;
  readonly organization?: string;
  readonly validFrom: Date;
  readonly validTo: Date;
}

function validity({ validFrom, validTo }: Partial<IssueOptions>): Pick<Subject, "validFrom" | "validTo"> {
  return { validFrom: validFrom ?? new Date(Date.now() - HOUR_MS), validTo: validTo ?? new Date(Date.now() + HOUR_MS) };
}

function certificate(subject: Subject, issuer: string, signer: KeyObject, publicKey: Buffer, extensions: readonly Buffer[]): string {
  const toBeSigned = sequence(
    tagged(0xa0, integer(Buffer.from([2]))), // v3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    nameOf(issuer),
    sequence(time(subject.validFrom), time(subject.validTo)),
    nameOf(subject.commonName, subject.organization),
    publicKey,
    ...(extensions.length === 0 ? [] : [tagged(0xa3, sequence(...extensions))]),
  );
  const signature = sign("sha256", toBeSigned, signer);
  const der = sequence(toBeSigned, ECDSA_WITH_SHA256, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function publicDer(key: KeyObject): Buffer {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.from([0, 4]), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  return sequence(sequence(oid("2a8648ce3d0201"), oid("2a8648ce3d030107")), tagged(0x03, point));
}

function pemOf(key: KeyObject): string {
  return createPrivateKey(key.export({ type: "pkcs8", format: "pem" })).export({ type: "pkcs8", format: "pem" }) as string;
}

function nameOf(commonName: string, organization?: string): Buffer {
  const parts = organization === undefined ? [] : [attribute("55040a", organization)];
  return sequence(...parts, attribute("550403", commonName));
}

function attribute(type: string, text: string): Buffer {
  return tagged(0x31, sequence(oid(type), tagged(0x0c, Buffer.from(text))));
}

function subjectAltName(names: readonly string[]): Buffer {
  const entries = names.map((name) => (isIP(name) === 0 ? tagged(0x82, Buffer.from(name)) : tagged(0x87, addressBytes(name))));
  return sequence(oid("551d11"), tagged(0x04, sequence(...entries)));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  if (address !== "::1") throw new Error(`certificates for tests know no IPv6 address but ::1, found ${address}`);
  return Buffer.concat([Buffer.alloc(15), Buffer.from([1])]);
}

// GeneralizedTime, whatever the year.
function time(date: Date): Buffer {
  return tagged(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, "hex"));
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x1_00 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const ECDSA_WITH_SHA256 = sequence(oid("2a8648ce3d040302"));
const BASIC_CONSTRAINTS_CA = sequence(
  oid("551d13"),
  tagged(0x01, Buffer.from([0xff])),
  tagged(0x04, sequence(tagged(0x01, Buffer.from([0xff])))),
);
