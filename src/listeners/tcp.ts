// Serves TCP through node:net (RFC 7766, RFC 9210). Called by listening.ts or by a thread, tcp-worker.ts. Connections are
// accepted, capped and swept by accepting.ts; tcp-connection.ts reads, answers and writes.

import { MAX_MESSAGE_BYTES } from "../dns/message.ts";
import { Exchange } from "../dns/question.ts";
import type { Metrics } from "../metrics.ts";
import type { Responder } from "../respond.ts";
import { acceptingListener, createAccepting, SYSTEM_CLOCK, type Accepting, type SweepClock } from "./accepting.ts";
import type { ConnectionTimes } from "../plugin.ts";
import type { Listener, ListenerOptions } from "./listener.ts";
import { DEFAULT_TCP_LIMITS, withTimes, type TcpLimits } from "./connection.ts";
import { padded } from "./padding.ts";
import { TcpConnection, type TcpService } from "./tcp-connection.ts";

export interface TcpOptions extends Omit<ListenerOptions, "responder" | "metrics"> {
  readonly responder: Pick<Responder, "respond">;
  readonly times?: ConnectionTimes;
  readonly metrics: Pick<Metrics, "counter">;
  readonly limits?: Partial<TcpLimits>;
  readonly clock?: SweepClock;
  /** The responder has enough to do: see TcpService. */
  readonly isBusy?: () => boolean;
  /** Of a socket that listens on the address already; it is closed with the listener. */
  readonly descriptor?: number;
}

export const TCP_CLOSED = { name: "ndots_tcp_closed_total", help: "TCP connections that the server closed, by reason." } as const;

/** What answers here needs no observers: a thread's are on the main thread. */
export interface TcpListener extends Listener {
  windDown(): void;
  serve(served: Pick<TcpOptions, "responder" | "times">): Promise<void>;
}

export function tcpListener(options: TcpOptions): TcpListener {
  // Nothing below may keep `options`: the responder that they name holds the first configuration's table.
  const { service, serve } = createTcpService(options, "tcp", (connection) => accepting.remove(connection));
  const accepting: Accepting = createAccepting(
    options,
    service,
    (socket, remoteAddress, bound) => new TcpConnection(socket, remoteAddress, bound, service),
  );
  return acceptingListener("tcp", accepting, service, serve);
}

/** What connections of framed messages share, and how another configuration takes over. */
export function createTcpService(
  { responder, times, metrics, limits, clock = SYSTEM_CLOCK, isBusy = never }: TcpOptions,
  transport: "tcp" | "tls",
  onClosed: TcpService["onClosed"],
): { readonly service: TcpService; readonly serve: TcpListener["serve"] } {
  const own: TcpLimits = { ...DEFAULT_TCP_LIMITS, ...limits };
  const closed = metrics.counter(TCP_CLOSED.name, TCP_CLOSED.help);
  // Room for answers that are ready together, so that they leave in one write.
  const io = new Exchange(OUTPUT_BYTES);
  io.transport = transport;
  const ready = (given: TcpService["responder"]): TcpService["responder"] => (transport === "tls" ? padded(given) : given);
  const service: TcpService = {
    io,
    responder: ready(responder),
    limits: withTimes(own, times),
    isWindingDown: false,
    received: 0,
    now: () => clock.now(),
    isBusy,
    onClosing: (reason) => closed.add({ reason }),
    onClosed,
  };
  return {
    service,
    serve(served) {
      service.responder = ready(served.responder);
      service.limits = withTimes(own, served.times);
      return Promise.resolve();
    },
  };
}

/** Two answers of any size behind their lengths, or some hundred usual ones. */
const OUTPUT_BYTES = 2 * (2 + MAX_MESSAGE_BYTES);

function never(): boolean {
  return false;
}
