// The portable TCP listener: the contracts, and what only it has.

import { tcpListener } from "../../src/listeners/tcp.ts";
import { listenerContract } from "../contracts/listener.ts";
import { tcpListenerContract, tcpTimeContract } from "../contracts/tcp-listener.ts";

listenerContract("listeners/tcp", tcpListener);
tcpListenerContract("listeners/tcp", tcpListener);
tcpTimeContract("listeners/tcp", tcpListener);
