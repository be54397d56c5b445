// Small HTTP endpoints (health, ready, metrics) on addresses that plugins may share.

/** One path at one address. */
export interface HttpRoute {
  /** "" is every address. */
  readonly host: string;
  readonly port: number;
  /** `/health` */
  readonly path: string;
  /** Answers GET and HEAD; never throws. */
  handle(request: { readonly accept: string | undefined }): HttpAnswer | Promise<HttpAnswer>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}
