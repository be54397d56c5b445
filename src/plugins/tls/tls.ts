// tls — the certificate that tls:// and https:// are served with, and what clients show. Followed by content, so that a renewed
// certificate is shown to the next client without a reload.

import { resolve } from "node:path";
import { systemClock } from "../../clock.ts";
import { filePath, oneOf } from "../../config/arguments.ts";
import { directive, notYet, once, one, readArgument, type Options, type Property, type Shape } from "../../config/directive.ts";
import { findingAt, refusalAt } from "../../errors.ts";
import { lookEvery } from "../../followed-file.ts";
import type { Log } from "../../log.ts";
import { definePlugin, type ClientAuth, type Credentials, type Plugin } from "../../plugin.ts";
import { followCredentials, type CredentialFiles, type FollowedCredentials, type Loaded } from "./credentials.ts";

type TlsOptions = Options<
  CredentialFiles,
  { readonly client_auth: Property<ClientAuth | undefined> } & Readonly<
    Record<"keylog" | "acme" | "email" | "ca" | "storage" | "ca_root" | "resolver", Property<undefined>>
  >
>;

const [certFile, keyFile, caFile] = [filePath("CERT"), filePath("KEY"), filePath("CA")];

const files: Shape<CredentialFiles> = {
  usage: "CERT KEY [CA]",
  read(tokens, at, report) {
    const [first, second, third, fourth] = tokens;
    if (first === undefined || second === undefined || fourth !== undefined) {
      const found = first === undefined ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`;
      report.error(fourth ?? at, `expected ${files.usage}, found ${found}`);
      return undefined;
    }
    const cert = readArgument(certFile, first, report);
    const key = readArgument(keyFile, second, report);
    const ca = third === undefined ? undefined : readArgument(caFile, third, report);
    if (cert === undefined || key === undefined || (third !== undefined && ca === undefined)) return undefined;
    return { cert, key, ca };
  },
};

/** A renewed certificate is some time old before it is needed: nobody waits for it. */
const LOOK_MS = 5_000;
const ACME = "have another program renew the certificate (cert-manager, certbot, lego) and name its files; they are followed";

const plugin: Plugin<TlsOptions> = definePlugin({
  name: "tls",
  syntax: directive({
    args: files,
    options: {
      client_auth: once(one(oneOf("nocert", "request", "require", "verify_if_given", "require_and_verify"))),
      keylog: notYet("to look into queries use log"),
      acme: notYet(ACME),
      email: notYet(ACME),
      ca: notYet(ACME),
      storage: notYet(ACME),
      ca_root: notYet(ACME),
      resolver: notYet(ACME),
    },
  }),
  async setup({ args, client_auth: clientAuth = "nocert" }, host, at) {
    const { folder, log } = host;
    const paths: CredentialFiles = {
      cert: resolve(folder, args.cert),
      key: resolve(folder, args.key),
      ca: args.ca === undefined ? undefined : resolve(folder, args.ca),
    };
    const followed = followCredentials(paths, clientAuth, systemClock);
    const found = await followed.look();
    if (found === undefined || "problem" in found) {
      throw refusalAt(at, `tls: ${found?.problem}`);
    }
    if (found.validToMs < systemClock.now()) {
      host.report(findingAt(at, "warning", `tls: certificate ${paths.cert} has expired, on ${dateOf(found.validToMs)}`));
    }
    if (!host.schemes.has("tls") && !host.schemes.has("https")) {
      const message = "tls: nothing is served with it: no key of this server block begins with tls:// or https://";
      host.report(findingAt(at, "warning", message));
    }
    let loaded = found;
    const failed = host.metrics.counter("ndots_tls_reload_failed_total", "Changed certificates, keys or CAs that can't be used.");
    failed.add({}, 0);
    host.metrics.register({
      name: "ndots_tls_certificate_expiry_timestamp_seconds",
      help: "When the certificate that is shown expires, in seconds since the epoch.",
      type: "gauge",
      collect: () => [{ labels: { file: paths.cert }, value: loaded.validToMs / 1000 }],
    });
    const ended = new AbortController();
    return {
      tls: {
        key: JSON.stringify([paths, clientAuth]),
        get credentials(): Credentials {
          return loaded.credentials;
        },
      },
      start() {
        const take = (next: Loaded): void => {
          loaded = next;
          tell(log, paths.cert, next.validToMs, systemClock.now());
        };
        const refuse = (problem: string): void => {
          failed.add();
          log.error(`${problem}; the certificate before is still shown, valid until ${dateOf(loaded.validToMs)}`);
        };
        // Never rejects, and ends with the signal.
        void lookEvery(LOOK_MS, { clock: systemClock, signal: ended.signal, look: watcher(followed, take, refuse) });
      },
      stop: () => ended.abort(),
    };
  },
});
export default plugin;

/**
 * Looks at the files once a call. What can't be used is told at the next look, if it is the same then: certificate and key are
 * seldom written in one go.
 */
export function watcher(
  followed: FollowedCredentials,
  take: (next: Loaded) => void,
  refuse: (problem: string) => void,
): () => Promise<void> {
  let suspected: string | undefined;
  return async () => {
    const found = await followed.look();
    if (found === undefined) {
      if (suspected !== undefined) refuse(suspected);
      suspected = undefined;
    } else if ("problem" in found) {
      suspected = found.problem;
    } else {
      suspected = undefined;
      take(found);
    }
  };
}

/** A renewal that has gone wrong, a clock that is: nobody should learn of it from the clients. */
export function tell(log: Pick<Log, "info" | "warning">, cert: string, validToMs: number, nowMs: number): void {
  if (validToMs < nowMs) log.warning(`new certificate from ${cert}, which has expired, on ${dateOf(validToMs)}`);
  else log.info(`new certificate from ${cert}, valid until ${dateOf(validToMs)}`);
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ").concat(" UTC");
}
