// THE QUERY PATH: header check → table → parse → server block → chain → size, EDNS, encode.

import type { Exchange } from "./dns/question.ts";

/** Answers packets. Every listener of one address calls the same one. */
export interface Responder {
  /**
   * Answers the packet in `io`. A number is the length of the answer in `io.out` from `io.outAt` (0: send nothing);
   * a promise gives the answer as bytes of its own, or undefined for nothing, and leaves `io` free for the next packet.
   * Never throws, never rejects.
   */
  respond(io: Exchange): number | Promise<Uint8Array | undefined>;
}
