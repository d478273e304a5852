#!/bin/sh
# Everything that must hold: checks, build, tests. The last line is always "N passed, N failed".
# The run gets a mount namespace of its own: what it forgets to unmount is seen as its own, and goes with it.
# Arguments are those of run-tests.ts.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"

fail() {
  printf '%s\n0 passed, 1 failed\n' "$1"
  exit 1
}
sh scripts/setup.sh --no-bundle || fail 'not ok: set-up'
PATH=$root/node_modules/.bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
if [ "${1-}" = --checks ]; then exec node scripts/run-tests.ts "$@"; fi
[ "$(id -u)" = 0 ] || fail 'The tests mount file systems and run containers: run them as root.'
# A slave of the system's tree: its unmounts reach us, so we keep none of its disks busy; ours stay here.
# shellcheck disable=SC2016 # expanded by the inner shell
exec unshare --mount --propagation slave sh -c 'mount --make-rshared / && exec "$@"' sh node scripts/run-tests.ts "$@"
