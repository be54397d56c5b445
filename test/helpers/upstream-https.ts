// The HTTPS side of a scripted upstream (upstream.ts): RFC 8484 over HTTP/2, GET and POST.

import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";

import type { TextRecord } from "../../src/dns/text.ts";
import type { Certified } from "./certificates.ts";
import { answerTo, type Asked, type Behaviour } from "./upstream-answers.ts";

export type Serve = (
  packet: Buffer,
  transport: Asked["transport"],
  port: number,
) => { readonly query: Asked; readonly behaviour: Behaviour } | undefined;

const TYPE = "application/dns-message";

export async function openHttps(
  certified: Certified,
  address: string,
  records: readonly TextRecord[],
  serve: Serve,
  connections: { opened: number; open: number },
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createSecureServer(certified);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    connections.opened++;
    connections.open++;
    session.on("error", () => {});
    session.on("close", () => {
      sessions.delete(session);
      connections.open--;
    });
  });
  server.on("sessionError", () => {});
  server.on("tlsClientError", () => {});
  server.on("stream", (stream, headers) => {
    const url = new URL(headers[":path"] ?? "/", "https://upstream.invalid");
    stream.on("error", () => {});
    if (url.pathname !== "/dns-query") return stream.respond({ ":status": 404 }, { endStream: true });
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const body = headers[":method"] === "GET" ? Buffer.from(url.searchParams.get("dns") ?? "", "base64url") : Buffer.concat(chunks);
      void answer(stream, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));

  async function answer(stream: ServerHttp2Stream, body: Buffer): Promise<void> {
    const served = serve(body, "https", stream.session?.socket.remotePort ?? 0);
    if (served === undefined) return stream.respond({ ":status": 400 }, { endStream: true });
    const { query, behaviour } = served;
    if (behaviour.reset === true) return stream.session?.destroy();
    if (behaviour.silent === true) return;
    await behaviour.after;
    if (stream.destroyed) return;
    if (behaviour.httpStatus !== undefined) return stream.respond({ ":status": behaviour.httpStatus }, { endStream: true });
    stream.respond({ ":status": 200, "content-type": TYPE });
    stream.end(answerTo(query, behaviour, records));
    if (behaviour.end === true) stream.session?.close();
  }
  const at = server.address();
  return {
    port: typeof at === "object" && at !== null ? at.port : 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}
