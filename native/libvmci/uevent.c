/*
 * Kernel uevents for Node. Invariants: the socket is bound before the descriptor is handed out; only the kernel's
 * own messages pass; what the kernel or we had to drop is told as an overflow in the place where it is missing.
 */
#include "stream.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KERNEL_GROUP = 1,
    /* The kernel builds a message in 2 KiB plus its header line. */
    MESSAGE_BYTES = 16 * 1024,
    /* Hundreds of disks may come at once, at half a dozen events each, while Node is busy. */
    RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024,
};

struct listener {
    int netlink, control;
};

struct record {
    uint32_t length;
    char message[MESSAGE_BYTES];
};

static void enlarge_buffer(int netlink)
{
    int bytes = RECEIVE_BUFFER_BYTES;
    if (setsockopt(netlink, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0) return;
    (void)setsockopt(netlink, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static int open_netlink(void)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (netlink < 0) return -errno;
    enlarge_buffer(netlink);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    if (bind(netlink, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = -errno;
        (void)close(netlink);
        return error;
    }
    return netlink;
}

/* 1: the record holds something to pass on; 0: nothing to pass on; or -errno. */
static int receive(int netlink, struct record *record)
{
    struct sockaddr_nl sender = {0};
    struct iovec part = {.iov_base = record->message, .iov_len = sizeof record->message};
    struct msghdr header = {.msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t count = recvmsg(netlink, &header, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (count < 0 && errno != ENOBUFS) return -errno;
    /* Any process may send to the group; udev's copies carry its own port too. */
    if (count >= 0 && sender.nl_pid != 0) return 0;
    bool is_whole = count > 0 && (header.msg_flags & MSG_TRUNC) == 0;
    record->length = is_whole ? (uint32_t)count : 0;
    return 1;
}

static void run(const struct listener *listener, struct record *record)
{
    for (;;) {
        struct pollfd asked[2] = {
            {.fd = listener->control, .events = POLLRDHUP},
            {.fd = listener->netlink, .events = POLLIN},
        };
        if (poll(asked, 2, -1) < 0 && errno != EINTR) return;
        if (asked[0].revents != 0) return;
        if (asked[1].revents == 0) continue;
        int outcome = receive(listener->netlink, record);
        if (outcome < 0) return;
        size_t length = sizeof record->length + record->length;
        if (outcome == 1 && vmci_send_all(listener->control, record, length) < 0) return;
    }
}

static void uevent_body(void *argument)
{
    struct listener listener = *(struct listener *)argument;
    free(argument);
    struct record *record = malloc(sizeof *record);
    if (record != NULL) run(&listener, record);
    free(record);
    (void)close(listener.netlink);
    (void)close(listener.control);
}

static int start_thread(int netlink)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    struct listener *listener = calloc(1, sizeof *listener);
    int error = listener == NULL ? -ENOMEM : 0;
    if (listener != NULL) {
        *listener = (struct listener){netlink, pair[1]};
        error = vmci_thread_start("vmci-uevent", uevent_body, listener);
    }
    if (error == 0) return pair[0];
    free(listener);
    (void)close(pair[0]);
    (void)close(pair[1]);
    return error;
}

int64_t vmci_uevent_open(void)
{
    int netlink = open_netlink();
    if (netlink < 0) return netlink;
    int inner = start_thread(netlink);
    if (inner < 0) (void)close(netlink);
    return inner;
}
