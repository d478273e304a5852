/* Preloaded into a tool: ends it, as a kill would, instead of its CRASH_AT-th write. Leaves a file CRASH_MARK then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static void count(int descriptor)
{
    static int writes;
    const char *limit = getenv("CRASH_AT"), *mark = getenv("CRASH_MARK");
    struct stat status;
    if (limit == NULL || mark == NULL || fstat(descriptor, &status) < 0 || !S_ISBLK(status.st_mode)) return;
    if (++writes < atoi(limit)) return;
    (void)open(mark, O_CREAT | O_WRONLY, 0600);
    _exit(137);
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    count(descriptor);
    return NEXT(write)(descriptor, bytes, size);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    count(descriptor);
    return NEXT(pwrite)(descriptor, bytes, size, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t offset)
{
    count(descriptor);
    return NEXT(pwrite64)(descriptor, bytes, size, offset);
}

ssize_t pwritev(int descriptor, const struct iovec *pieces, int number, off_t offset)
{
    count(descriptor);
    return NEXT(pwritev)(descriptor, pieces, number, offset);
}
