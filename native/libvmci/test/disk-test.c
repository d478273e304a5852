/* Loop devices, mounts, signatures and uevents, on the running kernel. Needs root. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "vmci.h"

enum { DISK_BYTES = 16 * 1024 * 1024, ATTACHERS = 32 };

static const char *device_path(int64_t number)
{
    static char paths[4][32];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "/dev/loop%lld", (long long)number);
    return path;
}

static int64_t attach(const char *backing, uint32_t is_read_only)
{
    struct vmci_loop_request request = {.is_read_only = is_read_only, .label = "a label"};
    uint64_t sequence;
    int64_t number = vmci_loop_attach(backing, &request, &sequence);
    EXPECT_TRUE(number >= 0);
    return number;
}

static int64_t clear(int64_t number)
{
    uint64_t sequence = 0;
    return vmci_loop_clear(device_path(number), &sequence);
}

static void keeps_its_settings(void)
{
    struct vmci_loop_request request = {.offset_bytes = 4096, .size_limit_bytes = 8192, .is_read_only = 1};
    memset(request.label, 'l', sizeof request.label);
    uint64_t sequence;
    const char *backing = tap_file("settings", DISK_BYTES);
    int64_t number = vmci_loop_attach(backing, &request, &sequence);
    EXPECT_TRUE(number >= 0);
    struct vmci_loop_state state;
    EXPECT(vmci_loop_status(device_path(number), &state), 0);
    struct stat status;
    EXPECT(stat(backing, &status), 0);
    EXPECT_TRUE(state.number == (uint32_t)number && state.backing_inode == status.st_ino);
    EXPECT_TRUE(state.offset_bytes == 4096 && state.size_limit_bytes == 8192 && (state.flags & 1) == 1);
    EXPECT((int64_t)strlen(state.label), 63);
    EXPECT_TRUE(state.disk_sequence == sequence && sequence != 0);
    EXPECT(clear(number), 0);
    EXPECT(clear(number), -ENXIO);
    EXPECT(vmci_loop_status(device_path(number), &state), -ENXIO);
    EXPECT(vmci_loop_attach(tap_path("missing"), &request, &sequence), -ENOENT);
}

static void keeps_a_mounted_device(void)
{
    int64_t number = attach(tap_file("mounted", DISK_BYTES), 0);
    const char *device = device_path(number), *target = tap_path("target");
    tap_command("mkfs.ext4 -q %s && mkdir %s", device, target);
    EXPECT(vmci_exclusive_probe(device), 0);
    EXPECT(vmci_mount(device, target, "ext4", MS_NOATIME, "errors=remount-ro"), 0);
    EXPECT(vmci_mount("tmpfs", target, "no-such-fs", 0, ""), -ENODEV);
    EXPECT(vmci_exclusive_probe(device), -EBUSY);
    EXPECT(clear(number), -EBUSY);
    tap_command("mountpoint %s", target);
    EXPECT(vmci_unmount(target, 0), 0);
    EXPECT(vmci_unmount(target, 0), -EINVAL);
    EXPECT(vmci_exclusive_probe(device), 0);
    EXPECT(clear(number), 0);
}

static void keeps_a_successor(void)
{
    struct vmci_loop_request request = {0};
    uint64_t sequence;
    int64_t number = vmci_loop_attach(tap_file("first", DISK_BYTES), &request, &sequence);
    EXPECT_TRUE(number >= 0);
    uint64_t other = sequence + 1, gone = sequence;
    EXPECT(vmci_loop_clear(device_path(number), &other), -ENXIO);
    EXPECT(vmci_loop_clear(device_path(number), &sequence), 0);
    EXPECT(vmci_loop_clear(device_path(number), &gone), -ENXIO);
}

static void waits_for_another_opener(void)
{
    int64_t number = attach(tap_file("opener", DISK_BYTES), 0);
    FILE *opener = fopen(device_path(number), "re");
    EXPECT(clear(number), 1);
    (void)fclose(opener);
    EXPECT(clear(number), -ENXIO);
}

struct attacher {
    pthread_t thread;
    char backing[256];
    int64_t number;
};

static void *attach_one(void *argument)
{
    struct attacher *attacher = argument;
    struct vmci_loop_request request = {0};
    uint64_t sequence;
    attacher->number = vmci_loop_attach(attacher->backing, &request, &sequence);
    return NULL;
}

static void attaches_many_at_once(void)
{
    static struct attacher attachers[ATTACHERS];
    for (int index = 0; index < ATTACHERS; index++) {
        char name[16];
        (void)snprintf(name, sizeof name, "many%d", index);
        (void)snprintf(attachers[index].backing, sizeof attachers[index].backing, "%s", tap_file(name, DISK_BYTES));
    }
    for (int index = 0; index < ATTACHERS; index++)
        (void)pthread_create(&attachers[index].thread, NULL, attach_one, &attachers[index]);
    for (int index = 0; index < ATTACHERS; index++) (void)pthread_join(attachers[index].thread, NULL);
    int64_t failed = 0, doubled = 0;
    for (int index = 0; index < ATTACHERS; index++) {
        if (attachers[index].number < 0) failed++;
        for (int other = 0; other < index; other++)
            if (attachers[other].number == attachers[index].number) doubled++;
    }
    for (int index = 0; index < ATTACHERS; index++)
        if (attachers[index].number >= 0) (void)clear(attachers[index].number);
    EXPECT(failed, 0);
    EXPECT(doubled, 0);
}

static void knows_signatures(void)
{
    struct vmci_signature signature;
    const char *disk = tap_file("signature", DISK_BYTES);
    EXPECT(vmci_signature_probe(disk, &signature), VMCI_SIGNATURE_NONE);
    tap_command("mkfs.ext4 -q -F -L 'a label' %s", disk);
    EXPECT(vmci_signature_probe(disk, &signature), VMCI_SIGNATURE_FOUND);
    EXPECT(strcmp(signature.type, "ext4"), 0);
    EXPECT(strcmp(signature.usage, "filesystem"), 0);
    EXPECT(strcmp(signature.label, "a label"), 0);
    EXPECT((int64_t)strlen(signature.uuid), 36);
    EXPECT(vmci_signature_probe(tap_path("missing"), &signature), -ENOENT);
    EXPECT(vmci_signature_probe(tap_file("empty", 0), &signature), -ENXIO);
}

/* What cannot be read is not empty: here the file behind a device has lost its end. */
static void tells_unreadable_disks(void)
{
    struct vmci_signature signature;
    const char *backing = tap_file("unreadable", DISK_BYTES);
    int64_t number = attach(backing, 1);
    EXPECT(vmci_signature_probe(device_path(number), &signature), VMCI_SIGNATURE_NONE);
    tap_command("truncate -s 2M %s && blockdev --flushbufs %s", backing, device_path(number));
    int64_t result = vmci_signature_probe(device_path(number), &signature);
    EXPECT(clear(number), 0);
    EXPECT(result, -EIO);
}

static void tells_of_changes(void)
{
    int64_t before = tap_count_descriptors();
    int events = (int)vmci_uevent_open();
    EXPECT_TRUE(events >= 0);
    int64_t number = attach(tap_file("uevent", DISK_BYTES), 0);
    char wanted[64], message[16 * 1024];
    (void)snprintf(wanted, sizeof wanted, "change@/devices/virtual/block/loop%lld", (long long)number);
    for (uint32_t length;;) {
        EXPECT(recv(events, &length, sizeof length, MSG_WAITALL), sizeof length);
        EXPECT_TRUE(length <= sizeof message);
        if (length > 0) EXPECT(recv(events, message, length, MSG_WAITALL), length);
        if (length > 0 && strcmp(message, wanted) == 0) break;
    }
    EXPECT(clear(number), 0);
    (void)close(events);
    tap_expect_quiet(before);
}

void disk_tests(void)
{
    tap_run("a loop device keeps its settings, and is cleared once", keeps_its_settings);
    tap_run("a loop device with a mounted file system is not cleared", keeps_a_mounted_device);
    tap_run("a loop device is not cleared on behalf of an earlier attachment", keeps_a_successor);
    tap_run("a loop device that is open elsewhere is reported as lingering", waits_for_another_opener);
    tap_run("loop devices are attached by many threads at once without error or duplicate", attaches_many_at_once);
    tap_run("a signature is told, and an empty disk has none", knows_signatures);
    tap_run("a disk that cannot be read is an error, not empty", tells_unreadable_disks);
    tap_run("a uevent arrives that came right after opening", tells_of_changes);
}
