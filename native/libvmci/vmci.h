/*
 * libvmci: the system calls that Node has no name for.
 *
 * Invariants, for every function here:
 *  - it returns a value >= 0, or -errno; an asynchronous FFI call cannot read errno, so nothing is left there;
 *  - it may be called from any thread; it keeps no state between calls but what the kernel keeps, and how many
 *    privileged ports were dialled from;
 *  - every descriptor it opens is close-on-exec, and every thread it starts blocks all signals, so that no
 *    child inherits a volume and no signal is handled outside Node's own threads;
 *  - a thread it starts lives exactly as long as the descriptor that was handed out for it: closing that
 *    descriptor is the one way to end it, and is enough.
 *
 * Paths and texts end in NUL. Structures are read by Node as bytes, so their layout is fixed by the assertions
 * below, in the machine's byte order.
 */
#ifndef VMCI_H
#define VMCI_H

#include <stddef.h>
#include <stdint.h>

#define VMCI_API __attribute__((visibility("default")))

/* ---- Streams: Node holds one end of a Unix-domain pair, a thread carries the bytes to and from the other side. */

/*
 * Dial: the first bytes of the returned descriptor. `status` is 0 or -errno; after a failure the stream ends.
 * Listen: one record per connection on the returned descriptor. `status` is then the number, in this process, of
 * the connection's own stream descriptor, which now belongs to the reader; or -errno. After -EMFILE, -ENFILE,
 * -ENOBUFS, -ENOMEM and -EAGAIN the listener goes on, after any other it ends.
 */
struct vmci_stream_record {
    int32_t status;
    uint32_t peer_cid;
    uint32_t peer_port;
};
_Static_assert(sizeof(struct vmci_stream_record) == 12, "read by Node");

/* Returns at once a stream descriptor; connects behind it within `timeout_ms`. Closing it cancels the attempt.
 * `is_privileged` takes a source port below 1024, which the peer may take as proof of a privileged caller. */
VMCI_API int64_t vmci_vsock_dial(uint32_t cid, uint32_t port, uint32_t is_privileged, uint32_t timeout_ms);

/* Returns the control descriptor. Shutting down its writing side ends the listener, which closes its port, then
 * the control stream: whoever reads to the end has received every descriptor and leaks none. Closing it outright
 * ends the listener too, but loses descriptors of records not yet read. With `refuses_unprivileged`, a peer whose
 * port is 1024 or above is closed at once and not reported. */
VMCI_API int64_t vmci_vsock_listen(uint32_t port, uint32_t refuses_unprivileged);

/* The CID of this machine as the vsock driver tells it. */
VMCI_API int64_t vmci_local_cid(void);

/*
 * Kernel uevents. The socket is bound when this returns, so no later event is missed. The descriptor carries
 * { uint32_t length; char message[length]; } records, the message being the kernel's own (header, then KEY=VALUE,
 * each ended by NUL). Length 0 says that the kernel dropped events: whoever keeps a view must read it anew.
 */
VMCI_API int64_t vmci_uevent_open(void);

/* ---- Programs */

/* Milliseconds since boot, sleep included: the clock by which the kernel tells when a process started. */
VMCI_API int64_t vmci_boot_ms(void);

/* Who made the connection: the process ID of the other end of this Unix socket, 0 where it cannot be seen from here. */
VMCI_API int64_t vmci_peer_process(uint32_t descriptor);

/*
 * The last bytes of the returned descriptor, behind the program's output. `status` is its exit code; or
 * VMCI_CHILD_SIGNALLED and the number of the signal that ended it; or -errno when it could not be started or watched.
 */
struct vmci_child_record {
    int32_t status;
};
_Static_assert(sizeof(struct vmci_child_record) == 4, "read by Node");

enum { VMCI_CHILD_SIGNALLED = 256 };

/*
 * Returns at once a stream descriptor; behind it a thread starts the program at the absolute `path`, with exactly
 * those arguments (the first is its name for itself) and that environment: blocks of so many strings, each ended by
 * NUL. It reads nothing, has a process group of its own, default signals, and no other descriptors of this process.
 * Of what it writes to its output (unless `ignores_stdout`) and error output the last `output_limit_bytes` are kept,
 * and sent when it has ended. What it leaves running in its group is then killed.
 *
 * Shutting down the writing side of the descriptor kills the whole group, and the record comes when none of it runs
 * any more. Closing it outright kills as well, but nothing tells the end.
 */
VMCI_API int64_t vmci_child_start(const char *path, const char *arguments, uint32_t argument_count,
                                  const char *environment, uint32_t variable_count, uint32_t ignores_stdout,
                                  uint32_t output_limit_bytes);

/* ---- The service manager */

/* Sends one datagram to the Unix socket at `address`: a path, or an abstract name with a '@' in front. Never waits:
 * -EAGAIN when the receiver's queue is full. */
VMCI_API int64_t vmci_notify(const char *address, const void *text, uint32_t length);

/* ---- Mounts */

/* mount(2). An empty `source`, `fstype` or `data` is passed as NULL. */
VMCI_API int64_t vmci_mount(const char *source, const char *target, const char *fstype, uint64_t flags,
                            const char *data);

/* umount2(2). */
VMCI_API int64_t vmci_unmount(const char *target, uint32_t flags);

/* 0 if nobody holds the block device exclusively, -EBUSY if a mounted file system (in any mount namespace), a swap
 * area or another device does. */
VMCI_API int64_t vmci_exclusive_probe(const char *device);

/* ---- Loop devices */

struct vmci_loop_request {
    uint64_t offset_bytes;
    uint64_t size_limit_bytes; /* 0: to the end of the file */
    uint32_t is_read_only;
    uint32_t is_direct_io;
    char label[64]; /* ends in NUL; kept by the kernel, given back by vmci_loop_status */
};
_Static_assert(sizeof(struct vmci_loop_request) == 88, "written by Node");

struct vmci_loop_state {
    uint64_t backing_device;
    uint64_t backing_inode;
    uint64_t offset_bytes;
    uint64_t size_limit_bytes;
    uint64_t disk_sequence; /* 0 where the kernel keeps none */
    uint32_t number;
    uint32_t flags; /* LO_FLAGS_* */
    char label[64];
};
_Static_assert(sizeof(struct vmci_loop_state) == 112, "read by Node");

/* Attaches `backing` to a free loop device and returns its number. */
VMCI_API int64_t vmci_loop_attach(const char *backing, const struct vmci_loop_request *request,
                                  uint64_t *disk_sequence);

/*
 * Clears the attachment that has `*disk_sequence`, or whichever there is if that is 0; the sequence found is left there.
 * Returns 0 when it is gone, 1 when another opener makes the kernel clear it only at that opener's close (the device's
 * sequence then changes), -EBUSY when something holds it exclusively: then nothing was done; -ENXIO when the device
 * is not attached, or is attached to something else by now.
 */
VMCI_API int64_t vmci_loop_clear(const char *device, uint64_t *disk_sequence);

/* -ENXIO when it is not attached. */
VMCI_API int64_t vmci_loop_status(const char *device, struct vmci_loop_state *state);

/* ---- What is on a disk */

struct vmci_signature {
    char type[64];   /* "ext4", "gpt", ... */
    char usage[32];  /* "filesystem", "raid", "crypto", "other", "partition-table" */
    char uuid[64];   /* empty if there is none */
    char label[256]; /* empty if there is none */
};
_Static_assert(sizeof(struct vmci_signature) == 416, "read by Node");

enum { VMCI_SIGNATURE_NONE = 0, VMCI_SIGNATURE_FOUND = 1, VMCI_SIGNATURE_AMBIVALENT = 2 };

/* One of the three above. What cannot be read is an error, never "none"; nor is a damaged superblock. */
VMCI_API int64_t vmci_signature_probe(const char *device, struct vmci_signature *signature);

/* ---- Files */

/* The calls that copy or fill do so at a low priority, and have what they wrote on its way to the disk when they
 * return: it is written back, but not durable. */

/* fallocate(2): the blocks are reserved, the file is at least `offset + length` long. */
VMCI_API int64_t vmci_allocate(const char *path, uint64_t offset, uint64_t length);

/* Makes `destination` (created if missing, else emptied) share all blocks of `source`. -EOPNOTSUPP, -EXDEV or
 * -EINVAL where the file systems cannot. */
VMCI_API int64_t vmci_reflink(const char *source, const char *destination);

struct vmci_copy_progress {
    uint64_t next_offset;  /* where the next call starts */
    uint64_t copied_bytes; /* by this call, holes not counted */
    uint64_t size_bytes;   /* of the source */
};
_Static_assert(sizeof(struct vmci_copy_progress) == 24, "read by Node");

/* Copies data extents from `from_offset` on, at most `max_bytes` of them; holes stay holes. The call at offset 0
 * creates or empties `destination`. Returns 1 when the copy is whole, 0 when there is more. */
VMCI_API int64_t vmci_copy_extents(const char *source, const char *destination, uint64_t from_offset,
                                   uint64_t max_bytes, struct vmci_copy_progress *progress);

/* Copies `length` bytes at `offset` into a file that is there, through memory, so that the files share no block. With
 * `writes_zeros` 0, whole buffers of zeros are left out. -EIO when the source ends before. */
VMCI_API int64_t vmci_copy_all(const char *source, const char *destination, uint64_t offset, uint64_t length,
                               uint32_t writes_zeros);

/* Writes real zeros, allocated and initialised, not a hole. */
VMCI_API int64_t vmci_write_zeros(const char *path, uint64_t offset, uint64_t length);

/* ---- Who uses what */

/* Locks an open file for its process alone, without waiting, until the descriptor is closed. -EAGAIN when another has it. */
VMCI_API int64_t vmci_lock(uint32_t descriptor);

/* The process that listens on a Unix socket; 0 when it cannot be seen from here, as from within a container. */
VMCI_API int64_t vmci_socket_owner(const char *path);

#endif
