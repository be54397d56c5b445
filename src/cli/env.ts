// `ndots env`: the kubelet's service environment variables for a namespace, the second discovery mode beside DNS, in a
// form that a shell or a tool takes.

import { formatFinding, NdotsError } from "../errors.ts";
import { checkLabel } from "../registry/kube-names.ts";
import { serviceEnvironment } from "../registry/service-env.ts";
import { chooseCorefile } from "./corefile-choice.ts";
import { loadCluster, loadManifests } from "./load-manifests.ts";

export interface EnvOptions {
  readonly namespace: string;
  /** The Corefile whose cluster it is; default: the one that `ndots` serves without arguments. */
  readonly conf?: string;
  /** Instead of a Corefile. */
  readonly manifests?: readonly string[];
  readonly output: "shell" | "dotenv" | "json";
  readonly serviceLinks: boolean;
}

/** 0, or 1 if a manifest is wrong: the variables of the others are printed all the same. */
export async function env(options: EnvOptions): Promise<number> {
  const { namespace, conf, manifests, output, serviceLinks } = options;
  const problem = checkLabel(namespace);
  if (problem !== undefined) throw new NdotsError("NDOTS_ERR_USAGE", `--namespace: "${namespace}": ${problem}`);

  if (conf !== undefined && manifests !== undefined) {
    throw new NdotsError("NDOTS_ERR_USAGE", "give -conf or --manifests, not both: a Corefile names its manifests itself");
  }
  const { registry, findings } = await (manifests === undefined ? loadCluster(chooseCorefile(conf)) : loadManifests(manifests));
  for (const finding of findings) process.stderr.write(`${formatFinding(finding)}\n`);
  const variables = serviceEnvironment(registry, namespace, { serviceLinks: serviceLinks ? "all" : "none" });
  process.stdout.write(formats[output](variables));
  return findings.some(({ severity }) => severity === "error") ? 1 : 0;
}

type Variables = readonly (readonly [name: string, value: string])[];

// Names and values hold letters, digits and `_ : / . [ ]`: single quotes are safe, and dotenv needs none.
const formats: Readonly<Record<EnvOptions["output"], (variables: Variables) => string>> = {
  shell: (variables) => variables.map(shellLine).join(""),
  dotenv: (variables) => variables.map(([name, value]) => `${name}=${value}\n`).join(""),
  json: (variables) => `${JSON.stringify(Object.fromEntries(variables), null, 2)}\n`,
};

// A Service may be called `1st`; a container gets its variable, a shell can't hold it.
function shellLine([name, value]: Variables[number]): string {
  const line = `export ${name}='${value}'\n`;
  return /^[A-Z_]/.test(name) ? line : `# not a name for a shell: ${line}`;
}
