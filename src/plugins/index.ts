// The plugins, in execution order (CoreDNS's own): a query meets them from top to bottom, whatever the order in the
// Corefile. Each is loaded when a Corefile first names it: all of them would take 60 ms of the start. A new plugin is one
// folder and one word here.

import type { Plugin } from "../plugin.ts";

/** Every plugin's name, which is its folder's and its file's, in execution order. */
export const pluginNames: readonly string[] = `
  root metadata cancel https timeouts multisocket reload nsid bufsize bind debug ready health shed prometheus
  errors log ratelimit local dns64 any chaos loadbalance rewrite autopath acl cache header tls minimal template
  transfer hosts k8s_external search kubernetes file auto secondary loop forward erratic whoami view
`
  .trim()
  .split(/\s+/);

/** Those of the names that are plugins here, by their names, in execution order. */
export async function loadPlugins(names: ReadonlySet<string>): Promise<ReadonlyMap<string, Plugin<unknown>>> {
  const wanted = pluginNames.filter((name) => names.has(name));
  const loaded = await Promise.all(wanted.map(async (name) => ((await load(name)) as { readonly default: Plugin<unknown> }).default));
  return new Map(loaded.map((plugin) => [plugin.name, plugin]));
}

// Where tsx has made this module CommonJS, as for the tests, import() would give second copies of all modules; `require` gives those there are.
function load(name: string): Promise<unknown> {
  return typeof require === "function" ? Promise.resolve(require(`./${name}/${name}.ts`)) : import(`./${name}/${name}.ts`);
}
