/*
 * The pump: two lanes of bytes, one each way, between the outside socket and Node's pair.
 *
 * Invariants: a lane reads only when its one buffer is empty, so memory is bounded and a slow reader slows its
 * writer; the end of a source is passed on only after its last byte; the end of one lane leaves the other running
 * (half close). When Node has closed its end for good, what it wrote before still goes out, as long as the
 * peer goes on taking it.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 64 * 1024,
    /* A lane gives way to the other after this many rounds, however fast its source is. */
    ROUNDS_PER_TURN = 16,
    /* A peer that reads nothing for so long must not keep a thread alive after Node has gone. */
    LINGER_MS = 5000,
};

struct side {
    int descriptor;
    bool is_gone; /* hung up both ways: what is queued may be read, nothing more will come, nothing can be sent */
};

struct lane {
    struct side *from, *to;
    char *buffer;
    size_t start, end;
    bool has_moved; /* since this was last cleared */
    bool has_ended; /* the source */
    bool is_done;   /* and all it sent was passed on, or can never be */
};

static bool would_wait(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

/* False when the lane must wait for its source. */
static bool fill(struct lane *lane)
{
    ssize_t count;
    do count = recv(lane->from->descriptor, lane->buffer, BUFFER_BYTES, MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    if (count > 0) {
        lane->start = 0;
        lane->end = (size_t)count;
        return true;
    }
    if (count < 0 && would_wait(errno) && !lane->from->is_gone) return false;
    /* ENOTCONN is how some vsock transports tell the end; any other failure ends the source as surely. */
    lane->has_ended = true;
    return true;
}

/* False when the lane must wait for its sink. */
static bool drain(struct lane *lane)
{
    ssize_t count;
    do count = send(lane->to->descriptor, lane->buffer + lane->start, lane->end - lane->start,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count >= 0) {
        lane->start += (size_t)count;
        lane->has_moved = true;
        return true;
    }
    if (would_wait(errno) && !lane->to->is_gone) return false;
    lane->is_done = true;
    /* The writer learns from its next write, instead of filling a buffer that nobody empties. */
    (void)shutdown(lane->from->descriptor, SHUT_RD);
    return true;
}

static bool is_empty(const struct lane *lane)
{
    return lane->start == lane->end;
}

/* Moves bytes until the lane has to wait; true if it only stopped to give way. */
static bool advance(struct lane *lane)
{
    for (int round = 0; round < ROUNDS_PER_TURN && !lane->is_done; round++) {
        if (is_empty(lane) && !lane->has_ended && !fill(lane)) return false;
        if (is_empty(lane) && lane->has_ended) {
            (void)shutdown(lane->to->descriptor, SHUT_WR);
            lane->is_done = true;
        } else if (!drain(lane)) {
            return false;
        }
    }
    return !lane->is_done;
}

static short wanted(const struct lane *incoming, const struct lane *outgoing)
{
    short events = 0;
    if (!incoming->is_done && is_empty(incoming)) events = POLLIN;
    if (!outgoing->is_done && !is_empty(outgoing)) events = (short)(events | POLLOUT);
    return events;
}

/* A hang-up is reported for ever, so a side that is gone and of no use is not asked again. */
static struct pollfd question(const struct side *side, short events)
{
    bool is_asked = events != 0 || !side->is_gone;
    return (struct pollfd){.fd = is_asked ? side->descriptor : -1, .events = events};
}

static void note(struct side *side, short events)
{
    if ((events & POLLERR) != 0) {
        /* Taking the error clears it: without this a failed socket would wake us for ever. */
        int error = 0;
        socklen_t length = sizeof error;
        (void)getsockopt(side->descriptor, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) side->is_gone = true;
    }
    if ((events & (POLLHUP | POLLNVAL)) != 0) side->is_gone = true;
}

/* How long to wait for the peer after Node has gone; 0 when it has had its time. */
static int linger_ms(struct lane *outward, int64_t *ends_at_ms)
{
    int64_t now_ms = vmci_now_ms();
    if (*ends_at_ms < 0 || outward->has_moved) *ends_at_ms = now_ms + LINGER_MS;
    outward->has_moved = false;
    return *ends_at_ms > now_ms ? (int)(*ends_at_ms - now_ms) : 0;
}

static void run(struct side *outer, struct side *inner, char *buffers)
{
    struct lane inward = {.from = outer, .to = inner, .buffer = buffers};
    struct lane outward = {.from = inner, .to = outer, .buffer = buffers + BUFFER_BYTES};
    int64_t ends_at_ms = -1;
    for (;;) {
        bool is_busy = advance(&inward);
        is_busy = advance(&outward) || is_busy;
        /* Nobody reads for Node any more. */
        if (inner->is_gone) inward.is_done = true;
        if (outer->is_gone && inward.has_ended) outward.is_done = true;
        if (inward.is_done && outward.is_done) return;

        int timeout_ms = inner->is_gone ? linger_ms(&outward, &ends_at_ms) : -1;
        if (timeout_ms == 0) return;
        if (is_busy) timeout_ms = 0;
        struct pollfd asked[2] = {
            question(outer, wanted(&inward, &outward)),
            question(inner, wanted(&outward, &inward)),
        };
        if (poll(asked, 2, timeout_ms) < 0 && errno != EINTR) return;
        note(outer, asked[0].revents);
        note(inner, asked[1].revents);
    }
}

void vmci_pump(int outer, int inner)
{
    char *buffers = malloc((size_t)BUFFER_BYTES * 2);
    if (buffers != NULL) {
        struct side outside = {.descriptor = outer}, inside = {.descriptor = inner};
        run(&outside, &inside, buffers);
        free(buffers);
    }
    (void)close(outer);
    (void)close(inner);
}
