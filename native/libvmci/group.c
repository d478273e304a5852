/*
 * Waiting for processes that are not our children. Invariants: one that has died but was not reaped counts as ended,
 * since its parent may never reap it; we never wait for a stranger that was given a number again.
 */
#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_NS = 1000000 };

int vmci_process_open(pid_t process)
{
    /* The C library has had a name for it only since 2.36. */
    int descriptor = (int)syscall(SYS_pidfd_open, process, 0);
    return descriptor < 0 ? -errno : descriptor;
}

void vmci_group_kill(pid_t leader)
{
    (void)kill(-leader, SIGKILL);
    /* It may have moved to another group. */
    (void)kill(leader, SIGKILL);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* False when there was no descriptor to wait with. */
static bool await_member(pid_t process, pid_t leader)
{
    int descriptor = vmci_process_open(process);
    if (descriptor < 0) return !is_shortage(-descriptor);
    /* Asked again now that the descriptor holds on to whom it was opened for. */
    if (getpgid(process) == leader) {
        struct pollfd asked = {.fd = descriptor, .events = POLLIN};
        while (poll(&asked, 1, -1) < 0 && errno == EINTR) continue;
    }
    (void)close(descriptor);
    return true;
}

/* False when it has to be done again. The killed cannot fork, so whoever is not found now never will be. */
static bool await_members(pid_t leader)
{
    DIR *processes = opendir("/proc");
    if (processes == NULL) return !is_shortage(errno);
    bool is_done = true;
    for (struct dirent *entry; is_done && (entry = readdir(processes)) != NULL;) {
        pid_t process = (pid_t)strtol(entry->d_name, NULL, 10);
        if (process > 0 && getpgid(process) == leader) is_done = await_member(process, leader);
    }
    (void)closedir(processes);
    return is_done;
}

static bool is_there(pid_t target)
{
    return kill(target, 0) == 0 || errno == EPERM;
}

void vmci_group_await(pid_t leader)
{
    /* As long as the group has a member, the kernel gives its number to no new process. */
    while (is_there(-leader) && !is_there(leader) && !await_members(leader))
        (void)nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
}
