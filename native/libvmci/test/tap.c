/* See tap.h. */
#include "tap.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

enum { QUIET_LIMIT_MS = 10000, TEST_LIMIT_S = 90 };

static jmp_buf failed;
static int ran, failures;
/* Short enough for a socket's path below it. */
static char folder[80];

void tap_expect(int64_t actual, int64_t expected, const char *text, const char *file, int line)
{
    if (actual == expected) return;
    printf("# %s:%d: %s is %lld, expected %lld\n", file, line, text, (long long)actual, (long long)expected);
    longjmp(failed, 1);
}

void tap_run(const char *title, void (*body)(void))
{
    ran++;
    /* A hanging test must end the program, not the patience of whoever runs it. */
    (void)alarm(TEST_LIMIT_S);
    if (setjmp(failed) == 0) {
        body();
        printf("ok %d - %s\n", ran, title);
    } else {
        failures++;
        printf("not ok %d - %s\n", ran, title);
    }
    (void)fflush(stdout);
}

void tap_command(const char *format, ...)
{
    char command[1024];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(command, sizeof command, format, values);
    va_end(values);
    (void)strncat(command, " >/dev/null 2>&1", sizeof command - strlen(command) - 1);
    tap_expect(system(command), 0, command, __FILE__, __LINE__);
}

const char *tap_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *tap_file(const char *name, int64_t size_bytes)
{
    const char *path = tap_path(name);
    tap_command("rm -f %s && truncate -s %lld %s", path, (long long)size_bytes, path);
    return path;
}

int64_t tap_count_descriptors(void)
{
    int64_t count = 0;
    DIR *entries = opendir("/proc/self/fd");
    while (readdir(entries) != NULL) count++;
    (void)closedir(entries);
    return count;
}

static int64_t count_threads(void)
{
    int64_t count = 0;
    DIR *entries = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[300], name[32] = "";
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL) continue;
        if (fgets(name, sizeof name, file) != NULL && strncmp(name, "vmci-", 5) == 0) count++;
        (void)fclose(file);
    }
    (void)closedir(entries);
    return count;
}

void tap_expect_quiet(int64_t descriptors)
{
    /* The end of a thread is no event that a descriptor could tell of. */
    int64_t ends_at_ms = vmci_now_ms() + QUIET_LIMIT_MS;
    while (vmci_now_ms() < ends_at_ms && (count_threads() > 0 || tap_count_descriptors() > descriptors))
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    EXPECT(count_threads(), 0);
    EXPECT(tap_count_descriptors(), descriptors);
}

int main(void)
{
    const char *base = getenv("TMPDIR");
    int length = snprintf(folder, sizeof folder, "%s/libvmci-XXXXXX", base == NULL ? "/tmp" : base);
    if (length >= (int)sizeof folder || mkdtemp(folder) == NULL) {
        printf("Bail out! no folder for the tests can be made below %s\n", base == NULL ? "/tmp" : base);
        return 2;
    }
    stream_tests();
    disk_tests();
    file_tests();
    child_tests();
    local_tests();
    printf("1..%d\n", ran);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf --one-file-system %s", folder);
    return system(command) == 0 && failures == 0 ? 0 : 1;
}
