// `forward` without a server: set up of its Corefile lines, asked with queries, its replies as a client would read them.

import { decodeMessage, type DecodedMessage } from "../../../src/dns/decode.ts";
import { encodeReply } from "../../../src/dns/encode.ts";
import { DROP, MAX_MESSAGE_BYTES, type Reply } from "../../../src/dns/message.ts";
import { formatRecord } from "../../../src/dns/text.ts";
import type { Clock } from "../../../src/clock.ts";
import { systemClock } from "../../../src/clock.ts";
import type { Answer, Instance, Next } from "../../../src/plugin.ts";
import { createForward } from "../../../src/plugins/forward/forward.ts";
import { AT, fakeHost, nextGives, query, readDirective, type Asked, type FakeHost } from "../../helpers/fake-host.ts";

export interface Told {
  readonly reply: Reply;
  readonly message: DecodedMessage;
  readonly rcode: number;
  /** The answer section as text. */
  readonly answer: readonly string[];
}

export interface Forwarding extends AsyncDisposable {
  readonly host: FakeHost;
  readonly instances: readonly Instance[];
  /** What the chain of the block's `forward` lines gives. */
  answer(name: string, asked?: Asked): Promise<Answer>;
  /** The same as the message that a client gets over TCP; fails on DROP. */
  ask(name: string, asked?: Asked): Promise<Told>;
}

export interface ForwardingOptions {
  readonly clock?: Clock;
  readonly host?: FakeHost;
  /** What stands behind the last `forward`; being asked fails the test unless given. */
  readonly next?: Next;
}

/** @param lines the `forward` directives of one block. */
export async function forwarding(lines: string, options: ForwardingOptions = {}): Promise<Forwarding> {
  const { clock = systemClock, host = fakeHost("forward"), next = nextGives(undefined) } = options;
  const plugin = createForward({ clock });
  const read = readDirective(plugin, lines);
  if (read.findings.length > 0) throw new Error(read.findings.join("\n"));
  const instances: Instance[] = [];
  for (const each of read.options) {
    const instance = await plugin.setup(each, host, AT);
    host.siblings["forward"] ??= instance;
    instances.push(instance);
  }
  for (const instance of instances) await instance.start?.();
  const chain = instances.reduceRight<Next>(
    (rest, { handle }) =>
      (asked) =>
        handle === undefined ? rest(asked) : handle(asked, rest),
    next,
  );
  const answer = async (name: string, asked?: Asked): Promise<Answer> => chain(query(name, asked));
  return {
    host,
    instances,
    answer,
    async ask(name, asked) {
      const reply = await answer(name, asked);
      if (reply === DROP) throw new Error("the question was dropped");
      return told(query(name, asked), reply);
    },
    async [Symbol.asyncDispose]() {
      for (const instance of instances) await instance.stop?.();
    },
  };
}

function told(asked: ReturnType<typeof query>, reply: Reply): Told {
  const out = new Uint8Array(MAX_MESSAGE_BYTES);
  const length = encodeReply(out, asked, reply, { maxBytes: MAX_MESSAGE_BYTES, udpSize: 1232 });
  const message = decodeMessage(out.slice(0, length));
  if (message === undefined) throw new Error("the reply is not sound");
  return { reply, message, rcode: message.rcode, answer: message.answer.map((record) => formatRecord(record, record.rdata)) };
}
