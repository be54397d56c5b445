// Preloaded into a server: koffi is not installed, as with `npm ci --omit=optional`.

import { register } from "node:module";

const hooks = `export function resolve(specifier, context, next) {
  if (specifier === "koffi") throw Object.assign(new Error("Cannot find package 'koffi'"), { code: "ERR_MODULE_NOT_FOUND" });
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
