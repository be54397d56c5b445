// The batch listener: the contracts, and what only it has. Threads run the built code, as users do.

import { loadNative } from "../../src/listeners/native.ts";
import { listenerContract, type ListenerFactory } from "../contracts/listener.ts";
import { udpListenerContract } from "../contracts/udp-listener.ts";
import { built } from "../helpers/built.ts";

const { batchListener } = await built<typeof import("../../src/listeners/batch.ts")>("listeners/batch");
const native = await loadNative();

const create: ListenerFactory = (options) => {
  if ("missing" in native) throw new Error(native.missing);
  return batchListener({ ...options, native });
};

listenerContract("listeners/batch", create);
udpListenerContract("listeners/batch", create);
