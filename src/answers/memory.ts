// STUB, being replaced.
import type { MessagePort } from "node:worker_threads";
export interface SharedTable {
  readonly updates: MessagePort;
}
