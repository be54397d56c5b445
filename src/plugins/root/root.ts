// root — the folder that relative file names in the server block are relative to. In front of all others, so that it is known
// when they are set up.

import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { filePath } from "../../config/arguments.ts";
import { directive, one, type Options } from "../../config/directive.ts";
import { findingAt, refusalAt } from "../../errors.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

type RootOptions = Options<string, Record<never, never>>;

const plugin: Plugin<RootOptions> = definePlugin({
  name: "root",
  syntax: directive({ args: one(filePath("PATH")) }),
  async setup({ args: path }, host, at) {
    const folder = resolve(dirname(host.file), path);
    try {
      await stat(folder);
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") throw refusalAt(at, `root: unable to access root path '${folder}': ${code}`);
      host.report(findingAt(at, "warning", `root: Root path does not exist: ${folder}`)); // it may come later
    }
    return { folder };
  },
});
export default plugin;
