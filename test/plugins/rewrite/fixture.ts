// `rewrite` in front of a rest of the chain that answers with the question's own name, or with records given as text.

import { DROP, emptyReply, type Query, type Records } from "../../../src/dns/message.ts";
import { formatRecord, parseRecordSets, typeOf } from "../../../src/dns/text.ts";
import { recordsOf } from "../../../src/dns/wire.ts";
import type { Answer, Instance } from "../../../src/plugin.ts";
import rewrite from "../../../src/plugins/rewrite/rewrite.ts";
import { textOf } from "../../../src/plugins/rewrite/names.ts";
import { fakeHost, query, setUp, type FakeHost } from "../../helpers/fake-host.ts";

/** What was asked behind, and what came of it. */
export interface Seen {
  /** The name that the rest of the chain was asked for; undefined if it was not asked. */
  readonly asked: Query | undefined;
  readonly reply: Records;
  /** Whether the reply is the very object that the rest of the chain gave. */
  readonly isUntouched: boolean;
}

/** The reply of the rest of the chain: one address at the name asked for, unless told otherwise. */
export type Rest = (query: Query) => Answer | Promise<Answer>;

export const anAddress: Rest = ({ qname }) => records(`${textOf(qname)} 5 IN A 192.0.2.1`);

/** A reply with these sections, in zone file form. */
export function records(
  answer: string,
  sections: { readonly authority?: string; readonly additional?: string; readonly rcode?: number } = {},
): Records {
  const { authority = "", additional = "", rcode = 0 } = sections;
  return {
    ...emptyReply(rcode, "next"),
    authoritative: true,
    answer: parseRecordSets(answer),
    authority: parseRecordSets(authority),
    additional: parseRecordSets(additional),
  };
}

/** Sets `rules` up; gives the instance, and what it makes of `NAME [TYPE]`. */
export async function rewriting(
  rules: string,
  rest: Rest = anAddress,
  host: FakeHost = fakeHost("rewrite"),
): Promise<{ readonly instance: Instance; ask(question: string | Query): Promise<Seen> }> {
  const instance = await setUp(rewrite, rules, host);
  return {
    instance,
    async ask(question) {
      let asked: Query | undefined;
      let given: Answer | undefined;
      const answer = await instance.handle?.(typeof question === "string" ? toQuery(question) : question, async (behind) => {
        asked = behind;
        return (given = await rest(behind));
      });
      if (answer === undefined || answer === DROP) throw new Error("no reply");
      return { asked, reply: recordsOf(answer), isUntouched: answer === given };
    },
  };
}

export function toQuery(question: string): Query {
  const [name = "", type = "A"] = question.split(" ");
  return query(name, { type: typeOf(type) ?? 0 });
}

/** The records of a section as text. */
export function lines(section: Records["answer"]): string[] {
  return section.flatMap((rrset) => rrset.rdata.map((rdata) => formatRecord(rrset, rdata)));
}
