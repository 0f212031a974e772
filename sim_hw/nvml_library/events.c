/* Event sets: every set reads the shared ring at its own pace and sleeps on its head. */
#define _GNU_SOURCE
#include "library.h"

#include <stdlib.h>
#include <time.h>

typedef struct {
    uint32_t tail;
    uint64_t wanted[STATE_GPUS];
} EventSet;

typedef struct {
    nvmlDevice_t device;
    u64 kind, data;
} EventDataV1;

/* The clock and the power source of this board do not change by themselves. */
static const u64 supported = EVENT_SINGLE_BIT | EVENT_DOUBLE_BIT | EVENT_XID | EVENT_MIG |
                             EVENT_SINGLE_BIT_STORM | EVENT_DRAM_RETIREMENT |
                             EVENT_DRAM_RETIREMENT_FAILURE | EVENT_POISON | EVENT_FATAL_POISON |
                             EVENT_UNAVAILABLE | EVENT_RECOVERY;

GETTER(nvmlDeviceGetSupportedEventTypes, u64, supported)

CALL(nvmlEventSetCreate, EventSet **set) {
    ENTER(nvmlEventSetCreate);
    NEED(set);
    EventSet *made = calloc(1, sizeof *made);
    if (!made) return OUT_OF_MEMORY;
    made->tail = __atomic_load_n(&state_of_board()->event_head, __ATOMIC_ACQUIRE);
    *set = made;
    return OK;
}

CALL(nvmlEventSetFree, EventSet *set) {
    ENTER(nvmlEventSetFree);
    NEED(set);
    free(set);
    return OK;
}

CALL(nvmlDeviceRegisterEvents, nvmlDevice_t device, u64 kinds, EventSet *set) {
    ENTER_GPU(nvmlDeviceRegisterEvents, device);
    (void)gpu;
    NEED(set);
    if (kinds & ~supported) return NOT_SUPPORTED;
    set->wanted[index_of(device)] |= kinds;
    return OK;
}

/* Append an event: for the board, whose processes take turns. Who sees the new head sees the event
   as well, and who sees a slot written anew sees the head that permits it. */
EXPORT void vanallenPostEvent(State *state, uint32_t gpu, u64 kind, u64 data) {
    uint32_t head = __atomic_load_n(&state->event_head, __ATOMIC_ACQUIRE);
    Event *event = &state->events[head % STATE_EVENTS];
    __atomic_thread_fence(__ATOMIC_RELEASE);
    event->kind = kind;
    event->data = data;
    event->gpu = gpu;
    __atomic_store_n(&state->event_head, head + 1, __ATOMIC_RELEASE);
}

/* The oldest event that is not being written anew. */
static uint32_t oldest_of(uint32_t head) { return head - (STATE_EVENTS - 1); }

/* Where the set goes on from: an overrun ring loses its oldest events, and counts them. */
static uint32_t caught_up(State *state, EventSet *set) {
    uint32_t head = __atomic_load_n(&state->event_head, __ATOMIC_ACQUIRE);
    if (head - set->tail >= STATE_EVENTS) {
        __atomic_add_fetch(&state->events_lost, oldest_of(head) - set->tail, __ATOMIC_RELAXED);
        set->tail = oldest_of(head);
    }
    return head;
}

/* The next event the set wants. */
static int take(State *state, EventSet *set, EventData *data) {
    uint32_t head = caught_up(state, set);
    while (set->tail != head) {
        Event event = state->events[set->tail % STATE_EVENTS];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint32_t before = set->tail;
        head = caught_up(state, set);
        if (set->tail != before) continue; /* it was written anew meanwhile */
        set->tail++;
        if (event.gpu >= STATE_GPUS || !(set->wanted[event.gpu] & event.kind)) continue;
        EventData found = {handle_of(event.gpu), event.kind, event.data, ~0u, ~0u};
        *data = found;
        return 1;
    }
    return 0;
}

static int all_lost(const State *state, const EventSet *set) {
    int watched = 0;
    for (unsigned i = 0; i < state->gpu_count; i++) {
        if (!set->wanted[i]) continue;
        if (!__atomic_load_n(&state->gpus[i].lost, __ATOMIC_ACQUIRE)) return 0;
        watched = 1;
    }
    return watched;
}

static u64 now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
}

static nvmlReturn_t wait_for(unsigned call, EventSet *set, EventData *data, unsigned timeout_ms) {
    nvmlReturn_t result = enter(call);
    if (result != OK) return result;
    NEED(set && data);
    State *state = state_of_board();
    u64 start = now_ms();
    for (;;) {
        uint32_t head = __atomic_load_n(&state->event_head, __ATOMIC_ACQUIRE);
        if (take(state, set, data)) return OK;
        if (all_lost(state, set)) return GPU_IS_LOST;
        u64 passed = now_ms() - start;
        if (passed >= timeout_ms) return TIMEOUT;
        u64 left = timeout_ms - passed;
        wait_on(&state->event_head, head, left < 1000 ? (unsigned)left : 1000);
    }
}

CALL(nvmlEventSetWait_v2, EventSet *set, EventData *data, unsigned timeout_ms) {
    return wait_for(CALL_nvmlEventSetWait_v2, set, data, timeout_ms);
}

CALL(nvmlEventSetWait, EventSet *set, EventDataV1 *data, unsigned timeout_ms) {
    EventData found;
    nvmlReturn_t result = wait_for(CALL_nvmlEventSetWait, set, data ? &found : NULL, timeout_ms);
    if (result != OK) return result;
    data->device = found.device;
    data->kind = found.kind;
    data->data = found.data;
    return OK;
}
