// The template language: what Go's text/template makes of the same text and data, and what is refused or fails instead.

import { expect } from "chai";
import fc from "fast-check";

import { isProblem } from "../../../src/config/arguments.ts";
import { compileTemplate, type Template } from "../../../src/plugins/template/compile.ts";
import type { Struct, Value } from "../../../src/plugins/template/values.ts";

const question = { Name: "Ip-10-0-0-7.example.", Qtype: 1n, Qclass: 1n };
const data: Struct = {
  Zone: "example.",
  Name: "ip-10-0-0-7.example.",
  Regex: "^ip",
  Match: ["ip-10-0-0-7", "10", "", "7"],
  Group: new Map<string, Value>([
    ["0", "ip-10-0-0-7"],
    ["a", "10"],
    ["b", ""],
    ["c", "7"],
  ]),
  Class: "IN",
  Type: "A",
  Remote: "192.0.2.7",
  Meta: () => "",
  Question: question,
  Message: { Id: 7n, RecursionDesired: true, Question: [question] },
};

function compiled(source: string): Template {
  const template = compileTemplate(source);
  if (isProblem(template)) throw new Error(template.problem);
  return template;
}

const gives: readonly (readonly [source: string, text: string])[] = [
  ["plain", "plain"],
  ["{{ .Name }} 60 IN {{.Type}}", "ip-10-0-0-7.example. 60 IN A"],
  ["{{ .Group.a}}.{{ .Group.b }}.{{.Group.c }}", "10..7"],
  ["{{ index .Match 1 }}-{{ index .Match 3 }}", "10-7"],
  ['{{ index .Group "c" }}{{ index .Group "none" }}', "7"],
  ["{{ .Group.none }}", "<no value>"],
  ["{{ index (index .Message.Question 0).Name 0 }}", "73"],
  ["{{ .Question.Name }} {{ .Question.Qtype }} {{ .Message.Id }}", "Ip-10-0-0-7.example. 1 7"],
  ["{{ .Match }} {{ .Group }}", "[ip-10-0-0-7 10  7] map[0:ip-10-0-0-7 a:10 b: c:7]"],
  ["{{ .Message.RecursionDesired }}", "true"],
  ['{{ .Meta "kubernetes/client-namespace" }}.', "."],
  // blanks
  ["a {{- 1 -}} b", "a1b"],
  ["a  \n {{- .Type }} b", "aA b"],
  ["{{ .Type -}} \n b", "Ab"],
  ["{{-3}}", "-3"],
  ["a{{/* a comment with }} in it */}}b", "ab"],
  ["a {{- /* trims */ -}} b", "ab"],
  ["{{ .Type\n}}", "A"],
  // constants
  [String.raw`{{ "a\"b\\\x41\u00e9\101" }}`, 'a"b\\AéA'],
  ['{{ `a\\n"b` }}', 'a\\n"b'],
  ["{{ 'a' }} {{ '\\n' }} {{ 'é' }}", "97 10 233"],
  ["{{ 0x1F }} {{ 0o17 }} {{ 017 }} {{ 0b11 }} {{ 1_000 }} {{ +7 }} {{ -7 }}", "31 15 15 3 1000 7 -7"],
  ["{{ 18446744073709551615 }}", "18446744073709551615"],
  ["{{ true }} {{ false }}", "true false"],
  // decisions
  ["{{ if .Group.a }}yes{{ end }}{{ if .Group.b }}no{{ end }}", "yes"],
  ["{{ if .Group.none }}no{{ else }}else{{ end }}", "else"],
  ['{{ if eq .Type "AAAA" }}6{{ else if eq .Type "A" }}4{{ else }}?{{ end }}', "4"],
  ['{{ if eq .Type "AAAA" "A" "MX" }}one{{ end }}', "one"],
  ["{{ if 0 }}a{{ else if `` }}b{{ else if false }}c{{ else }}d{{ end }}", "d"],
  ["{{ with .Group.a }}{{ . }}{{ end }}{{ with .Group.b }}no{{ else }}none{{ end }}", "10none"],
  ["{{ with .Group }}{{ .a }}{{ end }}{{ with .Group.b }}x{{ else with .Group.c }}{{ . }}{{ end }}", "107"],
  ["{{ with $x := .Group.a }}{{ $x }}{{ end }}", "10"],
  ["{{ with 1 }}{{ $.Type }}{{ end }}", "A"],
  ["{{ and 1 0 2 }} {{ and 1 2 }} {{ or 0 `` `x` }} {{ or 0 `` }}| {{ not 0 }}", "0 2 x | true"],
  ["{{ or true (index .Match 99) }} {{ and false (index .Match 99) }}", "true false"],
  ["{{ lt 1 2 }} {{ le 2 2 }} {{ gt `a` `b` }} {{ ge `b` `a` }} {{ ne 1 2 }} {{ eq 1 1 }}", "true true false true true true"],
  // loops
  ["{{ range .Match }}[{{ . }}]{{ end }}", "[ip-10-0-0-7][10][][7]"],
  ["{{ range $i, $m := .Match }}{{ $i }}={{ $m }};{{ end }}", "0=ip-10-0-0-7;1=10;2=;3=7;"],
  ["{{ range $k, $v := .Group }}{{ $k }}={{ $v }};{{ end }}", "0=ip-10-0-0-7;a=10;b=;c=7;"],
  ["{{ range $m := .Match }}{{ $m }}{{ break }}{{ end }}", "ip-10-0-0-7"],
  ["{{ range .Match }}{{ if not . }}{{ continue }}{{ end }}{{ . }} {{ end }}", "ip-10-0-0-7 10 7 "],
  ["{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ end }}", "01201"],
  ["{{ range 0 }}no{{ else }}none{{ end }}", "none"],
  ["{{ $last := `` }}{{ range .Match }}{{ $last = . }}{{ end }}{{ $last }}", "7"],
  ["{{ range 2 }}{{ range 2 }}{{ break }}{{ end }}x{{ end }}", "xx"],
  // variables
  ["{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21"],
  ["{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"],
  ["{{ $g := .Group }}{{ $g.a }}", "10"],
  // pipelines and functions
  ["{{ .Group.a | printf `%05s` }}", "00010"],
  ["{{ .Group.a | len | printf `%d` }}", "2"],
  ["{{ (.Group).a }}{{ (index .Match 1) }}", "1010"],
  ["{{ len .Match }} {{ len .Group }} {{ len `é` }}", "4 4 2"],
  ["{{ slice .Name 3 5 }} {{ slice .Name 15 }} {{ slice .Match 1 2 }}", "10 mple. [10]"],
  [
    "{{ parseInt `ff` 16 8 }} {{ parseInt .Group.c 10 64 }} {{ parseInt `0x1f` 0 0 }} {{ parseInt `1_0` 0 8 }} {{ parseInt `017` 0 8 }}",
    "255 7 31 10 15",
  ],
  ["{{ print 1 2 `a` `b` 3 4 }} {{ println 1 `a` }}", "1 2ab3 4 1 a\n"],
  ["{{ printf `%s-%v-%d` .Type 5 6 }}", "A-5-6"],
  [
    '{{ printf `%02x%02X` 10 10 }} {{ printf `%x` `az` }} {{ printf `%o %b %c %t %q %%` 8 5 65 true `a"` }}',
    '0a0A 617a 10 101 A true "a\\"" %',
  ],
  ["{{ printf `[%5d|%-5d|%+d|%05d|% d|%.3d|%#x]` 42 42 42 -42 42 7 255 }}", "[   42|42   |+42|-0042| 42|007|0xff]"],
  ["{{ printf `[%5s|%-5s|%.2s]` `abc` `abc` `abc` }}", "[  abc|abc  |ab]"],
  ["", ""],
];

const refused: readonly (readonly [source: string, because: string])[] = [
  ["{{ .Nmae }}", 'no field "Nmae", did you mean "Name"?'],
  ["{{ .Foo }}", 'no field "Foo"; known: Class, Group, Match, Message, Meta, Name, Question, Regex, Remote, Type, Zone'],
  ["{{ if true }}{{ .Foo }}{{ end }}", 'no field "Foo"'],
  ["{{ with 1 }}{{ $.Foo }}{{ end }}", 'no field "Foo"'],
  ["{{ .Message.Answer }}", '.Message has no field "Answer"'],
  ["{{ .Question.Name.Length }}", 'no field "Length" there'],
  ["{{ .Name.First }}", 'no field "First" there'],
  ["{{ lookup .Name }}", 'no such function "lookup"; known: and, eq, ge,'],
  ['{{ template "x" }}', '"template" is not supported'],
  ['{{ define "x" }}{{ end }}', '"define" is not supported'],
  ["{{ html .Name }}", '"html" is not supported'],
  ["{{ len }}", "len takes 1 argument, found 0"],
  ["{{ parseInt .Group.a }}", "parseInt takes 3 arguments, found 1"],
  ["{{ slice .Name 1 2 3 }}", "slice takes 1–3 arguments, found 4"],
  ["{{ eq 1 }}", "eq takes at least 2 arguments, found 1"],
  ["{{ $x }}", "variable $x is not defined"],
  ["{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "variable $x is not defined"],
  ["{{ $x = 1 }}", "variable $x is not defined"],
  ["{{ .Name", "an action is not closed: }} is missing"],
  ["{{ if .Name }}", "{{ if }} has no {{ end }}"],
  ["{{ range .Match }}{{ else }}", "{{ range }} has no {{ end }}"],
  ["{{ end }}", "unexpected {{ end }}"],
  ["{{ else }}", "unexpected {{ else }}"],
  ["{{ if 1 }}{{ else }}{{ else }}{{ end }}", "{{ if }} has no {{ end }}"],
  ["{{ if }}x{{ end }}", "a value is missing"],
  ["{{ }}", "an action is empty: {{ }}"],
  ["{{ break }}", "{{ break }} is not in a range"],
  ["{{ nil }}", "nil is not a command"],
  ["{{ 1.5 }}", 'only whole numbers are supported, found "1.5"'],
  ["{{ 0xg }}", 'bad number "0xg"'],
  ["{{ 18446744073709551616 }}", '"18446744073709551616" does not fit into 64 bits'],
  ['{{ "a }}', 'a string is not closed: "a }}'],
  [String.raw`{{ "\q" }}`, String.raw`unknown escape \q in "\q"`],
  ["{{ 'ab' }}", "'ab' is not one character"],
  ["{{ (1 }}", ") is missing"],
  ["{{ 1 ) }}", 'unexpected ")"'],
  ["{{ 1 2 }}", '"1" is not a function, but is given arguments'],
  ["{{ 1 | 2 }}", '"2" is not a function, but is given arguments'],
  ["{{ .Name | }}", "a value is missing"],
  ["{{ print .Name`a` }}", 'a blank is missing before "`a`"'],
  ["{{ ? }}", 'unexpected "?" in an action'],
  [`{{ ${"(".repeat(200)}1${")".repeat(200)} }}`, "is nested more than 100 deep"],
  [`${"{{ if 1 }}".repeat(200)}${"{{ end }}".repeat(200)}`, "is nested more than 100 deep"],
  ["{{ if 1 }}{{ end }}".replace("{{ end }}", "{{ else if 1 }}".repeat(20_000)), "is nested more than 100 deep"],
];

const fails: readonly (readonly [source: string, because: string])[] = [
  ["{{ index .Match 4 }}", "index 4 is out of range"],
  ["{{ index .Match -1 }}", "index -1 is out of range"],
  ["{{ index .Match `a` }}", "an index must be an integer, found a string"],
  ["{{ index .Group 1 }}", "the index of a map must be a string, found an integer"],
  ["{{ index 1 1 }}", "an integer has no items"],
  ["{{ slice .Name 5 2 }}", "index 5 is out of range"],
  ["{{ len 5 }}", "an integer has no length"],
  ["{{ parseInt `x` 10 8 }}", 'parseInt: "x" is no number in base 10'],
  ["{{ parseInt `` 10 8 }}", 'parseInt: "" is no number'],
  ["{{ parseInt `-1` 10 8 }}", 'parseInt: "-1" is no number in base 10'],
  ["{{ parseInt `256` 10 8 }}", 'parseInt: "256" does not fit into 8 bits'],
  ["{{ parseInt `1` 37 8 }}", "parseInt's base must be 0 or 2–36, found 37"],
  ["{{ parseInt 1 10 8 }}", "parseInt's text must be a string, found an integer"],
  ["{{ parseInt `1` 10 65 }}", "parseInt's base and bits must be 0–64, found 65"],
  ["{{ lt 1 `a` }}", "an integer and a string have no order"],
  ["{{ eq 1 `a` }}", "an integer and a string can't be compared"],
  ["{{ eq .Match 1 }}", "a list can't be compared"],
  ["{{ range .Name }}{{ end }}", "range can't go over a string"],
  ["{{ range $i, $v := 3 }}{{ end }}", "range over an integer takes one variable"],
  ["{{ . }}", "a group of fields can't be printed"],
  ["{{ .Meta }}", "a function can't be printed"],
  ["{{ .Name `x` }}", '".Name" is not a function, but is given arguments'],
  ["{{ with .Name }}{{ .x }}{{ end }}", 'a string has no field "x"'],
  ["{{ printf `%d` `x` }}", "printf: %d can't print a string"],
  ["{{ printf `%s` }}", "printf: %s has no value"],
  ["{{ printf `x` 1 }}", 'printf: more values than verbs in "x"'],
  ["{{ printf `%1000d` 1 }}", "printf: %1000d is wider than 255"],
  ["{{ printf 1 }}", "printf's format must be a string, found an integer"],
  ["{{ range 18446744073709551615 }}{{ end }}", "takes more than 10000 steps"],
  ["{{ range 200 }}{{ range 200 }}{{ end }}{{ end }}", "takes more than 10000 steps"],
  ["{{ $x := `0123456789` }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}", "a text has more than 65535 characters"],
  ["{{ range 4000 }}0123456789abcdefghij{{ end }}", "a text has more than 65535 characters"],
];

describe("plugins/template: language", () => {
  for (const [source, text] of gives) {
    it(`${JSON.stringify(source)} gives ${JSON.stringify(text)}`, () => expect(compiled(source).render(data)).to.equal(text));
  }
  for (const [source, because] of refused) {
    it(`refuses ${JSON.stringify(source.slice(0, 60))}: ${because}`, () => {
      const template = compileTemplate(source);
      expect(isProblem(template) ? template.problem : "").to.contain(because);
    });
  }
  for (const [source, because] of fails) {
    it(`${JSON.stringify(source.slice(0, 60))} fails: ${because}`, () =>
      expect(compiled(source).render(data)).to.deep.equal({ problem: because }));
  }

  it("knows which fields and groups it looks at", () => {
    const template = compiled("{{ .Name }}{{ with .Group.a }}{{ $.Remote }}{{ end }}");
    expect(["Name", "Group", "Remote", "Message", "Meta"].filter(template.mentions)).to.deep.equal(["Name", "Group", "Remote"]);
    expect([...template.groups]).to.deep.equal(["a"]);
  });

  it("looks at all fields where it hands on the whole", () => {
    for (const source of [
      "{{ with . }}{{ .Remote }}{{ end }}",
      "{{ $x := $ }}{{ $x.Remote }}",
      "{{ range .Match }}{{ with $ }}{{ .Remote }}{{ end }}{{ end }}",
    ]) {
      expect(compiled(source).mentions("Remote"), source).to.equal(true);
    }
  });

  it("any text is compiled or refused, and what is compiled gives a text or a reason", () => {
    const words = [
      "{{",
      "}}",
      "{{-",
      "-}}",
      "if",
      "else",
      "end",
      "range",
      "with",
      "break",
      ".",
      ".Name",
      ".Group.a",
      ".Match",
      "$",
      "$x",
      ":=",
      "=",
      "|",
    ];
    const more = [
      "(",
      ")",
      ",",
      "index",
      "len",
      "printf",
      "eq",
      "and",
      "parseInt",
      "slice",
      "print",
      "1",
      "0",
      '"a"',
      "`%s%d`",
      "'",
      '"',
      "\\",
      "/*",
      "*/",
      "nil",
    ];
    const source = fc.array(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...words, ...more) }, fc.string({ maxLength: 3 })), {
      maxLength: 14,
    });
    fc.assert(
      fc.property(source, fc.boolean(), (parts, whole) => {
        const text = parts.join(" ");
        const template = compileTemplate(whole ? text : `{{ ${text} }}`);
        if (isProblem(template)) expect(template.problem).to.be.a("string").that.is.not.empty;
        else expect(template.render(data)).to.satisfy((result: unknown) => typeof result === "string" || isProblem(result));
      }),
      { numRuns: 3000 },
    );
  });
});
