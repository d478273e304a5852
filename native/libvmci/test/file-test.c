/* Extents of files: copied, shared, reserved, zeroed. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tap.h"
#include "vmci.h"

enum { MIB = 1024 * 1024 };

static bool refuses_direct;

/* Stands in for the C library's: a file system that opens a file past the page cache and then refuses to write so can't
 * be had here. */
ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset)
{
    if (refuses_direct && (fcntl(file, F_GETFL) & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_pwrite64, file, bytes, length, offset);
}

static void put(const char *path, const char *text, off_t offset)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    EXPECT(pwrite(file, text, strlen(text), offset), (int64_t)strlen(text));
    (void)close(file);
}

static struct stat status_of(const char *path)
{
    struct stat status;
    EXPECT(stat(path, &status), 0);
    return status;
}

static void copies_in_pieces(void)
{
    const char *source = tap_file("source", 64 * MIB), *copy = tap_path("copy");
    put(source, "first", 10);
    put(source, "second", 20 * MIB + 5);
    put(source, "last", 50 * MIB);
    struct vmci_copy_progress progress = {0};
    int pieces = 0;
    for (int64_t result = 0; result == 0; pieces++) {
        result = vmci_copy_extents(source, copy, progress.next_offset, 4096, &progress);
        EXPECT_TRUE(result >= 0);
        EXPECT_TRUE(progress.copied_bytes <= 4096);
    }
    EXPECT_TRUE(pieces >= 3);
    EXPECT((int64_t)progress.next_offset, 64 * MIB);
    EXPECT((int64_t)progress.size_bytes, 64 * MIB);
    tap_command("cmp %s %s", source, copy);
    EXPECT_TRUE(status_of(copy).st_blocks <= status_of(source).st_blocks);
    EXPECT(vmci_copy_extents(tap_path("missing"), copy, 0, 1, &progress), -ENOENT);
}

/* A source that tells nothing of its holes, and another file system. */
static void copies_across(void)
{
    const char *source = "/proc/self/cmdline", *copy = tap_path("across");
    struct vmci_copy_progress progress;
    EXPECT(vmci_copy_extents(source, copy, 0, MIB, &progress), 1);
    source = tap_file("across-source", 3 * MIB);
    put(source, "text", 2 * MIB);
    copy = "/dev/shm/libvmci-across";
    EXPECT(vmci_copy_extents(source, copy, 0, 16 * MIB, &progress), 1);
    tap_command("cmp %s %s", source, copy);
    EXPECT(unlink(copy), 0);
}

static void reserves_and_zeroes(void)
{
    const char *file = tap_file("reserved", 0);
    EXPECT(vmci_allocate(file, 0, 4 * MIB), 0);
    EXPECT(status_of(file).st_size, 4 * MIB);
    EXPECT_TRUE(status_of(file).st_blocks >= 4 * MIB / 512);
    file = tap_file("zeroed", 3 * MIB);
    put(file, "data", MIB + 7);
    EXPECT(vmci_write_zeros(file, 0, 3 * MIB), 0);
    tap_command("cmp %s %s", file, tap_file("plain", 3 * MIB));
    EXPECT_TRUE(status_of(file).st_blocks >= 3 * MIB / 512);
    EXPECT(vmci_allocate(tap_path("missing"), 0, MIB), -ENOENT);
    EXPECT(vmci_write_zeros(tap_path("missing"), 0, MIB), -ENOENT);
}

static void writes_though_refused(void)
{
    const char *source = tap_file("refused-source", 3 * MIB + 5), *copy = tap_path("refused-copy");
    put(source, "text", 2 * MIB);
    struct vmci_copy_progress progress;
    refuses_direct = true;
    EXPECT(vmci_copy_extents(source, copy, 0, 16 * MIB, &progress), 1);
    refuses_direct = false;
    tap_command("cmp %s %s", source, copy);
}

static void shares_where_it_can(void)
{
    const char *source = tap_file("shared-source", MIB), *copy = "/dev/shm/libvmci-shared";
    int64_t result = vmci_reflink(source, copy);
    EXPECT(unlink(copy), 0);
    EXPECT_TRUE(result == -EXDEV || result == -EOPNOTSUPP);
    EXPECT(vmci_reflink(tap_path("missing"), copy), -ENOENT);
}

void file_tests(void)
{
    tap_run("a copy in pieces has its source's bytes and no more blocks", copies_in_pieces);
    tap_run("a copy between file systems has its source's bytes", copies_across);
    tap_run("a file is reserved, and zeroed for real", reserves_and_zeroes);
    tap_run("what may not go past the page cache goes through it", writes_though_refused);
    tap_run("a reflink between two file systems is refused", shares_where_it_can);
}
