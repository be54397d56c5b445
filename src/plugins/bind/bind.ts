// bind — listens on the given addresses, or those of the given interfaces, instead of on all.

import { isIP } from "node:net";
import { networkInterfaces, type NetworkInterfaceInfo } from "node:os";

import { word } from "../../config/arguments.ts";
import { directive, each, rest, type Options, type Property, type Syntax } from "../../config/directive.ts";
import { nearest, refusalAt, type Position } from "../../errors.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

type Interfaces = Readonly<Record<string, readonly Pick<NetworkInterfaceInfo, "address" | "scopeid">[] | undefined>>;
type BindOptions = Options<readonly string[], { readonly except: Property<readonly (readonly string[])[]> }>;

const places = word("ADDRESS|INTERFACE");
const syntax: Syntax<BindOptions> = directive({
  args: rest(places, { min: 1 }),
  options: { except: each(rest(places, { min: 1 })) },
  repeat: "merge",
});

const plugin: Plugin<BindOptions> = definePlugin({
  name: "bind",
  syntax,
  setup({ args, except }, _host, at) {
    const interfaces = networkInterfaces();
    return { listen: addressesToBind(args, except.flat(), interfaces, at) };
  },
});
export default plugin;

/** The addresses of `wanted` without those of `except`; both hold addresses and interface names. Throws NDOTS_ERR_CONFIG. */
export function addressesToBind(wanted: readonly string[], except: readonly string[], interfaces: Interfaces, at: Position): string[] {
  const left = new Set(wanted.flatMap((place) => addressesOf(place, interfaces, at)));
  for (const address of except.flatMap((place) => addressesOf(place, interfaces, at))) left.delete(address);
  if (left.size === 0) throw refusalAt(at, `bind: except leaves no address of ${wanted.join(" ")}`);
  return [...left];
}

function addressesOf(place: string, interfaces: Interfaces, at: Position): string[] {
  if (isIP(place) !== 0) return [place];
  const found = interfaces[place];
  if (found === undefined) {
    const names = Object.keys(interfaces).toSorted();
    const meant = nearest(place, names);
    throw refusalAt(
      at,
      `bind: "${place}" is neither an IP address nor an interface${meant === undefined ? "" : `, did you mean "${meant}"?`}; interfaces: ${names.join(", ")}`,
    );
  }
  // A link-local address means nothing without its interface (RFC 4007 §11).
  return found.map(({ address, scopeid }) => (scopeid === undefined || scopeid === 0 ? address : `${address}%${place}`));
}
