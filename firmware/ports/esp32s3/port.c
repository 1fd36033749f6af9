/* port.c: ESP32-S3 on its vendor's system (ESP-IDF, as the Arduino framework brings it): UART0, a
 * flash partition named "bankai" for the store, a task of its own. Untested on hardware.
 */
#include "bk_port.h"

#include <driver/uart.h>
#include <esp_heap_caps.h>
#include <esp_idf_version.h>
#include <esp_partition.h>
#include <esp_system.h>
#include <esp_task_wdt.h>
#include <esp_timer.h>
#include <freertos/FreeRTOS.h>
#include <freertos/task.h>

#if ESP_IDF_VERSION_MAJOR < 5 /* older names of the same */
#define ESP_PARTITION_MMAP_DATA SPI_FLASH_MMAP_DATA
typedef spi_flash_mmap_handle_t esp_partition_mmap_handle_t;
#endif

#ifndef BK_CTX
#define BK_CTX 96
#endif

enum {
    RX_RING = 2048,
    BAUD = 115200,
    TX_PIN = 43,
    RX_PIN = 44,
    SLEEP_MS = 20,
    SECTOR_BYTES = 16384,
    UNIT = 16,
    STACK_BYTES = 16384,
    MEMORY_BYTES = 224 * 1024,
    CORE_HZ = 240000000
};

int bk_main(void); /* main, under a name that is free here */
void bk_port_start_task(void);

extern const uint8_t bk_model_file[], bk_model_file_end[];

static const esp_partition_t *partition;
static bool waiting; /* a byte that sleep has taken from the driver */
static uint8_t waiting_byte;

/* ---- store -------------------------------------------------------------------------------- */

static int erase(void *self, uint32_t sector) {
    (void)self;
    bk_port_feed_watchdog();
    return esp_partition_erase_range(partition, sector * SECTOR_BYTES, SECTOR_BYTES) != ESP_OK;
}

static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    (void)self;
    return esp_partition_write(partition, at, p, n) != ESP_OK;
}

static const bk_flash *open_store(void) {
    static bk_flash flash = {
        .sector_bytes = SECTOR_BYTES, .unit = UNIT, .erase = erase, .program = program};
    const void *base = NULL;
    esp_partition_mmap_handle_t handle;
    partition = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY,
                                         "bankai");
    if (!partition ||
        esp_partition_mmap(partition, 0, partition->size, ESP_PARTITION_MMAP_DATA, &base, &handle))
        esp_restart(); /* flashed without its partition table */
    flash.base = base;
    flash.n_sectors = partition->size / SECTOR_BYTES;
    return &flash;
}

/* ---- start -------------------------------------------------------------------------------- */

static void open_uart(void) {
    const uart_config_t config = {
        .baud_rate = BAUD,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
    };
    (void)uart_driver_install(UART_NUM_0, RX_RING, 0, 0, NULL, 0);
    (void)uart_param_config(UART_NUM_0, &config);
    (void)uart_set_pin(UART_NUM_0, TX_PIN, RX_PIN, UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE);
}

const bk_board *bk_port_start(void) {
    static bk_board board = {.id = "esp32-s3", .kernel = &bk_kernel_scalar, .ctx = BK_CTX};
    (void)esp_task_wdt_add(NULL);
    open_uart();
    board.model = bk_model_file;
    board.model_bytes = (size_t)(bk_model_file_end - bk_model_file);
    board.memory = heap_caps_aligned_alloc(64, MEMORY_BYTES, MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    board.memory_bytes = board.memory ? MEMORY_BYTES : 0;
    board.flash = open_store();
    board.clock_hz = CORE_HZ;
    return &board;
}

static void run(void *unused) {
    (void)unused;
    (void)bk_main();
    esp_restart();
}

void bk_port_start_task(void) {
    (void)xTaskCreatePinnedToCore(run, "bankai", STACK_BYTES, NULL, 1, NULL, 1);
}

/* ---- UART, time, rest --------------------------------------------------------------------- */

size_t bk_port_read(uint8_t *p, size_t cap) {
    size_t n = 0;
    if (waiting && cap) {
        p[n++] = waiting_byte;
        waiting = false;
    }
    int m = uart_read_bytes(UART_NUM_0, p + n, (uint32_t)(cap - n), 0);
    return m > 0 ? n + (size_t)m : n;
}

void bk_port_write(const uint8_t *p, size_t n) { (void)uart_write_bytes(UART_NUM_0, p, n); }

uint32_t bk_port_lost(void) { return 0; } /* the driver does not tell */

void bk_port_sleep(void) {
    if (!waiting)
        waiting = uart_read_bytes(UART_NUM_0, &waiting_byte, 1, pdMS_TO_TICKS(SLEEP_MS)) == 1;
}

uint32_t bk_port_ms(void) { return (uint32_t)(esp_timer_get_time() / 1000); }

uint64_t bk_port_ns(void) { return (uint64_t)esp_timer_get_time() * 1000; }

void bk_port_feed_watchdog(void) { (void)esp_task_wdt_reset(); }

_Noreturn void bk_port_reset(void) { esp_restart(); }

size_t bk_port_stack_used(void) { return STACK_BYTES - uxTaskGetStackHighWaterMark(NULL); }

size_t bk_port_stack_bytes(void) { return STACK_BYTES; }
