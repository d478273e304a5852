/*
 * What a disk holds, as libblkid knows it.
 *
 * Invariant: "none" is answered only when everything libblkid looks at was read and nothing was known in it, since
 * the caller formats such a disk. A failed read (which ends libblkid's probing with an error), a damaged superblock and
 * an unclear case are never "none".
 */
#include "vmci.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A bad checksum is a damaged file system, not an empty disk. */
enum {
    SUPERBLOCK_FLAGS = BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL |
                       BLKID_SUBLKS_BADCSUM,
};

static void copy_value(blkid_probe probe, const char *name, char *out, size_t capacity)
{
    const char *value = NULL;
    if (blkid_probe_lookup_value(probe, name, &value, NULL) == 0) (void)snprintf(out, capacity, "%s", value);
}

static void describe(blkid_probe probe, struct vmci_signature *signature)
{
    copy_value(probe, "TYPE", signature->type, sizeof signature->type);
    copy_value(probe, "USAGE", signature->usage, sizeof signature->usage);
    copy_value(probe, "UUID", signature->uuid, sizeof signature->uuid);
    copy_value(probe, "LABEL", signature->label, sizeof signature->label);
    if (signature->type[0] != '\0') return;
    copy_value(probe, "PTTYPE", signature->type, sizeof signature->type);
    copy_value(probe, "PTUUID", signature->uuid, sizeof signature->uuid);
    (void)snprintf(signature->usage, sizeof signature->usage, "partition-table");
}

static int64_t run_probe(blkid_probe probe, int device, struct vmci_signature *signature)
{
    errno = 0;
    if (blkid_probe_set_device(probe, device, 0, 0) != 0) return errno != 0 ? -errno : -EIO;
    int64_t size = blkid_probe_get_size(probe);
    if (size <= 0) return -ENXIO;
    (void)blkid_probe_enable_superblocks(probe, 1);
    (void)blkid_probe_set_superblocks_flags(probe, SUPERBLOCK_FLAGS);
    (void)blkid_probe_enable_partitions(probe, 1);
    (void)blkid_probe_set_partitions_flags(probe, BLKID_PARTS_FORCE_GPT);
    errno = 0;
    switch (blkid_do_safeprobe(probe)) {
    case 0:
        describe(probe, signature);
        return VMCI_SIGNATURE_FOUND;
    case 1:
        return VMCI_SIGNATURE_NONE;
    case -2:
        return VMCI_SIGNATURE_AMBIVALENT;
    default:
        return errno != 0 ? -errno : -EIO;
    }
}

int64_t vmci_signature_probe(const char *device, struct vmci_signature *signature)
{
    memset(signature, 0, sizeof *signature);
    int descriptor = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    blkid_probe probe = blkid_new_probe();
    int64_t result = probe == NULL ? -ENOMEM : run_probe(probe, descriptor, signature);
    if (probe != NULL) blkid_free_probe(probe);
    (void)close(descriptor);
    return result;
}
