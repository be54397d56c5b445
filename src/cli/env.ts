// `ndots env`: kubelet's service environment variables for a namespace, the second discovery mode beside DNS.

import { NdotsError } from "../errors.ts";

export interface EnvOptions {
  readonly namespace: string;
  readonly manifests?: readonly string[];
  readonly output: "shell" | "dotenv" | "json";
  readonly serviceLinks: boolean;
}

export async function env(_options: EnvOptions): Promise<number> {
  throw new NdotsError("NDOTS_ERR_USAGE", "env: not there yet");
}
