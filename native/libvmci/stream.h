/*
 * The streams' core: it connects, accepts and pumps over whatever address family it is given.
 *
 * Invariant: nothing here knows AF_VSOCK. All that differs between families is in struct vmci_family, so the code
 * that runs in production is the code that the tests drive over Unix and loopback sockets.
 */
#ifndef VMCI_STREAM_H
#define VMCI_STREAM_H

#include <stdbool.h>
#include <sys/socket.h>

#include "vmci.h"

enum { VMCI_FIRST_UNPRIVILEGED_PORT = 1024 };

struct vmci_family {
    int domain;
    /* Fills the address to bind for any interface and `port`. */
    socklen_t (*local_address)(struct sockaddr_storage *address, uint32_t port);
    /* Fills peer_cid and peer_port. */
    void (*describe_peer)(const struct sockaddr_storage *address, struct vmci_stream_record *record);
    /* Lets the kernel's own limit on connecting be no shorter than ours. May be NULL. */
    int (*allow_connect_time)(int descriptor, uint32_t timeout_ms);
};

struct vmci_address {
    struct sockaddr_storage bytes;
    socklen_t length;
};

int vmci_stream_dial(const struct vmci_family *family, const struct vmci_address *address, bool is_privileged,
                     uint32_t timeout_ms);
int vmci_stream_listen(const struct vmci_family *family, const struct vmci_address *address,
                       bool refuses_unprivileged);

/* Carries bytes both ways until both directions have ended, then closes both descriptors. `inner` is our end of
 * Node's pair. */
void vmci_pump(int outer, int inner);

/* Starts a detached thread that handles no signal. `argument` passes to the thread only on success. */
int vmci_thread_start(const char *name, void (*body)(void *), void *argument);

/* Sends everything; SIGPIPE safe. The descriptor is a blocking one. */
int vmci_send_all(int descriptor, const void *bytes, size_t length);

int64_t vmci_now_ms(void);

#endif
