/* bk_pool.c: persistent threads; each piece of work is announced by a ticket number.
 *
 * Its parts belong to whoever is awake: a thread that the system holds back costs its share of the
 * speed, not a time slice of waiting at every product.
 */
#include "bk_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() (void)0
#endif

/* A decode step waits some microseconds between products: spinning that long saves a wake-up. */
enum { SPINS = 4000 };

enum { PART_BITS = 8, MAX_THREADS = (1 << PART_BITS) - 1 };

typedef struct {
    bk_pool *pool;
    pthread_t thread;
} helper;

struct bk_pool {
    bk_parallel parallel;
    bk_part work;
    void *arg;
    atomic_uint ticket;  /* counts pieces of work; changes when there is a new one */
    atomic_uint claims;  /* low bits of its ticket, then how many of its parts are begun */
    atomic_uint pending; /* parts of it that are not finished */
    atomic_bool stop;
    pthread_mutex_t callers; /* held from a piece of work's start to its end */
    pthread_mutex_t lock;
    pthread_cond_t news;
    atomic_uint sleepers;
    uint32_t n_started;
    helper helpers[];
};

static void wait_for_ticket(bk_pool *p, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->ticket, memory_order_acquire) != seen) return;
        PAUSE();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->ticket) == seen) pthread_cond_wait(&p->news, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Begin parts of one piece of work until all are begun. A claim that succeeds proves that this
 * piece is the current one and unfinished, so `work` and `arg` stay what they are. */
static void take_parts(bk_pool *p, unsigned ticket) {
    unsigned parts = p->parallel.parts, first = ticket << PART_BITS;
    unsigned claims = atomic_load(&p->claims);
    while (claims - first < parts) {
        if (!atomic_compare_exchange_weak(&p->claims, &claims, claims + 1)) continue;
        p->work(p->arg, claims - first, parts);
        atomic_fetch_sub_explicit(&p->pending, 1, memory_order_release);
        claims = atomic_load(&p->claims);
    }
}

static void *help(void *arg) {
    helper *h = arg;
    bk_pool *p = h->pool;
    for (unsigned seen = 0;;) {
        wait_for_ticket(p, seen);
        seen = atomic_load(&p->ticket);
        if (atomic_load(&p->stop)) return NULL;
        take_parts(p, seen);
    }
}

static void announce(bk_pool *p) {
    atomic_fetch_add(&p->ticket, 1);
    if (atomic_load(&p->sleepers)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->news);
        pthread_mutex_unlock(&p->lock);
    }
}

static void run(void *self, bk_part work, void *arg) {
    bk_pool *p = self;
    pthread_mutex_lock(&p->callers);
    unsigned ticket = atomic_load(&p->ticket) + 1;
    p->work = work;
    p->arg = arg;
    atomic_store(&p->pending, p->parallel.parts);
    atomic_store(&p->claims, ticket << PART_BITS);
    announce(p);
    take_parts(p, ticket);
    for (int i = 0; atomic_load_explicit(&p->pending, memory_order_acquire); i++)
        if (i < SPINS) PAUSE();
        else sched_yield(); /* some other program has the core that a helper needs */
    pthread_mutex_unlock(&p->callers);
}

bk_pool *bk_pool_new(uint32_t threads) {
    if (threads < 1 || threads > MAX_THREADS) return NULL;
    bk_pool *p = calloc(1, sizeof *p + threads * sizeof p->helpers[0]);
    if (!p) return NULL;
    p->parallel = (bk_parallel){threads, run, p};
    pthread_mutex_init(&p->callers, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    for (uint32_t i = 1; i < threads; i++) {
        helper *h = &p->helpers[p->n_started];
        *h = (helper){.pool = p};
        if (pthread_create(&h->thread, NULL, help, h) != 0) {
            bk_pool_free(p);
            return NULL;
        }
        p->n_started++;
    }
    return p;
}

void bk_pool_free(bk_pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    announce(p);
    for (uint32_t i = 0; i < p->n_started; i++) pthread_join(p->helpers[i].thread, NULL);
    pthread_cond_destroy(&p->news);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->callers);
    free(p);
}

const bk_parallel *bk_pool_parallel(const bk_pool *p) { return &p->parallel; }
