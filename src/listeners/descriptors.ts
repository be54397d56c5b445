// How many file descriptors TCP clients may take, so that /health, the manifests and UDP always have theirs.

import { readFileSync } from "node:fs";
import { DEFAULT_TCP_LIMITS } from "./connection.ts";

/** Node's own, the sockets that listen, HTTP's 100 connections, files that are being read. */
const RESERVED_DESCRIPTORS = 160;
/** Under a limit that leaves no room, a few clients are served all the same. */
const LEAST_CONNECTIONS = 8;

/** The cap on TCP connections under a limit of `descriptors`, or of this process where it can be read (Linux). */
export function tcpConnectionCap(descriptors: number | undefined = openFilesLimit()): number {
  const { connections } = DEFAULT_TCP_LIMITS;
  if (descriptors === undefined) return connections;
  return Math.max(LEAST_CONNECTIONS, Math.min(connections, descriptors - RESERVED_DESCRIPTORS));
}

function openFilesLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined; // no /proc: macOS, Windows
  }
}
