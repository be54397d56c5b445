// The plugins, in execution order (CoreDNS's own): a query meets them from top to bottom, whatever the order in the
// Corefile. A new plugin is one folder and two lines here.

import type { Plugin } from "../plugin.ts";
import acl from "./acl/acl.ts";
import any from "./any/any.ts";
import auto from "./auto/auto.ts";
import autopath from "./autopath/autopath.ts";
import bind from "./bind/bind.ts";
import bufsize from "./bufsize/bufsize.ts";
import cache from "./cache/cache.ts";
import cancel from "./cancel/cancel.ts";
import chaos from "./chaos/chaos.ts";
import debug from "./debug/debug.ts";
import dns64 from "./dns64/dns64.ts";
import erratic from "./erratic/erratic.ts";
import errors from "./errors/errors.ts";
import file from "./file/file.ts";
import forward from "./forward/forward.ts";
import header from "./header/header.ts";
import health from "./health/health.ts";
import hosts from "./hosts/hosts.ts";
import https from "./https/https.ts";
import k8sExternal from "./k8s_external/k8s_external.ts";
import kubernetes from "./kubernetes/kubernetes.ts";
import loadbalance from "./loadbalance/loadbalance.ts";
import local from "./local/local.ts";
import log from "./log/log.ts";
import loop from "./loop/loop.ts";
import metadata from "./metadata/metadata.ts";
import minimal from "./minimal/minimal.ts";
import multisocket from "./multisocket/multisocket.ts";
import nsid from "./nsid/nsid.ts";
import prometheus from "./prometheus/prometheus.ts";
import ratelimit from "./ratelimit/ratelimit.ts";
import ready from "./ready/ready.ts";
import reload from "./reload/reload.ts";
import rewrite from "./rewrite/rewrite.ts";
import root from "./root/root.ts";
import search from "./search/search.ts";
import secondary from "./secondary/secondary.ts";
import shed from "./shed/shed.ts";
import template from "./template/template.ts";
import timeouts from "./timeouts/timeouts.ts";
import tls from "./tls/tls.ts";
import transfer from "./transfer/transfer.ts";
import view from "./view/view.ts";
import whoami from "./whoami/whoami.ts";

const inOrder = [
  root,
  metadata,
  cancel,
  https,
  timeouts,
  multisocket,
  reload,
  nsid,
  bufsize,
  bind,
  debug,
  ready,
  health,
  shed,
  prometheus,
  errors,
  log,
  ratelimit,
  local,
  dns64,
  any,
  chaos,
  loadbalance,
  rewrite,
  autopath,
  acl,
  cache,
  header,
  tls,
  minimal,
  template,
  transfer,
  hosts,
  k8sExternal,
  search,
  kubernetes,
  file,
  auto,
  secondary,
  loop,
  forward,
  erratic,
  whoami,
  view,
];

/** Every plugin by its name, in execution order. */
export const plugins: ReadonlyMap<string, Plugin<unknown>> = new Map(
  // A plugin's setup only ever gets what its own syntax has read.
  inOrder.map((plugin) => [plugin.name, plugin as unknown as Plugin<unknown>]),
);
