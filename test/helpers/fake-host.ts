// A Host, a Log and queries for tests of plugins without a server. `readDirective` runs a plugin's syntax table over
// Corefile text, `FakeHost` remembers what the plugin did with it.

import { dirname } from "node:path";
import { expect } from "chai";

import { parseCorefile } from "../../src/config/corefile.ts";
import { emptyReply, Rcodes, type Client, type Edns, type Query, type Records } from "../../src/dns/message.ts";
import { nameToWire, parseName, ROOT, type Name } from "../../src/dns/name.ts";
import { RRTypes, type RRType } from "../../src/dns/records.ts";
import { parseRecordSets } from "../../src/dns/text.ts";
import { formatFinding, type Finding, type Position } from "../../src/errors.ts";
import type { HttpAnswer, HttpRoute } from "../../src/http.ts";
import type { Log } from "../../src/log.ts";
import { createMetrics, type Metrics } from "../../src/metrics.ts";
import type { Answer, Host, Instance, Next, Plugin, Sent } from "../../src/plugin.ts";
import { createRegistry } from "../../src/registry/registry.ts";

/** A log that keeps its lines as the text log would print them. */
export function fakeLog(lines: string[] = []): Log & { readonly lines: string[] } {
  const at = (prefix: string): Log & { readonly lines: string[] } => ({
    lines,
    debug: (message) => void lines.push(`[DEBUG] ${prefix}${message}`),
    info: (message) => void lines.push(`[INFO] ${prefix}${message}`),
    warning: (message) => void lines.push(`[WARNING] ${prefix}${message}`),
    error: (message) => void lines.push(`[ERROR] ${prefix}${message}`),
    line: (text) => void lines.push(text),
    query: (text) => void lines.push(`[INFO] ${text}`),
    plugin: (name) => at(`plugin/${name}: `),
    enableDebug: () => void lines.push("debug enabled"),
  });
  return at("");
}

/** What a plugin may touch, with what it did on view. Change the writable members to play the server's part. */
export interface FakeHost extends Host {
  readonly lines: string[];
  readonly routes: HttpRoute[];
  readonly reported: Finding[];
  readonly metrics: Metrics;
  /** Sockets, as if the server had started. */
  addresses: string[];
  waiting: { readonly plugin: string; readonly reason: string }[];
  siblings: Record<string, Instance>;
  traffic: boolean;
  draining: boolean;
  stopping: boolean;
}

/** @param overrides members of Host that the test needs otherwise. */
export function fakeHost(name: string, overrides: Partial<Host> = {}): FakeHost {
  const log = fakeLog();
  const registry = createRegistry();
  const host: FakeHost = {
    zones: [ROOT],
    schemes: new Set(["dns"]),
    log: log.plugin(name),
    lines: log.lines,
    metrics: createMetrics(),
    file: "Corefile",
    folder: dirname(overrides.file ?? "Corefile"),
    embedded: true,
    env: {},
    routes: [],
    reported: [],
    addresses: [],
    waiting: [],
    siblings: {},
    traffic: false,
    draining: false,
    stopping: false,
    registry: () => registry,
    configuration: { digest: "0", read: () => "0", reload: () => Promise.resolve() },
    instance: (plugin) => host.siblings[plugin],
    localZones: () => Object.values(host.siblings).flatMap(({ zones = [] }) => zones),
    labels: () => ({ server: "dns://:53", view: "" }),
    ask: () => ({ ...emptyReply(Rcodes.REFUSED, ""), unhandled: true }),
    http: (route) => void host.routes.push(route),
    notReady: () => host.waiting,
    standingStill: () => undefined,
    dnsSockets: () => host.addresses.map((address) => ({ address, port: 53 })),
    enableTraffic: () => void (host.traffic = true),
    report: (finding) => void host.reported.push(finding),
    ...overrides,
  };
  return host;
}

export const AT: Position = { file: "Corefile", line: 2, column: 5 };

/** The options that `lines` (directives of one server block) give, and the findings as text. */
export function readDirective<Options>(
  plugin: Plugin<Options>,
  lines: string,
): { readonly options: readonly Options[]; readonly findings: readonly string[] } {
  const parsed = parseCorefile({ file: "Corefile", text: `. {\n${lines}\n}\n` });
  const findings = [...parsed.findings];
  const occurrences = (parsed.blocks[0]?.directives ?? []).filter((directive) => directive.name === plugin.name);
  const report = {
    error: (at: Position, message: string) => void findings.push({ ...position(at), severity: "error", message }),
    warning: (at: Position, message: string) => void findings.push({ ...position(at), severity: "warning", message }),
  };
  const options = plugin.syntax.read(occurrences, report);
  return { options, findings: findings.map(formatFinding) };
}

function position({ file, line, column }: Position): Position {
  return { file, line, column };
}

/** Reads `lines`, expects no finding, and sets the plugin up. */
export async function setUp<Options>(plugin: Plugin<Options>, lines: string, host: Host): Promise<Instance> {
  const { options, findings } = readDirective(plugin, lines);
  expect(findings).to.deep.equal([]);
  expect(options).to.have.length(1);
  return plugin.setup(options[0] as Options, host, AT);
}

/** GETs a route of the host. */
export async function get(host: FakeHost, path: string, accept?: string): Promise<HttpAnswer> {
  const [plain, asked = ""] = path.split("?");
  const route = host.routes.find((candidate) => candidate.path === plain);
  if (route === undefined) throw new Error(`no route ${path}`);
  return route.handle({ accept, query: asked });
}

export interface Asked {
  readonly type?: RRType;
  readonly id?: number;
  readonly flags?: number;
  readonly edns?: Partial<Edns>;
  readonly client?: Partial<Client>;
  readonly upstreamOptions?: Uint8Array;
}

/** A query as respond() would make it of a packet. `name` is text, or a Name with odd bytes. */
export function query(name: string | Name, { type = RRTypes.A, id = 1, flags = 0x0100, edns, client, upstreamOptions }: Asked = {}): Query {
  const qname = name.endsWith("\0") ? (name as Name) : parseName(name);
  return {
    qname,
    qtype: type,
    qclass: 1,
    id,
    flags,
    ...(upstreamOptions !== undefined && { upstreamOptions }),
    edns: edns === undefined ? undefined : { udpSize: 1232, dnssecOk: false, options: new Uint8Array(0), ...edns },
    client: { address: "192.0.2.7", port: 50759, family: 4, localAddress: "192.0.2.53", localPort: 53, transport: "udp", ...client },
    wire: Buffer.concat([
      Buffer.from([id >> 8, id, flags >> 8, flags, 0, 1, 0, 0, 0, 0, 0, 0]),
      nameToWire(qname),
      Buffer.from([type >> 8, type, 0, 1]),
    ]),
  };
}

/** What observers are told. */
export function sent(overrides: Partial<Sent> = {}): Sent {
  return {
    rcode: Rcodes.NOERROR,
    flags: 0x8500,
    requestBytes: 41,
    replyBytes: 68,
    durationMs: 1,
    by: "kubernetes",
    answerCount: 1,
    ...overrides,
  };
}

/** A reply whose answer section is `records` in zone file form. */
export function replyWith(records: string, overrides: Partial<Records> = {}): Records {
  return { ...emptyReply(Rcodes.NOERROR, "test"), authoritative: true, answer: parseRecordSets(records), ...overrides };
}

/** The rest of a chain that gives `answer`; undefined fails the test if asked. */
export function nextGives(answer: Answer | undefined): Next {
  return () => {
    if (answer === undefined) throw new Error("next was asked");
    return answer;
  };
}
