/*
 * The end of a process group. Invariant: these are called by the one who started the group's leader, who alone reaps
 * it; until then the leader's number, dead or alive, cannot belong to anybody else.
 */
#ifndef VMCI_CHILD_H
#define VMCI_CHILD_H

#include <sys/types.h>

/* A descriptor that is readable from the end of the process on; -errno. */
int vmci_process_open(pid_t process);

/* Kills the leader and all of its group. Only while the leader is not reaped. */
void vmci_group_kill(pid_t leader);

/* Returns when nobody of a killed group runs any more. Only after the leader was reaped. */
void vmci_group_await(pid_t leader);

#endif
