/* esp_stubs.h: as much of ESP-IDF's interface as firmware/ports/esp32s3 uses, from its programming
 * guide: enough to see that the port calls what exists. */
#ifndef ESP_STUBS_H
#define ESP_STUBS_H

#include <stddef.h>
#include <stdint.h>

#define ESP_IDF_VERSION_MAJOR 5

typedef int esp_err_t;
typedef unsigned int UBaseType_t;
typedef int BaseType_t;
typedef uint32_t TickType_t;
typedef struct tskTaskControlBlock *TaskHandle_t;
typedef struct QueueDefinition *QueueHandle_t;
typedef void (*TaskFunction_t)(void *);
typedef int uart_port_t;
typedef uint32_t esp_partition_mmap_handle_t;

enum { ESP_OK, UART_NUM_0 = 0, UART_PIN_NO_CHANGE = -1 };
typedef enum { UART_DATA_8_BITS = 3 } uart_word_length_t;
typedef enum { UART_PARITY_DISABLE } uart_parity_t;
typedef enum { UART_STOP_BITS_1 = 1 } uart_stop_bits_t;
typedef enum { UART_HW_FLOWCTRL_DISABLE } uart_hw_flowcontrol_t;
typedef enum { ESP_PARTITION_TYPE_APP, ESP_PARTITION_TYPE_DATA } esp_partition_type_t;
typedef enum { ESP_PARTITION_SUBTYPE_ANY = 0xff } esp_partition_subtype_t;
typedef enum { ESP_PARTITION_MMAP_DATA } esp_partition_mmap_memory_t;

#define MALLOC_CAP_8BIT (1 << 2)
#define MALLOC_CAP_INTERNAL (1 << 11)
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))

typedef struct {
    int baud_rate;
    uart_word_length_t data_bits;
    uart_parity_t parity;
    uart_stop_bits_t stop_bits;
    uart_hw_flowcontrol_t flow_ctrl;
} uart_config_t;

typedef struct {
    esp_partition_type_t type;
    uint32_t address, size;
    char label[17];
} esp_partition_t;

esp_err_t uart_driver_install(uart_port_t port, int rx, int tx, int queue, QueueHandle_t *q,
                              int flags);
esp_err_t uart_param_config(uart_port_t port, const uart_config_t *config);
esp_err_t uart_set_pin(uart_port_t port, int tx, int rx, int rts, int cts);
int uart_read_bytes(uart_port_t port, void *buf, uint32_t length, TickType_t wait);
int uart_write_bytes(uart_port_t port, const void *src, size_t size);
const esp_partition_t *esp_partition_find_first(esp_partition_type_t type,
                                                esp_partition_subtype_t subtype, const char *label);
esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t size,
                             esp_partition_mmap_memory_t memory, const void **out,
                             esp_partition_mmap_handle_t *handle);
esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t offset, size_t size);
esp_err_t esp_partition_write(const esp_partition_t *partition, size_t at, const void *src,
                              size_t n);
_Noreturn void esp_restart(void);
esp_err_t esp_task_wdt_add(TaskHandle_t task);
esp_err_t esp_task_wdt_reset(void);
int64_t esp_timer_get_time(void);
void *heap_caps_aligned_alloc(size_t alignment, size_t size, uint32_t caps);
BaseType_t xTaskCreatePinnedToCore(TaskFunction_t code, const char *name, uint32_t stack, void *arg,
                                   UBaseType_t priority, TaskHandle_t *handle, BaseType_t core);
UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task);

#endif
