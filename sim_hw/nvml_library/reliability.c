/* What a GPU counts of its own errors: ECC, remapped rows, the bus, and the fields that repeat them. */
#include "library.h"

enum { CORRECTED = 0, UNCORRECTED = 1, VOLATILE = 0, AGGREGATE = 1, DRAM = 2, SRAM = 7 };

typedef struct {
    unsigned version;
    u64 aggregate_parity, aggregate_secded, aggregate_corrected;
    u64 volatile_parity, volatile_secded, volatile_corrected;
    u64 bucket_l2, bucket_sm, bucket_pcie, bucket_mcu, bucket_other;
    unsigned threshold_exceeded;
} SramStatus;

typedef struct {
    unsigned correctable, correctable_inactive, uncorrectable, uncorrectable_inactive, pending, failed;
} RemappedRows;

typedef struct {
    unsigned max, high, partial, low, none;
} RemapperHistogram;

typedef struct {
    unsigned id, scope;
    long long time_us, latency_us;
    unsigned type;
    unsigned result;
    union {
        unsigned number;
        u64 large;
        int signed_number;
    } value;
} FieldValue;

enum { SIZE_SRAM_STATUS = 0x01000068, BANKS = 640 };

_Static_assert(sizeof(SramStatus) == 104, "nvmlEccSramErrorStatus_v1_t");
_Static_assert(sizeof(RemappedRows) == 24, "nvmlRemappedRowsInfo_v2_t");
_Static_assert(sizeof(RemapperHistogram) == 20, "nvmlRowRemapperHistogramValues_t");
_Static_assert(sizeof(FieldValue) == 40, "nvmlFieldValue_t");

static uint64_t *counters(Gpu *gpu, unsigned error, unsigned counter) {
    EccCounters *counts = error == CORRECTED ? &gpu->corrected : &gpu->uncorrected;
    return counter == VOLATILE ? counts->volatile_count : counts->aggregate_count;
}

GETTER2(nvmlDeviceGetEccMode, unsigned, 1, 1)
GETTER(nvmlDeviceGetDefaultEccMode, unsigned, 1)

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
    if (status->version != SIZE_SRAM_STATUS) return ARGUMENT_VERSION_MISMATCH;
    memset(status, 0, sizeof *status);
    status->version = SIZE_SRAM_STATUS;
    status->aggregate_corrected = gpu->corrected.aggregate_count[SRAM];
    status->aggregate_secded = gpu->uncorrected.aggregate_count[SRAM];
    status->volatile_corrected = gpu->corrected.volatile_count[SRAM];
    status->volatile_secded = gpu->uncorrected.volatile_count[SRAM];
    status->bucket_l2 = gpu->uncorrected.aggregate_count[SRAM];
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
    memset(rows, 0, sizeof *rows);
    rows->correctable = gpu->remapped_correctable;
    rows->uncorrectable = gpu->remapped_uncorrectable;
    rows->pending = gpu->remap_pending;
    rows->failed = gpu->remap_failed;
    return OK;
}

CALL(nvmlDeviceGetRowRemapperHistogram, nvmlDevice_t device, RemapperHistogram *histogram) {
    ENTER_GPU(nvmlDeviceGetRowRemapperHistogram, device);
    NEED(histogram);
    unsigned used = gpu->remapped_correctable + gpu->remapped_uncorrectable;
    unsigned touched = used < BANKS ? used : BANKS;
    memset(histogram, 0, sizeof *histogram);
    histogram->max = BANKS - touched;
    histogram->high = touched;
    return OK;
}

GETTER(nvmlDeviceGetPcieReplayCounter, unsigned, gpu->pcie_replays)

enum { UNSIGNED = 1, UNSIGNED_LARGE = 3, SIGNED = 5 };

static void put(FieldValue *field, unsigned number) {
    field->type = UNSIGNED;
    field->value.number = number;
}

static void put_signed(FieldValue *field, int number) {
    field->type = SIGNED;
    field->value.signed_number = number;
}

static nvmlReturn_t read_field(const Gpu *gpu, FieldValue *field) {
    switch (field->id) {
        case 82: put(field, (unsigned)gpu->temperature_memory_c); return OK;
        case 83:
            field->type = UNSIGNED_LARGE;
            field->value.large = gpu->energy_mj;
            return OK;
        case 94: put(field, gpu->pcie_replays); return OK;
        case 142: put(field, gpu->remapped_correctable); return OK;
        case 143: put(field, gpu->remapped_uncorrectable); return OK;
        case 144: put(field, gpu->remap_pending); return OK;
        case 145: put(field, gpu->remap_failed); return OK;
        case 185: put(field, gpu->power_mw); return OK;
        case 186: put(field, gpu->power_instant_mw); return OK;
        case 187: put(field, gpu->power_limit_min_mw); return OK;
        case 188: put(field, gpu->power_limit_max_mw); return OK;
        case 189: put(field, gpu->power_limit_default_mw); return OK;
        case 190: case 192: put(field, gpu->power_limit_mw); return OK;
        case 193: put_signed(field, gpu->temperature_max_c - gpu->temperature_shutdown_c); return OK;
        case 194: put_signed(field, gpu->temperature_max_c - gpu->temperature_slowdown_c); return OK;
        case 195: case 196: put_signed(field, 0); return OK;
        case 230: put(field, gpu->recovery_action); return OK;
        case 301: case 302: put(field, 0); return OK;
        default:
            if (field->id < 173 || field->id > 183) return NOT_SUPPORTED;
            put(field, 0); /* PCIe error counters: this bus makes none */
            return OK;
    }
}

CALL(nvmlDeviceGetFieldValues, nvmlDevice_t device, int count, FieldValue *fields) {
    ENTER_GPU(nvmlDeviceGetFieldValues, device);
    NEED(fields && count > 0);
    for (int i = 0; i < count; i++) {
        fields[i].value.large = 0;
        fields[i].time_us = (long long)gpu->time_us;
        fields[i].latency_us = 0;
        fields[i].result = (unsigned)read_field(gpu, &fields[i]);
    }
    return OK;
}
