/* main.c: the core on the chip itself: everything that must come out as on the host. */
#include "checks.h"

#include "bk_test.h"

static const bk_board *board;

void check(const char *name, bool ok) {
    bk_test_text(ok ? "PASS " : "FAIL ");
    bk_test_text(name);
    bk_test_text(ok ? "\n" : ": not as on the host\n");
}

void *take_all(size_t *bytes) {
    *bytes = board->memory_bytes;
    return board->memory;
}

int main(void) {
    board = bk_port_start();
    check_port(board);
    check_bytes(board);
    check_kernel(board);
    check_model(board);
    bk_test_text("DONE\n");
    return 0; /* the FAIL lines are the verdict */
}
