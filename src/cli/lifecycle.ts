// What the signal handlers of cli.ts and the commands share.

export interface Lifecycle {
  /** Set while a server runs: stops it and gives the exit code. Unset: a signal ends the program at once. */
  stop: ((signal: "SIGTERM" | "SIGINT") => Promise<number>) | undefined;
  /** Writes to the server's log, or to standard output while there is none. */
  info: (message: string) => void;
  /** Gives the signals their usual effect again: for commands that only print. */
  release(): void;
}
