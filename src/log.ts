// The server's log in CoreDNS's text: `[INFO] plugin/x: …`. People alert on its words.

/** Writes log lines. Never throws, never blocks; drops and counts when the destination is full. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warning(message: string): void;
  error(message: string): void;
  /** A line without a prefix: start-up output. */
  line(text: string): void;
  /** The same log with `plugin/NAME: ` in front of every message. */
  plugin(name: string): Log;
  /** Lets debug lines through (the `debug` plugin). */
  enableDebug(): void;
}
