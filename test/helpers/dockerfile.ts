// Reads a Dockerfile far enough to lint ours and to lay its image out in a folder: stages, instructions, ARGs of the
// first lines, line continuations. No heredocs, no ONBUILD.

export interface Instruction {
  readonly keyword: string;
  /** Flags such as `--from=build`. */
  readonly flags: Readonly<Record<string, string>>;
  /** The JSON form's words, else the words between blanks. */
  readonly words: readonly string[];
  readonly text: string;
  readonly line: number;
}

export interface Stage {
  /** The name behind AS; the last stage may have none. */
  readonly name: string | undefined;
  /** Another stage's name, or an image. */
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

export function parseDockerfile(text: string): Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  const globalArgs = new Map<string, string>();
  for (const { content, line } of logicalLines(text)) {
    const [, keyword = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(content) ?? [];
    const instruction = parseInstruction(keyword.toUpperCase(), rest, line);
    const stage = stages.at(-1);
    if (instruction.keyword === "FROM") {
      const [from = "", , name] = instruction.words;
      stages.push({ from: from.replace(/\$\{(\w+)\}/g, (_, arg: string) => globalArgs.get(arg) ?? ""), name, instructions: [] });
    } else if (stage === undefined) {
      const [name = "", value = ""] = rest.split("=");
      if (instruction.keyword === "ARG") globalArgs.set(name, value);
    } else {
      stage.instructions.push(instruction);
    }
  }
  return stages;
}

/** The instructions that make a stage's image: those of the stages it is built from, then its own. */
export function inherited(stages: readonly Stage[], stage: Stage): readonly Instruction[] {
  const base = stages.find(({ name }) => name === stage.from);
  return base === undefined ? stage.instructions : [...inherited(stages, base), ...stage.instructions];
}

/** The words of the last instruction of a kind, which is the one that counts for USER, ENTRYPOINT, CMD and WORKDIR. */
export function lastOf(instructions: readonly Instruction[], keyword: string): readonly string[] | undefined {
  return instructions.findLast((instruction) => instruction.keyword === keyword)?.words;
}

function parseInstruction(keyword: string, rest: string, line: number): Instruction {
  const flags: Record<string, string> = {};
  let text = rest;
  for (let flag = /^--([a-z]+)=(\S+)\s+/.exec(text); flag !== null; flag = /^--([a-z]+)=(\S+)\s+/.exec(text)) {
    flags[flag[1] ?? ""] = flag[2] ?? "";
    text = text.slice(flag[0].length);
  }
  const words = text.startsWith("[") ? (JSON.parse(text) as string[]) : text.split(/\s+/).filter((word) => word !== "");
  return { keyword, flags, words, text, line };
}

function* logicalLines(text: string): Generator<{ content: string; line: number }> {
  let content = "";
  let start = 0;
  for (const [index, raw] of text.split("\n").entries()) {
    if (/^\s*#/.test(raw)) continue;
    if (content === "") start = index + 1;
    content += raw.trim();
    if (content.endsWith("\\")) {
      content = `${content.slice(0, -1).trimEnd()} `;
    } else if (content !== "") {
      yield { content, line: start };
      content = "";
    }
  }
}
