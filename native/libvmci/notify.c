/* Datagrams to the service manager. Invariant: never waits, and leaves nothing open. */
#include "vmci.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int64_t vmci_notify(const char *address, const void *text, uint32_t length)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t address_length = strlen(address);
    if (address_length < 2 || (address[0] != '/' && address[0] != '@')) return -EINVAL;
    if (address_length >= sizeof to.sun_path) return -ENAMETOOLONG;
    memcpy(to.sun_path, address, address_length);
    /* The kernel's abstract names begin with a NUL, and end where the length says. */
    if (address[0] == '@') to.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + address_length + (address[0] == '/'));

    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    ssize_t sent = sendto(descriptor, text, length, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to, size);
    int64_t result = sent < 0 ? -errno : 0;
    (void)close(descriptor);
    return result;
}
