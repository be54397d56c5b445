// What the signal handlers of cli.ts and the commands share.

export interface Lifecycle {
  /** Set while a server runs: stops it and gives the exit code. Unset: a signal ends the program at once. */
  stop: ((signal: "SIGTERM" | "SIGINT") => Promise<number>) | undefined;
  /** From now on a server runs: how it is stopped, and how it reloads (SIGUSR1), which never rejects. */
  serves(server: { readonly stop: NonNullable<Lifecycle["stop"]>; readonly reload: () => Promise<void> }): void;
  /** Writes to the server's log, or to standard output while there is none. */
  info: (message: string) => void;
  /** Gives the signals their usual effect again: for commands that only print. */
  release(): void;
}
