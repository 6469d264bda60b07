/* Holds many streams (SSE; of paths that begin with /v1/ws, WebSocket) and measures how old each message is when its
   bytes are read.

   stream_client PORT FIRST_SOURCE [PATH...]      stream i asks for PATH[i % paths], from 127.0.0.(FIRST_SOURCE + i / 20000)
   Orders on stdin, one a line; one line of JSON on stdout answers each:
     open N RATE     open N more streams, RATE a second; answers when each has its first event
     measure MS      count and time what is read for so long
     again N MS      cut N streams and open them again from their last id, evenly over MS; answers when each has an event
     stop N          read N of the streams no more
   Ages are from the stamp "published" of a message, which the feed sets to the time at which it was due. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
enum { BINS = 600000, BIN_US = 20, MOST = 20000, ID = 256, HEAD = 160, TAIL = 1200, BUFFER = 1 << 20 }; /* 12 s in steps of 20 us */

struct stream {
    int fd, has_answer, has_event, is_ws;
    long seq;           /* of the watched match that ticks */
    int kept;           /* bytes of an event that is not whole yet */
    char *rest, id[ID]; /* that event; the last id */
};
static struct stream streams[MOST];
static int opened, waiting, poll_fd, port, first_source, paths;
static char **path, buffer[BUFFER + 1];
static unsigned ticks[BINS], goals[BINS];
static long messages, beats, bytes, gaps, twice, errors, resyncs, images;

static double now_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void fail(struct stream *s) {
    errors++;
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    if (!s->has_event) waiting--;
}

static void start(int i) {
    struct stream *s = &streams[i];
    char request[1024];
    int on = 1;
    s->has_answer = s->has_event = s->kept = 0;
    waiting++;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0) { fail(s); return; }
    setsockopt(s->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in here = {.sin_family = AF_INET}, there = here;
    here.sin_addr.s_addr = htonl(0x7f000000u + first_source + i / 20000);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(port);
    const char *wanted = path[i % paths];
    s->is_ws = !strncmp(wanted, "/v1/ws", 6);
    const char *kind = s->is_ws ? "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                : "";
    int length = snprintf(request, sizeof request, "GET %s%s%s HTTP/1.1\r\nHost: bench\r\n%s\r\n", wanted,
                          s->id[0] ? "&after=" : "", s->id, kind);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    if (bind(s->fd, (void *)&here, sizeof here) || connect(s->fd, (void *)&there, sizeof there) ||
        write(s->fd, request, length) != length || fcntl(s->fd, F_SETFL, O_NONBLOCK) ||
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, s->fd, &event))
        fail(s);
}

static double stamp_us(const char *p) { /* 2026-11-26T12:00:00.123456Z; whole seconds have no fraction */
    struct tm t = {0};
    int used = 0, fraction = 0, digits = 0;
    if (sscanf(p, "%d-%d-%dT%d:%d:%d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &used) < 6)
        return 0;
    if (p[used] == '.')
        for (p += used + 1; *p >= '0' && *p <= '9'; p++, digits++) fraction = fraction * 10 + *p - '0';
    for (; digits < 6; digits++) fraction *= 10;
    t.tm_year -= 1900, t.tm_mon--;
    static struct tm last;
    static time_t base;
    if (t.tm_min != last.tm_min || t.tm_hour != last.tm_hour || !base) { /* timegm costs more than all else here */
        struct tm minute = t;
        minute.tm_sec = 0;
        base = timegm(&minute), last = t;
    }
    return (base + t.tm_sec) * 1e6 + fraction;
}

static void event(struct stream *s, char kind, char *id, int id_length, char *data, int length, double read_us) {
    if (!s->has_event) s->has_event = 1, waiting--;
    if (id && id_length < ID) memcpy(s->id, id, id_length), s->id[id_length] = 0;
    bytes += length;
    if (kind == 'h') beats++;
    if (kind == 'r') resyncs++;
    if (kind == 'i') images++;
    if (kind != 'd' && kind != 'i') return;
    int head = length < HEAD ? length : HEAD, tail = length < TAIL ? length : TAIL;
    int is_goal = memmem(data, head, "\"match_id\":\"bench:goal\"", 23) != NULL; /* what names it stands first */
    char *seq = memmem(data, head, "\"seq\":", 6);
    if (!is_goal && seq) {
        long number = atol(seq + 6);
        if (s->seq && number > s->seq + 1) gaps++;
        if (s->seq && number <= s->seq) twice++;
        s->seq = number;
    }
    char *published = memmem(data + length - tail, tail, "\"published\":\"", 13); /* and stamps behind the markets */
    if (kind != 'd' || !published) return;
    messages++;
    long bin = (read_us - stamp_us(published + 13)) / BIN_US;
    bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
    (is_goal ? goals : ticks)[bin]++;
}

static void server_sent(struct stream *s, char *p, int length, double read_us) { /* event: x, id: y, data: z */
    char *begin = length < 8 ? NULL : memmem(p, length < 32 ? length : 32, "event: ", 7); /* behind the size of a chunk */
    if (!begin) return;
    length -= begin - p, p = begin;
    char *data = memmem(p, length, "\ndata: ", 7), *id = data ? memmem(p, data - p, "\nid: ", 5) : NULL;
    if (data) event(s, p[7], id ? id + 5 : NULL, id ? data - id - 5 : 0, data + 7, p + length - data - 7, read_us);
}

static void websocket(struct stream *s, char *p, int length, double read_us) { /* {"event":"x","id":"y","data":z} */
    if (length < 12 || strncmp(p, "{\"event\":\"", 10)) return;
    int head = length < 2 * ID ? length : 2 * ID;
    char *data = memmem(p, head, "\"data\":", 7), *id = data ? memmem(p, data - p, "\"id\":\"", 6) : NULL;
    if (data) event(s, p[10], id ? id + 6 : NULL, id ? data - id - 8 : 0, data + 7, p + length - data - 7, read_us);
}

static char *events(struct stream *s, char *p, char *stop, double read_us) { /* where what is not whole begins */
    char *blank;
    for (char *from = p; (blank = memchr(from, '\n', stop - from)) && blank + 1 < stop; from = blank + 1)
        if (blank[1] == '\n') {
            server_sent(s, p, blank - p, read_us);
            p = ++blank + 1;
        }
    return p;
}

static char *frames(struct stream *s, char *p, char *stop, double read_us) {
    while (stop - p >= 2) {
        unsigned char *b = (unsigned char *)p;
        long length = b[1] & 127, head = 2;
        if (length == 126) length = b[2] << 8 | b[3], head = 4;
        if (length == 127) length = (long)b[6] << 24 | b[7] << 16 | b[8] << 8 | b[9], head = 10;
        if (stop - p < head + length) break;
        websocket(s, p + head, length, read_us);
        p += head + length;
    }
    return p;
}

static void readable(struct stream *s) {
    memcpy(buffer, s->rest, s->kept);
    ssize_t got = read(s->fd, buffer + s->kept, BUFFER - s->kept);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) fail(s);
        return;
    }
    double read_us = now_us(CLOCK_REALTIME);
    int end = s->kept + got;
    char *p = buffer, *stop = buffer + end, *blank;
    *stop = 0;
    if (!s->has_answer) {
        if (!(blank = strstr(p, "\r\n\r\n"))) goto keep;
        if (strncmp(p, s->is_ws ? "HTTP/1.1 101" : "HTTP/1.1 200", 12)) { fail(s); return; }
        s->has_answer = 1, p = blank + 4;
    }
    p = s->is_ws ? frames(s, p, stop, read_us) : events(s, p, stop, read_us);
keep:
    s->kept = stop - p;
    if (s->kept) { /* few streams hold a piece of an event, and not for long */
        s->rest = realloc(s->rest, s->kept);
        memcpy(s->rest, p, s->kept);
    } else {
        free(s->rest);
        s->rest = NULL;
    }
}

static void serve(int wait_ms) {
    struct epoll_event ready[512];
    int n = epoll_wait(poll_fd, ready, 512, wait_ms);
    for (int i = 0; i < n; i++)
        if (streams[ready[i].data.u32].fd >= 0) readable(&streams[ready[i].data.u32]);
    /* Clients are on other machines in life, where it is not the server's core that wakes them for each message. Here a
       short sleep lets messages gather; it counts into their ages. */
    if (n < 512) nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

static void show(const char *name, unsigned *bins) {
    printf(",\"%s\":[", name);
    for (long i = 0, first = 1; i < BINS; i++)
        if (bins[i]) printf("%s[%ld,%u]", first ? "" : ",", i * BIN_US, bins[i]), first = 0;
    printf("]");
}

static void answer(double began_us) {
    int alive = 0;
    for (int i = 0; i < opened; i++) alive += streams[i].fd >= 0;
    printf("{\"s\":%.3f,\"alive\":%d,\"messages\":%ld,\"images\":%ld,\"beats\":%ld,\"bytes\":%ld,\"errors\":%ld,\"gaps\":%ld,"
           "\"twice\":%ld,\"resyncs\":%ld", (now_us(CLOCK_MONOTONIC) - began_us) / 1e6, alive, messages, images, beats, bytes,
           errors, gaps, twice, resyncs);
    show("ticks_us", ticks), show("goals_us", goals);
    printf("}\n");
    fflush(stdout);
}

static void evenly(int from, int n, double over_us, int is_again) { /* start so many streams, evenly, then wait for all */
    double began = now_us(CLOCK_MONOTONIC);
    for (int k = 0; k < n;) {
        double late = now_us(CLOCK_MONOTONIC) - began - over_us * k / n;
        if (late < 0) { serve(1); continue; }
        if (is_again && streams[from + k].fd >= 0) close(streams[from + k].fd);
        start(from + k++);
        if (k % 16 == 0) serve(0);
    }
    for (double limit = now_us(CLOCK_MONOTONIC) + 30e6; waiting > 0 && now_us(CLOCK_MONOTONIC) < limit;) serve(10);
    errors += waiting, waiting = 0;
}

int main(int count, char **given) {
    port = atoi(given[1]), first_source = atoi(given[2]), path = given + 3, paths = count - 3;
    poll_fd = epoll_create1(0);
    char line[128];
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (;;) {
        ssize_t got = read(0, line, sizeof line - 1);
        if (got == 0) return 0;
        if (got < 0) { serve(5); continue; }
        line[got] = 0;
        int n = 0, m = 0;
        double began = now_us(CLOCK_MONOTONIC);
        memset(ticks, 0, sizeof ticks), memset(goals, 0, sizeof goals);
        messages = beats = bytes = gaps = twice = errors = resyncs = images = 0;
        if (sscanf(line, "open %d %d", &n, &m) == 2) {
            evenly(opened, n, n * 1e6 / m, 0);
            opened += n;
        } else if (sscanf(line, "measure %d", &n) == 1) {
            while (now_us(CLOCK_MONOTONIC) < began + n * 1e3) serve(5);
        } else if (sscanf(line, "again %d %d", &n, &m) == 2) {
            evenly(0, n, m * 1e3, 1);
        } else if (sscanf(line, "stop %d", &n) == 1) {
            for (int i = opened - n; i < opened; i++)
                if (streams[i].fd >= 0) epoll_ctl(poll_fd, EPOLL_CTL_DEL, streams[i].fd, NULL);
        }
        answer(began);
    }
}
