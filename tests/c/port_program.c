/* port_program.c: a program for an emulated chip that does to a port what firmware must not.
 *
 * One letter is one command, most with an answer of one line (tests/firmware/test_firmware_ports.py).
 */
#include <string.h>

#include "bk_cortex_m.h"
#include "bk_flash_ram.h"

static const bk_board *board;

static void say(const char *text) { bk_port_write((const uint8_t *)text, strlen(text)); }

static void say_number(uint32_t n) {
    char text[12] = {0};
    char *p = text + sizeof text - 1;
    do *--p = (char)('0' + n % 10);
    while (n /= 10);
    say(p);
    say("\r\n");
}

static uint8_t next_byte(void) {
    uint8_t c;
    while (!bk_port_read(&c, 1)) {
        bk_port_sleep();
        bk_port_feed_watchdog();
    }
    return c;
}

static uint32_t next_word(void) {
    uint32_t n = 0;
    for (int shift = 0; shift < 32; shift += 8) n |= (uint32_t)next_byte() << shift;
    return n;
}

/* Back with what came, in the pieces in which it came. */
static void echo(uint32_t n) {
    uint8_t piece[200];
    while (n) {
        size_t m = bk_port_read(piece, n < sizeof piece ? n : sizeof piece);
        if (m) bk_port_write(piece, m);
        else bk_port_sleep();
        n -= (uint32_t)m;
        bk_port_feed_watchdog();
    }
}

void touch_nothing(void);
__attribute__((noinline)) void touch_nothing(void) { BK_REG(0xF0000000) = 1; }

static __attribute__((noinline)) uint32_t dig(uint32_t n) {
    volatile uint8_t room[64];
    room[n % 64] = (uint8_t)n;
    return n == UINT32_MAX ? 0 : dig(n + 1) + room[n % 64];
}

static void rest(uint32_t ms) {
    uint32_t from = bk_port_ms();
    while (bk_port_ms() - from < ms) bk_wait_for_interrupt();
}

static void keep(uint32_t n) {
    uint8_t word[4];
    memcpy(word, &n, sizeof word);
    board->flash->erase(board->flash->self, 0);
    say_number((uint32_t)board->flash->program(board->flash->self, 0, word, 4));
}

static uint32_t kept(void) {
    uint32_t n;
    memcpy(&n, board->flash->base, sizeof n);
    return n;
}

int main(void) {
    board = bk_port_start();
    say("ready\r\n");
    for (;;) switch (next_byte()) {
        case 'e': echo(next_word()); break;
        case 'r': rest(300); break;                      /* bytes come while nobody reads */
        case 'l': say_number(bk_port_lost()); break;
        case 'm': say_number(bk_port_ms()); break;
        case 's': say_number((uint32_t)bk_port_stack_used()); break;
        case 'f': touch_nothing(); break;
        case 'd': say_number(dig(0)); break;             /* deeper than any stack */
        case 'i': bk_irq_enable(20), bk_irq_kick(20); break; /* nobody's interrupt */
        case 'k': keep(next_word()); break;
        case 'K': say_number(kept()); break;
        case 'R': bk_port_reset();
        case 'h':
            for (;;) bk_wait_for_interrupt();      /* hang: the watchdog's business */
        default: say("?\r\n");
        }
}
