#!/bin/sh
# Builds the C library, when a source is newer than what is there. A target is replaced whole, so a program that loads
# it meanwhile gets the old or the new one.
#   (no argument)  build/libvmci.so, the product's
#   testing        build/testing/libvmci.so, with the streams' core opened to loopback addresses as well
#   sanitize       build/sanitize/..., the C tests under the address and undefined-behaviour sanitizers
#   package FILE   the product's at another place, by $CC with $MORE_FLAGS, without traces of where it was built
set -eu
cd "$(dirname "$0")/.."
sources=native/libvmci
CC=${CC:-cc}
strict='-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
shared='-O2 -fPIC -fvisibility=hidden -shared -Wl,-z,relro,-z,now,-z,defs,-z,noexecstack'
sanitized='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'

fail() {
  echo "$1" >&2
  exit 1
}

# build TARGET FLAGS SOURCE...
build() {
  target=$1 flags=$2
  shift 2
  if [ -e "$target" ] && [ -z "$(find "$sources" scripts/build-native.sh -type f -newer "$target")" ]; then return; fi
  command -v "$CC" >/dev/null 2>&1 || fail 'There is no C compiler to build native/libvmci with: install the Debian package gcc.'
  echo '#include <stdlib.h>' | $CC -E -o /dev/null - 2>/dev/null ||
    fail 'The C library headers that native/libvmci needs are missing: install the Debian package libc6-dev.'
  # shellcheck disable=SC2086 # the flags are words
  echo '#include <blkid/blkid.h>' | $CC ${MORE_FLAGS-} -E -o /dev/null - 2>/dev/null ||
    fail 'The header blkid/blkid.h that native/libvmci needs is missing: install the Debian package libblkid-dev.'
  mkdir -p "$(dirname "$target")"
  new=$(dirname "$target")/.new-$$
  trap 'rm -f "$new"' EXIT
  # shellcheck disable=SC2086 # the flags are words
  $CC $strict $flags -I"$sources" "$@" -o "$new" -lblkid -lpthread
  mv -f "$new" "$target"
}

case ${1-} in
  '') build build/libvmci.so "$shared" "$sources"/*.c ;;
  testing) build build/testing/libvmci.so "$shared" "$sources"/*.c "$sources"/test/loopback.c ;;
  sanitize) build build/sanitize/libvmci-test "$sanitized" "$sources"/*.c "$sources"/test/*.c ;;
  package)
    traceless="-ffile-prefix-map=$PWD=. -Wl,--build-id=none -s"
    build "$2" "$shared $traceless ${MORE_FLAGS-}" "$sources"/*.c
    ;;
  *) fail "Usage: build-native.sh [testing | sanitize | package FILE]" ;;
esac
