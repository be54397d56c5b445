// The library: a cluster's DNS server inside a program, most often an integration test. No globals, no signal
// handlers, no output unless a log is given; any number of servers side by side.

import { existsSync } from "node:fs";
import { buildQuery, readResult, type Result, type ServerAddress } from "./client.ts";
import type { ServedScheme } from "./config/server-keys.ts";
import { NdotsError, type Finding } from "./errors.ts";
import { silentLog, type Log } from "./log.ts";
import { serviceEnvironment } from "./registry/service-env.ts";
import type { Plugin } from "./plugin.ts";
import { checkedRegistry } from "./registry/checked.ts";
import type { Registry } from "./registry/registry.ts";
// Loaded with the library, so that the first startServer() need not wait: what it serves without a Corefile.
import "./plugins/kubernetes/kubernetes.ts";
import "./plugins/loadbalance/loadbalance.ts";
import "./plugins/search/search.ts";
import { createServer } from "./server.ts";

export type { Result, ServerAddress } from "./client.ts";
export { NdotsError, FindingsError, type ErrorCode, type Finding, type Position } from "./errors.ts";
export { createLog, type Log } from "./log.ts";
export type * from "./registry/objects.ts";
export type { Registry, ChangeListener } from "./registry/registry.ts";

/** What to serve. Without `corefile` and `manifests`, an empty cluster that `registry.apply()` fills. */
export interface StartOptions {
  /** A Corefile's text; relative paths in it are relative to `file`'s folder. */
  readonly corefile?: string;
  /** The Corefile's name in messages (`Corefile`). */
  readonly file?: string;
  /** Folders and files of manifests; instead of `corefile`. */
  readonly manifests?: string | readonly string[];
  /** The cluster domain of a server without `corefile` (`cluster.local`). */
  readonly zone?: string;
  /** For keys without a port; 0 (the default): a free one, the same for UDP and TCP. */
  readonly port?: number;
  /** Where a block without `bind` listens (`127.0.0.1`). */
  readonly address?: string;
  /** `auto`: threads of their own where this system can have them, for load; `portable` (the default): this program's thread. */
  readonly listeners?: "auto" | "portable";
  /** Reject if a manifest is wrong, instead of serving the rest. */
  readonly strict?: boolean;
  /** Plugins of your own, for directives in `corefile`; they meet a query before ndots' own. See `ndots/plugin`. */
  readonly plugins?: readonly Plugin<unknown>[];
  /** Nothing is written without it. */
  readonly log?: Log;
}

/** A running server. `await using dns = await startServer(…)` closes it at the end of the block. */
export interface RunningServer extends AsyncDisposable {
  /** The first listening address, UDP and TCP; the first at all where plain DNS is not served. */
  readonly address: ServerAddress;
  /** All of them, with what is spoken there: DNS itself, or DNS over TLS or HTTPS. */
  readonly addresses: readonly (ServerAddress & { readonly scheme: ServedScheme })[];
  /** The cluster as the server sees it; changes applied here are answered at once, wrong ones throw NDOTS_ERR_USAGE. */
  readonly registry: Registry;
  /** What is wrong in the manifests and was left out. */
  readonly findings: readonly Finding[];
  /** Asks the server without a socket: any name, as a client with EDNS over TCP would. */
  query(name: string, type?: string): Promise<Result>;
  /** The service environment variables of a pod in `namespace`, as kubelet sets them. */
  env(namespace: string): Record<string, string>;
  /**
   * Serves another Corefile (without one: the same, with what it imports now). Sockets that both have stay open, and so does a
   * registry whose source is the same. Rejects with the errors of startServer(); then all goes on as it was.
   * @example
   * await dns.reload(`. {\n  kubernetes cluster.local {\n    manifests k8s/\n    ttl 30\n  }\n}`);
   */
  reload(corefile?: string): Promise<void>;
  /** Answers what it has, then closes every socket. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a DNS server. Resolves when its sockets are open and the manifests are served. Rejects with an NdotsError:
 * NDOTS_ERR_CONFIG (with all findings), NDOTS_ERR_MANIFEST (`strict`), NDOTS_ERR_LISTEN, NDOTS_ERR_USAGE (an option is wrong).
 * @example
 * await using dns = await startServer({ manifests: "k8s/" });
 * const { addresses } = await dns.query("my-nginx.default.svc.cluster.local");
 */
export async function startServer(options: StartOptions = {}): Promise<RunningServer> {
  const { corefile, manifests, zone = "cluster.local", file = "Corefile", log = silentLog } = options;
  if (corefile !== undefined && manifests !== undefined) {
    throw new NdotsError("NDOTS_ERR_USAGE", "give corefile or manifests, not both: a Corefile names its manifests itself");
  }
  const paths = manifests === undefined ? [] : typeof manifests === "string" ? [manifests] : manifests;
  const { port = 0 } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new NdotsError("NDOTS_ERR_USAGE", `port must be 0–65535, found ${port}`);
  }
  for (const path of paths) {
    if (typeof path !== "string" || !existsSync(path))
      throw new NdotsError("NDOTS_ERR_USAGE", `manifests: there is no file or folder "${path}"`);
  }
  const server = await createServer({
    corefile: corefile ?? corefileFor(zone, paths),
    file,
    port,
    address: options.address ?? "127.0.0.1",
    embedded: true,
    listeners: options.listeners ?? "portable",
    strict: options.strict ?? false,
    env: process.env,
    ...(options.plugins !== undefined && { plugins: options.plugins }),
    log,
  });
  const addressesNow = (): RunningServer["addresses"] => server.addresses.map(({ address, port, scheme }) => ({ address, port, scheme }));
  let registry = checkedRegistry(server.registry);
  let closed = false;
  const close = (): Promise<void> => {
    closed = true;
    return server.stop("now");
  };
  return {
    get address() {
      const [first] = server.addresses.toSorted((one, other) => Number(other.scheme === "dns") - Number(one.scheme === "dns"));
      return { address: first?.address ?? "", port: first?.port ?? 0 };
    },
    get addresses() {
      return addressesNow();
    },
    get registry() {
      return registry;
    },
    findings: server.findings,
    async query(name, type = "A") {
      if (closed) throw new NdotsError("NDOTS_ERR_CLOSED", "query() after close()");
      const answer = await server.ask(buildQuery(name, type), "tcp");
      if (answer === undefined) throw new NdotsError("NDOTS_ERR_NO_ANSWER", `a plugin drops ${name} ${type}`);
      return readResult(answer);
    },
    async reload(changed) {
      await server.reload(changed);
      registry = checkedRegistry(server.registry);
    },
    env: (namespace) => Object.fromEntries(serviceEnvironment(server.registry, namespace)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function corefileFor(zone: string, paths: readonly string[]): string {
  const quoted = paths.map((path) => `"${path.replaceAll('"', '\\"')}"`).join(" ");
  return `. {
  search default {
    namespaces all
  }
  kubernetes ${zone} in-addr.arpa ip6.arpa {
    ${paths.length === 0 ? "" : `manifests ${quoted}`}
    reasons nearest
  }
  loadbalance
}
`;
}
