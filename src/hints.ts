// What a configuration that is right could still gain by, told by `ndots check` only: a server that starts has nothing to say of it.

import type { Finding } from "./errors.ts";
import type { ReadyBlock } from "./setup.ts";

/** Looks at what server blocks say together; each plugin's own syntax has read its part. */
export function hintsFor(blocks: readonly Pick<ReadyBlock, "plan">[]): Finding[] {
  return blocks.flatMap(({ plan: { directives } }) => {
    const networks = directives.flatMap(({ name, options }) => (name === "kubernetes" ? serviceNetworks(options) : []));
    if (networks.length === 0 || networks.some((network) => network.includes(":"))) return [];
    const unsaid = directives.filter(
      ({ name, options }) => name === "forward" && (options as { readonly ipv6?: unknown }).ipv6 === undefined,
    );
    return unsaid.map(({ at: { file, line, column } }) => ({ file, line, column, severity: "warning" as const, message: IPV4_ONLY }));
  });
}

const IPV4_ONLY =
  'forward: service_cidr is IPv4 only: if nothing here reaches IPv6, "ipv6 off" spares the upstream half of all questions; "ipv6 on" ends this hint';

function serviceNetworks(options: unknown): readonly string[] {
  return (options as { readonly service_cidr?: readonly string[] }).service_cidr ?? [];
}
