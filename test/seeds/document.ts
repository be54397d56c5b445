// A document's manifests served, and a table of what it says about them: each row has the line of the document that it
// comes from.

import { expect } from "chai";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { startServer, type RunningServer } from "../../src/index.ts";
import { addressForKey } from "../../src/registry/cluster-ips.ts";
import { ask } from "../../src/testing.ts";

/** What the document says of a name. */
export interface Mention {
  readonly line: number;
  /** `NAME TYPE` */
  readonly ask: string;
  /** The answer section in any order, but for TTLs, which no document speaks of. */
  readonly gives?: readonly string[];
  readonly rcode?: string;
}

export const here: string = fileURLToPath(new URL(".", import.meta.url));

export interface ServeOptions {
  readonly podCidr?: string;
}

/** Serves manifests by their paths, relative to this folder, with what is in every cluster. */
export function serve(paths: readonly string[], { podCidr = "10.244.0.0/16" }: ServeOptions = {}): Promise<RunningServer> {
  const quoted = ["cluster.yaml", ...paths].map((path) => `"${resolve(here, path)}"`).join(" ");
  return startServer({
    corefile: `. {
      search default {
        namespaces all
      }
      kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests ${quoted}
        service_cidr 10.0.0.0/16
        pod_cidr ${podCidr}
        pods insecure
      }
    }`,
  });
}

/** A Service's own name as RR text, and its address, which nobody chose. */
export function serviceAt(name: string, namespace = "default"): { readonly name: string; readonly address: string; readonly a: string } {
  const full = `${name}.${namespace}.svc.cluster.local.`;
  const address = addressForKey(namespace, name);
  return { name: full, address, a: `${full} IN A ${address}` };
}

/** A short form's answer: the alias, and what stands at the full name. */
export function alias(from: string, { name, a }: { readonly name: string; readonly a: string }): string[] {
  return [`${from} IN CNAME ${name}`, a];
}

/** Asks each row of a running server, over its socket. */
export function mentions(server: () => RunningServer, rows: readonly Mention[]): void {
  for (const row of rows) {
    it(`line ${row.line}: ${row.ask}`, async () => {
      const [name = "", type = ""] = row.ask.split(" ");
      const { rcode, answer } = await ask(server().address, name, type);
      expect({ rcode, answer: answer.map(withoutTtl).toSorted() }).to.deep.equal({
        rcode: row.rcode ?? "NOERROR",
        answer: (row.gives ?? []).toSorted(),
      });
    });
  }
}

export function withoutTtl(record: string): string {
  return record.replace(/ \d+ IN /, " IN ");
}

/** `192.0.2.1` → `1.2.0.192.in-addr.arpa.` */
export function reverse(address: string): string {
  return `${address.split(".").toReversed().join(".")}.in-addr.arpa.`;
}

/** The published addresses behind a Service. */
export function endpointsOf(server: RunningServer, service: string): string[] {
  return server.registry.slices("default", service).flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses));
}

export interface Copy {
  /** For serve(). */
  readonly path: string;
  edit(file: string, change: (text: string) => string): void;
  remove(file: string): void;
  [Symbol.dispose](): void;
}

/** A folder's manifests in a place of their own, to be edited. */
export function copyOf(folder: string): Copy {
  const path = mkdtempSync(join(tmpdir(), "ndots-seed-"));
  cpSync(resolve(here, folder), path, { recursive: true });
  return {
    path,
    edit: (file, change) => writeFileSync(join(path, file), change(readFileSync(join(path, file), "utf8"))),
    remove: (file) => rmSync(join(path, file)),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Resolves when `condition` holds, looked at after every change of the registry; rejects after `boundMs`. */
export function registryHas(server: RunningServer, condition: () => boolean, boundMs = 8_000): Promise<void> {
  return new Promise((resolve, reject) => {
    const unsubscribe = server.registry.subscribe(() => look());
    const late = setTimeout(() => end(() => reject(new Error(`not within ${boundMs} ms: ${condition.toString()}`))), boundMs);
    const end = (settle: () => void): void => {
      clearTimeout(late);
      unsubscribe();
      settle();
    };
    const look = (): void => {
      if (condition()) end(resolve);
    };
    look();
  });
}
