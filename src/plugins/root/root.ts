// root — the folder that relative file names in the server block are relative to. In front of all others, so that it is known
// when they are set up.

import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { filePath } from "../../config/arguments.ts";
import { directive, one, type Options } from "../../config/directive.ts";
import { FindingsError } from "../../errors.ts";
import { definePlugin, type Plugin } from "../../plugin.ts";

type RootOptions = Options<string, Record<never, never>>;

const plugin: Plugin<RootOptions> = definePlugin({
  name: "root",
  syntax: directive({ args: one(filePath("PATH")) }),
  async setup({ args: path }, host, { file, line, column }) {
    const folder = resolve(dirname(host.file), path);
    const tell = (severity: "error" | "warning", message: string) => ({ file, line, column, severity, message: `root: ${message}` });
    try {
      await stat(folder);
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT")
        throw new FindingsError("NDOTS_ERR_CONFIG", [tell("error", `unable to access root path '${folder}': ${code}`)]);
      host.report(tell("warning", `Root path does not exist: ${folder}`)); // it may come later
    }
    return { folder };
  },
});
export default plugin;
