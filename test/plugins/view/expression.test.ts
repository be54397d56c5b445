import { expect } from "chai";
import fc from "fast-check";

import { RRTypes } from "../../../src/dns/records.ts";
import { compileCondition } from "../../../src/plugins/view/expression.ts";
import type { Subject } from "../../../src/plugins/view/functions.ts";
import { ExpressionError } from "../../../src/plugins/view/tokens.ts";
import { query, type Asked } from "../../helpers/fake-host.ts";

const asks: Asked = {
  type: RRTypes.AAAA,
  id: 4711,
  edns: { udpSize: 1232, dnssecOk: true },
  client: { address: "192.0.2.7", port: 50759, localAddress: "2001:db8::53", localPort: 53, transport: "udp" },
};

const about = (asked: Asked): Subject => ({
  query: query("www.example.org.", asked),
  metadata: (label) => (label === "kubernetes/client-namespace" ? "default" : undefined),
});

describe("plugins/view: expressions", () => {
  const holds: readonly string[] = [
    "true",
    "name() == 'www.example.org.'",
    "name() == `www.example.org.`",
    "type() == 'AAAA' and class() == 'IN'",
    "type() != 'A' && class() != 'CH'",
    "client_ip() == '192.0.2.7'",
    "port() == '50759'",
    "server_ip() == '2001:db8::53'",
    "server_port() == '53'",
    "proto() == 'udp'",
    "id() == 4711",
    "opcode() == 0",
    "size() == 33",
    "bufsize() == 1232",
    "do()",
    "do() == true",
    "id() > 4710 and id() >= 4711 and id() < 4712 and id() <= 4711",
    "-1 < 0.5",
    "id() % 10 == 1",
    "1 + 2 * 3 - 4 / 2 == 5 and (1 + 2) * 3 == 9",
    "10 - 3 - 2 == 5",
    "-id() < -4710 and - -1 == 1",
    "-1 in [-1]",
    "'a' < 'b'",
    "type() in ['A', 'AAAA']",
    "id() in [1, 4711]",
    "type() not in ['A', 'MX']",
    "not (type() in ['A'])",
    "!(type() == 'A')",
    "not false",
    "!!true",
    "name() matches '^www\\\\.example\\\\.'",
    "name() matches 'EXAMPLE' or name() matches '(?i)EXAMPLE'",
    "name() not matches '^mail'",
    "name() contains 'example'",
    "name() startsWith 'www.' && name() endsWith '.org.'",
    "name() not endsWith '.com.'",
    "incidr(client_ip(), '192.0.2.0/24')",
    "incidr( server_ip() ,'2001:0DB8::/32' )",
    "incidr('[2001:db8::1]', '2001:db8::/32')",
    "not incidr(client_ip(), '10.0.0.0/8')",
    "metadata('kubernetes/client-namespace') == 'default'",
    "metadata('view/name') == ''",
    "true or false and false",
    "not false and true",
    "(false or true) and (true and true)",
    "type()=='AAAA'||type()=='A'",
    "'it\\'s' == \"it's\"",
    "'\\\\' == `\\`",
    Array.from({ length: 50 }, () => "(").join("") + "true" + Array.from({ length: 50 }, () => ")").join(""),
    Array.from({ length: 20_000 }, () => "do()").join(" and "),
  ];
  for (const text of holds) {
    it(text.slice(0, 80), () => {
      expect(compileCondition(text)(about(asks))).to.equal(true);
      expect(compileCondition(`not (${text})`)(about(asks)), "its contrary").to.equal(false);
    });
  }

  it("over TCP and TLS a client takes any size", () => {
    for (const transport of ["tcp", "tls", "https"] as const) {
      const asked = about({ client: { transport } });
      expect(compileCondition("proto() == 'tcp' and bufsize() == 65535 and not do()")(asked)).to.equal(true);
    }
    expect(compileCondition("bufsize() == 512")(about({}))).to.equal(true);
  });

  const wrong: readonly (readonly [string, number, RegExp])[] = [
    ["invalid expression", 0, /^unknown name "invalid"; functions: bufsize, .* type; a text stands in single quotes$/],
    ["nmae() == 'a'", 0, /^unknown name "nmae", did you mean name\(\)\?$/],
    ["name == 'a'", 0, /^name is a function: write name\(\)$/],
    ["constructor()", 0, /^unknown name "constructor"/],
    ["name('a') == 'a'", 0, /^name\(\): takes no arguments$/],
    ["type() == A", 10, /^unknown name "A"; .*a text stands in single quotes$/],
    ["1", 0, /^the expression must be a condition, found a number$/],
    ["name()", 0, /^the expression must be a condition, found a text$/],
    ["id() == 'a'", 5, /^a number == a text can't be compared$/],
    ["do() < true", 5, /^a condition < a condition can't be compared$/],
    ["not name() == 'a'", 0, /^what stands behind not must be a condition, found a text$/],
    ["name() and do()", 0, /^what stands beside and must be a condition, found a text$/],
    ["type() in 'A'", 7, /^in must be followed by a list/],
    ["type() in [name()]", 11, /^a list holds texts, numbers, true and false$/],
    ["name() matches name()", 7, /^matches must be followed by a regular expression in quotes$/],
    ["name() matches '('", 7, /^matches: must be a regular expression of Go's: /],
    ["id() matches 'a'", 5, /^matches takes two texts$/],
    ["incidr(client_ip())", 0, /^incidr\(\): takes an address and a network$/],
    ["incidr(client_ip(), '192.0.2.0')", 0, /^incidr\(\): the network must be one like .*, found '192.0.2.0'$/],
    ["incidr(client_ip(), name())", 0, /^incidr\(\): the network must be a text in quotes/],
    ["metadata() == 'a'", 0, /^metadata\(\): takes a label, like 'kubernetes\/client-namespace'$/],
    ["name() + 'a' == 'b'", 7, /^what stands left of \+ must be a number, found a text$/],
    ["id() % '2' == 1", 5, /^what stands right of % must be a number, found a text$/],
    ["id() ** 2 == 1", 6, /^expected a function, a value or "\(", found "\*"$/],
    ["do() ? true : false", 5, /^"\?" is not supported$/],
    ["name() == 'a", 10, /^the string has no end: ' is missing$/],
    ["name() == 'a\\d'", 12, /^"\\d" is no escape; a backslash is written \\\\$/],
    ["(do()", 5, /^expected "\)", found "the end"$/],
    ["do() and", 8, /^expected a function, a value or "\(", found "the end"$/],
    ["do() do()", 5, /^expected an operator, found "do"$/],
    ["[1] == [1]", 4, /^a list == a list can't be compared$/],
    ["-name() == 'a'", 0, /^what stands behind - must be a number, found a text$/],
    ["", 0, /^expected a function, a value or "\(", found "the end"$/],
    [Array.from({ length: 100_000 }, () => "(").join(""), 100, /^too many levels$/],
    [Array.from({ length: 100_000 }, () => "!").join(""), 100, /^too many levels$/],
  ];
  for (const [text, at, says] of wrong) {
    it(`refuses ${text.slice(0, 60) || "nothing"}`, () => {
      try {
        compileCondition(text);
      } catch (error) {
        expect(error).to.be.instanceOf(ExpressionError);
        expect((error as ExpressionError).message).to.match(says);
        expect((error as ExpressionError).at).to.equal(at);
        return;
      }
      expect.fail("it was taken");
    });
  }

  it("whatever the text: a condition, or an error with its place", () => {
    const words = [
      "name()",
      "do()",
      "id()",
      "'a'",
      "1",
      "-",
      "not",
      "in",
      "matches",
      "==",
      "<",
      "&&",
      "or",
      "(",
      ")",
      "[",
      "]",
      ",",
      "%",
      "incidr(",
      "é",
    ];
    const soup = fc.array(fc.constantFrom(...words), { maxLength: 12 }).map((parts) => parts.join(" "));
    fc.assert(
      fc.property(fc.oneof(soup, fc.string()), (text) => {
        try {
          expect(compileCondition(text)(about(asks))).to.be.a("boolean");
        } catch (error) {
          expect(error).to.be.instanceOf(ExpressionError);
          expect((error as ExpressionError).at).to.be.within(0, text.length);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
