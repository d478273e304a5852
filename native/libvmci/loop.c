/*
 * Loop devices.
 *
 * Invariants: a device is attached with all its settings in one step, so nobody ever sees half of them; a device
 * that anything holds exclusively is never cleared; no device node is ever removed, since the idle ones are what
 * makes the next attach cheap.
 */
#include "vmci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    /* In each round at least one contender on this machine gets its device, so this allows for very many. */
    ATTEMPTS = 512,
    /* The kernel makes a loser wait for the winner by itself; past this it must be a device in some passing state. */
    ATTEMPTS_WITHOUT_PAUSE = 64,
    PAUSE_NS = 1000 * 1000,
};

static uint64_t sequence_of(int device)
{
    uint64_t sequence = 0;
    return ioctl(device, BLKGETDISKSEQ, &sequence) < 0 ? 0 : sequence;
}

static void configure_from(struct loop_config *config, int backing, const struct vmci_loop_request *request)
{
    memset(config, 0, sizeof *config);
    config->fd = (uint32_t)backing;
    config->info.lo_offset = request->offset_bytes;
    config->info.lo_sizelimit = request->size_limit_bytes;
    if (request->is_read_only != 0) config->info.lo_flags |= LO_FLAGS_READ_ONLY;
    if (request->is_direct_io != 0) config->info.lo_flags |= LO_FLAGS_DIRECT_IO;
    memcpy(config->info.lo_file_name, request->label, sizeof request->label - 1);
}

/* Returns the number, or -EBUSY or -ENXIO when somebody else was faster. */
static int64_t attach_once(int control, const struct loop_config *config, int access_mode, uint64_t *disk_sequence)
{
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) return -errno;
    char path[32];
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    int device = open(path, access_mode | O_CLOEXEC);
    if (device < 0) return -errno;
    int64_t result = number;
    if (ioctl(device, LOOP_CONFIGURE, config) < 0) result = -errno;
    else *disk_sequence = sequence_of(device);
    (void)close(device);
    return result;
}

static int64_t attach(int control, int backing, const struct vmci_loop_request *request, uint64_t *disk_sequence)
{
    struct loop_config config;
    configure_from(&config, backing, request);
    int access_mode = request->is_read_only != 0 ? O_RDONLY : O_RDWR;
    int64_t result = -EBUSY;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        result = attach_once(control, &config, access_mode, disk_sequence);
        if (result != -EBUSY && result != -ENXIO) break;
        if (attempt >= ATTEMPTS_WITHOUT_PAUSE) (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return result;
}

int64_t vmci_loop_attach(const char *backing, const struct vmci_loop_request *request, uint64_t *disk_sequence)
{
    *disk_sequence = 0;
    int file = open(backing, (request->is_read_only != 0 ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (file < 0) return -errno;
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int64_t result = control < 0 ? -errno : attach(control, file, request, disk_sequence);
    if (control >= 0) (void)close(control);
    (void)close(file);
    return result;
}

/* Whether the device carries another backing file than the one with this sequence, or none. */
static bool is_other(int device, uint64_t disk_sequence)
{
    uint64_t now = sequence_of(device);
    return disk_sequence != 0 && now != 0 && now != disk_sequence;
}

/* 0: it is free, or has another backing file by now; 1: it still is what it was. */
static int64_t is_lingering(const char *path, uint64_t disk_sequence)
{
    int device = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) return errno == ENXIO ? 0 : -errno;
    struct loop_info64 info;
    int64_t result = 1;
    if (ioctl(device, LOOP_GET_STATUS64, &info) < 0) result = errno == ENXIO ? 0 : -errno;
    else if (is_other(device, disk_sequence)) result = 0;
    (void)close(device);
    return result;
}

/* Held while another process gives the number to a new file? Then it is not ours any more. */
static int64_t explain_busy(const char *path, uint64_t disk_sequence)
{
    int device = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) return -errno;
    int64_t result = is_other(device, disk_sequence) ? -ENXIO : -EBUSY;
    (void)close(device);
    return result;
}

int64_t vmci_loop_clear(const char *device, uint64_t *disk_sequence)
{
    /* Held until the ioctl is through: between the questions and the deed nothing can be mounted on it, and the
     * number cannot go to another file. */
    int descriptor = open(device, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return errno == EBUSY ? explain_busy(device, *disk_sequence) : -errno;
    int error = is_other(descriptor, *disk_sequence) ? -ENXIO : 0;
    *disk_sequence = sequence_of(descriptor);
    if (error == 0 && ioctl(descriptor, LOOP_CLR_FD) < 0) error = -errno;
    (void)close(descriptor);
    return error < 0 ? error : is_lingering(device, *disk_sequence);
}

int64_t vmci_loop_status(const char *device, struct vmci_loop_state *state)
{
    int descriptor = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    struct loop_info64 info;
    int64_t result = ioctl(descriptor, LOOP_GET_STATUS64, &info) < 0 ? -errno : 0;
    if (result == 0) {
        *state = (struct vmci_loop_state){
            .backing_device = info.lo_device,
            .backing_inode = info.lo_inode,
            .offset_bytes = info.lo_offset,
            .size_limit_bytes = info.lo_sizelimit,
            .disk_sequence = sequence_of(descriptor),
            .number = info.lo_number,
            .flags = info.lo_flags,
        };
        memcpy(state->label, info.lo_file_name, sizeof state->label - 1);
    }
    (void)close(descriptor);
    return result;
}
