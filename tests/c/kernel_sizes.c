/* kernel_sizes.c: what every kernel of this build needs: its name, then for each ROWS COLS given
 * the bytes of one quantised vector and of one packed matrix. */
#include <stdio.h>
#include <stdlib.h>

#include "bk_cpu.h"

int main(int argc, char **argv) {
    bk_cpu_kernel found;
    for (unsigned i = 0; bk_cpu_kernel_at(i, &found); i++) {
        printf("%s", found.kernel->name);
        for (int a = 1; a + 1 < argc; a += 2) {
            uint32_t rows = (uint32_t)atoi(argv[a]), cols = (uint32_t)atoi(argv[a + 1]);
            size_t packed = found.kernel->packed_bytes ? found.kernel->packed_bytes(rows, cols) : 0;
            printf(" %zu %zu", found.kernel->act_bytes(cols), packed);
        }
        printf("\n");
    }
    return 0;
}
