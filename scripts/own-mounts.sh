#!/bin/sh
# Becomes a command in a mount namespace of its own, whose mounts are private, without the disks that others have mounted:
# a copy of such a mount would keep the disk busy for as long as the command runs, whatever its owner does.
#   own-mounts.sh KEPT COMMAND...       below the folder KEPT disks stay; an empty word: none stays
set -eu
# As slaves first, so that what its owner unmounts meanwhile goes here, too; and again for what came before the last step.
# shellcheck disable=SC2016 # expanded by the inner shell
exec unshare --mount --propagation slave sh -c '
set -eu
kept=$1
shift
give_back() {
  awk -v kept="$kept" '\''{
    for (i = 7; $i != "-"; i++);
    if ($(i + 2) ~ "^/dev/(loop|dm-|mapper/)" && index($5, kept) != 1) print $5
  }'\'' /proc/self/mountinfo | tac | while read -r target; do
    # Its owner may have been faster.
    umount "$(printf %b "$target")" 2>/dev/null || true
  done
}
give_back
mount --make-rprivate /
give_back
exec "$@"' sh "$@"
