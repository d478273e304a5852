/* Sending whole records, and the clock of all deadlines here. Invariant: the clock never goes back. */
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

int64_t vmci_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
