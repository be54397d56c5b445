// The portable UDP listener: the contracts, and what only it has.

import { udpListener } from "../../src/listeners/udp.ts";
import { listenerContract } from "../contracts/listener.ts";

listenerContract("listeners/udp", udpListener);
