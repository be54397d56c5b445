// EndpointSlices that keep their endpoints as one text and read them again when asked: as objects, the endpoints are most
// of a large cluster's memory (176 bytes each, as text 31). Used by selectors.ts for the slices of manifests. A look at a
// slice costs about a microsecond for each endpoint; the last one is kept, for the names of a slice are asked one by one.

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
let last: { readonly packed: PackedEndpoints; readonly endpoints: readonly Endpoint[] } | undefined;

export function unpackEndpoints(packed: PackedEndpoints): readonly Endpoint[] {
  if (last?.packed === packed) return last.endpoints;
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
  last = { packed, endpoints };
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
