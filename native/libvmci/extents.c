/*
 * Files as runs of data and holes.
 *
 * Invariant: a copy has the bytes and the holes of its source; each call does a bounded piece of it, so that its
 * caller can report progress and stop between two calls, and has that piece written back before it returns, so that
 * a journal's commit for another file never has to wait for much of this one. Durable it is only after the caller's
 * flush. The calling thread has its own priority again when a call returns.
 *
 * What is written goes past the page cache where the file system can do that: through it, each byte would be copied
 * once more, into pages that others read from until then.
 */
#include "vmci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 1024 * 1024,
    /* A file of many tiny extents must not make one call long. */
    EXTENTS_PER_CALL = 4096,
    /* Of addresses, offsets and lengths past the page cache; no disk wants more than a page, open(2) "O_DIRECT". */
    ALIGNMENT = 4096,
    NEW_FILE_MODE = 0600,
    LOWEST_NICE = 19,
};

/* Never written to. */
static _Alignas(ALIGNMENT) char zeros[BUFFER_BYTES];

/* A file that much is written to. */
struct sink {
    int file;
    int direct; /* the same one past the page cache; -1 where that cannot be */
};

struct copy {
    int source;
    struct sink sink;
    char *buffer; /* aligned; NULL until something is copied */
};

static int open_sink(struct sink *sink, const char *path, int creation)
{
    sink->direct = -1;
    sink->file = open(path, O_WRONLY | O_CLOEXEC | creation, NEW_FILE_MODE);
    if (sink->file < 0) return -errno;
    sink->direct = open(path, O_WRONLY | O_CLOEXEC | O_DIRECT);
    return 0;
}

static void close_sink(struct sink *sink)
{
    if (sink->direct >= 0) (void)close(sink->direct);
    (void)close(sink->file);
}

/* On Linux a nice value belongs to a thread. Lowered only where the kernel lets us raise it again. Returns what to go
 * back to. */
static int lower_priority(void)
{
    id_t thread = (id_t)syscall(SYS_gettid);
    int before = getpriority(PRIO_PROCESS, thread);
    if (setpriority(PRIO_PROCESS, thread, before - 1) == 0) (void)setpriority(PRIO_PROCESS, thread, LOWEST_NICE);
    return before;
}

static void restore_priority(int before)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), before);
}

/* A file system that cannot do it loses nothing but its readers' patience. */
static int write_back(int file, uint64_t offset, uint64_t length)
{
    if (length == 0) return 0;
    unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    int result = sync_file_range(file, (off_t)offset, (off_t)length, flags);
    return result < 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT) ? -errno : 0;
}

int64_t vmci_allocate(const char *path, uint64_t offset, uint64_t length)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return -errno;
    int result;
    do result = fallocate(file, 0, (off_t)offset, (off_t)length);
    while (result < 0 && errno == EINTR);
    result = result < 0 ? -errno : 0;
    (void)close(file);
    return result;
}

int64_t vmci_reflink(const char *source, const char *destination)
{
    int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0) return -errno;
    int64_t result = 0;
    int to = open(destination, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, NEW_FILE_MODE);
    if (to < 0 || ioctl(to, FICLONE, from) < 0) result = -errno;
    if (to >= 0) (void)close(to);
    (void)close(from);
    return result;
}

static size_t direct_part(const struct sink *sink, const char *bytes, size_t length, off_t offset)
{
    if (sink->direct < 0 || ((uintptr_t)bytes | (uint64_t)offset) % ALIGNMENT != 0) return 0;
    return length - length % ALIGNMENT;
}

static int write_all(struct sink *sink, const char *bytes, size_t length, off_t offset)
{
    while (length > 0) {
        size_t direct = direct_part(sink, bytes, length, offset);
        ssize_t count = direct > 0 ? pwrite(sink->direct, bytes, direct, offset) : pwrite(sink->file, bytes, length, offset);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EINVAL && direct > 0) {
            /* Some file systems open it and then cannot. */
            (void)close(sink->direct);
            sink->direct = -1;
            continue;
        }
        if (count < 0) return -errno;
        bytes += count;
        offset += count;
        length -= (size_t)count;
    }
    return 0;
}

/* Copies some bytes at `offset` and returns how many, or -errno. */
static int64_t copy_some(struct copy *copy, off_t offset, size_t length)
{
    if (copy->buffer == NULL) copy->buffer = aligned_alloc(ALIGNMENT, BUFFER_BYTES);
    if (copy->buffer == NULL) return -ENOMEM;
    ssize_t count = pread(copy->source, copy->buffer, length < BUFFER_BYTES ? length : BUFFER_BYTES, offset);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    /* The source became shorter while we read it: what we have is no copy of anything. */
    if (count == 0) return -EIO;
    int error = write_all(&copy->sink, copy->buffer, (size_t)count, offset);
    return error < 0 ? error : (int64_t)count;
}

/* The next run of data at or after `offset`; both are `size` when only a hole is left. */
static int find_data(int source, off_t offset, off_t size, off_t *start, off_t *end)
{
    *start = *end = size;
    off_t found = offset < size ? lseek(source, offset, SEEK_DATA) : size;
    if (found < 0 && errno != ENXIO) return -errno;
    if (found < 0 || found >= size) return 0;
    off_t hole = lseek(source, found, SEEK_HOLE);
    if (hole < 0) return -errno;
    *start = found;
    *end = hole < size ? hole : size;
    return 0;
}

static int64_t copy_piece(struct copy *copy, off_t offset, uint64_t max_bytes, struct vmci_copy_progress *progress)
{
    off_t size = (off_t)progress->size_bytes;
    for (int extents = 0; extents < EXTENTS_PER_CALL; extents++) {
        off_t end;
        int error = find_data(copy->source, offset, size, &offset, &end);
        if (error < 0) return error;
        progress->next_offset = (uint64_t)offset;
        while (offset < end && progress->copied_bytes < max_bytes) {
            uint64_t left = max_bytes - progress->copied_bytes, run = (uint64_t)(end - offset);
            int64_t count = copy_some(copy, offset, left < run ? left : run);
            if (count < 0) return count;
            offset += count;
            progress->copied_bytes += (uint64_t)count;
            progress->next_offset = (uint64_t)offset;
        }
        if (offset >= size) return 1;
        if (progress->copied_bytes >= max_bytes) return 0;
    }
    return 0;
}

static int64_t copy_between(struct copy *copy, off_t offset, uint64_t max_bytes, struct vmci_copy_progress *progress)
{
    struct stat status;
    if (fstat(copy->source, &status) < 0) return -errno;
    progress->size_bytes = (uint64_t)status.st_size;
    /* The length first: a hole at the end is then there already. */
    if (offset == 0 && ftruncate(copy->sink.file, status.st_size) < 0) return -errno;
    int64_t result = copy_piece(copy, offset, max_bytes, progress);
    free(copy->buffer);
    int error = result < 0 ? 0 : write_back(copy->sink.file, (uint64_t)offset, progress->next_offset - (uint64_t)offset);
    return error < 0 ? error : result;
}

int64_t vmci_copy_extents(const char *source, const char *destination, uint64_t from_offset, uint64_t max_bytes,
                          struct vmci_copy_progress *progress)
{
    *progress = (struct vmci_copy_progress){.next_offset = from_offset};
    struct copy copy = {.source = open(source, O_RDONLY | O_CLOEXEC)};
    if (copy.source < 0) return -errno;
    int creation = from_offset == 0 ? O_CREAT | O_TRUNC : 0;
    int64_t result = open_sink(&copy.sink, destination, creation);
    if (result == 0) {
        int before = lower_priority();
        result = copy_between(&copy, (off_t)from_offset, max_bytes, progress);
        restore_priority(before);
        close_sink(&copy.sink);
    }
    (void)close(copy.source);
    return result;
}

static bool is_zero(const char *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static int copy_through(int from, struct sink *to, uint64_t offset, uint64_t length, bool writes_zeros)
{
    char *buffer = aligned_alloc(ALIGNMENT, BUFFER_BYTES);
    int error = buffer == NULL ? -ENOMEM : 0;
    uint64_t end = offset + length;
    for (uint64_t place = offset; error == 0 && place < end;) {
        size_t wanted = end - place < BUFFER_BYTES ? (size_t)(end - place) : BUFFER_BYTES;
        ssize_t count = pread(from, buffer, wanted, (off_t)place);
        if (count < 0 && errno == EINTR) continue;
        /* Shorter than it was: what we have is no copy of anything. */
        if (count <= 0) error = count < 0 ? -errno : -EIO;
        else if (writes_zeros || !is_zero(buffer, (size_t)count)) error = write_all(to, buffer, (size_t)count, (off_t)place);
        if (count > 0) place += (uint64_t)count;
    }
    free(buffer);
    return error < 0 ? error : write_back(to->file, offset, length);
}

int64_t vmci_copy_all(const char *source, const char *destination, uint64_t offset, uint64_t length,
                      uint32_t writes_zeros)
{
    int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0) return -errno;
    struct sink to;
    int64_t result = open_sink(&to, destination, 0);
    if (result == 0) {
        int before = lower_priority();
        result = copy_through(from, &to, offset, length, writes_zeros != 0);
        restore_priority(before);
        close_sink(&to);
    }
    (void)close(from);
    return result;
}

static int fill(struct sink *sink, uint64_t offset, uint64_t length)
{
    int error = 0;
    for (uint64_t done = 0; error == 0 && done < length;) {
        size_t count = length - done < BUFFER_BYTES ? (size_t)(length - done) : BUFFER_BYTES;
        error = write_all(sink, zeros, count, (off_t)(offset + done));
        done += count;
    }
    return error < 0 ? error : write_back(sink->file, offset, length);
}

int64_t vmci_write_zeros(const char *path, uint64_t offset, uint64_t length)
{
    struct sink sink;
    int error = open_sink(&sink, path, 0);
    if (error < 0) return error;
    int before = lower_priority();
    error = fill(&sink, offset, length);
    restore_priority(before);
    close_sink(&sink);
    return error;
}
