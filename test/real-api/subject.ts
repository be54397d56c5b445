// Our server on a real API, and what it answers in short words: for the suites of this folder.

import { expect } from "chai";
import { join } from "node:path";
import { buildQuery, readResult } from "../../src/client.ts";
import { createServer, type Server } from "../../src/server.ts";
import { kubeconfig, type KubeconfigOptions } from "../helpers/fake-api/kubeconfig.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { until } from "../helpers/listening.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import type { Manifest } from "./cluster.ts";

/** Most that a test waits for an answer: the client's pauses are in it (2 s between watches, 1 s before a list), and a slow API. */
export const MOST_MS = 20_000;

export interface Subject extends AsyncDisposable {
  /** `NOERROR A 10.0.0.1, A 10.0.0.2`: rcode, data of the answer in order, and the code of an extended error that says more than a reason. */
  ask(question: string): Promise<string>;
  /** Waits for the answer, with `boundMs` as a bound for failing. */
  tells(answers: Readonly<Record<string, string>>, boundMs?: number): Promise<void>;
  /** `200 OK`, or why not. */
  readiness(): Promise<string>;
  readonly log: readonly string[];
}

export interface SubjectOptions {
  /** Lines of the `kubernetes` block. */
  readonly options?: readonly string[];
  /** What follows `kubernetes cluster.local in-addr.arpa ip6.arpa`. */
  readonly zones?: string;
  /** How the API is reached: a file, or the text of one. */
  readonly kubeconfig: string | (KubeconfigOptions & { readonly url: string; readonly authority?: string });
  readonly startupTimeout?: string;
}

export async function startSubject(settings: SubjectOptions): Promise<Subject> {
  const { options = [], zones = "", startupTimeout = "10s" } = settings;
  const text = typeof settings.kubeconfig === "string" ? undefined : kubeconfig(settings.kubeconfig);
  const folder = temporaryFolder(text === undefined ? {} : { kubeconfig: text });
  const file = typeof settings.kubeconfig === "string" ? settings.kubeconfig : join(folder.path, "kubeconfig");
  const log: string[] = [];
  const lines = [`kubeconfig ${file}`, `startup_timeout ${startupTimeout}`, "reasons off", "pods verified", "ttl 5", ...options];
  const server = await createServer({
    corefile: `. {\nkubernetes cluster.local ${zones} in-addr.arpa ip6.arpa {\n${lines.join("\n")}\n}\nready 127.0.0.1:0\n}\n`,
    file: join(folder.path, "Corefile"),
    port: 0,
    address: "127.0.0.1",
    embedded: false,
    strict: true,
    env: process.env,
    log: fakeLog(log),
  });

  return {
    log,
    ask: (question) => ask(server, question),
    async tells(answers, boundMs = MOST_MS) {
      let last: Record<string, string> = {};
      let asking: Promise<void> | undefined;
      const isThere = (): boolean => {
        asking ??= askAll(Object.keys(answers)).then((now) => {
          last = now;
          asking = undefined;
        });
        return Object.entries(answers).every(([question, answer]) => last[question] === answer);
      };
      await until(isThere, "the answers", boundMs).catch(() => expect(last).to.deep.equal(answers));
    },
    async readiness() {
      const { port } = server.http.addresses[0] ?? expect.fail();
      const response = await fetch(`http://127.0.0.1:${port}/ready`);
      return `${response.status} ${await response.text()}`;
    },
    async [Symbol.asyncDispose]() {
      await server.stop("now");
      folder[Symbol.dispose]();
    },
  };

  async function askAll(questions: readonly string[]): Promise<Record<string, string>> {
    const answers: Record<string, string> = {};
    for (const question of questions) answers[question] = await ask(server, question);
    return answers;
  }
}

async function ask(server: Server, question: string): Promise<string> {
  await server.settled();
  const [name = "", type = "A"] = question.split(" ");
  const { rcode, answer, ede } = readResult((await server.ask(buildQuery(name, type), "udp")) ?? expect.fail());
  const data = answer.map((record) => record.split(" ").slice(3).join(" ")).toSorted();
  const extended = ede === undefined || ede.code === 0 ? [] : [`EDE ${ede.code}`];
  return [rcode, data.join(", "), ...extended].filter((part) => part !== "").join(" ");
}

export function clusterIP(name: string, more: object = {}): Manifest {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  return { kind: "Service", metadata: { name }, spec: { ports, ...more } };
}

export function headless(name: string, more: object = {}): Manifest {
  return clusterIP(name, { clusterIP: "None", ...more });
}

export interface Endpoint {
  readonly addresses: readonly string[];
  readonly hostname?: string;
  readonly conditions?: { readonly ready?: boolean };
}

export function slice(service: string, endpoints: readonly (Endpoint | string)[], suffix = "1"): Manifest {
  return {
    kind: "EndpointSlice",
    // As one made by hand has it: no controller takes it for its own.
    metadata: {
      name: `${service}-${suffix}`,
      labels: { "kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "ndots-test" },
    },
    addressType: "IPv4",
    endpoints: endpoints.map((one) => ({ conditions: { ready: true }, ...(typeof one === "string" ? { addresses: [one] } : one) })),
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

/** `4.3.2.1.in-addr.arpa` for 1.2.3.4. */
export function reverse(address: string): string {
  return `${address.split(".").toReversed().join(".")}.in-addr.arpa`;
}
