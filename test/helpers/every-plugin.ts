// All plugins at once, where the server loads only those that a Corefile names.

import { createRequire } from "node:module";
import type { Plugin } from "../../src/plugin.ts";
import { pluginNames } from "../../src/plugins/index.ts";

const load = createRequire(import.meta.url);

/** By their names, in execution order. */
export const plugins: ReadonlyMap<string, Plugin<unknown>> = new Map(
  pluginNames.map((name) => [name, (load(`../../src/plugins/${name}/${name}.ts`) as { readonly default: Plugin<unknown> }).default]),
);
