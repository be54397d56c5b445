// The server under test: ours on the fixture, with the answer table and without it, on the main thread and with threads
// that listen; or the one that NDOTS_SUBJECT names. NDOTS_SUBJECT_KUBECONFIG gives ours the fixture from a cluster's API.
// Every question goes over a real socket.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { silentLog } from "../../src/log.ts";
import { createServer } from "../../src/server.ts";
import { built } from "../helpers/built.ts";
import { tcpConnection, udpAsk, type Target } from "../helpers/dns-client.ts";

/** One way to a server that serves the fixture. */
export interface Way {
  readonly name: string;
  readonly target: Target;
  readonly transport: "udp" | "tcp";
}

export interface Subject extends AsyncDisposable {
  readonly ways: readonly Way[];
}

/** `host:port` of another server, IPv6 addresses in brackets. */
const elsewhere = process.env["NDOTS_SUBJECT"];

/** A kubeconfig of the cluster that has the fixture; the manifests serve it unless named. */
const kubeconfig = process.env["NDOTS_SUBJECT_KUBECONFIG"];

/** The server under test is ours: what only ours promises is asked too. */
export const isOurs: boolean = elsewhere === undefined;

/** It makes of the manifests what a cluster's controllers would. */
export const readsManifests: boolean = isOurs && kubeconfig === undefined;

const corefile = fileURLToPath(new URL("fixture/Corefile", import.meta.url));

/** Starts ours, or takes the one named. `edit` changes the fixture's Corefile, of ours only. */
export async function startSubject(edit: (corefile: string) => string = (text) => text): Promise<Subject> {
  if (elsewhere !== undefined) {
    const target = targetOf(elsewhere);
    return { ways: waysTo(target, "NDOTS_SUBJECT", ["udp", "tcp"]), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const { createServer: createBuilt } = await built<typeof import("../../src/server.ts")>("server");
  const start = (create: typeof createServer, table: "on" | "off", listeners: "auto" | "portable"): ReturnType<typeof createServer> =>
    create({
      corefile: edit(fromSource(readFileSync(corefile, "utf8"))),
      file: corefile,
      port: 0,
      address: "127.0.0.1",
      embedded: true,
      strict: true,
      env: {},
      log: silentLog,
      table,
      listeners,
    });
  const servers = await Promise.all([
    start(createServer, "on", "portable"),
    start(createServer, "off", "portable"),
    start(createBuilt, "on", "auto"),
  ]);
  await Promise.all(servers.map((server) => server.settled()));
  const [withTable, withoutTable, threads] = servers.map((server) => server.addresses[0] as Target) as [Target, Target, Target];
  return {
    ways: [
      ...waysTo(withTable, "table", ["udp", "tcp"]),
      ...waysTo(withoutTable, "chain", ["udp"]),
      ...waysTo(threads, "threads", ["udp", "tcp"]),
    ],
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server.stop("now")));
    },
  };
}

// An API's namespaces can't all be searched: that would hide names of the Internet.
function fromSource(text: string): string {
  if (kubeconfig === undefined) return text;
  return text
    .replace(/manifests .+\n\s*service_cidr .+/, `kubeconfig ${kubeconfig}`)
    .replace(/search (.+) \{\s*namespaces all\s*\}/, "search $1 prod empty");
}

function targetOf(text: string): Target {
  const match = /^\[?(.+?)\]?:(\d+)$/.exec(text);
  if (match === null) throw new Error(`NDOTS_SUBJECT=${text}: must be HOST:PORT`);
  const [, host = "", port] = match;
  return { address: host, port: Number(port) };
}

function waysTo(target: Target, name: string, transports: readonly Way["transport"][]): Way[] {
  return transports.map((transport) => ({ name: `${name} over ${transport}`, target, transport }));
}

/** Sends a packet the given way; undefined when nothing comes back. */
export async function exchange({ target, transport }: Way, packet: Uint8Array): Promise<Buffer | undefined> {
  if (transport === "udp") return await udpAsk(target, packet);
  const connection = await tcpConnection(target);
  connection.send(packet);
  const answer = await connection.receive();
  connection.close();
  return answer;
}
