/* Sending whole records, who is at the other end, and the clocks. Invariant: none of those ever goes back. */
#include "stream.h"

#include <errno.h>
#include <time.h>

int vmci_send_all(int descriptor, const void *bytes, size_t length)
{
    const char *next = bytes;
    while (length > 0) {
        ssize_t sent = send(descriptor, next, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return -errno;
        next += sent;
        length -= (size_t)sent;
    }
    return 0;
}

int64_t vmci_peer_process(uint32_t descriptor)
{
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    if (getsockopt((int)descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    return peer.pid;
}

static int64_t now_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t vmci_now_ms(void)
{
    return now_ms(CLOCK_MONOTONIC);
}

int64_t vmci_boot_ms(void)
{
    return now_ms(CLOCK_BOOTTIME);
}
