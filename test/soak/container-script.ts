/**
 * What the containers of a storm do, with nothing but a shell. Invariant: what a container says that it wrote was
 * flushed to its volume, and has the hash that `contentHash` tells, so that it is known even where nobody heard of it.
 */
import { createHash } from 'node:crypto';

const bytes = 4000;

/** Of the content that a writer gives its file for the so manieth time. */
export function contentHash(volume: string, writer: string, sequence: number): string {
  const line = `${volume} ${writer} ${sequence}\n`;
  const content = line.repeat(Math.ceil(bytes / line.length)).slice(0, bytes);
  return createHash('sha256').update(content).digest('hex');
}

/** What every script says first of data that is not as it must be. */
export const dataIsWrong = /^(LOST|BROKEN|OLD|UNWRITTEN) /m;

/**
 * Arguments, again and again: folder, volume, writer, next sequence number, and the hashes, between commas, of which the
 * writer's own file must have one ("none" stands for no file). Each file is copied at once and then read, since others
 * replace theirs meanwhile.
 */
export const checkAndWrite = `
set -eu
while [ $# -gt 0 ]; do
  folder=$1 volume=$2 writer=$3 sequence=$4 own=,$5,; shift 5
  copy=/tmp/copy-$writer
  case $own in *,none,*) ;; *) [ -e "$folder/data-$writer" ] || { echo "LOST $folder/data-$writer"; exit 9; } ;; esac
  for file in "$folder"/data-*; do
    case $file in *.new | *'*') continue ;; esac
    cat "$file" > "$copy"
    told=$(sed -n '1s/.*"sha256":"\\([0-9a-f]*\\)".*/\\1/p' "$copy")
    is=$(tail -n +2 "$copy" | sha256sum | cut -d ' ' -f 1)
    [ "$told" = "$is" ] || { echo "BROKEN $file: told $told, is $is"; exit 9; }
    [ "$file" = "$folder/data-$writer" ] || continue
    case $own in *,$is,*) ;; *) echo "OLD $file: has $is, not one of $own"; exit 9 ;; esac
  done
  yes "$volume $writer $sequence" | head -c ${bytes} > "$copy"
  hash=$(sha256sum < "$copy" | cut -d ' ' -f 1)
  { printf '{"volume":"%s","writer":"%s","sequence":%s,"sha256":"%s"}\\n' "$volume" "$writer" "$sequence" "$hash"; cat "$copy"; } |
    dd of="$folder/data-$writer.new" conv=fsync 2> /dev/null || { echo "UNWRITTEN $folder/data-$writer"; exit 9; }
  mv "$folder/data-$writer.new" "$folder/data-$writer"
  sync
  echo "WROTE $volume=$hash"
done
`;

/** Counts in /data/count, each number flushed, until an error ends it with 9. Nothing is said: nobody may be listening. */
export const countForEver = `
n=$(cat /data/count 2> /dev/null || echo 0)
while :; do
  n=$((n + 1))
  echo "$n" | dd of=/data/count.new conv=fsync 2> /tmp/why || exit 9
  mv /data/count.new /data/count || exit 9
  usleep 10000
done
`;
