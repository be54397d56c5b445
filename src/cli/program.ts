// The table of commands: options, help, and what a wrong command line is told. Called once, by cli.ts. Commander and
// each command are loaded when they are needed, for a server's start is counted in milliseconds.

import { coreDnsFlagNames, fromCoreDnsFlags } from "../coredns-flags.ts";
import { nearest, NdotsError } from "../errors.ts";
import type { Lifecycle } from "./lifecycle.ts";

/** Documented in the README; 70 (a fault of ours) is cli.ts's. */
export const EXIT = { ok: 0, finding: 1, usage: 2 } as const;

const commands = ["serve", "check", "env", "version"];

const exitCodes = `
Exit codes: 0 well, 1 a finding or a failed start, 2 wrong usage, 70 a fault of ndots.`;

/** Runs one command line and gives the exit code; after `serve` the server is still running. */
export async function run(args: readonly string[], lifecycle: Lifecycle): Promise<number> {
  try {
    return await parse(fromCoreDnsFlags(args), lifecycle);
  } catch (error) {
    if (!(error instanceof NdotsError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.code === "NDOTS_ERR_USAGE" ? EXIT.usage : EXIT.finding;
  }
}

async function parse(args: readonly string[], lifecycle: Lifecycle): Promise<number> {
  const { Command, CommanderError, Option } = await import("commander");
  let exitCode: number = EXIT.ok;
  // An empty variable is one that is not set, as compose files write it.
  if (process.env["NDOTS_LISTENERS"] === "") delete process.env["NDOTS_LISTENERS"];

  const program = new Command("ndots")
    .description("Cluster DNS server: answers Kubernetes service names, with CoreDNS's Corefile")
    .addHelpText(
      "after",
      `
Without a command, serve: CoreDNS's flags (-conf, -dns.port, -p, -pidfile, -plugins, -quiet, -version, -log-format) work as they are.

Examples:
  ndots                                    names of ./Corefile, else of a small cluster on 127.0.0.1:1053
  ndots -conf /etc/coredns/Corefile        as the coredns binary does
  ndots check -conf Corefile               what is wrong in it, without starting
${exitCodes}`,
    );

  const confOption = () => new Option("--conf <file>", "the Corefile; `stdin` reads standard input (also -conf)");
  const manifestsOption = () => new Option("--manifests <path...>", "files or folders of Kubernetes manifests");

  program
    .command("serve", { isDefault: true })
    .description("answer queries until a signal comes")
    .addOption(confOption())
    .option("-p, --port <number>", "port for the keys of the Corefile that name none (also -dns.port)")
    .option("--pidfile <file>", "write the process id there")
    .option("--plugins", "list the plugins, in the order in which they see a query")
    .option("--quiet", "no start-up output")
    .addOption(new Option("--log-format <format>", "how log lines look").choices(["text", "json"]).default("text"))
    .addOption(
      new Option("--listeners <path>", "auto: threads of their own where this system can have them; portable: the main thread")
        .choices(["auto", "portable"])
        .default("auto")
        .env("NDOTS_LISTENERS"),
    )
    .option("--strict", "a wrong manifest is a failed start; otherwise it is reported and the rest is served")
    .option("--version", "print the version")
    .argument("[arguments...]", "none: CoreDNS takes none either")
    .usage("[options]")
    .addHelpText("after", "\nExample:\n  ndots serve -conf Corefile -p 1053\n" + exitCodes)
    .action(async (unexpected: readonly string[], options: ServeArguments) => {
      if (unexpected.length > 0) throw unknown("command", unexpected[0] ?? "", commands);
      const { serve, printPlugins, printVersion } = await import("./serve.ts");
      if (options.version === true) printVersion();
      else if (options.plugins === true) await printPlugins();
      else exitCode = await serve({ ...options, port: parsePort(options.port) }, lifecycle);
    });

  program
    .command("check")
    .description("report everything that is wrong in a Corefile and its manifests; touches no network")
    .addOption(confOption())
    .addOption(manifestsOption())
    .addOption(new Option("-o, --output <format>", "text or json").choices(["text", "json"]).default("text"))
    .addHelpText("after", "\nExample:\n  ndots check -conf Corefile --manifests k8s/ -o json\n" + exitCodes)
    .action(async (options: { conf?: string; manifests?: string[]; output: "text" | "json" }) => {
      lifecycle.release();
      const { check } = await import("./check.ts");
      exitCode = await check(options);
    });

  program
    .command("env")
    .description("print the service environment variables that kubelet gives to a Pod")
    .requiredOption("-n, --namespace <namespace>", "the Pod's namespace")
    .addOption(confOption())
    .addOption(manifestsOption())
    .addOption(new Option("-o, --output <format>", "shell, dotenv or json").choices(["shell", "dotenv", "json"]).default("shell"))
    .option("--no-service-links", "only KUBERNETES_*, as with enableServiceLinks: false")
    .addHelpText("after", '\nExample:\n  eval "$(ndots env --namespace default --manifests k8s/)"\n' + exitCodes)
    .action(
      async (options: {
        namespace: string;
        conf?: string;
        manifests?: string[];
        output: "shell" | "dotenv" | "json";
        serviceLinks: boolean;
      }) => {
        lifecycle.release();
        const { env } = await import("./env.ts");
        exitCode = await env(options);
      },
    );

  program
    .command("version")
    .description("print the version of ndots, the machine's kind and Node's version")
    .addHelpText("after", "\nExample:\n  ndots version\n" + exitCodes)
    .action(async () => {
      lifecycle.release();
      const { printVersion } = await import("./serve.ts");
      printVersion();
    });

  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .showSuggestionAfterError(false)
      .configureOutput({ writeErr: () => undefined });
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok; // help was asked for and printed
    throw usageError(error.code, error.message, program.commands);
  }
  return exitCode;
}

interface ServeArguments {
  readonly conf?: string;
  readonly port?: string;
  readonly pidfile?: string;
  readonly plugins?: boolean;
  readonly quiet?: boolean;
  readonly logFormat: "text" | "json";
  readonly listeners: "auto" | "portable";
  readonly strict?: boolean;
  readonly version?: boolean;
}

// Commander's words, with the nearest option that exists: long ones, and CoreDNS's with one dash.
function usageError(
  code: string,
  message: string,
  subcommands: readonly { options: readonly { long?: string | undefined }[] }[],
): NdotsError {
  const text = message.replace(/^error: /, "");
  const option = code === "commander.unknownOption" ? /'(-[^']*)'/.exec(text)?.[1] : undefined;
  if (option !== undefined) {
    const name = option.replace(/=.*/s, "");
    const long = subcommands.flatMap((command) => command.options.flatMap(({ long }) => long ?? []));
    return unknown("option", name, name.startsWith("--") ? long : coreDnsFlagNames);
  }
  return new NdotsError("NDOTS_ERR_USAGE", `${text}; see ndots --help`);
}

function unknown(what: "command" | "option", word: string, known: readonly string[]): NdotsError {
  if (what === "command" && known.includes(word)) {
    const text = `"${word}" is a command of its own and can't follow serve or its options: ndots ${word} (in a checkout: node dist/cli.js ${word})`;
    return new NdotsError("NDOTS_ERR_USAGE", text);
  }
  const near = nearest(word, known);
  return new NdotsError(
    "NDOTS_ERR_USAGE",
    `unknown ${what} "${word}"${near === undefined ? "" : `; did you mean ${near}?`} See ndots --help`,
  );
}

function parsePort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new NdotsError("NDOTS_ERR_USAGE", `-p: a port is 0 to 65535 (0: any that is free), found "${text}"`);
}
