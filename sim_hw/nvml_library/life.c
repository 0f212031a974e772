/* Life of the library: attaching to the state file, entering calls, error texts. */
#define _GNU_SOURCE
#include "library.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static State *attached; /* never unmapped: a hung call may still be inside it */
static dev_t attached_device;
static ino_t attached_inode;
static int users;
static int initialising;

State *state_of_board(void) { return __atomic_load_n(&attached, __ATOMIC_ACQUIRE); }

void wait_on(uint32_t *word, uint32_t value, unsigned timeout_ms) {
    struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000L};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

/* Values that nobody computes any more are none. */
static int is_companion_silent(const State *state) {
    u64 beat_ns = __atomic_load_n(&state->beat_ns, __ATOMIC_RELAXED);
    struct timespec now;
    if (!beat_ns || clock_gettime(CLOCK_MONOTONIC, &now)) return 0;
    u64 now_ns = (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
    return now_ns > beat_ns + STATE_SILENCE_S * 1000000000ull;
}

nvmlReturn_t enter(unsigned call) {
    State *state = state_of_board();
    if (!state || __atomic_load_n(&users, __ATOMIC_RELAXED) <= 0) return UNINITIALIZED;
    while (__atomic_load_n(&state->hang, __ATOMIC_ACQUIRE)) wait_on(&state->hang, 1, 1000);
    if (__atomic_load_n(&state->magic, __ATOMIC_RELAXED) != STATE_MAGIC) return DRIVER_NOT_LOADED;
    if (!__atomic_load_n(&state->driver_loaded, __ATOMIC_RELAXED)) return DRIVER_NOT_LOADED;
    if (is_companion_silent(state)) return TIMEOUT;
    return (nvmlReturn_t)__atomic_load_n(&state->errors[call], __ATOMIC_RELAXED);
}

nvmlReturn_t enter_gpu(unsigned call, nvmlDevice_t device, Gpu **gpu) {
    nvmlReturn_t result = enter(call);
    if (result != OK) return result;
    State *state = state_of_board();
    if (index_of(device) >= state->gpu_count) return INVALID_ARGUMENT;
    *gpu = &state->gpus[index_of(device)];
    return __atomic_load_n(&(*gpu)->lost, __ATOMIC_ACQUIRE) ? GPU_IS_LOST : OK;
}

nvmlReturn_t copy_text(char *to, unsigned size, const char *from) {
    NEED(to);
    size_t length = strlen(from) + 1;
    if (length > size) return INSUFFICIENT_SIZE;
    memcpy(to, from, length);
    return OK;
}

static nvmlReturn_t map_state(int descriptor, const struct stat *status) {
    if (status->st_size != sizeof(State)) return LIB_RM_VERSION_MISMATCH;
    void *memory = mmap(NULL, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) return OUT_OF_MEMORY;
    State *state = memory;
    if (state->magic != STATE_MAGIC || state->version != STATE_VERSION ||
        state->size != sizeof(State) || state->gpu_count > STATE_GPUS) {
        munmap(memory, sizeof(State));
        return LIB_RM_VERSION_MISMATCH;
    }
    attached_device = status->st_dev;
    attached_inode = status->st_ino;
    __atomic_store_n(&attached, state, __ATOMIC_RELEASE);
    return OK;
}

static nvmlReturn_t attach(void) {
    const char *path = getenv("VANALLEN_NVML_STATE");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0) return DRIVER_NOT_LOADED;
    struct stat status;
    nvmlReturn_t result = OK;
    if (fstat(descriptor, &status) != 0)
        result = DRIVER_NOT_LOADED;
    else if (!attached || status.st_dev != attached_device || status.st_ino != attached_inode)
        result = map_state(descriptor, &status);
    close(descriptor);
    return result;
}

static nvmlReturn_t initialise(unsigned call) {
    while (__atomic_exchange_n(&initialising, 1, __ATOMIC_ACQUIRE)) usleep(100);
    /* A board that went away is looked for again even by a client that never shut down. */
    State *state = state_of_board();
    int is_attached = users > 0 && state && state->magic == STATE_MAGIC;
    nvmlReturn_t result = is_attached ? OK : attach();
    if (result == OK) __atomic_add_fetch(&users, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&initialising, 0, __ATOMIC_RELEASE);
    if (result != OK) return result;
    result = enter(call);
    if (result != OK) __atomic_sub_fetch(&users, 1, __ATOMIC_RELAXED);
    return result;
}

CALL(nvmlInit_v2, void) { return initialise(CALL_nvmlInit_v2); }

CALL(nvmlInit, void) { return initialise(CALL_nvmlInit); }

CALL(nvmlInitWithFlags, unsigned flags) {
    (void)flags;
    return initialise(CALL_nvmlInitWithFlags);
}

CALL(nvmlShutdown, void) {
    nvmlReturn_t result = enter(CALL_nvmlShutdown);
    if (result != OK && result != DRIVER_NOT_LOADED && result != TIMEOUT) return result;
    __atomic_sub_fetch(&users, 1, __ATOMIC_RELAXED);
    return OK;
}

static const char *const error_texts[] = {
    "Success",
    "Uninitialized",
    "Invalid Argument",
    "Not Supported",
    "Insufficient Permissions",
    "Already Initialized",
    "Not Found",
    "Insufficient Size",
    "Insufficient External Power",
    "Driver Not Loaded",
    "Timeout",
    "Interrupt Request Issue",
    "NVML Shared Library Not Found",
    "Function Not Found",
    "Corrupted infoROM",
    "GPU is lost",
    "GPU requires reset",
    "The operating system has blocked the request.",
    "RM has detected an NVML/RM version mismatch.",
    "In use by another client",
    "Insufficient Memory",
    "No data",
    "ECC is not supported on a virtual GPU",
    "Insufficient Resources",
    "Frequency not supported",
    "Argument version mismatch",
    "Deprecated",
    "Not ready",
    "GPU not found",
    "Invalid state",
    "Reset type not supported",
};

EXPORT const char *nvmlErrorString(nvmlReturn_t result) {
    size_t count = sizeof error_texts / sizeof *error_texts;
    return result >= 0 && (size_t)result < count ? error_texts[result] : "Unknown Error";
}

CALL(nvmlSystemGetDriverVersion, char *text, unsigned length) {
    ENTER(nvmlSystemGetDriverVersion);
    return copy_text(text, length, state_of_board()->driver_version);
}

CALL(nvmlSystemGetNVMLVersion, char *text, unsigned length) {
    ENTER(nvmlSystemGetNVMLVersion);
    return copy_text(text, length, state_of_board()->library_version);
}

CALL(nvmlSystemGetCudaDriverVersion, int *version) {
    ENTER(nvmlSystemGetCudaDriverVersion);
    NEED(version);
    *version = state_of_board()->cuda_version;
    return OK;
}

CALL(nvmlSystemGetCudaDriverVersion_v2, int *version) {
    ENTER(nvmlSystemGetCudaDriverVersion_v2);
    NEED(version);
    *version = state_of_board()->cuda_version;
    return OK;
}

CALL(nvmlSystemGetProcessName, unsigned pid, char *text, unsigned length) {
    ENTER(nvmlSystemGetProcessName);
    NEED(text && length);
    char path[32] = "/proc/", digits[12];
    unsigned count = 0;
    do digits[count++] = (char)('0' + pid % 10);
    while ((pid /= 10) != 0);
    char *end = path + 6;
    while (count) *end++ = digits[--count];
    strcpy(end, "/cmdline");
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return NOT_FOUND;
    ssize_t got = read(descriptor, text, length - 1);
    close(descriptor);
    text[got < 0 ? 0 : got] = '\0';
    return OK;
}
