/*
 * Preloaded into plugin and service: names every step by which the process changes something outside of itself, and
 * kills it just before the one that it was told.
 *
 * A step is a call of the C library that makes, writes, flushes, renames, links or removes a file below the folders of
 * CRASH_ROLES ("name=folder" lines), writes to a block device or to a socket that lies below one, attaches or detaches
 * a loop device, mounts, unmounts, or starts a tool. Its name is the call and what the file is for; random parts of
 * names are left out. Steps count while CRASH_DIR/armed is there. Its first line is any text that tells this arming
 * from others; the second, if any, is "NAME#n": the n-th step of this name is not made, the process dies of SIGKILL.
 * CRASH_DIR/steps has a line for each.
 *
 * Complete as of Node 24.21 (libuv calls the C library for files; its io_uring carries epoll_ctl alone): both programs
 * were run under "strace -f -y" through all scenarios, and each call on a file below the roles or on /dev/loop*, each
 * mount(2), umount2(2) and execve(2) had its step. Left out on purpose: LOOP_CTL_GET_FREE, which may add an idle device;
 * opens that neither make nor empty a file; whatever tools (mkfs and so on) do, since they run without this library.
 * Calls by number, through syscall(2), are steps too if they could change anything.
 */
#define _GNU_SOURCE
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_NAMES = 512, NAME_BYTES = 256, PATH_BYTES = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char arming[NAME_BYTES];
static struct {
    char name[NAME_BYTES];
    int count;
} names[MAX_NAMES];

/* By number: what is interposed must not be called from here. */
static long raw_open(const char *file, int flags)
{
    return direct(SYS_openat, AT_FDCWD, (long)file, flags | O_CLOEXEC, 0600, 0, 0);
}

static void in_crash_folder(char *path, const char *file)
{
    (void)snprintf(path, PATH_BYTES, "%s/%s", getenv("CRASH_DIR"), file);
}

static void note(const char *text)
{
    char path[PATH_BYTES], line[NAME_BYTES + 16];
    in_crash_folder(path, "steps");
    long file = raw_open(path, O_WRONLY | O_CREAT | O_APPEND);
    int length = snprintf(line, sizeof line, "%s\n", text);
    (void)direct(SYS_write, file, (long)line, length, 0, 0, 0);
    (void)direct(SYS_close, file, 0, 0, 0, 0, 0);
}

/* Whether steps count now; `target` is what to die before, or empty. */
static bool is_armed(char *target)
{
    char path[PATH_BYTES], text[2 * NAME_BYTES] = "";
    in_crash_folder(path, "armed");
    long file = raw_open(path, O_RDONLY);
    if (file < 0) return false;
    long count = direct(SYS_read, file, (long)text, sizeof text - 1, 0, 0, 0);
    (void)direct(SYS_close, file, 0, 0, 0, 0, 0);
    char *end = count > 0 ? strchr(text, '\n') : NULL;
    if (end == NULL) return false;
    *end = '\0';
    (void)snprintf(target, NAME_BYTES, "%s", end + 1);
    target[strcspn(target, "\n")] = '\0';
    if (strcmp(text, arming) != 0) {
        (void)snprintf(arming, sizeof arming, "%s", text);
        memset(names, 0, sizeof names);
    }
    return true;
}

static int *count_of(const char *name)
{
    int place = 0;
    while (names[place].name[0] != '\0' && strcmp(names[place].name, name) != 0) place++;
    if (place == MAX_NAMES - 1) abort();
    (void)snprintf(names[place].name, NAME_BYTES, "%s", name);
    return &names[place].count;
}

/* The program's process; 0 in the shells and tools that only lead to it. */
static pid_t program;

__attribute__((constructor)) static void begin(void)
{
    if (strcmp(program_invocation_short_name, "node") == 0) program = getpid();
}

/* Of the program, also when we are in a tool's process that has not begun yet and shares its memory. */
static void die(void)
{
    (void)direct(SYS_kill, program, SIGKILL, 0, 0, 0, 0);
    if (direct(SYS_getpid, 0, 0, 0, 0, 0, 0) != program) (void)direct(SYS_exit_group, 1, 0, 0, 0, 0, 0);
    for (;;) (void)direct(SYS_pause, 0, 0, 0, 0, 0, 0);
}

void crash_step(const char *call, const char *what)
{
    char name[NAME_BYTES], numbered[NAME_BYTES + 16], target[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s %s", call, what);
    if (program == 0) return;
    int before = errno;
    (void)pthread_mutex_lock(&lock);
    if (is_armed(target)) {
        (void)snprintf(numbered, sizeof numbered, "%s#%d", name, ++*count_of(name));
        note(name);
        if (strcmp(numbered, target) == 0) die();
    }
    (void)pthread_mutex_unlock(&lock);
    errno = before;
}

void crash_take_back(const char *name)
{
    char target[NAME_BYTES], line[NAME_BYTES];
    if (program == 0) return;
    int before = errno;
    (void)pthread_mutex_lock(&lock);
    if (is_armed(target) && *count_of(name) > 0) {
        --*count_of(name);
        (void)snprintf(line, sizeof line, "not %s", name);
        note(line);
    }
    (void)pthread_mutex_unlock(&lock);
    errno = before;
}

/* The path with its folder's role in place of the folder; false when it is below none. */
static bool role_of_path(const char *path, char *role)
{
    const char *roles = getenv("CRASH_ROLES");
    if (strncmp(path, "/dev/loop", 9) == 0) {
        (void)strcpy(role, strcmp(path, "/dev/loop-control") == 0 ? "loop-control" : "loop");
        return true;
    }
    while (roles != NULL && *roles != '\0') {
        const char *folder = strchr(roles, '=') + 1, *end = strchrnul(folder, '\n');
        size_t length = (size_t)(end - folder);
        if (strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0')) {
            (void)snprintf(role, NAME_BYTES, "%.*s%s", (int)(folder - 1 - roles), roles, path + length);
            return true;
        }
        roles = *end == '\0' ? end : end + 1;
    }
    return false;
}

/* A name of work in progress, or of mkdtemp(3)'s. */
static void blur(char *role)
{
    char *part = strchr(role, '/');
    while (part != NULL) {
        char *next = strchr(++part, '/');
        size_t length = next == NULL ? strlen(part) : (size_t)(next - part);
        const char *instead = NULL;
        if (length == 41 && part[0] == '.' && strncmp(part + 37, ".tmp", 4) == 0) instead = "aside";
        else if (length == 8 && strncmp(part, ".s", 2) == 0) instead = ".s*";
        else if (length == 7 && part[0] == 'm' && strncmp(role, "private/", 8) == 0) instead = "m*";
        if (instead != NULL) {
            memmove(part + strlen(instead), part + length, strlen(part + length) + 1);
            memcpy(part, instead, strlen(instead));
            next = strchr(part, '/');
        }
        part = next;
    }
}

bool crash_role(int folder, const char *path, char *role)
{
    char whole[PATH_BYTES], base[PATH_BYTES / 2] = "";
    if (path == NULL || getenv("CRASH_DIR") == NULL) return false;
    if (path[0] != '/') {
        char link[64];
        if (folder == AT_FDCWD) return false;
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        long length = direct(SYS_readlinkat, AT_FDCWD, (long)link, (long)base, sizeof base - 1, 0, 0);
        if (length <= 0) return false;
    }
    (void)snprintf(whole, sizeof whole, "%s%s%s", base, path[0] != '/' && path[0] != '\0' ? "/" : "", path);
    if (!role_of_path(whole, role)) return false;
    blur(role);
    return true;
}

/* Of a socket: the one of its two ends that has a name. */
static bool role_of_socket(int descriptor, char *role)
{
    struct sockaddr_un address = {0};
    socklen_t length = sizeof address;
    if (getsockname(descriptor, (struct sockaddr *)&address, &length) < 0 || address.sun_family != AF_UNIX) return false;
    if (address.sun_path[0] == '\0') {
        length = sizeof address;
        memset(&address, 0, sizeof address);
        if (getpeername(descriptor, (struct sockaddr *)&address, &length) < 0) return false;
    }
    if (address.sun_path[0] == '\0' || !crash_role(AT_FDCWD, address.sun_path, role)) return false;
    role[strcspn(role, "/")] = '\0';
    return true;
}

void crash_at_path(const char *call, int folder, const char *path)
{
    char role[NAME_BYTES];
    if (crash_role(folder, path, role)) crash_step(call, role);
}

void crash_at_descriptor(const char *call, const char *socket_call, int descriptor)
{
    char role[NAME_BYTES];
    struct stat status;
    if (getenv("CRASH_DIR") == NULL || descriptor <= 2 || fstat(descriptor, &status) < 0) return;
    if (S_ISSOCK(status.st_mode)) {
        if (socket_call != NULL && role_of_socket(descriptor, role)) crash_step(socket_call, role);
    } else if (crash_role(descriptor, "", role)) crash_step(call, role);
}

void crash_at_pair(const char *call, int from_folder, const char *from, int to_folder, const char *to)
{
    char first[NAME_BYTES], second[NAME_BYTES], both[2 * NAME_BYTES];
    if (!crash_role(to_folder, to, second)) return;
    if (!crash_role(from_folder, from, first)) (void)strcpy(first, "?");
    (void)snprintf(both, sizeof both, "%s -> %s", first, second);
    crash_step(call, both);
}
