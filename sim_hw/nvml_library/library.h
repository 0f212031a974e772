/* What the files of the emulated NVML library share: types, results, and the way into every call. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <string.h>

#include "abi.h"
#include "calls.h"
#include "state.h"

typedef int nvmlReturn_t;
typedef struct device_handle *nvmlDevice_t;

/* The mapped state, or NULL before the first nvmlInit. */
State *state_of_board(void);

/* Every call begins here: refuses before nvmlInit, waits while the board hangs, answers an
   injected error. */
nvmlReturn_t enter(unsigned call);

/* The same for a call on a GPU; a lost GPU answers GPU_IS_LOST. */
nvmlReturn_t enter_gpu(unsigned call, nvmlDevice_t device, Gpu **gpu);

nvmlReturn_t copy_text(char *to, unsigned size, const char *from);

/* Wait until the word is no longer `value` or `timeout_ms` have passed; may return early. */
void wait_on(uint32_t *word, uint32_t value, unsigned timeout_ms);

static inline nvmlDevice_t handle_of(unsigned index) {
    return (nvmlDevice_t)(uintptr_t)(index + 1);
}

static inline unsigned index_of(nvmlDevice_t device) { return (unsigned)(uintptr_t)device - 1; }

#define EXPORT __attribute__((visibility("default")))
#define CALL(name, ...) EXPORT nvmlReturn_t name(__VA_ARGS__)

#define ENTER(name)                                \
    do {                                           \
        nvmlReturn_t entered_ = enter(CALL_##name); \
        if (entered_ != OK) return entered_;       \
    } while (0)

#define ENTER_GPU(name, device)                                          \
    Gpu *gpu;                                                            \
    do {                                                                 \
        nvmlReturn_t entered_ = enter_gpu(CALL_##name, (device), &gpu); \
        if (entered_ != OK) return entered_;                             \
    } while (0)

#define NEED(condition)                             \
    do {                                            \
        if (!(condition)) return INVALID_ARGUMENT; \
    } while (0)

/* A call that answers one value of one GPU. */
#define GETTER(name, type, expression)              \
    CALL(name, nvmlDevice_t device, type *value) { \
        ENTER_GPU(name, device);                    \
        (void)gpu;                                  \
        NEED(value);                                \
        *value = (type)(expression);                \
        return OK;                                  \
    }

/* A call that answers two values of one GPU. */
#define GETTER2(name, type, first, second)                        \
    CALL(name, nvmlDevice_t device, type *value, type *other) { \
        ENTER_GPU(name, device);                                  \
        (void)gpu;                                                \
        NEED(value &&other);                                      \
        *value = (type)(first);                                   \
        *other = (type)(second);                                  \
        return OK;                                                \
    }

/* A call that answers a text of one GPU. */
#define TEXT(name, expression)                                         \
    CALL(name, nvmlDevice_t device, char *text, unsigned length) { \
        ENTER_GPU(name, device);                                       \
        return copy_text(text, length, (expression));                  \
    }

#endif
