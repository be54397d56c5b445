# Sourced by start, test and check: finds Node, installs packages when the lockfile changed, builds when src changed.
# Needs a POSIX shell, Node and npm; no git. Sets $root; says what it does on stderr, for the long steps take seconds.

say() { printf '%s\n' "ndots: $*" >&2; }

root=$(cd "$(dirname "$0")/.." && pwd) || exit 1

need_node() {
  if ! command -v node >/dev/null 2>&1; then
    say "Node.js was not found; install 20.19 or newer (https://nodejs.org) and try again"
    exit 1
  fi
  version=$(node -p 'process.versions.node')
  if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'; then
    say "Node.js 20.19 or newer is needed, this is $version ($(command -v node))"
    exit 1
  fi
  if ! command -v npm >/dev/null 2>&1; then
    say "npm was not found; it comes with Node.js, or as a package of its own (apt-get install npm)"
    exit 1
  fi
}

# node_modules is as new as the lockfile, by the mark that npm leaves in it.
install_packages() {
  mark=node_modules/.package-lock.json
  if [ -f "$mark" ] && [ -z "$(find package-lock.json -newer "$mark")" ]; then return; fi
  say "installing packages (npm ci)…"
  npm ci --no-audit --no-fund --loglevel=error >&2 || { say "npm ci failed"; exit 1; }
  touch "$mark"
}

# The build goes to a folder of its own and takes dist's place when it is whole: a running server keeps its files,
# a failed build leaves the old ones, and what was deleted from src is not left behind.
build() {
  mark=dist/.built
  if [ -f "$mark" ] && [ -z "$(find src tsconfig.json tsconfig.build.json package-lock.json -newer "$mark" | head -n 1)" ]; then return; fi
  say "building (tsc)…"
  fresh=dist.$$
  mkdir "$fresh" && touch "$fresh/.built" || exit 1
  if ! node_modules/.bin/tsc -p tsconfig.build.json --outDir "$fresh" >&2; then
    rm -rf "$fresh"
    say "the build failed"
    exit 1
  fi
  chmod +x "$fresh/cli.js"
  rm -rf dist && mv "$fresh" dist
}

# In the project's folder, whatever the caller's is.
set_up() {
  cd "$root" || exit 1
  need_node
  install_packages
  build
}
