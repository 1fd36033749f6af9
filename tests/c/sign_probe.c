/* sign_probe.c: what firmware/sign says of files, for tests/firmware/test_firmware_sign.py.
 *
 *   sign_probe open POLICY KEYS FILE...   each file's rc, payload offset and bytes, and problem
 *   sign_probe bits KEYS FILE             flip each bit of the file: how many were not refused
 *   sign_probe hash FILE                  SHA-512 of the file, whole and in odd pieces
 *   sign_probe cost KEYS FILE TIMES       on a chip: judge so often; bytes of stack that it took
 *
 * KEYS holds 33 bytes a key: the key, then 1 when it is revoked.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bk_sha512.h"
#include "bk_sign.h"

enum { KEYS_MAX = 16 };

static bk_sign_key keys[KEYS_MAX];
static bk_sign_table table = {keys, 0};
static char problem[BK_SMP_DETAIL_MAX + 1];

/* What `warn` lets pass is told to the operator. */
static void hear(void *self, const char *sentence) {
    (void)self;
    strcpy(problem, sentence);
}

static int judge(const bk_trust *trust, const uint8_t *file, size_t n, bk_span *payload) {
    static const bk_device_port port = {.log = hear};
    bk_say why;
    bk_say_start(&why, problem, sizeof problem);
    return bk_gate_open(trust, &port, "", file, n, payload, &why);
}

/* A file in memory that ends where it does, so that the sanitizer sees a read beyond. */
static uint8_t *load(const char *path, size_t *n) {
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    if (!f) exit(2);
    *n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    uint8_t *exact = malloc(*n ? *n : 1);
    memcpy(exact, bytes, *n);
    return exact;
}

static bk_trust trust_of(bk_policy policy, const char *path) {
    size_t n;
    uint8_t *bytes = load(path, &n);
    table.n_keys = (uint32_t)(n / 33);
    for (uint32_t i = 0; i < table.n_keys && i < KEYS_MAX; i++) {
        memcpy(keys[i].key, bytes + 33 * i, 32);
        keys[i].revoked = bytes[33 * i + 32];
    }
    free(bytes);
    return (bk_trust){&table, policy, bk_sign_verify, bk_sign_look_up};
}

static void open_file(const bk_trust *trust, const char *path) {
    size_t n;
    uint8_t *file = load(path, &n);
    bk_span payload;
    int rc = judge(trust, file, n, &payload);
    printf("%d %zu %zu %s\n", rc, (size_t)(payload.p - file), payload.n, problem);
    free(file);
}

static void flip_bits(const bk_trust *trust, const char *path) {
    size_t n, taken = 0;
    uint8_t *file = load(path, &n);
    bk_span payload;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool envelope = file[0] == 0xd2; /* else it is an unsigned file, of no meaning */
        int rc = judge(trust, file, n, &payload);
        if (envelope && (rc == 0 || !problem[0])) taken++;
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    printf("%zu of %zu\n", taken, 8 * n);
    free(file);
}

static void hash_file(const char *path) {
    size_t n;
    uint8_t *file = load(path, &n), digest[64];
    for (size_t piece = n ? n : 1; piece > 0; piece /= 3) {
        bk_sha512 hash;
        bk_sha512_init(&hash);
        for (size_t at = 0; at < n; at += piece)
            bk_sha512_update(&hash, file + at, piece < n - at ? piece : n - at);
        bk_sha512_final(&hash, digest);
        for (size_t i = 0; i < sizeof digest; i++) printf("%02x", digest[i]);
        printf("\n");
    }
    free(file);
}

#ifdef __arm__

enum { PAINTED = 8192 };

static uint8_t *stack_pointer(void) {
    register uint8_t *sp __asm__("sp");
    return sp;
}

static void judge_often(const bk_trust *trust, const char *path, int times) {
    size_t n;
    uint8_t *file = load(path, &n), *top = stack_pointer() - 64;
    bk_span payload;
    uint32_t untouched = 0;
    for (uint32_t i = 1; i <= PAINTED; i++) *((volatile uint8_t *)top - i) = 0xa5;
    for (int i = 0; i < times; i++)
        if (judge(trust, file, n, &payload)) exit(3);
    while (untouched < PAINTED && *((volatile uint8_t *)top - PAINTED + untouched) == 0xa5)
        untouched++;
    printf("%u\n", (unsigned)(PAINTED - untouched + 64));
}

#else

static void judge_often(const bk_trust *trust, const char *path, int times) {
    (void)trust, (void)path, (void)times;
}

#endif

int main(int argc, char **argv) {
    if (argc > 4 && strcmp(argv[1], "open") == 0) {
        bk_trust trust = trust_of((bk_policy)atoi(argv[2]), argv[3]);
        for (int i = 4; i < argc; i++) open_file(&trust, argv[i]);
    } else if (argc == 4 && strcmp(argv[1], "bits") == 0) {
        bk_trust trust = trust_of(BK_POLICY_OPEN, argv[2]);
        flip_bits(&trust, argv[3]);
    } else if (argc == 5 && strcmp(argv[1], "cost") == 0) {
        bk_trust trust = trust_of(BK_POLICY_REQUIRE, argv[2]);
        judge_often(&trust, argv[3], atoi(argv[4]));
    } else if (argc == 3 && strcmp(argv[1], "hash") == 0) {
        hash_file(argv[2]);
    } else {
        return 2;
    }
    return 0;
}
