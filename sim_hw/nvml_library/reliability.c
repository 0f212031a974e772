/* What a GPU counts of its own errors: ECC, remapped rows, retired pages, the bus. */
#include "library.h"

enum { SRAM_THRESHOLD = 4 };

static uint64_t *counters(Gpu *gpu, unsigned error, unsigned counter) {
    EccCounters *counts = error == CORRECTED ? &gpu->corrected : &gpu->uncorrected;
    return counter == VOLATILE ? counts->volatile_count : counts->aggregate_count;
}

GETTER2(nvmlDeviceGetEccMode, unsigned, gpu->ecc_current, gpu->ecc_pending)
GETTER(nvmlDeviceGetDefaultEccMode, unsigned, 1)

/* As on a board, the mode changes at the next reset. */
CALL(nvmlDeviceSetEccMode, nvmlDevice_t device, unsigned mode) {
    ENTER_GPU(nvmlDeviceSetEccMode, device);
    NEED(mode <= 1);
    __atomic_store_n(&gpu->ecc_pending, mode, __ATOMIC_RELAXED);
    return OK;
}

CALL(nvmlDeviceGetTotalEccErrors, nvmlDevice_t device, unsigned error, unsigned counter,
     u64 *value) {
    ENTER_GPU(nvmlDeviceGetTotalEccErrors, device);
    NEED(value && error <= 1 && counter <= 1);
    const uint64_t *counts = counters(gpu, error, counter);
    *value = counts[DRAM] + counts[SRAM];
    return OK;
}

CALL(nvmlDeviceGetMemoryErrorCounter, nvmlDevice_t device, unsigned error, unsigned counter,
     unsigned place, u64 *value) {
    ENTER_GPU(nvmlDeviceGetMemoryErrorCounter, device);
    NEED(value && error <= 1 && counter <= 1 && place <= SRAM);
    if (place != DRAM && place != SRAM) return NOT_SUPPORTED;
    *value = counters(gpu, error, counter)[place];
    return OK;
}

CALL(nvmlDeviceClearEccErrorCounts, nvmlDevice_t device, unsigned counter) {
    ENTER_GPU(nvmlDeviceClearEccErrorCounts, device);
    NEED(counter <= 1);
    memset(counters(gpu, CORRECTED, counter), 0, sizeof gpu->corrected.volatile_count);
    memset(counters(gpu, UNCORRECTED, counter), 0, sizeof gpu->corrected.volatile_count);
    return OK;
}

CALL(nvmlDeviceGetSramEccErrorStatus, nvmlDevice_t device, SramStatus *status) {
    ENTER_GPU(nvmlDeviceGetSramEccErrorStatus, device);
    NEED(status);
    if (status->version != VERSION_SRAM_STATUS) return ARGUMENT_VERSION_MISMATCH;
    memset(status, 0, sizeof *status);
    status->version = VERSION_SRAM_STATUS;
    status->aggregate_corrected = gpu->corrected.aggregate_count[SRAM];
    status->aggregate_secded = gpu->uncorrected.aggregate_count[SRAM];
    status->volatile_corrected = gpu->corrected.volatile_count[SRAM];
    status->volatile_secded = gpu->uncorrected.volatile_count[SRAM];
    status->bucket_l2 = gpu->uncorrected.aggregate_count[SRAM];
    status->threshold_exceeded = gpu->uncorrected.aggregate_count[SRAM] > SRAM_THRESHOLD;
    return OK;
}

/* One entry stands for every error: the model does not place them within the SRAM. */
CALL(nvmlDeviceGetSramUniqueUncorrectedEccErrorCounts, nvmlDevice_t device, SramUnique *counts) {
    ENTER_GPU(nvmlDeviceGetSramUniqueUncorrectedEccErrorCounts, device);
    NEED(counts);
    if (counts->version != VERSION_SRAM_UNIQUE) return ARGUMENT_VERSION_MISMATCH;
    unsigned have = gpu->uncorrected.aggregate_count[SRAM] > 0;
    unsigned room = counts->entries ? counts->count : 0;
    counts->count = have;
    if (have > room) return INSUFFICIENT_SIZE;
    if (have) {
        SramUniqueEntry entry = {0, 0, 0, 0, 0, 0, (unsigned)gpu->uncorrected.aggregate_count[SRAM]};
        counts->entries[0] = entry;
    }
    return OK;
}

CALL(nvmlDeviceGetRemappedRows, nvmlDevice_t device, unsigned *correctable,
     unsigned *uncorrectable, unsigned *pending, unsigned *failed) {
    ENTER_GPU(nvmlDeviceGetRemappedRows, device);
    NEED(correctable && uncorrectable && pending && failed);
    *correctable = gpu->remapped_correctable;
    *uncorrectable = gpu->remapped_uncorrectable;
    *pending = gpu->remap_pending;
    *failed = gpu->remap_failed;
    return OK;
}

CALL(nvmlDeviceGetRemappedRows_v2, nvmlDevice_t device, RemappedRows *rows) {
    ENTER_GPU(nvmlDeviceGetRemappedRows_v2, device);
    NEED(rows);
    rows->correctable = gpu->remapped_correctable - gpu->remapped_correctable_inactive;
    rows->correctable_inactive = gpu->remapped_correctable_inactive;
    rows->uncorrectable = gpu->remapped_uncorrectable - gpu->remapped_uncorrectable_inactive;
    rows->uncorrectable_inactive = gpu->remapped_uncorrectable_inactive;
    rows->pending = gpu->remap_pending;
    rows->failed = gpu->remap_failed;
    return OK;
}

/* How many spare rows each bank has left. */
CALL(nvmlDeviceGetRowRemapperHistogram, nvmlDevice_t device, RemapperHistogram *histogram) {
    ENTER_GPU(nvmlDeviceGetRowRemapperHistogram, device);
    NEED(histogram);
    memset(histogram, 0, sizeof *histogram);
    for (unsigned bank = 0; bank < STATE_BANKS; bank++) {
        unsigned left = STATE_SPARE_ROWS - gpu->bank_used[bank];
        if (left == STATE_SPARE_ROWS) histogram->max++;
        else if (left == 0) histogram->none++;
        else if (left > STATE_SPARE_ROWS / 2) histogram->high++;
        else if (left > 1) histogram->partial++;
        else histogram->low++;
    }
    return OK;
}

/* Boards before Ampere retire pages, later ones remap rows. */
static nvmlReturn_t retired(const Gpu *gpu, unsigned cause, unsigned *count, u64 *addresses,
                            u64 *times_us) {
    NEED(count && cause <= 1);
    if (!gpu->retires_pages) return NOT_SUPPORTED;
    unsigned have = 0, room = addresses ? *count : 0;
    for (unsigned i = 0; i < gpu->retired_count; i++) {
        if (gpu->retired[i].cause != cause) continue;
        if (have < room) {
            addresses[have] = gpu->retired[i].address;
            if (times_us) times_us[have] = gpu->retired[i].time_us;
        }
        have++;
    }
    *count = have;
    return have > room ? INSUFFICIENT_SIZE : OK;
}

CALL(nvmlDeviceGetRetiredPages, nvmlDevice_t device, unsigned cause, unsigned *count,
     u64 *addresses) {
    ENTER_GPU(nvmlDeviceGetRetiredPages, device);
    return retired(gpu, cause, count, addresses, NULL);
}

CALL(nvmlDeviceGetRetiredPages_v2, nvmlDevice_t device, unsigned cause, unsigned *count,
     u64 *addresses, u64 *times_us) {
    ENTER_GPU(nvmlDeviceGetRetiredPages_v2, device);
    return retired(gpu, cause, count, addresses, times_us);
}

CALL(nvmlDeviceGetRetiredPagesPendingStatus, nvmlDevice_t device, unsigned *pending) {
    ENTER_GPU(nvmlDeviceGetRetiredPagesPendingStatus, device);
    NEED(pending);
    if (!gpu->retires_pages) return NOT_SUPPORTED;
    *pending = gpu->retired_pending;
    return OK;
}

CALL(nvmlDeviceGetRepairStatus, nvmlDevice_t device, RepairStatus *status) {
    ENTER_GPU(nvmlDeviceGetRepairStatus, device);
    NEED(status);
    if (status->version != VERSION_REPAIR) return ARGUMENT_VERSION_MISMATCH;
    status->channel_pending = 0;
    status->tpc_pending = 0;
    return OK;
}

GETTER(nvmlDeviceGetPcieReplayCounter, unsigned, gpu->pcie_replays)
