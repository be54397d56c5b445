// A kubeconfig's text for a server of the moment.

import type { Certified } from "../certificates.ts";

export interface KubeconfigOptions {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly clientCertificate?: Certified;
  /** The user's `exec`, as YAML in one line. */
  readonly exec?: string;
  /** The current context, by its name. */
  readonly context?: string;
  /** Contexts that lead nowhere, listed before it. */
  readonly otherContexts?: readonly string[];
}

interface Where {
  readonly url: string;
  /** PEM; absent for plain HTTP. */
  readonly authority?: string;
}

export function kubeconfig({ url, authority, ...options }: KubeconfigOptions & Where): string {
  const { context = "fake", otherContexts = [] } = options;
  return [
    "apiVersion: v1",
    "kind: Config",
    `current-context: ${context}`,
    "clusters:",
    ...otherContexts.flatMap((name) => [`- name: ${name}`, "  cluster:", "    server: https://192.0.2.1:6443"]),
    `- name: ${context}`,
    "  cluster:",
    `    server: ${url}`,
    ...(authority === undefined ? [] : [`    certificate-authority-data: ${base64(authority)}`]),
    "contexts:",
    ...[...otherContexts, context].flatMap((name) => [`- name: ${name}`, "  context:", `    cluster: ${name}`, `    user: ${name}`]),
    "users:",
    ...[...otherContexts, context].flatMap((name) => [`- name: ${name}`, `  user: ${name === context ? credentials(options) : "{}"}`]),
    "",
  ].join("\n");
}

// In YAML's flow style, so that nothing depends on the place.
function credentials({ token, tokenFile, clientCertificate, exec }: KubeconfigOptions): string {
  const fields = [
    ...(clientCertificate === undefined
      ? []
      : [`client-certificate-data: ${base64(clientCertificate.cert)}`, `client-key-data: ${base64(clientCertificate.key)}`]),
    ...(tokenFile === undefined ? [] : [`tokenFile: ${JSON.stringify(tokenFile)}`]),
    ...(exec === undefined ? [] : [`exec: ${exec}`]),
    ...(token === undefined || tokenFile !== undefined || exec !== undefined ? [] : [`token: ${JSON.stringify(token)}`]),
  ];
  return `{ ${fields.join(", ")} }`;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
