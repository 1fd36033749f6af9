/* port.c: the firmware as a Linux process, for tests and for trying it out.
 *
 * The UART is a pty's controller side, the flash a file that survives restarts, the model a mapped
 * GGUF. What a chip is given by its linker script comes from the environment:
 *
 *   BK_MODEL     the GGUF's path; absent: a switcher
 *   BK_FLASH     the flash's path; absent: forgotten at the end
 *   BK_FD        an open pty controller; absent: one is made, and its path goes to stderr
 *   BK_WRITABLE  1: patch the weights in place, in a private copy
 *   BK_CTX       tokens of context (48)
 *   BK_MEMORY    bytes for KV cache, activations, tokenizer, overlay (131072)
 *   BK_SECTORS, BK_SECTOR_BYTES, BK_UNIT  the flash's shape (4, 16384, 4)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "bk_port.h"

enum { WATCHDOG_S = 20, IDLE_MS = 20, FULL_MS = 500 };

static bk_flash flash;
static bk_board board;
static int uart;
static uint64_t start_ns;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t number(const char *key, uint32_t otherwise) {
    const char *text = getenv(key);
    return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

/* ---- flash -------------------------------------------------------------------------------- */

static int erase(void *self, uint32_t sector) {
    const bk_flash *f = self;
    memset((uint8_t *)(uintptr_t)f->base + sector * f->sector_bytes, 0xff, f->sector_bytes);
    return 0;
}

/* As strict as the real thing: whole units, each once between two erases. */
static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    const bk_flash *f = self;
    uint8_t *to = (uint8_t *)(uintptr_t)f->base + at;
    if (at % f->unit || n % f->unit || n > f->sector_bytes * f->n_sectors - at) abort();
    for (uint32_t i = 0; i < n; i++)
        if (to[i] != 0xff) abort();
    memcpy(to, p, n);
    return 0;
}

static void open_flash(void) {
    const char *path = getenv("BK_FLASH");
    flash.sector_bytes = number("BK_SECTOR_BYTES", 16384);
    flash.n_sectors = number("BK_SECTORS", 4);
    flash.unit = number("BK_UNIT", 4);
    flash.erase = erase;
    flash.program = program;
    flash.self = &flash;
    size_t n = (size_t)flash.sector_bytes * flash.n_sectors;
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)
                  : memfd_create("flash", MFD_CLOEXEC);
    struct stat is;
    if (fd < 0 || fstat(fd, &is) || ftruncate(fd, (off_t)n)) fail(path ? path : "flash");
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) fail("flash");
    flash.base = p;
    if (is.st_size == 0) memset(p, 0xff, n);
}

/* ---- model and memory --------------------------------------------------------------------- */

static void open_model(void) {
    const char *path = getenv("BK_MODEL");
    struct stat is;
    if (!path) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &is)) fail(path);
    board.writable = number("BK_WRITABLE", 0);
    board.model_bytes = (size_t)is.st_size;
    int access = board.writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *p = mmap(NULL, board.model_bytes, access, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) fail(path);
    board.model = p;
    close(fd);
}

/* ---- UART --------------------------------------------------------------------------------- */

static void make_raw(int fd) {
    struct termios t;
    if (tcgetattr(fd, &t)) return;
    cfmakeraw(&t);
    tcsetattr(fd, TCSANOW, &t);
}

static void open_uart(void) {
    char name[64], text[16];
    uart = (int)number("BK_FD", 0);
    if (!uart) {
        uart = posix_openpt(O_RDWR | O_NOCTTY);
        if (uart < 0 || grantpt(uart) || unlockpt(uart) || ptsname_r(uart, name, sizeof name))
            fail("pty");
        make_raw(uart);
        fprintf(stderr, "%s\n", name);
        snprintf(text, sizeof text, "%d", uart); /* a reset keeps the line */
        setenv("BK_FD", text, 1);
    }
    if (fcntl(uart, F_SETFL, O_NONBLOCK)) fail("BK_FD");
}

size_t bk_port_read(uint8_t *p, size_t cap) {
    ssize_t n = read(uart, p, cap);
    return n > 0 ? (size_t)n : 0; /* EIO: nobody has the other end open */
}

/* A UART does not wait for a reader: what nobody takes is lost. */
void bk_port_write(const uint8_t *p, size_t n) {
    while (n) {
        struct pollfd f = {.fd = uart, .events = POLLOUT};
        if (poll(&f, 1, FULL_MS) <= 0) return;
        ssize_t m = write(uart, p, n);
        if (m <= 0) return;
        p += m;
        n -= (size_t)m;
    }
}

uint32_t bk_port_lost(void) { return 0; }

void bk_port_sleep(void) {
    struct pollfd f = {.fd = uart, .events = POLLIN};
    if (poll(&f, 1, IDLE_MS) > 0 && !(f.revents & POLLIN)) usleep(IDLE_MS * 1000);
}

/* ---- the rest ----------------------------------------------------------------------------- */

uint64_t bk_port_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t bk_port_ms(void) { return (uint32_t)((bk_port_ns() - start_ns) / 1000000); }

void bk_port_feed_watchdog(void) { alarm(WATCHDOG_S); }

_Noreturn void bk_port_reset(void) {
    char *const arguments[] = {"firmware", NULL};
    execv("/proc/self/exe", arguments);
    fail("reset");
}

size_t bk_port_stack_used(void) { return 0; }
size_t bk_port_stack_bytes(void) { return 0; }

const bk_board *bk_port_start(void) {
    start_ns = bk_port_ns();
    open_flash();
    open_model();
    open_uart();
    board.id = "host";
    board.kernel = &bk_kernel_scalar;
    board.memory_bytes = number("BK_MEMORY", 131072) & ~63u;
    board.memory = aligned_alloc(64, board.memory_bytes);
    board.ctx = number("BK_CTX", 48);
    board.flash = &flash;
    if (!board.memory) fail("memory");
    return &board;
}
