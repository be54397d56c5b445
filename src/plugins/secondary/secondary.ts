// secondary — serves zones that it fetches from their primary servers (AXFR) and keeps as new as their SOAs say (RFC 1034 §4.3.5).

import { randomInt } from "node:crypto";
import { systemClock, type Clock } from "../../clock.ts";
import { formatGoDuration } from "../../config/arguments.ts";
import { zoneSteps } from "../../dns/map-zone.ts";
import { formatName, isWithin, type Name } from "../../dns/name.ts";
import { RRTypes, type RecordSet } from "../../dns/records.ts";
import { refusalAt, type Position } from "../../errors.ts";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { inSlices } from "../../time-slice.ts";
import { zoneHandler } from "../../zones/zone-handler.ts";
import { replaceableZone, type ReplaceableZone } from "../../zones/replaceable-zone.ts";
import { syntax, type Primary, type SecondaryOptions } from "./options.ts";
import { askSerial, askZone, serialOf } from "./primary.ts";

const NAME = "secondary";
/** Until a zone is there for the first time, doubled with each attempt. */
const FIRST_PAUSE_MS = { least: 250, most: 10_000 };
/** Added to the SOA's times, at random: a cluster's servers don't all ask at once. */
const JITTER_MS = { refresh: 5_000, retry: 2_000 };
const LEAST_SECONDS = 1;

const plugin: Plugin<readonly SecondaryOptions[]> = definePlugin({
  name: NAME,
  syntax,
  setup: (lines, host, at) => setUpSecondary(lines, host, at),
});
export default plugin;

interface Followed {
  readonly zone: ReplaceableZone;
  readonly primaries: readonly Primary[];
  readonly fallthrough: readonly Name[];
}

/** The SOA's times in milliseconds, and its serial. */
interface Soa {
  readonly serial: number;
  readonly refreshMs: number;
  readonly retryMs: number;
  readonly expireMs: number;
}

/** The plugin's setup, with a clock that tests can move. */
export function setUpSecondary(lines: readonly SecondaryOptions[], host: Host, at: Position, clock: Clock = systemClock): Instance {
  const followed = new Map<Name, Followed>();
  for (const { zones, primaries, fallthrough = [] } of lines) {
    for (const apex of zones.length > 0 ? zones : host.zones) {
      if (followed.has(apex)) throw refusalAt(at, `${NAME}: ${formatName(apex)} is given twice`);
      followed.set(apex, { primaries, fallthrough, zone: replaceableZone({ apex, fallthrough }) });
    }
  }
  const all = [...followed.values()];
  const zones = all.map(({ zone }) => zone);
  const ended = new AbortController();
  const { signal } = ended;
  return {
    zones,
    transparent: true,
    handle: zoneHandler({
      name: NAME,
      zones,
      // What has not been fetched denies nothing, and hands nothing on.
      fallsThrough: (name, { apex, ready }) => ready && followed.get(apex)?.fallthrough.some((suffix) => isWithin(name, suffix)) === true,
      ask: (query) => host.ask(query),
    }),
    start() {
      for (const each of all) void follow(each); // ends with stop(), and never rejects
    },
    stop: () => ended.abort(),
  };

  async function follow(each: Followed): Promise<void> {
    const { zone } = each;
    const name = formatName(zone.apex);
    let soa: Soa | undefined;
    let goodAtMs = 0;
    for (let pauseMs = FIRST_PAUSE_MS.least; !signal.aborted;) {
      const failures: string[] = [];
      const got: Soa | undefined = soa !== undefined && (await isCurrent(each, soa, failures)) ? soa : await transfer(each, failures);
      if (signal.aborted) return;
      let waitMs: number;
      if (got !== undefined) {
        soa = got;
        goodAtMs = clock.monotonic();
        waitMs = soa.refreshMs + randomInt(JITTER_MS.refresh);
      } else if (soa === undefined) {
        host.log.warning(`All '${name}' masters failed to transfer, retrying in ${formatGoDuration(pauseMs)}: ${failures.join("; ")}`);
        waitMs = pauseMs;
        pauseMs = Math.min(2 * pauseMs, FIRST_PAUSE_MS.most);
      } else {
        const leftMs = goodAtMs + soa.expireMs - clock.monotonic();
        if (leftMs <= 0 && zone.ready) {
          host.log.error(`Zone ${name} is expired`);
          await zone.withdraw();
        }
        waitMs = soa.retryMs + randomInt(JITTER_MS.retry);
        if (leftMs > 0) waitMs = Math.min(waitMs, leftMs);
      }
      await clock.delay(waitMs, signal);
    }
  }

  // Whether what is served is what a primary has: the first that answers decides. One that has an older zone is no reason to change.
  async function isCurrent({ zone, primaries }: Followed, { serial }: Soa, failures: string[]): Promise<boolean> {
    if (!zone.ready) return false;
    for (const primary of primaries) {
      try {
        const ahead = ((await askSerial(primary, zone.apex, signal)) - serial) >>> 0; // RFC 1982 §3.2
        return ahead === 0 || ahead >= 0x8000_0000;
      } catch (error) {
        failures.push(told(zone.apex, primary, error));
      }
    }
    return false;
  }

  async function transfer({ zone, primaries }: Followed, failures: string[]): Promise<Soa | undefined> {
    for (const primary of primaries) {
      try {
        const records = await askZone(primary, zone.apex, signal);
        await zone.replace(await inSlices(zoneSteps({ apex: zone.apex, records })));
        host.log.info(`Transferred: ${formatName(zone.apex)} from ${addressOf(primary)}`);
        return soaOf(records);
      } catch (error) {
        failures.push(told(zone.apex, primary, error));
      }
    }
    return undefined;
  }

  function told(apex: Name, primary: Primary, error: unknown): string {
    const why = error instanceof Error ? error.message : String(error);
    if (!signal.aborted) host.log.error(`Failed to transfer \`${formatName(apex)}' from "${addressOf(primary)}": ${why}`);
    return `${addressOf(primary)}: ${why}`;
  }
}

function soaOf(records: readonly RecordSet[]): Soa {
  const rdata = records.find(({ type }) => type === RRTypes.SOA)?.rdata[0] ?? new Uint8Array(0);
  const serial = serialOf(rdata);
  const view = Buffer.from(rdata.buffer, rdata.byteOffset, rdata.length);
  const timeMs = (behind: number): number => Math.max(view.readUInt32BE(view.length - behind), LEAST_SECONDS) * 1_000;
  return { serial, refreshMs: timeMs(16), retryMs: timeMs(12), expireMs: timeMs(8) };
}

function addressOf({ address, port }: Primary): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
