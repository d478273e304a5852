/*
 * The device's half of vhost-user: QEMU's requests, the guest's memory, and its two rings. Invariant: no address that
 * comes from outside is followed unless all of what it names lies in a region that QEMU has given us; whatever
 * contradicts the protocol ends this program, which tests see as a lost channel.
 */
#ifndef VHOST_H
#define VHOST_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { VHOST_TO_GUEST, VHOST_FROM_GUEST, VHOST_RINGS };
enum { VHOST_REGIONS = 8, VHOST_PARTS = 18 };

struct vhost_region {
    uint64_t guest_address, size, qemu_address;
    uint8_t *bytes;
};

struct vhost_ring {
    uint32_t size;
    struct vring_desc *descriptors;
    struct vring_avail *available;
    struct vring_used *used;
    uint16_t next;
    int kick, call;
    bool is_running;
};

struct vhost {
    int qemu;
    uint64_t guest_cid;
    struct vhost_region regions[VHOST_REGIONS];
    size_t region_count;
    struct vhost_ring rings[VHOST_RINGS];
};

/* A buffer of the guest. */
struct vhost_buffer {
    uint16_t head;
    int count;
    struct iovec parts[VHOST_PARTS];
    size_t size;
};

/* Prints the reason and ends the program. */
_Noreturn void give_up(const char *reason);

void vhost_open(struct vhost *vhost, int qemu, uint64_t guest_cid);

/* Handles one request; false when QEMU has gone. */
bool vhost_serve(struct vhost *vhost);

/* False when the guest has no buffer there at present. */
bool vhost_take(struct vhost *vhost, int ring, struct vhost_buffer *buffer);
/* Takes back the latest take. */
void vhost_untake(struct vhost *vhost, int ring);
/* Hands the buffer back, with so many bytes written to it. */
void vhost_give(struct vhost *vhost, int ring, const struct vhost_buffer *buffer, uint32_t written);

/* The parts of the buffer behind `offset`, at most `length` bytes of them; how many there are. */
int vhost_part(const struct vhost_buffer *buffer, size_t offset, size_t length, struct iovec *parts);

#endif
