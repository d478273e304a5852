/*
 * Programs run for Node. Invariants: the thread outlives the program and reaps it, waiting for its number alone, so
 * there is neither a zombie nor a race with Node's own children; when the final record is sent, or the descriptor
 * seen closed, nobody of the program's process group runs any more; the program does not outlive this process. The
 * program has no memory of ours to copy: it is started by vfork(2), however big this process is.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream.h"

enum { READ_BYTES = 64 * 1024, FIRST_SURPLUS_DESCRIPTOR = 3 };

struct child {
    int control;
    bool ignores_stdout;
    char *path;
    char **arguments, **environment;
    /* The last bytes of the output, with room behind them for one more reading. */
    char *output;
    size_t output_length, output_limit;
};

struct pipe_ends {
    int reading, writing;
};

static void destroy(struct child *child)
{
    if (child == NULL) return;
    free(child->path);
    free(child->arguments);
    free(child->environment);
    free(child->output);
    free(child);
}

/* The strings of a block as execve(2) takes them, all in one piece of memory. */
static char **vector_of(const char *block, uint32_t count)
{
    size_t length = 0, pointers_length = ((size_t)count + 1) * sizeof(char *);
    for (uint32_t index = 0; index < count; index++) length += strlen(block + length) + 1;
    char **vector = malloc(pointers_length + length);
    if (vector == NULL) return NULL;
    char *next = memcpy((char *)vector + pointers_length, block, length);
    for (uint32_t index = 0; index < count; index++, next += strlen(next) + 1) vector[index] = next;
    vector[count] = NULL;
    return vector;
}

/* Node ignores SIGPIPE and the starting thread blocks all signals: neither is for the program to inherit. */
static int reset_signals(void)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) (void)sigaction(number, &normal, NULL);
    sigset_t none;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the new process, which has our memory until its execve(2), so that it may change nothing there. Returns an errno. */
static int become(const struct child *child, pid_t parent, int output)
{
    /* A mkfs that outlived us would go on with a device that may be another volume's by then. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return errno;
    if (getppid() != parent) return ESRCH;
    if (setpgid(0, 0) < 0) return errno;
    int nothing = open("/dev/null", O_RDWR);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) return errno;
    if (dup2(child->ignores_stdout ? nothing : output, STDOUT_FILENO) < 0) return errno;
    if (dup2(output, STDERR_FILENO) < 0) return errno;
    /* Ours are close-on-exec; those of other libraries in the process need not be. */
    (void)syscall(SYS_close_range, FIRST_SURPLUS_DESCRIPTOR, ~0U, CLOSE_RANGE_CLOEXEC);
    if (reset_signals() < 0) return errno;
    (void)execve(child->path, child->arguments, child->environment);
    return errno;
}

/* Its process number, which is its group's too; -errno. */
static pid_t spawn(const struct child *child, int output)
{
    pid_t parent = getpid();
    volatile int error = 0;
    pid_t leader = vfork();
    if (leader == 0) {
        error = become(child, parent, output);
        _exit(EXIT_FAILURE);
    }
    if (leader < 0) return -errno;
    if (error == 0) return leader;
    while (waitpid(leader, NULL, 0) < 0 && errno == EINTR) continue;
    return -error;
}

static int open_pipe(struct pipe_ends *ends)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0) return -errno;
    *ends = (struct pipe_ends){pair[0], pair[1]};
    /* The program's end stays a blocking one, as programs expect. */
    if (fcntl(ends->reading, F_SETFL, O_NONBLOCK) == 0) return 0;
    int error = -errno;
    (void)close(ends->reading);
    (void)close(ends->writing);
    return error;
}

/* What came, 0 at the end or when nothing is there now. */
static size_t read_output(struct child *child, int reading)
{
    ssize_t count = read(reading, child->output + child->output_length, READ_BYTES);
    if (count <= 0) return 0;
    child->output_length += (size_t)count;
    if (child->output_length > child->output_limit) {
        size_t surplus = child->output_length - child->output_limit;
        memmove(child->output, child->output + surplus, child->output_limit);
        child->output_length = child->output_limit;
    }
    return (size_t)count;
}

/* No further than what is there now: somebody who left the group may go on writing for ever. */
static void read_rest(struct child *child, int reading)
{
    int left = 0;
    if (ioctl(reading, FIONREAD, &left) < 0) return;
    for (size_t count = 1; count > 0 && left > 0; left -= (int)count) count = read_output(child, reading);
}

/* Returns when the program has ended, or was killed because nothing can tell its end. */
static void watch(struct child *child, pid_t leader, int ended, int reading)
{
    struct pollfd asked[3] = {
        {.fd = ended, .events = POLLIN},
        {.fd = child->control, .events = POLLRDHUP},
        {.fd = reading, .events = POLLIN},
    };
    while (asked[0].revents == 0) {
        if (poll(asked, 3, -1) < 0) {
            if (errno == EINTR) continue;
            vmci_group_kill(leader);
            return;
        }
        if (asked[1].revents != 0) {
            vmci_group_kill(leader);
            asked[1].fd = -1;
        }
        if (asked[2].revents != 0 && read_output(child, reading) == 0) asked[2].fd = -1;
    }
}

static int32_t reap(pid_t leader)
{
    int status;
    while (waitpid(leader, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : VMCI_CHILD_SIGNALLED + WTERMSIG(status);
}

static int32_t accompany(struct child *child, pid_t leader, int reading)
{
    int ended = vmci_process_open(leader);
    if (ended >= 0) watch(child, leader, ended, reading);
    /* What it left behind; and itself if its end could not be seen. */
    vmci_group_kill(leader);
    int32_t status = reap(leader);
    if (ended >= 0) (void)close(ended);
    vmci_group_await(leader);
    read_rest(child, reading);
    return ended < 0 ? ended : status;
}

static int32_t run(struct child *child)
{
    struct pipe_ends ends = {-1, -1};
    int error = open_pipe(&ends);
    if (error < 0) return error;
    pid_t leader = spawn(child, ends.writing);
    (void)close(ends.writing);
    int32_t status = leader < 0 ? leader : accompany(child, leader, ends.reading);
    (void)close(ends.reading);
    return status;
}

static void child_body(void *argument)
{
    struct child *child = argument;
    struct vmci_child_record record = {.status = run(child)};
    if (vmci_send_all(child->control, child->output, child->output_length) == 0)
        (void)vmci_send_all(child->control, &record, sizeof record);
    (void)close(child->control);
    destroy(child);
}

static int start_thread(struct child *child)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    child->control = pair[1];
    int error = vmci_thread_start("vmci-child", child_body, child);
    if (error == 0) return pair[0];
    (void)close(pair[0]);
    (void)close(pair[1]);
    return error;
}

int64_t vmci_child_start(const char *path, const char *arguments, uint32_t argument_count, const char *environment,
                         uint32_t variable_count, uint32_t ignores_stdout, uint32_t output_limit_bytes)
{
    if (path[0] != '/' || argument_count == 0) return -EINVAL;
    struct child *child = calloc(1, sizeof *child);
    if (child == NULL) return -ENOMEM;
    child->ignores_stdout = ignores_stdout != 0;
    child->path = strdup(path);
    child->arguments = vector_of(arguments, argument_count);
    child->environment = vector_of(environment, variable_count);
    child->output_limit = output_limit_bytes;
    child->output = malloc((size_t)output_limit_bytes + READ_BYTES);
    bool is_whole =
        child->path != NULL && child->arguments != NULL && child->environment != NULL && child->output != NULL;
    int inner = is_whole ? start_thread(child) : -ENOMEM;
    if (inner < 0) destroy(child);
    return inner;
}
