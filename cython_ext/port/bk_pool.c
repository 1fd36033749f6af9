/* bk_pool.c: persistent threads; each piece of work is announced by a ticket number. */
#include "bk_pool.h"

#include <pthread.h>
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

typedef struct {
    bk_pool *pool;
    uint32_t part;
    pthread_t thread;
} helper;

struct bk_pool {
    bk_parallel parallel;
    bk_part work;
    void *arg;
    atomic_uint ticket;  /* counts pieces of work; changes when there is a new one */
    atomic_uint pending; /* helpers that have not finished the current one */
    atomic_bool stop;
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

static void *help(void *arg) {
    helper *h = arg;
    bk_pool *p = h->pool;
    for (unsigned seen = 0;; seen++) {
        wait_for_ticket(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        p->work(p->arg, h->part, p->parallel.parts);
        atomic_fetch_sub_explicit(&p->pending, 1, memory_order_release);
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
    p->work = work;
    p->arg = arg;
    atomic_store(&p->pending, p->parallel.parts - 1);
    announce(p);
    work(arg, 0, p->parallel.parts);
    while (atomic_load_explicit(&p->pending, memory_order_acquire)) PAUSE();
}

bk_pool *bk_pool_new(uint32_t threads) {
    if (threads < 1) return NULL;
    bk_pool *p = calloc(1, sizeof *p + threads * sizeof p->helpers[0]);
    if (!p) return NULL;
    p->parallel = (bk_parallel){threads, run, p};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    for (uint32_t i = 1; i < threads; i++) {
        helper *h = &p->helpers[p->n_started];
        *h = (helper){.pool = p, .part = i};
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
    free(p);
}

const bk_parallel *bk_pool_parallel(const bk_pool *p) { return &p->parallel; }
