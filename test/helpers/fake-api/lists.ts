// Lists as the API server answers them: at one revision, in pages whose tokens name it, streamed in pieces so that a big
// cluster is never one string.

import { resources, type ResourceName } from "./resources.ts";
import { selection } from "./selection.ts";
import { badRequest, continueExpired, invalidOptions, tooLarge, type Status } from "./statuses.ts";
import type { Store, Version } from "./store.ts";

export interface ListRequest {
  readonly resource: ResourceName;
  readonly namespace: string | undefined;
  readonly query: Readonly<Record<string, string>>;
}

export interface Listed {
  /** JSON text in pieces, compact. */
  readonly pieces: Iterable<string>;
}

/** The list, or why there is none. */
export function list(store: Store, request: ListRequest): Listed | Status {
  const { resource, namespace, query } = request;
  const selects = selection(namespace, query["labelSelector"], query["fieldSelector"]);
  if (typeof selects !== "function") return badRequest(selects.wrong);
  const page = pageOf(store, query);
  if ("code" in page) return page;

  const all = store.list(resource, page.revision).filter(selects);
  const from = page.after === undefined ? 0 : firstAfter(all, page.after);
  const rest = from === 0 ? all : all.slice(from);
  const items = page.limit === 0 ? rest : rest.slice(0, page.limit);
  const remaining = rest.length - items.length;
  const isSelected = query["labelSelector"] !== undefined || query["fieldSelector"] !== undefined;
  const metadata = {
    resourceVersion: String(page.revision),
    ...(remaining > 0 && { continue: tokenOf(page.revision, `/${items.at(-1)?.key}\0`) }),
    ...(remaining > 0 && !isSelected && { remainingItemCount: remaining }),
  };
  return { pieces: piecesOf(resource, metadata, items) };
}

interface Page {
  readonly revision: number;
  /** 0: all. */
  readonly limit: number;
  /** The key before the page. */
  readonly after: string | undefined;
}

function pageOf(store: Store, query: Readonly<Record<string, string>>): Page | Status {
  const { continue: token = "", resourceVersion = "", resourceVersionMatch = "", limit = "0" } = query;
  const asked = Number(resourceVersion);
  if (token !== "") {
    if (resourceVersion !== "" && resourceVersion !== "0") {
      return badRequest("specifying resource version is not allowed when using continue");
    }
    return continued(store, token, Number(limit));
  }
  if (resourceVersionMatch !== "" && resourceVersion === "") {
    return invalidOptions("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (!Number.isInteger(asked) || asked < 0) return badRequest(`Invalid value: "${resourceVersion}": strconv.ParseUint: parsing`);
  if (asked > store.revision) return tooLarge(asked, store.revision);
  if (resourceVersionMatch === "Exact") {
    if (asked < store.compactedAt) return { ...continueExpired(""), body: continueExpired("").body };
    return { revision: asked, limit: Number(limit), after: undefined };
  }
  // From the watch cache, which pays no heed to limits at "0".
  return { revision: store.revision, limit: resourceVersion === "0" ? 0 : Number(limit), after: undefined };
}

function continued(store: Store, token: string, limit: number): Page | Status {
  const read = readToken(token);
  if (read === undefined) {
    return badRequest("invalid continue token: continue key is not valid: invalid character 'o' in literal null (expecting 'u')");
  }
  const after = read.start.replace(/^\//, "").replace(/\0$/, "");
  // An inconsistent continuation, from the token of a 410: the rest as it is now.
  if (read.rv === -1) return { revision: store.revision, limit, after };
  if (read.rv < store.compactedAt) return continueExpired(tokenOf(-1, `${after}\0`));
  return { revision: read.rv, limit, after };
}

function tokenOf(rv: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv, start })).toString("base64url");
}

function readToken(token: string): { readonly rv: number; readonly start: string } | undefined {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, "base64url").toString()) as { v: unknown; rv: unknown; start: unknown };
    return v === "meta.k8s.io/v1" && typeof rv === "number" && typeof start === "string" ? { rv, start } : undefined;
  } catch {
    return undefined;
  }
}

function firstAfter(versions: readonly Version[], key: string): number {
  const at = versions.findIndex((version) => version.key > key);
  return at < 0 ? versions.length : at;
}

/** Bytes of text that are made at a time. */
const PIECE_BYTES = 65_536;

function* piecesOf(resource: ResourceName, metadata: object, items: readonly Version[]): Generator<string> {
  const { kind, apiVersion } = resources[resource];
  let piece = `{"kind":"${kind}List","apiVersion":"${apiVersion}","metadata":${JSON.stringify(metadata)},"items":[`;
  let isFirst = true;
  for (const { json } of items) {
    piece += isFirst ? json : `,${json}`;
    isFirst = false;
    if (piece.length < PIECE_BYTES) continue;
    yield piece;
    piece = "";
  }
  yield `${piece}]}\n`;
}
