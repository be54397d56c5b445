// The Status bodies of a Kubernetes API server, word for word where a recording has them (recordings/).

import { resources, type ResourceName } from "./resources.ts";

export interface Status {
  readonly code: number;
  readonly retryAfterSeconds?: number;
  readonly body: Readonly<Record<string, unknown>>;
}

interface StatusParts {
  readonly metadata?: object;
  readonly details?: object;
}

function status(code: number, reason: string, message: string, { metadata = {}, details }: StatusParts = {}): Status {
  const body = {
    kind: "Status",
    apiVersion: "v1",
    metadata,
    status: "Failure",
    message,
    reason,
    ...(details !== undefined && { details }),
    code,
  };
  return { code, body };
}

export const unauthorized: Status = status(401, "Unauthorized", "Unauthorized");

export function forbidden(user: string, verb: string, resource: ResourceName, namespace: string | undefined): Status {
  const where = namespace === undefined ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const { group } = resources[resource];
  return status(
    403,
    "Forbidden",
    `${resource}${group === "" ? "" : `.${group}`} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "${group}" ${where}`,
    { details: { ...(group !== "" && { group }), kind: resource } },
  );
}

export function notFound(resource: ResourceName, name: string): Status {
  return status(404, "NotFound", `${resource} "${name}" not found`, { details: { name, kind: resource } });
}

export function badRequest(message: string): Status {
  return status(400, "BadRequest", message);
}

/** What ListOptions that contradict each other get. */
export function invalidOptions(field: string, why: string): Status {
  const message = `Forbidden: ${why}`;
  return status(422, "Invalid", `ListOptions.meta.k8s.io "" is invalid: ${field}: ${message}`, {
    details: { group: "meta.k8s.io", kind: "ListOptions", causes: [{ reason: "FieldValueForbidden", message, field }] },
  });
}

export function continueExpired(token: string): Status {
  return status(
    410,
    "Expired",
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    { metadata: { continue: token } },
  );
}

export function tooOld(revision: number, oldest: number): Status {
  return status(410, "Expired", `too old resource version: ${revision} (${oldest})`);
}

export function tooLarge(revision: number, current: number): Status {
  return {
    ...status(504, "Timeout", `Timeout: Too large resource version: ${revision}, current: ${current}`, {
      details: { causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }], retryAfterSeconds: 1 },
    }),
    retryAfterSeconds: 1,
  };
}

/** What a server in trouble says; 429 is its priority and fairness. */
export function failing(code: number, retryAfterSeconds?: number): Status {
  const [reason, message] = FAILURES[code] ?? ["InternalError", "Internal error occurred"];
  const details = retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } };
  return { ...status(code, reason, message, details), ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
}

const FAILURES: Readonly<Record<number, readonly [reason: string, message: string]>> = {
  410: ["Expired", "The resourceVersion for the provided list is too old."],
  429: ["TooManyRequests", "too many requests, please try again later"],
  500: ["InternalError", "Internal error occurred: etcdserver: request timed out"],
  503: ["ServiceUnavailable", "the server is currently unable to handle the request"],
  504: ["Timeout", "the server was unable to return a response in the time allotted"],
};
