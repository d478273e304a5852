/*
 * Preloaded into a program: writes down each change that it makes to files and folders, in the order in which the
 * changes happened, to the file RECORDER_LOG. One change at a time, so that the order is the true one. A folder whose
 * removal is asked for below /power-cut-mark/ is a mark that the program sets in the record. With RECORDER_REFLINK the
 * file system appears to share blocks between files; it copies them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

enum operation { CREATE = 1, MKDIR, LINK, RENAME, UNLINK, WRITE, TRUNCATE, ALLOCATE, SYNC, MARK, UNKNOWN };

struct record {
    uint64_t operation, device, inode, offset, length, path_bytes, other_bytes, data_bytes;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;
static const char mark_prefix[] = "/power-cut-mark/";

static void put(const void *bytes, size_t length)
{
    const char *place = bytes;
    while (length > 0) {
        ssize_t count = NEXT(write)(log_file, place, length);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) abort();
        place += count;
        length -= (size_t)count;
    }
}

static void note(struct record record, const char *path, const char *other, const void *data)
{
    int before = errno;
    if (log_file < 0) log_file = NEXT(open)(getenv("RECORDER_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_file < 0) abort();
    record.path_bytes = path ? strlen(path) : 0;
    record.other_bytes = other ? strlen(other) : 0;
    put(&record, sizeof record);
    put(path, record.path_bytes);
    put(other, record.other_bytes);
    put(data, record.data_bytes);
    errno = before;
}

/* Whether changes through this descriptor are any of a disk. */
static int is_kept(int file, struct stat *status)
{
    return fstat(file, status) == 0 && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode));
}

static void note_file(enum operation operation, int file, off_t offset, uint64_t length, const void *data, size_t bytes)
{
    struct stat status;
    if (!is_kept(file, &status)) return;
    struct record record = {operation, status.st_dev, status.st_ino, (uint64_t)offset, length, 0, 0, bytes};
    note(record, NULL, NULL, data);
}

static void note_name(enum operation operation, const char *path, const char *other)
{
    struct stat status;
    const char *result = other ? other : path;
    if (lstat(result, &status) < 0) memset(&status, 0, sizeof status);
    note((struct record){.operation = operation, .device = status.st_dev, .inode = status.st_ino}, path, other, NULL);
}

#define LOCKED(type, call, noting)              \
    do {                                        \
        (void)pthread_mutex_lock(&mutex);       \
        type result = (call);                   \
        if (result >= 0) noting;                \
        int error = errno;                      \
        (void)pthread_mutex_unlock(&mutex);     \
        errno = error;                          \
        return result;                          \
    } while (0)

static void note_open(const char *path, int flags, int was_there, int file)
{
    if ((flags & O_CREAT) && !was_there) note_name(CREATE, path, NULL);
    else if (flags & O_TRUNC) note_file(TRUNCATE, file, 0, 0, NULL, 0);
}

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...)                                        \
    {                                                                                 \
        va_list arguments;                                                            \
        va_start(arguments, flags);                                                   \
        mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments);                                                            \
        if (!(flags & (O_CREAT | O_TRUNC))) return NEXT(name)(path, flags, mode);     \
        struct stat status;                                                           \
        int was_there = lstat(path, &status) == 0;                                    \
        LOCKED(int, NEXT(name)(path, flags, mode), note_open(path, flags, was_there, result)); \
    }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode) { LOCKED(int, NEXT(mkdir)(path, mode), note_name(MKDIR, path, NULL)); }
int link(const char *from, const char *to) { LOCKED(int, NEXT(link)(from, to), note_name(LINK, from, to)); }
int rename(const char *from, const char *to) { LOCKED(int, NEXT(rename)(from, to), note_name(RENAME, from, to)); }
int unlink(const char *path) { LOCKED(int, NEXT(unlink)(path), note_name(UNLINK, path, NULL)); }

int rmdir(const char *path)
{
    if (strncmp(path, mark_prefix, strlen(mark_prefix)) == 0)
        LOCKED(int, 0, note_name(MARK, path + strlen(mark_prefix), NULL));
    LOCKED(int, NEXT(rmdir)(path), note_name(UNLINK, path, NULL));
}

int symlink(const char *to, const char *path) { LOCKED(int, NEXT(symlink)(to, path), note_name(UNKNOWN, path, NULL)); }
int truncate(const char *path, off_t size) { LOCKED(int, NEXT(truncate)(path, size), note_name(UNKNOWN, path, NULL)); }

int ftruncate(int file, off_t size)
{
    LOCKED(int, NEXT(ftruncate)(file, size), note_file(TRUNCATE, file, 0, (uint64_t)size, NULL, 0));
}
int ftruncate64(int file, off64_t size)
{
    LOCKED(int, NEXT(ftruncate64)(file, size), note_file(TRUNCATE, file, 0, (uint64_t)size, NULL, 0));
}
int fallocate(int file, int mode, off_t offset, off_t length)
{
    LOCKED(int, NEXT(fallocate)(file, mode, offset, length),
           note_file(mode == 0 ? ALLOCATE : UNKNOWN, file, offset, (uint64_t)length, NULL, 0));
}
int fsync(int file) { LOCKED(int, NEXT(fsync)(file), note_file(SYNC, file, 0, 0, NULL, 0)); }
int fdatasync(int file) { LOCKED(int, NEXT(fdatasync)(file), note_file(SYNC, file, 0, 0, NULL, 0)); }

/* Where a write without a place went: the place behind it, less what it wrote. */
static void note_write(int file, const void *bytes, ssize_t count, off_t offset)
{
    if (count == 0) return;
    off_t place = offset >= 0 ? offset : lseek(file, 0, SEEK_CUR) - count;
    note_file(WRITE, file, place, 0, bytes, (size_t)count);
}

static void note_pieces(int file, const struct iovec *pieces, int number, ssize_t count, off_t offset)
{
    off_t place = offset >= 0 ? offset : lseek(file, 0, SEEK_CUR) - count;
    for (int piece = 0; piece < number && count > 0; piece++) {
        ssize_t part = (ssize_t)pieces[piece].iov_len < count ? (ssize_t)pieces[piece].iov_len : count;
        note_write(file, pieces[piece].iov_base, part, place);
        place += part;
        count -= part;
    }
}

ssize_t write(int file, const void *bytes, size_t size)
{
    struct stat status;
    if (!is_kept(file, &status)) return NEXT(write)(file, bytes, size);
    LOCKED(ssize_t, NEXT(write)(file, bytes, size), note_write(file, bytes, result, -1));
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    LOCKED(ssize_t, NEXT(pwrite)(file, bytes, size, offset), note_write(file, bytes, result, offset));
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset)
{
    LOCKED(ssize_t, NEXT(pwrite64)(file, bytes, size, offset), note_write(file, bytes, result, offset));
}
ssize_t writev(int file, const struct iovec *pieces, int number)
{
    struct stat status;
    if (!is_kept(file, &status)) return NEXT(writev)(file, pieces, number);
    LOCKED(ssize_t, NEXT(writev)(file, pieces, number), note_pieces(file, pieces, number, result, -1));
}
ssize_t pwritev(int file, const struct iovec *pieces, int number, off_t offset)
{
    LOCKED(ssize_t, NEXT(pwritev)(file, pieces, number, offset), note_pieces(file, pieces, number, result, offset));
}
ssize_t pwritev64(int file, const struct iovec *pieces, int number, off64_t offset)
{
    LOCKED(ssize_t, NEXT(pwritev64)(file, pieces, number, offset), note_pieces(file, pieces, number, result, offset));
}

/* What went into the copy is what the source has there. */
static void note_copy(int from, off_t offset, int to, off_t place, ssize_t count)
{
    char *bytes = malloc((size_t)count + 1);
    if (bytes == NULL || pread(from, bytes, (size_t)count, offset) != count) abort();
    note_write(to, bytes, count, place);
    free(bytes);
}

ssize_t copy_file_range(int from, off_t *offset, int to, off_t *place, size_t length, unsigned flags)
{
    if (offset == NULL || place == NULL) abort();
    off_t start = *offset, target = *place;
    LOCKED(ssize_t, NEXT(copy_file_range)(from, offset, to, place, length, flags),
           note_copy(from, start, to, target, result));
}

static int share(int to, int from)
{
    struct stat status;
    if (fstat(from, &status) < 0) return -1;
    char *bytes = malloc((size_t)status.st_size + 1);
    if (bytes == NULL || pread(from, bytes, (size_t)status.st_size, 0) != status.st_size) abort();
    int result = NEXT(pwrite)(to, bytes, (size_t)status.st_size, 0) == status.st_size ? 0 : -1;
    if (result == 0) note_write(to, bytes, status.st_size, 0);
    free(bytes);
    return result;
}

int ioctl(int file, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request != FICLONE) return NEXT(ioctl)(file, request, argument);
    if (getenv("RECORDER_REFLINK") == NULL) {
        errno = EOPNOTSUPP;
        return -1;
    }
    LOCKED(int, share(file, (int)(intptr_t)argument), (void)0);
}
