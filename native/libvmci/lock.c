/*
 * Who uses a file or a socket. Invariant: the answers are the kernel's, so they are true of processes that live, and
 * nothing of one that ended, however it ended, is left to be taken for it.
 */
#include "vmci.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int64_t vmci_lock(uint32_t descriptor)
{
    return flock((int)descriptor, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int64_t vmci_socket_owner(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stream < 0) return -errno;
    struct ucred owner = {0};
    socklen_t size = sizeof owner;
    int64_t result = 0;
    if (connect(stream, (const struct sockaddr *)&address, sizeof address) < 0 ||
        getsockopt(stream, SOL_SOCKET, SO_PEERCRED, &owner, &size) < 0)
        result = -errno;
    else result = owner.pid;
    (void)close(stream);
    return result;
}
