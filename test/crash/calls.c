/*
 * The C library's calls by which a process changes something outside of itself, each announced to `steps.c` and then
 * made. Invariant: a call does what it did without us, errno included.
 */
#define _GNU_SOURCE
#include "steps.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))
/* The last one that was started. */
static char tool[64];

#define AT_PATH(name, type, parameters, call, path, ...) \
    type name parameters                                 \
    {                                                    \
        crash_at_path(call, AT_FDCWD, path);             \
        return NEXT(name)(__VA_ARGS__);                  \
    }
#define AT_FILE(name, type, parameters, call, send, ...) \
    type name parameters                                 \
    {                                                    \
        crash_at_descriptor(call, send, file);           \
        return NEXT(name)(__VA_ARGS__);                  \
    }

AT_PATH(mkdir, int, (const char *path, mode_t mode), "mkdir", path, path, mode)
AT_PATH(mkdtemp, char *, (char *path), "mkdtemp", path, path)
AT_PATH(rmdir, int, (const char *path), "rmdir", path, path)
AT_PATH(unlink, int, (const char *path), "unlink", path, path)
AT_PATH(truncate, int, (const char *path, off_t size), "truncate", path, path, size)
AT_PATH(truncate64, int, (const char *path, off64_t size), "truncate", path, path, size)
AT_PATH(chmod, int, (const char *path, mode_t mode), "chmod", path, path, mode)
AT_PATH(chown, int, (const char *path, uid_t user, gid_t group), "chown", path, path, user, group)
AT_PATH(symlink, int, (const char *to, const char *path), "symlink", path, to, path)

AT_FILE(write, ssize_t, (int file, const void *bytes, size_t size), "write", "send", file, bytes, size)
AT_FILE(writev, ssize_t, (int file, const struct iovec *pieces, int number), "write", "send", file, pieces, number)
AT_FILE(send, ssize_t, (int file, const void *bytes, size_t size, int flags), "write", "send", file, bytes, size, flags)
AT_FILE(sendmsg, ssize_t, (int file, const struct msghdr *message, int flags), "write", "send", file, message, flags)
/* Past the page cache only much is written. */
static const char *at_write(int file)
{
    return (fcntl(file, F_GETFL) & O_DIRECT) != 0 ? "copy to" : "write";
}

AT_FILE(pwrite, ssize_t, (int file, const void *bytes, size_t n, off_t at), at_write(file), NULL, file, bytes, n, at)
AT_FILE(pwrite64, ssize_t, (int file, const void *bytes, size_t n, off64_t at), at_write(file), NULL, file, bytes, n, at)
AT_FILE(pwritev, ssize_t, (int file, const struct iovec *pieces, int n, off_t at), "write", NULL, file, pieces, n, at)
AT_FILE(pwritev64, ssize_t, (int file, const struct iovec *pieces, int n, off64_t at), "write", NULL, file, pieces, n, at)
AT_FILE(fsync, int, (int file), "fsync", NULL, file)
AT_FILE(fdatasync, int, (int file), "fsync", NULL, file)
AT_FILE(syncfs, int, (int file), "fsync", NULL, file)
AT_FILE(sync_file_range, int, (int file, off64_t at, off64_t length, unsigned flags), "write back", NULL, file, at, length, flags)
AT_FILE(ftruncate, int, (int file, off_t size), "truncate", NULL, file, size)
AT_FILE(ftruncate64, int, (int file, off64_t size), "truncate", NULL, file, size)
AT_FILE(fallocate, int, (int file, int mode, off_t at, off_t length), "fallocate", NULL, file, mode, at, length)
AT_FILE(fallocate64, int, (int file, int mode, off64_t at, off64_t length), "fallocate", NULL, file, mode, at, length)
AT_FILE(posix_fallocate, int, (int file, off_t at, off_t length), "fallocate", NULL, file, at, length)
AT_FILE(fchmod, int, (int file, mode_t mode), "chmod", NULL, file, mode)
AT_FILE(fchown, int, (int file, uid_t user, gid_t group), "chown", NULL, file, user, group)

ssize_t copy_file_range(int from, off64_t *at, int file, off64_t *to, size_t length, unsigned flags)
{
    crash_at_descriptor("copy to", NULL, file);
    return NEXT(copy_file_range)(from, at, file, to, length, flags);
}

int rename(const char *from, const char *to)
{
    crash_at_pair("rename", AT_FDCWD, from, AT_FDCWD, to);
    return NEXT(rename)(from, to);
}

int link(const char *from, const char *to)
{
    crash_at_pair("link", AT_FDCWD, from, AT_FDCWD, to);
    return NEXT(link)(from, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    crash_at_path((flags & AT_REMOVEDIR) != 0 ? "rmdir" : "unlink", folder, path);
    return NEXT(unlinkat)(folder, path, flags);
}

/* A step only when it may make or empty the file. */
static void at_open(int folder, const char *path, int flags)
{
    if ((flags & (O_CREAT | O_TRUNC)) != 0) crash_at_path((flags & O_TRUNC) != 0 ? "empty" : "make", folder, path);
}

#define MODE_OF(last)                                            \
    mode_t mode = 0;                                             \
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {                  \
        va_list rest;                                            \
        va_start(rest, last);                                    \
        mode = va_arg(rest, mode_t);                             \
        va_end(rest);                                            \
    }
#define OPEN(name)                              \
    int name(const char *path, int flags, ...)  \
    {                                           \
        MODE_OF(flags)                          \
        at_open(AT_FDCWD, path, flags);         \
        return NEXT(name)(path, flags, mode);   \
    }
#define OPENAT(name)                                        \
    int name(int folder, const char *path, int flags, ...)  \
    {                                                       \
        MODE_OF(flags)                                      \
        at_open(folder, path, flags);                       \
        return NEXT(name)(folder, path, flags, mode);       \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int ioctl(int file, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    const char *call = request == LOOP_CONFIGURE ? "attach"
                     : request == LOOP_CLR_FD    ? "detach"
                     : request == FICLONE        ? "reflink to"
                                                 : NULL;
    if (call != NULL) crash_at_descriptor(call, NULL, file);
    int result = NEXT(ioctl)(file, request, argument);
    /* Others on this machine were faster, and it is tried again: that is not one more step. */
    if (request == LOOP_CONFIGURE && result < 0) crash_take_back("attach loop");
    return result;
}

int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
    crash_at_path("mount", AT_FDCWD, target);
    return NEXT(mount)(source, target, type, flags, data);
}

/* One that fails since somebody still uses the mount is repeated, for a moment. */
int umount2(const char *target, int flags)
{
    char role[256], step[300];
    crash_at_path("unmount", AT_FDCWD, target);
    int result = NEXT(umount2)(target, flags);
    if (result < 0 && errno == EBUSY && crash_role(AT_FDCWD, target, role)) {
        (void)snprintf(step, sizeof step, "unmount %s", role);
        crash_take_back(step);
    }
    return result;
}

int bind(int file, const struct sockaddr *address, socklen_t length)
{
    if (address->sa_family == AF_UNIX) crash_at_path("bind", AT_FDCWD, ((const struct sockaddr_un *)address)->sun_path);
    return NEXT(bind)(file, address, length);
}

/* In the new process between vfork(2) and its program, in which memory is still the old one's. */
int execve(const char *path, char *const arguments[], char *const environment[])
{
    const char *slash = strrchr(path, '/');
    (void)snprintf(tool, sizeof tool, "%s", slash == NULL ? path : slash + 1);
    crash_step("start", tool);
    return NEXT(execve)(path, arguments, environment);
}

long direct(long number, long a, long b, long c, long d, long e, long f)
{
    return NEXT(syscall)(number, a, b, c, d, e, f);
}

/*
 * What libuv calls by number reads only, or has a name above; if that changes, this shows as a new step. Its io_uring
 * carries epoll_ctl alone: that for files is off unless UV_USE_IO_URING is set.
 */
long syscall(long number, ...)
{
    long arguments[6];
    va_list rest;
    va_start(rest, number);
    for (int place = 0; place < 6; place++) arguments[place] = va_arg(rest, long);
    va_end(rest);
    static const long changing[] = {SYS_copy_file_range, SYS_renameat2, SYS_pwritev2, SYS_sendfile};
    /* The tool runs by now, and nobody has begun to wait for its end. */
    if (number == SYS_pidfd_open) crash_step("wait for", tool);
    for (size_t place = 0; place < sizeof changing / sizeof *changing; place++) {
        if (number == changing[place]) crash_step("syscall", "by number");
    }
    return direct(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
