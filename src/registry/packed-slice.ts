// EndpointSlices that keep their endpoints as one text and read them again when asked: as objects, the endpoints are most
// of a large cluster's memory (176 bytes each, as text 31). Used by selectors.ts for the slices of manifests. A look at a
// slice costs about a microsecond for each endpoint; the last ones are kept, for the names of a Service are asked one by one,
// and each asks its own slice and the Service's first.

import type { Endpoint, EndpointSlice } from "./objects.ts";

/** Endpoints as JSON: of each its addresses, whether it is ready, hostname, podName and zone, with 0 for what it lacks. */
export type PackedEndpoints = string & { readonly packed: unique symbol };

type Row = readonly [string, 0 | 1, string | 0, string | 0, string | 0];

export function packEndpoints(endpoints: readonly Endpoint[]): PackedEndpoints {
  const rows = endpoints.map(({ addresses, ready, hostname, podName, zone }): Row => [
    addresses.join(),
    ready ? 1 : 0,
    hostname ?? 0,
    podName ?? 0,
    zone ?? 0,
  ]);
  return JSON.stringify(rows.flat()) as PackedEndpoints;
}

const FIELDS = 5;
/** Slices that are kept unpacked: 6,400 endpoints, about a megabyte. Of 5,000 endpoints of one Service the names took 9 s with one. */
const KEPT = 64;
/** The last used at the end. */
const kept = new Map<PackedEndpoints, readonly Endpoint[]>();

export function unpackEndpoints(packed: PackedEndpoints): readonly Endpoint[] {
  const known = kept.get(packed);
  const endpoints = known ?? unpack(packed);
  if (known !== undefined) kept.delete(packed);
  else if (kept.size === KEPT)
    for (const [oldest] of kept) {
      kept.delete(oldest);
      break;
    }
  kept.set(packed, endpoints);
  return endpoints;
}

function unpack(packed: PackedEndpoints): readonly Endpoint[] {
  const cells = JSON.parse(packed) as Row[number][];
  const endpoints: Endpoint[] = [];
  for (let at = 0; at < cells.length; at += FIELDS) {
    const [addresses, ready, hostname, podName, zone] = cells.slice(at, at + FIELDS) as unknown as Row;
    endpoints.push({
      addresses: addresses === "" ? [] : addresses.split(","),
      ready: ready === 1,
      ...(hostname === 0 ? {} : { hostname }),
      ...(podName === 0 ? {} : { podName }),
      ...(zone === 0 ? {} : { zone }),
    });
  }
  return endpoints;
}

const PACKED = Symbol("packed endpoints");

/** A slice like any other: `endpoints` is its own enumerable property, so copies and comparisons have it. */
export function packedSlice(head: Omit<EndpointSlice, "endpoints">, packed: PackedEndpoints): EndpointSlice {
  const { kind, namespace, name, service, addressType, ports, cluster } = head;
  const slice = { kind, namespace, name, service, addressType, ports, ...(cluster !== undefined && { cluster }) };
  Object.defineProperty(slice, PACKED, { value: packed });
  // One function for all: the objects share their shape.
  return Object.defineProperty(slice, "endpoints", { get: endpointsOf, enumerable: true }) as EndpointSlice;
}

function endpointsOf(this: { readonly [PACKED]: PackedEndpoints }): readonly Endpoint[] {
  return unpackEndpoints(this[PACKED]);
}
