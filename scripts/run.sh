#!/bin/sh
# Sets everything up, then becomes one of our TypeScript programs on Node 24: run.sh FILE.ts [ARGUMENT…]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
sh "$root/scripts/setup.sh"
PATH=$root/node_modules/.bin:$PATH
export PATH
program=$1
shift
exec node "$root/$program" "$@"
