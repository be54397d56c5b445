// How large a UDP socket's receive buffer should be, and what people are told where the system keeps it small.

import type { Log } from "../log.ts";
import type { ListenAddress } from "./listener.ts";

/** Room for about 5,000 queries that arrive while the thread is busy; Linux' default holds some 250. */
export const RECEIVE_BUFFER_BYTES: number = 4 * 1024 * 1024;

/** @param reported bytes, read back: the kernel grants less without a word. Linux doubles what it grants (socket(7), SO_RCVBUF). */
export function warnOfSmallBuffer(log: Log, { address, port }: ListenAddress, reported: number): void {
  const granted = process.platform === "linux" ? reported / 2 : reported;
  if (granted >= RECEIVE_BUFFER_BYTES) return;
  log.warning(
    `UDP receive buffer of ${address} port ${port} is ${granted >> 10} KiB, not ${RECEIVE_BUFFER_BYTES >> 10} KiB: ` +
      `a burst of queries may overflow it; set the sysctl net.core.rmem_max=${RECEIVE_BUFFER_BYTES}`,
  );
}
