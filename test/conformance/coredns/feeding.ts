// Shows one random cluster after the other through a fake API server, and knows when a server has seen one.

import { silentLog } from "../../../src/log.ts";
import { createServer, type Server } from "../../../src/server.ts";
import { startFakeApi, type FakeApi } from "../../helpers/fake-api/fake-api.ts";
import type { KubeObject } from "../../helpers/fake-api/objects.ts";
import type { Target } from "../../helpers/dns-client.ts";
import { askAll } from "./asking.ts";
import { markers, signs, staleMarker, type Variant } from "./variants.ts";

export interface Feed extends AsyncDisposable {
  readonly api: FakeApi;
  /** Puts these objects in the place of those before. */
  show(objects: readonly KubeObject[]): void;
  /** Resolves once the server answers from what was shown last. */
  seen(target: Target, variant: Variant): Promise<void>;
}

/** Bound for a failing test. */
const SEEN_MS = 10_000;

/** Our server, to be asked what CoreDNS is or was asked. */
export function startOurs(corefile: string): Promise<Server> {
  return createServer({
    corefile,
    file: "Corefile",
    port: 0,
    address: "127.0.0.1",
    embedded: false,
    strict: true,
    env: {},
    log: silentLog,
    listeners: "portable",
  });
}

export async function startFeed(): Promise<Feed> {
  const api = await startFakeApi({ record: "nothing", objects: markers(0) });
  let shown: readonly KubeObject[] = [];
  let n = 0;
  return {
    api,
    show(objects) {
      n++;
      const kept = new Set(objects.map(keyOf));
      for (const { kind, metadata } of shown) {
        if (!kept.has(keyOf({ kind, metadata }))) api.delete(kind, metadata.namespace ?? "", metadata.name);
      }
      for (const object of objects) api.apply(object);
      shown = objects;
      api.delete("Namespace", "", staleMarker(n));
      for (const object of markers(n)) api.apply(object);
    },
    async seen(target, variant) {
      const wanted = signs(n, variant);
      const endMs = performance.now() + SEEN_MS;
      for (;;) {
        const answers = await askAll(
          target,
          wanted.map(([question]) => question),
          100,
        );
        if (wanted.every(([, sign], at) => answers[at]?.includes(sign))) return;
        if (performance.now() > endMs) throw new Error(`${variant.name}: not seen: ${JSON.stringify([wanted, answers])}`);
      }
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

function keyOf({ kind, metadata }: Pick<KubeObject, "kind" | "metadata">): string {
  return `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;
}
