#!/bin/sh
# The Docker tests in both forms of the plugin, on the installed dockerd and on Debian 13's (26.1), and all of the
# packages' tests, also those that are only looked at. Each part says "N passed, N failed"; the exit code is 0 when all held.
set -u
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root" || exit 1
sh scripts/setup.sh --cross || exit 1
code=0

# part TITLE NAME=VALUE... -- FILE...
part() {
  printf '\n# %s\n' "$1"
  shift
  variables=''
  while [ "$1" != -- ]; do
    variables="$variables $1"
    shift
  done
  shift
  # shellcheck disable=SC2086 # a list of assignments
  env $variables sh scripts/test.sh --tests "$@" || code=1
}
part 'managed, installed dockerd' TEST_PLUGIN_FORM=managed -- test/docker/*.test.ts
part 'legacy, dockerd of Debian 13' TEST_DOCKER_RELEASE=trixie -- test/docker/*.test.ts
part 'managed, dockerd of Debian 13' TEST_DOCKER_RELEASE=trixie TEST_PLUGIN_FORM=managed -- test/docker/*.test.ts
part 'packages, installed dockerd' TEST_PACKAGES=1 -- test/packaging/*.test.ts
part 'packages, dockerd of Debian 13' TEST_DOCKER_RELEASE=trixie -- test/packaging/managed.test.ts
exit $code
