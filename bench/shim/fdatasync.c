/* Preloaded into a throw-away PostgreSQL: every fsync and fdatasync takes SHIM_MICROS microseconds (1000 by default) and does
 * nothing else. It stands for the commit of a cloud disk, the same on every machine. What runs on it is NOT durable. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int pause_instead(void) {
    static long micros = -1;
    if (micros < 0) {
        const char *set = getenv("SHIM_MICROS");
        micros = set ? atol(set) : 1000;
    }
    struct timespec left = {micros / 1000000, (micros % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    return 0;
}

int fsync(int file) {
    (void)file;
    return pause_instead();
}

int fdatasync(int file) {
    (void)file;
    return pause_instead();
}
