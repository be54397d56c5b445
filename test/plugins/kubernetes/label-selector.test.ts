// Label selectors in kubectl's text form.

import { expect } from "chai";
import { parseLabelSelector } from "../../../src/plugins/kubernetes/label-selector.ts";

const labels = { app: "web", tier: "front", "example.org/team": "a", empty: "" };

describe("label selector", () => {
  const rows: readonly (readonly [string, boolean | undefined])[] = [
    ["app=web", true],
    ["app==web", true],
    ["app = web", true],
    ["app=api", false],
    ["app!=api", true],
    ["app!=web", false],
    ["missing!=x", true],
    ["app", true],
    ["!app", false],
    ["!missing", true],
    ["empty=", true],
    ["tier in (front, back)", true],
    ["tier in (back)", false],
    ["tier notin (back)", true],
    ["missing notin (back)", true],
    ["missing in (back)", false],
    ["app=web,tier in (front, back),!old", true],
    ["app=web,tier in (back, side)", false],
    ["example.org/team=a", true],
    ["constructor", false],
    ["", undefined],
    ["app in web", undefined],
    ["app=web,", undefined],
    ["a b", undefined],
    ["tier in (front", undefined],
    ["-x=1", undefined],
  ];
  for (const [text, result] of rows) {
    it(`"${text}" ${result === undefined ? "is none" : result ? "selects" : "does not select"}`, () => {
      expect(parseLabelSelector(text)?.(labels)).to.equal(result);
    });
  }
});
