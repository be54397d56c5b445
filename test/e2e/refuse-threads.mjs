// Preloaded into a server: the system refuses to start a thread, as it does at a limit of processes (RLIMIT_NPROC, a
// container's pids limit).

import { syncBuiltinESMExports } from "node:module";
import threads from "node:worker_threads";

threads.Worker = class {
  constructor() {
    throw Object.assign(new Error("EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" });
  }
};
syncBuiltinESMExports();
