/* A wall clock that is wrong, for one process: LD_PRELOAD this, and name in CLOCK_SKEW_FILE a file of eight
 * bytes, the nanoseconds that the clock is ahead (int64, native order). The file is mapped, so the clock can
 * be moved while the process runs. Clocks that only count are left alone.
 *
 * Waits until a moment of the wall clock are waits of the kernel, whose clock is right: their deadlines are
 * brought back. One below 10^9 seconds is of a clock that counts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

static const volatile int64_t *ahead_ns;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("CLOCK_SKEW_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) ahead_ns = found;
}

static void move(struct timespec *at, int64_t by_ns) {
    int64_t ns = at->tv_nsec + by_ns % BILLION;
    at->tv_sec += by_ns / BILLION;
    if (ns < 0) ns += BILLION, at->tv_sec--;
    if (ns >= BILLION) ns -= BILLION, at->tv_sec++;
    at->tv_nsec = ns;
}

static int64_t ahead(void) { return ahead_ns ? *ahead_ns : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(now, ahead());
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec found;
    if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
    if (out) *out = found.tv_sec;
    return found.tv_sec;
}

static struct timespec brought_back(const struct timespec *deadline) {
    struct timespec own = *deadline;
    if (own.tv_sec > BILLION) move(&own, -ahead());
    return own;
}

int pthread_cond_timedwait(pthread_cond_t *restrict one, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict deadline) {
    static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec own = brought_back(deadline);
    /* The version that programs of today link with; where there is only one it has another name. */
    if (!next) next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!next) next = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return next(one, lock, &own);
}

int sem_timedwait(sem_t *restrict one, const struct timespec *restrict deadline) {
    static int (*next)(sem_t *, const struct timespec *);
    struct timespec own = brought_back(deadline);
    if (!next) next = dlsym(RTLD_NEXT, "sem_timedwait");
    return next(one, &own);
}
