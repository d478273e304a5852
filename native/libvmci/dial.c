/*
 * Dialling. Invariant: the caller gets its descriptor at once and the thread behind it owns everything else; the
 * first bytes on it are the outcome, and when the caller closes it, connecting or connected, the thread ends.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* The lower ones are those that services listen on. */
enum { FIRST_DIAL_PORT = 512, DIAL_PORTS = VMCI_FIRST_UNPRIVILEGED_PORT - FIRST_DIAL_PORT };

struct dial {
    const struct vmci_family *family;
    struct vmci_address address;
    bool is_privileged;
    uint32_t timeout_ms;
    int inner;
};

/*
 * Takes another port than the dials before it, each process from another start, as bindresvport(3) does: vsock has no
 * TIME_WAIT, so the peer's late reset of a former connection from the same port would end the new one.
 */
static int bind_privileged(int outer, const struct vmci_family *family)
{
    static atomic_uint dials;
    for (uint32_t tried = 0; tried < DIAL_PORTS; tried++) {
        uint32_t turn = (uint32_t)getpid() + atomic_fetch_add(&dials, 1);
        struct sockaddr_storage address;
        socklen_t length = family->local_address(&address, FIRST_DIAL_PORT + turn % DIAL_PORTS);
        if (bind(outer, (struct sockaddr *)&address, length) == 0) return 0;
        if (errno != EADDRINUSE) return -errno;
    }
    return -EADDRINUSE;
}

/* Waits for the connection, the deadline, or the caller's close (-ECANCELED). */
static int wait_connected(int outer, const struct dial *dial)
{
    int64_t ends_at_ms = vmci_now_ms() + dial->timeout_ms;
    for (;;) {
        int64_t left_ms = ends_at_ms - vmci_now_ms();
        if (left_ms <= 0) return -ETIMEDOUT;
        struct pollfd asked[2] = {{.fd = outer, .events = POLLOUT}, {.fd = dial->inner}};
        int count = poll(asked, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (count < 0 && errno != EINTR) return -errno;
        if (count <= 0) continue;
        if ((asked[1].revents & POLLHUP) != 0) return -ECANCELED;
        if (asked[0].revents == 0) continue;
        int error = 0;
        socklen_t length = sizeof error;
        if (getsockopt(outer, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
        return -error;
    }
}

static int connect_outer(int outer, const struct dial *dial)
{
    int error = 0;
    if (dial->family->allow_connect_time != NULL) error = dial->family->allow_connect_time(outer, dial->timeout_ms);
    if (error == 0 && dial->is_privileged) error = bind_privileged(outer, dial->family);
    if (error < 0) return error;
    if (connect(outer, (const struct sockaddr *)&dial->address.bytes, dial->address.length) == 0) return 0;
    if (errno != EINPROGRESS && errno != EINTR) return -errno;
    return wait_connected(outer, dial);
}

static void dial_body(void *argument)
{
    struct dial dial = *(struct dial *)argument;
    free(argument);
    struct vmci_stream_record record = {0};
    /* Here and not in the caller: the first socket of a family may load a kernel module. */
    int outer = socket(dial.family->domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    record.status = outer < 0 ? -errno : connect_outer(outer, &dial);
    dial.family->describe_peer(&dial.address.bytes, &record);
    int sent = vmci_send_all(dial.inner, &record, sizeof record);
    if (record.status == 0 && sent == 0) {
        vmci_pump(outer, dial.inner);
        return;
    }
    if (outer >= 0) (void)close(outer);
    (void)close(dial.inner);
}

int vmci_stream_dial(const struct vmci_family *family, const struct vmci_address *address, bool is_privileged,
                     uint32_t timeout_ms)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    struct dial *dial = calloc(1, sizeof *dial);
    int error = dial == NULL ? -ENOMEM : 0;
    if (dial != NULL) {
        *dial = (struct dial){family, *address, is_privileged, timeout_ms, pair[1]};
        error = vmci_thread_start("vmci-dial", dial_body, dial);
    }
    if (error < 0) {
        free(dial);
        (void)close(pair[0]);
        (void)close(pair[1]);
        return error;
    }
    return pair[0];
}
