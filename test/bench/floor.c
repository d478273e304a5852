/*
 * The floor: the system calls that a volume's life costs, made by threads of a C program with nothing around them. No
 * volume driver that keeps our promises (durable create, one file system per disk, nothing half-done after a crash) can
 * be much faster on the machine it runs on.
 *
 * Included, step by step:
 *   create         extent, metadata and descriptor written aside and flushed; extent and metadata linked to their names,
 *                  folder flushed; descriptor linked, names aside unlinked, extent stat'ed, folder flushed
 *   first-mount    loop attach (GET_FREE, LOOP_CONFIGURE, behind one mutex since the kernel offers one device to all),
 *                  libblkid probe, mkfs as a child process, mkdir, mount
 *   first-unmount  umount, rmdir, exclusive open, LOOP_CLR_FD; metadata ("formatted") written aside, flushed, renamed,
 *                  folder flushed
 *   mount          loop attach, mkdir, mount
 *   unmount        umount, rmdir, exclusive open, LOOP_CLR_FD
 *   remove         descriptor renamed, folder flushed, extent, metadata and descriptor unlinked
 * Left out: HTTP, the channel, the record of references, the second look at a disk that libblkid calls empty, waiting
 * for a device that another program keeps open.
 *
 *   floor FOLDER COUNT THREADS LATER MKFS ARGUMENT…
 * COUNT volumes in all, each with LATER pairs of mount and unmount between its first unmount and its remove. FOLDER has
 * the folders "disks" and "mounts". DEVICE in an argument's place stands for the device. Prints "STEP MILLISECONDS" for
 * each step that was done, then "wall SECONDS" and "errors NUMBER".
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXTENT_BYTES = 100 * 1024 * 1024, TEXT_BYTES = 600, PATH_BYTES = 512, MKFS_WORDS = 64, ATTEMPTS = 512 };

enum step { CREATE, FIRST_MOUNT, FIRST_UNMOUNT, MOUNT, UNMOUNT, REMOVE, STEPS };
static const char *const step_names[STEPS] = {"create", "first-mount", "first-unmount", "mount", "unmount", "remove"};

struct volume {
    char extent[64], metadata[64], descriptor[64], tombstone[64];
    char aside[3][64];
    char device[32];
    char target[PATH_BYTES];
};

struct worker {
    pthread_t thread;
    int number, count, errors, samples;
    struct sample { enum step step; double ms; } *sample;
};

extern char **environ;
static int folder;
static const char *folder_path;
static char *const *mkfs;
static int later_pairs;
static char text[TEXT_BYTES];
static pthread_mutex_t attach_turn = PTHREAD_MUTEX_INITIALIZER;

static int failed(const char *what)
{
    (void)fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    return -1;
}

static double now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Flushed later, by flush(): the journal then takes all that was written before in one go. */
static int write_aside(const char *name, int is_extent)
{
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return failed("open aside");
    if (is_extent ? ftruncate(file, EXTENT_BYTES) < 0 : write(file, text, sizeof text) != (ssize_t)sizeof text) {
        (void)close(file);
        return failed("write aside");
    }
    return file;
}

static int flush(int file)
{
    int result = fsync(file);
    (void)close(file);
    return result < 0 ? failed("fsync") : 0;
}

static int flush_folder(void) { return fsync(folder) < 0 ? failed("fsync of the folder") : 0; }

static int discard(const char *name) { return unlinkat(folder, name, 0) < 0 ? failed("unlink") : 0; }

static int publish(const char *aside, const char *name)
{
    return linkat(folder, aside, folder, name, 0) < 0 ? failed("link") : 0;
}

static int create(struct volume *volume)
{
    int files[3];
    for (int i = 0; i < 3; i++)
        if ((files[i] = write_aside(volume->aside[i], i == 0)) < 0) return -1;
    for (int i = 0; i < 3; i++)
        if (flush(files[i]) < 0) return -1;
    if (publish(volume->aside[0], volume->extent) < 0 || publish(volume->aside[1], volume->metadata) < 0) return -1;
    if (flush_folder() < 0 || publish(volume->aside[2], volume->descriptor) < 0) return -1;
    struct stat status;
    for (int i = 0; i < 3; i++)
        if (discard(volume->aside[i]) < 0) return -1;
    if (fstatat(folder, volume->extent, &status, AT_SYMLINK_NOFOLLOW) < 0) return failed("stat");
    return flush_folder();
}

static int attach_to(struct volume *volume, int control, struct loop_config *config)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) return failed("LOOP_CTL_GET_FREE");
        (void)snprintf(volume->device, sizeof volume->device, "/dev/loop%d", number);
        int device = open(volume->device, O_RDWR | O_CLOEXEC);
        if (device < 0) return failed("open loop device");
        int result = ioctl(device, LOOP_CONFIGURE, config);
        uint64_t sequence;
        if (result == 0) (void)ioctl(device, BLKGETDISKSEQ, &sequence);
        (void)close(device);
        if (result == 0) return 0;
        /* Another program on this machine was faster. */
        if (errno != EBUSY) break;
    }
    return failed("LOOP_CONFIGURE");
}

static int attach(struct volume *volume)
{
    int file = openat(folder, volume->extent, O_RDWR | O_CLOEXEC);
    if (file < 0) return failed("open extent");
    struct loop_config config = {.fd = (uint32_t)file, .info = {.lo_sizelimit = EXTENT_BYTES}};
    (void)pthread_mutex_lock(&attach_turn);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int result = control < 0 ? failed("open loop-control") : attach_to(volume, control, &config);
    if (control >= 0) (void)close(control);
    (void)pthread_mutex_unlock(&attach_turn);
    (void)close(file);
    return result;
}

static int probe(const struct volume *volume)
{
    int device = open(volume->device, O_RDONLY | O_CLOEXEC);
    blkid_probe blkid = blkid_new_probe();
    int result = -1;
    if (device >= 0 && blkid != NULL && blkid_probe_set_device(blkid, device, 0, 0) == 0) {
        (void)blkid_probe_enable_superblocks(blkid, 1);
        (void)blkid_probe_enable_partitions(blkid, 1);
        result = blkid_do_safeprobe(blkid);
    }
    if (blkid != NULL) blkid_free_probe(blkid);
    if (device >= 0) (void)close(device);
    return result == 1 ? 0 : failed("probe of an empty disk");
}

static int format(struct volume *volume)
{
    char *words[MKFS_WORDS + 1];
    int count = 0;
    for (; mkfs[count] != NULL && count < MKFS_WORDS; count++)
        words[count] = strcmp(mkfs[count], "DEVICE") == 0 ? volume->device : mkfs[count];
    words[count] = NULL;
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child;
    int error = posix_spawnp(&child, words[0], &actions, NULL, words, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    errno = error;
    if (error != 0) return failed("spawn of mkfs");
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return failed("waitpid");
    return status == 0 ? 0 : failed("mkfs");
}

static int mount_attached(const struct volume *volume)
{
    if (mkdir(volume->target, 0755) < 0) return failed("mkdir");
    return mount(volume->device, volume->target, "ext4", 0, NULL) < 0 ? failed("mount") : 0;
}

static int first_mount(struct volume *volume)
{
    return attach(volume) < 0 || probe(volume) < 0 || format(volume) < 0 ? -1 : mount_attached(volume);
}

static int later_mount(struct volume *volume) { return attach(volume) < 0 ? -1 : mount_attached(volume); }

static int unmount(struct volume *volume)
{
    if (umount2(volume->target, UMOUNT_NOFOLLOW) < 0) return failed("umount");
    if (rmdir(volume->target) < 0) return failed("rmdir");
    int device = open(volume->device, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) return failed("exclusive open");
    int result = ioctl(device, LOOP_CLR_FD);
    (void)close(device);
    return result < 0 ? failed("LOOP_CLR_FD") : 0;
}

static int first_unmount(struct volume *volume)
{
    if (unmount(volume) < 0) return -1;
    int file = write_aside(volume->aside[1], 0);
    if (file < 0 || flush(file) < 0) return -1;
    if (renameat(folder, volume->aside[1], folder, volume->metadata) < 0) return failed("rename");
    return flush_folder();
}

static int removal(struct volume *volume)
{
    if (renameat(folder, volume->descriptor, folder, volume->tombstone) < 0) return failed("rename");
    if (flush_folder() < 0) return -1;
    if (discard(volume->extent) < 0 || discard(volume->metadata) < 0) return -1;
    return discard(volume->tombstone);
}

static int timed(struct worker *worker, enum step step, int (*work)(struct volume *), struct volume *volume)
{
    double start = now_ms();
    if (work(volume) < 0) return -1;
    worker->sample[worker->samples++] = (struct sample){.step = step, .ms = now_ms() - start};
    return 0;
}

static int cycle(struct worker *worker, int turn)
{
    struct volume volume;
    char name[32];
    (void)snprintf(name, sizeof name, "floor-%d-%d", worker->number, turn);
    (void)snprintf(volume.extent, sizeof volume.extent, "%s-flat.vmdk", name);
    (void)snprintf(volume.metadata, sizeof volume.metadata, "%s.vmdk.json", name);
    (void)snprintf(volume.descriptor, sizeof volume.descriptor, "%s.vmdk", name);
    (void)snprintf(volume.tombstone, sizeof volume.tombstone, "%s.vmdk.removed", name);
    for (int i = 0; i < 3; i++) (void)snprintf(volume.aside[i], sizeof volume.aside[i], ".%s.%d.tmp", name, i);
    (void)snprintf(volume.target, sizeof volume.target, "%s/mounts/%s", folder_path, name);
    if (timed(worker, CREATE, create, &volume) < 0) return -1;
    if (timed(worker, FIRST_MOUNT, first_mount, &volume) < 0) return -1;
    if (timed(worker, FIRST_UNMOUNT, first_unmount, &volume) < 0) return -1;
    for (int i = 0; i < later_pairs; i++) {
        if (timed(worker, MOUNT, later_mount, &volume) < 0) return -1;
        if (timed(worker, UNMOUNT, unmount, &volume) < 0) return -1;
    }
    return timed(worker, REMOVE, removal, &volume);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (int turn = 0; turn < worker->count; turn++)
        if (cycle(worker, turn) < 0) worker->errors++;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 6) return 2;
    folder_path = argv[1];
    int count = atoi(argv[2]), threads = atoi(argv[3]), errors = 0;
    later_pairs = atoi(argv[4]);
    mkfs = argv + 5;
    memset(text, 'x', sizeof text);
    int parent = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    folder = openat(parent, "disks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    if (folder < 0 || workers == NULL) return failed("folder") < 0;
    for (int i = 0; i < threads; i++) {
        workers[i].number = i;
        workers[i].count = count / threads + (i < count % threads);
        workers[i].sample = calloc((size_t)workers[i].count * (size_t)(4 + 2 * later_pairs), sizeof(struct sample));
    }
    double start = now_ms();
    for (int i = 0; i < threads; i++) (void)pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (int i = 0; i < threads; i++) (void)pthread_join(workers[i].thread, NULL);
    double wall = now_ms() - start;
    for (int i = 0; i < threads; i++) {
        errors += workers[i].errors;
        for (int j = 0; j < workers[i].samples; j++)
            (void)printf("%s %.4f\n", step_names[workers[i].sample[j].step], workers[i].sample[j].ms);
    }
    (void)printf("wall %.6f\nerrors %d\n", wall / 1e3, errors);
    return 0;
}
