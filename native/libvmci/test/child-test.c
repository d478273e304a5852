/* Programs run by the library. Each test leaves no thread, no descriptor and no child behind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "vmci.h"

enum { OUTPUT_LIMIT_BYTES = 64 * 1024 };

struct end {
    int32_t status;
    size_t length;
    char output[OUTPUT_LIMIT_BYTES + 1];
};

/* Runs `sh -c script`. */
static int start(const char *script, uint32_t limit)
{
    char arguments[4096];
    int length = snprintf(arguments, sizeof arguments, "sh%c-c%c%s", 0, 0, script);
    EXPECT_TRUE(length > 0 && (size_t)length < sizeof arguments);
    static const char environment[] = "PATH=/usr/bin:/bin\0LC_ALL=C";
    int descriptor = (int)vmci_child_start("/bin/sh", arguments, 3, environment, 2, 0, limit);
    EXPECT_TRUE(descriptor >= 0);
    return descriptor;
}

/* The result lives until the next call. */
static const struct end *end_of(int descriptor)
{
    static char bytes[OUTPUT_LIMIT_BYTES + 64];
    static struct end end;
    size_t length = 0;
    for (ssize_t count; (count = recv(descriptor, bytes + length, sizeof bytes - length, 0)) > 0;)
        length += (size_t)count;
    (void)close(descriptor);
    EXPECT_TRUE(length >= sizeof end.status && length <= OUTPUT_LIMIT_BYTES + sizeof end.status);
    end.length = length - sizeof end.status;
    memcpy(&end.status, bytes + end.length, sizeof end.status);
    memcpy(end.output, bytes, end.length);
    end.output[end.length] = '\0';
    return &end;
}

static const struct end *run(const char *script)
{
    return end_of(start(script, OUTPUT_LIMIT_BYTES));
}

static void expect_quiet(int64_t descriptors)
{
    tap_expect_quiet(descriptors);
    EXPECT(waitpid(-1, NULL, WNOHANG), -1);
    EXPECT(errno, ECHILD);
}

/* Its number comes through a fifo, so the program is known to have come that far. */
static pid_t number_from(const char *fifo)
{
    char text[32] = "";
    int descriptor = open(fifo, O_RDONLY | O_CLOEXEC);
    EXPECT_TRUE(read(descriptor, text, sizeof text - 1) > 0);
    (void)close(descriptor);
    return (pid_t)strtol(text, NULL, 10);
}

/* What has died but was not reaped does not run. */
static bool is_running(pid_t process)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool is_read = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    const char *state = strrchr(text, ')');
    return is_read && state != NULL && state[2] != 'Z' && state[2] != 'X';
}

static void tells_how_it_ended(void)
{
    int64_t before = tap_count_descriptors();
    EXPECT(run("exit 0")->status, 0);
    EXPECT(run("exit 255")->status, 255);
    EXPECT(run("kill -9 $$")->status, VMCI_CHILD_SIGNALLED + SIGKILL);
    EXPECT(run("kill -15 $$")->status, VMCI_CHILD_SIGNALLED + SIGTERM);
    expect_quiet(before);
}

static void tells_what_cannot_be_started(void)
{
    int64_t before = tap_count_descriptors();
    static const char name[] = "program";
    EXPECT(end_of((int)vmci_child_start(tap_path("missing"), name, 1, "", 0, 0, 100))->status, -ENOENT);
    EXPECT(end_of((int)vmci_child_start(tap_file("plain", 1), name, 1, "", 0, 0, 100))->status, -EACCES);
    EXPECT(vmci_child_start("bin/sh", name, 1, "", 0, 0, 100), -EINVAL);
    EXPECT(vmci_child_start("/bin/sh", name, 0, "", 0, 0, 100), -EINVAL);
    expect_quiet(before);
}

static void keeps_the_end_of_the_output(void)
{
    int64_t before = tap_count_descriptors();
    const struct end *end = run("echo out; echo error >&2; cat");
    EXPECT(strcmp(end->output, "out\nerror\n"), 0);
    end = run("i=0; while [ $i -lt 50000 ]; do echo $i; i=$((i+1)); done; printf 'the last'");
    EXPECT((int64_t)end->length, OUTPUT_LIMIT_BYTES);
    EXPECT(strcmp(end->output + end->length - strlen("49999\nthe last"), "49999\nthe last"), 0);
    end = end_of(start("printf 123456789", 4));
    EXPECT(strcmp(end->output, "6789"), 0);
    EXPECT((int64_t)end_of(start("echo lost", 0))->length, 0);
    static const char arguments[] = "sh\0-c\0echo out; echo error >&2";
    end = end_of((int)vmci_child_start("/bin/sh", arguments, 3, "", 0, 1, 100));
    EXPECT(strcmp(end->output, "error\n"), 0);
    expect_quiet(before);
}

static void starts_afresh(void)
{
    int64_t before = tap_count_descriptors();
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    /* One that is not close-on-exec. */
    int leaky = fcntl(STDIN_FILENO, F_DUPFD, 100);
    /* Of the ignored signals the standard ones: glibc keeps the two of its threads ignored. */
    const struct end *end = run("sed -nE 's/^Sig(Blk|Ign):.*(.{7})$/\\1 \\2/p' /proc/self/status\n"
                                "ls /proc/$$/fd; env | grep -v ^PWD");
    (void)close(leaky);
    (void)signal(SIGPIPE, handler);
    const char *expected = "Blk 0000000\nIgn 0000000\n"
                           "0\n1\n2\n"
                           "PATH=/usr/bin:/bin\nLC_ALL=C\n";
    EXPECT(strcmp(end->output, expected), 0);
    expect_quiet(before);
}

struct family {
    int descriptor;
    pid_t child, grandchild;
};

/* Both ignore SIGTERM; the grandchild holds nothing of ours by which its end could be seen. */
static struct family stubborn(void)
{
    static int made;
    char script[2048], name[32];
    (void)snprintf(name, sizeof name, "family%d", made++);
    const char *fifo = tap_path(name);
    EXPECT(mkfifo(fifo, 0600), 0);
    (void)snprintf(script, sizeof script,
                   "trap '' TERM; sh -c 'echo $$ > %s; exec sleep 1000' > /dev/null 2>&1 &\n"
                   "exec sh -c 'echo $$ > %s.child; exec sleep 1000'",
                   fifo, fifo);
    char child[300];
    (void)snprintf(child, sizeof child, "%s.child", fifo);
    EXPECT(mkfifo(child, 0600), 0);
    struct family family = {.descriptor = start(script, OUTPUT_LIMIT_BYTES)};
    family.grandchild = number_from(fifo);
    family.child = number_from(child);
    EXPECT_TRUE(is_running(family.child) && is_running(family.grandchild));
    return family;
}

static void is_gone_at_the_record(void)
{
    int64_t before = tap_count_descriptors();
    for (int round = 0; round < 20; round++) {
        struct family family = stubborn();
        EXPECT(shutdown(family.descriptor, SHUT_WR), 0);
        EXPECT(end_of(family.descriptor)->status, VMCI_CHILD_SIGNALLED + SIGKILL);
        EXPECT(kill(family.child, 0), -1);
        EXPECT_TRUE(!is_running(family.grandchild));
    }
    expect_quiet(before);
}

static void ends_with_its_descriptor(void)
{
    int64_t before = tap_count_descriptors();
    struct family family = stubborn();
    (void)close(family.descriptor);
    expect_quiet(before);
    EXPECT_TRUE(!is_running(family.child) && !is_running(family.grandchild));
}

static void leaves_nobody_behind(void)
{
    int64_t before = tap_count_descriptors();
    const struct end *end = run("sleep 1000 & echo $!; exit 3");
    EXPECT(end->status, 3);
    EXPECT_TRUE(!is_running((pid_t)strtol(end->output, NULL, 10)));
    expect_quiet(before);
}

/* Somebody who has left the group is let go; its output goes on for ever, and ends by SIGPIPE with our side of it. */
static void does_not_wait_for_a_daemon(void)
{
    int64_t before = tap_count_descriptors();
    const char *fifo = tap_path("daemon");
    EXPECT(mkfifo(fifo, 0600), 0);
    char script[1024];
    (void)snprintf(script, sizeof script, "setsid sh -c 'echo > %s; exec yes' & read line < %s; exit 4", fifo, fifo);
    EXPECT(run(script)->status, 4);
    expect_quiet(before);
}

static void runs_many(void)
{
    enum { MANY = 50 };
    int64_t before = tap_count_descriptors();
    int started[MANY];
    for (int index = 0; index < MANY; index++) {
        char script[64];
        (void)snprintf(script, sizeof script, "echo %d; exit %d", index, index);
        started[index] = start(script, OUTPUT_LIMIT_BYTES);
    }
    for (int index = 0; index < MANY; index++) {
        const struct end *end = end_of(started[index]);
        EXPECT(end->status, index);
        EXPECT(strtol(end->output, NULL, 10), index);
    }
    expect_quiet(before);
}

void child_tests(void)
{
    tap_run("a program's exit code and signal are told", tells_how_it_ended);
    tap_run("a program that cannot be started is told by its error", tells_what_cannot_be_started);
    tap_run("of a program's output the end is kept, and it reads nothing", keeps_the_end_of_the_output);
    tap_run("a program inherits no signal settings, descriptors or environment", starts_afresh);
    tap_run("a killed program and its group are gone when the record comes", is_gone_at_the_record);
    tap_run("a program and its group end when the descriptor is closed", ends_with_its_descriptor);
    tap_run("what a program leaves running in its group is gone when the record comes", leaves_nobody_behind);
    tap_run("a program that left its group is not waited for", does_not_wait_for_a_daemon);
    tap_run("fifty programs at once leave no thread, no descriptor and no child", runs_many);
}
