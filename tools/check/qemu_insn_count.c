/* qemu_insn_count.c: a TCG plugin that prints how many instructions a program executed.
 *
 *   gcc -shared -fPIC qemu_insn_count.c -o count.so
 *   qemu-aarch64 -plugin ./count.so -d plugin -D count.txt PROGRAM
 *
 * QEMU's plugin interface, declared by hand because distributions ship no header for it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifndef API_VERSION
#define API_VERSION 1 /* 7.x and 8.x; later versions of QEMU want 2 */
#endif

struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
                                           void (*)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int,
                                          void *);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*)(uint64_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_outs(const char *);

int qemu_plugin_version = API_VERSION;
static uint64_t executed;

static void run(unsigned cpu, void *n) { (void)cpu, executed += (uintptr_t)n; }

static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, run, 0, (void *)qemu_plugin_tb_n_insns(block));
}

static void finish(uint64_t id, void *unused) {
    char line[32];
    (void)id, (void)unused;
    snprintf(line, sizeof line, "%llu\n", (unsigned long long)executed);
    qemu_plugin_outs(line);
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
