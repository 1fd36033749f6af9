/* smp_device.h: the smallest device behind the SMP server: one file in memory. */
#ifndef BK_TEST_SMP_DEVICE_H
#define BK_TEST_SMP_DEVICE_H

#include <string.h>

#include "bk_smp.h"

typedef struct {
    bk_smp smp;
    uint8_t file[4096], upload[4096];
    uint32_t file_n, upload_n, upload_total;
    uint32_t now_ms;
    int finish_rc;
    unsigned begins, aborts, activations;
    bool open, active;
} device;

static int dev_begin(void *p, const char *name, uint32_t total) {
    device *d = p;
    (void)name;
    d->begins++;
    if (total > sizeof d->upload) return BK_RC_TOO_LARGE;
    d->open = true;
    d->upload_n = 0;
    d->upload_total = total;
    return 0;
}

static int dev_write(void *p, const char *name, uint32_t off, const uint8_t *data, size_t n) {
    device *d = p;
    (void)name;
    if (!d->open || off != d->upload_n || n > d->upload_total - off) return BK_RC_INTERNAL;
    memcpy(d->upload + off, data, n);
    d->upload_n += (uint32_t)n;
    return 0;
}

static int dev_finish(void *p, const char *name) {
    device *d = p;
    (void)name;
    if (!d->open || d->upload_n != d->upload_total) return BK_RC_INTERNAL;
    if (d->finish_rc) return d->finish_rc;
    d->open = false;
    memcpy(d->file, d->upload, d->upload_n);
    d->file_n = d->upload_n;
    return 0;
}

static void dev_abort(void *p, const char *name) {
    device *d = p;
    (void)name;
    d->aborts++;
    d->open = false;
}

static int dev_size(void *p, const char *name, uint32_t *size) {
    device *d = p;
    (void)name;
    *size = d->file_n;
    return d->file_n ? 0 : BK_RC_NO_SUCH_PATCH;
}

static int dev_read(void *p, const char *name, uint32_t off, uint8_t *out, size_t n) {
    device *d = p;
    (void)name;
    if (off > d->file_n || n > d->file_n - off) return BK_RC_INTERNAL;
    memcpy(out, d->file + off, n);
    return 0;
}

static int dev_list(void *p, uint32_t index, bk_smp_entry *e) {
    device *d = p;
    if (index >= 40) return BK_RC_NO_SUCH_PATCH;
    memcpy(e->name, "arith", 6);
    e->size = d->file_n;
    e->active = d->active;
    return 0;
}

static int dev_activate(void *p, const bk_smp_name *names, size_t n, uint64_t *ns) {
    device *d = p;
    for (size_t i = 0; i < n; i++) {
        if (!bk_name_ok(names[i], strlen(names[i]))) return BK_RC_INTERNAL;
    }
    d->active = n != 0;
    d->activations++;
    *ns = UINT64_MAX;
    return 0;
}

static int dev_generate(void *p, const char *prompt, size_t n, uint32_t max_tokens) {
    (void)p;
    return prompt[n - 1] == '?' && max_tokens ? 0 : BK_RC_CONTEXT;
}

static int dev_output(void *p, uint32_t off, uint8_t *out, size_t cap, bk_smp_output *o) {
    (void)p;
    memset(out, 'x', cap);
    o->n = cap;
    o->done = off > 100;
    o->tokens = UINT32_MAX;
    o->us = UINT64_MAX;
    return 0;
}

static int dev_info(void *p, bk_smp_fields *out) {
    device *d = p;
    bk_smp_put_text(out, "board", "test", 4);
    bk_smp_put_int(out, "celsius", -5);
    bk_smp_put_bytes(out, "model_id", d->file, 32);
    bk_smp_begin_texts(out, "active");
    bk_smp_add_text(out, "arith", 5);
    bk_smp_end_texts(out);
    return 0;
}

static const char *dev_detail(void *p) {
    (void)p;
    return "because of a test";
}

static int dev_datetime(void *p, char *text, size_t cap) {
    (void)p;
    static const char now[] = "2026-11-23T17:00:38";
    if (cap < sizeof now) return BK_RC_INTERNAL;
    memcpy(text, now, sizeof now);
    return 0;
}

static uint32_t dev_clock(void *p) { return ((device *)p)->now_ms; }

static const bk_smp_hooks dev_hooks = {
    .upload_begin = dev_begin,
    .upload_write = dev_write,
    .upload_finish = dev_finish,
    .upload_abort = dev_abort,
    .file_size = dev_size,
    .file_read = dev_read,
    .list = dev_list,
    .activate = dev_activate,
    .generate = dev_generate,
    .output = dev_output,
    .info = dev_info,
    .detail = dev_detail,
    .datetime = dev_datetime,
    .clock_ms = dev_clock,
};

static void dev_init(device *d) {
    memset(d, 0, sizeof *d);
    bk_smp_init(&d->smp, &dev_hooks, d, "a test", 512, 1);
}

#endif
