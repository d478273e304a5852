/* mount(2), umount2(2), and the question whether a block device is held. Invariant: each is one kernel call whose
 * answer is passed on unchanged; policy (retries, defaults) is the caller's. */
#include "vmci.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

int64_t vmci_mount(const char *source, const char *target, const char *fstype, uint64_t flags, const char *data)
{
    return mount(or_null(source), target, or_null(fstype), (unsigned long)flags, or_null(data)) < 0 ? -errno : 0;
}

int64_t vmci_unmount(const char *target, uint32_t flags)
{
    return umount2(target, (int)flags) < 0 ? -errno : 0;
}

int64_t vmci_exclusive_probe(const char *device)
{
    /* O_EXCL without O_CREAT is an exclusive claim on a block device. */
    int descriptor = open(device, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    (void)close(descriptor);
    return 0;
}
