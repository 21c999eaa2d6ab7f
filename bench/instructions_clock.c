/* Preloaded into the service under callgrind and into its Valkey: a clock that both share, and that can go slower.
   Callgrind slows the service down some fifty times. With a slower clock, what it does by the clock (leases, beats,
   looks at files) happens about as often for each request as in life. The last functions are for ctypes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

struct slot { int64_t real, shown_real, steady, shown_steady, scale; };
struct page { struct slot slots[2]; volatile int32_t index; };
static struct page unscaled = {{{0, 0, 0, 0, 1}, {0, 0, 0, 0, 1}}, 0}, *shared = &unscaled;

static void __attribute__((constructor)) open_page(void) {
  const char *path = getenv("BENCH_CLOCK");
  int file = path ? open(path, O_RDWR) : -1;
  if (file < 0) return;
  void *at = mmap(0, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (at != MAP_FAILED) shared = at;
}
static struct slot *current(void) { return &shared->slots[shared->index & 1]; }
static int64_t read_clock(clockid_t id) {
  struct timespec t;
  syscall(SYS_clock_gettime, id, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static int is_steady(clockid_t id) {
  return id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_RAW || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME;
}
static int is_real(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE; }
static int64_t show(clockid_t id) {
  struct slot *s = current();
  int64_t t = read_clock(id);
  return is_steady(id) ? s->shown_steady + (t - s->steady) / s->scale : s->shown_real + (t - s->real) / s->scale;
}
int clock_gettime(clockid_t id, struct timespec *out) {
  if (!is_steady(id) && !is_real(id)) return syscall(SYS_clock_gettime, id, out);
  int64_t t = show(id);
  out->tv_sec = t / 1000000000LL;
  out->tv_nsec = t % 1000000000LL;
  return 0;
}
int gettimeofday(struct timeval *tv, void *zone) {
  (void)zone;
  int64_t t = show(CLOCK_REALTIME);
  tv->tv_sec = t / 1000000000LL;
  tv->tv_usec = t % 1000000000LL / 1000;
  return 0;
}
time_t time(time_t *out) {
  time_t t = show(CLOCK_REALTIME) / 1000000000LL;
  if (out) *out = t;
  return t;
}
int epoll_pwait(int file, struct epoll_event *events, int many, int ms, const sigset_t *mask) {
  static int (*next)(int, struct epoll_event *, int, int, const sigset_t *);
  if (!next) next = dlsym(RTLD_NEXT, "epoll_pwait");
  int64_t longer = ms <= 0 ? ms : (int64_t)ms * current()->scale;
  return next(file, events, many, longer > 2000000000LL ? 2000000000 : (int)longer, mask);
}
int epoll_wait(int file, struct epoll_event *events, int many, int ms) { return epoll_pwait(file, events, many, ms, 0); }
static struct timespec unshow(clockid_t id, const struct timespec *t) {
  struct slot *s = current();
  int64_t shown = t->tv_sec * 1000000000LL + t->tv_nsec;
  int64_t at = is_steady(id) ? s->steady + (shown - s->shown_steady) * s->scale : s->real + (shown - s->shown_real) * s->scale;
  struct timespec out = {at / 1000000000LL, at % 1000000000LL};
  return out;
}
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!next) next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  struct timespec at = unshow(CLOCK_MONOTONIC, until); /* CPython's conditions use this clock */
  return next(condition, mutex, &at);
}
int sem_clockwait(sem_t *semaphore, clockid_t id, const struct timespec *until) {
  static int (*next)(sem_t *, clockid_t, const struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "sem_clockwait");
  struct timespec at = unshow(id, until);
  return next(semaphore, id, &at);
}

void bench_scale(int64_t scale) {
  int other = (shared->index + 1) & 1;
  struct slot s = {read_clock(CLOCK_REALTIME), show(CLOCK_REALTIME), read_clock(CLOCK_MONOTONIC), show(CLOCK_MONOTONIC), scale};
  shared->slots[other] = s;
  __sync_synchronize();
  shared->index = other;
}
void bench_instrument(void) { CALLGRIND_START_INSTRUMENTATION; }
void bench_begin(void) { CALLGRIND_ZERO_STATS; }
void bench_end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
