/*
 * The vsock device's connections, each to a Unix socket.
 *
 * Invariants: what one side sent before it ended reaches the other; at most BUFFER_BYTES of the guest's are held per
 * connection, which is the credit that the guest is given; nothing blocks, and no side that is slow stops another
 * connection.
 */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <linux/virtio_vsock.h>

#include "vhost.h"

enum { HOST_CID = 2, BUFFER_BYTES = 256 * 1024, MAX_CONNECTIONS = 1024, LINE_BYTES = 64 };
enum {
    NO_MORE_READS = VIRTIO_VSOCK_SHUTDOWN_RCV,
    NO_MORE_WRITES = VIRTIO_VSOCK_SHUTDOWN_SEND,
    BOTH_ENDED = NO_MORE_READS | NO_MORE_WRITES,
};

enum connection_state {
    UNUSED,
    READING_LINE, /* somebody here has connected, and not said yet to which of the guest's ports */
    REQUESTED,    /* the guest was asked */
    OPEN,
    RESET /* only the guest must still be told */
};

struct connection {
    enum connection_state state;
    uint64_t host_cid;
    uint32_t guest_port, host_port;
    int descriptor;
    char line[LINE_BYTES];
    size_t line_length;
    /* The guest's bytes on their way to the descriptor. */
    uint8_t *buffer;
    size_t start, length;
    /* Counted as the protocol does, modulo 2^32. */
    uint32_t sent, guest_forwarded, guest_space, forwarded, forwarded_told;
    uint16_t owed_op; /* REQUEST, RESPONSE or RST; 0 if none */
    bool owes_credit, is_readable;
    uint32_t guest_ended, ended, ended_told; /* VIRTIO_VSOCK_SHUTDOWN_* */
};

struct device {
    struct vhost vhost;
    const char *prefix;
    int listener;
    struct connection connections[MAX_CONNECTIONS];
    uint32_t next_turn, next_port;
};

void connections_open(struct device *device, const char *prefix, int listener);

/* A free place, or NULL. */
struct connection *connections_unused(struct device *device);
/* By its ports; NULL if there is none. */
struct connection *connections_find(struct device *device, uint32_t guest_port, uint32_t host_port);
void connections_forget(struct connection *connection);
/* Cuts it, and has the guest told. */
void connections_refuse(struct connection *connection);
/* How much the guest would take now. */
uint32_t connections_room(const struct connection *connection);
/* The peer here will read nothing more. */
void connections_drop(struct connection *connection);
/* Sends on what came from the guest, as far as the peer here takes it. */
void connections_flush(struct connection *connection);

/* Takes what the guest has sent, and gives it what is owed, until either has to wait. */
void connections_exchange(struct device *device);
/* What to ask poll of the descriptor; negative when it must not be asked, since it would answer for ever. */
short connections_wanted(const struct connection *connection);
/* What poll said of the descriptor. */
void connections_note(struct device *device, struct connection *connection, short events);
/* Somebody on this machine who wants to connect to the guest. */
void connections_admit(struct device *device);

#endif
