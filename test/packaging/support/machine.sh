#!/bin/sh
# Becomes systemd, as the first process of a machine whose root is FOLDER/root over LOWER; what it writes there stays in
# FOLDER, and PACKAGES is its /srv/packages. Called in namespaces of its own: machine.sh LOWER FOLDER PACKAGES
set -eu
lower=$1 folder=$2 packages=$3
# What others unmount meanwhile must not stay busy here.
mount --make-rslave /
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay machine -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
# Volumes and their backing files are on the disk itself: loop devices want no overlay below them.
cd "$folder/root"
mkdir -p srv/packages
mount --bind "$packages" srv/packages
for name in docker-volume-vmdk docker-volume-vmdk-service; do
  mkdir -p "$folder/var-lib/$name" "var/lib/$name"
  mount --bind "$folder/var-lib/$name" "var/lib/$name"
done
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty loop-control; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
number=0
while [ "$number" -lt 128 ]; do
  mknod "dev/loop$number" b 7 "$number"
  number=$((number + 1))
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
: >"$folder/console"
: >dev/console
mount --bind "$folder/console" dev/console
# As this machine has it: the unified hierarchy alone, or beside systemd's own of the first version.
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup sys/fs/cgroup/unified
fi
mkdir -p .former
pivot_root . .former
umount -l /.former
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal --log-level=notice \
  </dev/null >/dev/console 2>&1
