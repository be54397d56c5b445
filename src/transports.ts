// What server blocks need for what is spoken at their addresses: certificates for TLS, and a port for each. Called by setup.ts
// once all plugins are set up, so that a Corefile is refused before anything is opened.

import type { Finding, Position } from "./errors.ts";
import type { ServedAddress } from "./listeners/listener.ts";
import type { ServerKey } from "./config/server-keys.ts";
import type { NamedInstance } from "./chain.ts";

/** A server block that is set up. */
interface TransportBlock {
  readonly plan: Position & {
    readonly keys: readonly ServerKey[];
    readonly directives: readonly { readonly name: string; readonly at: Position }[];
  };
  readonly instances: readonly NamedInstance[];
  readonly listen: readonly ServedAddress[];
  readonly listenAt: Position;
}

/** Blocks without certificates that need some, blocks that differ about them, and ports that two schemes are to share. */
export function checkTransports(blocks: readonly TransportBlock[]): Finding[] {
  const findings: Finding[] = [];
  const error = ({ file, line, column }: Position, message: string): void => {
    findings.push({ file, line, column, severity: "error", message });
  };
  const seen: { readonly block: TransportBlock; readonly address: ServedAddress }[] = [];
  for (const block of blocks) {
    for (const { scheme, ...at } of block.plan.keys) {
      if (scheme !== "dns" && offerOf(block) === undefined) {
        error(at, `${at.text} needs a certificate: add "tls CERT KEY" to the server block, with PEM files of the certificate and its key`);
      }
    }
    for (const address of block.listen) {
      const other = seen.find(({ address: before }) => overlap(before, address));
      if (other === undefined) {
        seen.push({ block, address });
      } else if (other.address.scheme !== address.scheme) {
        const { file, line } = other.block.listenAt;
        error(block.listenAt, `port ${address.port} can't be ${address.scheme}://: it is ${other.address.scheme}:// at ${file}:${line}`);
      } else if (address.scheme !== "dns" && offerOf(other.block)?.key !== offerOf(block)?.key) {
        const { file, line } = tlsAt(other.block);
        error(
          tlsAt(block),
          `tls: ${file}:${line} says otherwise for the same address, port ${address.port}; server blocks that share one have the same tls`,
        );
      }
    }
  }
  return findings;
}

// Port 0 is another for each scheme.
function overlap(one: ServedAddress, other: ServedAddress): boolean {
  const isSamePlace = one.address === other.address || one.address === "" || other.address === "";
  return one.port === other.port && isSamePlace && (one.port !== 0 || one.scheme === other.scheme);
}

function offerOf({ instances }: TransportBlock): { readonly key: string } | undefined {
  return instances.find(({ instance }) => instance.tls !== undefined)?.instance.tls;
}

function tlsAt({ plan }: TransportBlock): Position {
  return plan.directives.find(({ name }) => name === "tls")?.at ?? plan;
}
