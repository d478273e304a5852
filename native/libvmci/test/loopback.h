/* The streams' core over addresses that any machine has. Invariant: linked into tests only; there is no behaviour
 * here, so what passes over these addresses is the code that runs over vsock. */
#ifndef VMCI_LOOPBACK_H
#define VMCI_LOOPBACK_H

#include "vmci.h"

/* `address`: "/path" of a Unix socket, or a port number on 127.0.0.1. A TCP peer's cid is its IPv4 address. */
VMCI_API int64_t vmci_loopback_dial(const char *address, uint32_t is_privileged, uint32_t timeout_ms);
VMCI_API int64_t vmci_loopback_listen(const char *address, uint32_t refuses_unprivileged);
/* A port on 127.0.0.1 where nobody accepts: once two have connected, others wait for ever. */
VMCI_API int64_t vmci_loopback_deaf(uint32_t port);

#endif
