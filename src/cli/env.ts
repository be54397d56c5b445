// `ndots env`: the kubelet's service environment variables for a namespace, the second discovery mode beside DNS. Reads
// manifests once, as the server would with its default ranges, and prints in a form that a shell or a tool takes.

import { formatFinding, NdotsError, type Finding } from "../errors.ts";
import { DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR } from "../registry/cluster-ips.ts";
import { checkLabel } from "../registry/kube-names.ts";
import { manifestsSource } from "../registry/manifests.ts";
import { createRegistry } from "../registry/registry.ts";
import { serviceEnvironment } from "../registry/service-env.ts";
import { shippedZones } from "./corefile-choice.ts";

export interface EnvOptions {
  readonly namespace: string;
  /** Default: the cluster that is shipped, which `ndots` serves without arguments. */
  readonly manifests?: readonly string[];
  readonly output: "shell" | "dotenv" | "json";
  readonly serviceLinks: boolean;
}

/** 0, or 1 if a manifest is wrong: the variables of the others are printed all the same. */
export async function env(options: EnvOptions): Promise<number> {
  const { namespace, manifests = [shippedZones], output, serviceLinks } = options;
  const problem = checkLabel(namespace);
  if (problem !== undefined) throw new NdotsError("NDOTS_ERR_USAGE", `--namespace: "${namespace}": ${problem}`);

  const findings: Finding[] = [];
  const registry = createRegistry();
  const source = manifestsSource({
    paths: manifests,
    namespace: "default",
    serviceCidr: [DEFAULT_SERVICE_CIDR],
    podCidr: [DEFAULT_POD_CIDR],
    watch: "off",
    onFinding: (finding) => void findings.push(finding),
    onNote: () => undefined,
  });
  await source.run(registry, () => undefined, new AbortController().signal);

  for (const finding of findings) process.stderr.write(`${formatFinding(finding)}\n`);
  const variables = serviceEnvironment(registry, namespace, { serviceLinks: serviceLinks ? "all" : "none" });
  process.stdout.write(formats[output](variables));
  return findings.some(({ severity }) => severity === "error") ? 1 : 0;
}

type Variables = readonly (readonly [name: string, value: string])[];

// Names and values hold letters, digits and `_ : / . [ ]`: single quotes are safe, and dotenv needs none.
const formats: Readonly<Record<EnvOptions["output"], (variables: Variables) => string>> = {
  shell: (variables) => variables.map(([name, value]) => `export ${name}='${value}'\n`).join(""),
  dotenv: (variables) => variables.map(([name, value]) => `${name}=${value}\n`).join(""),
  json: (variables) => `${JSON.stringify(Object.fromEntries(variables), null, 2)}\n`,
};
