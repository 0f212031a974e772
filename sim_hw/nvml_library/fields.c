/* Field values: what else the interface asks by number, many at once. */
#include "library.h"

static nvmlReturn_t put(FieldValue *field, unsigned number) {
    field->type = VALUE_UNSIGNED;
    field->value.number = number;
    return OK;
}

static nvmlReturn_t put_large(FieldValue *field, u64 number) {
    field->type = VALUE_UNSIGNED_LARGE;
    field->value.large = number;
    return OK;
}

static nvmlReturn_t put_signed(FieldValue *field, int number) {
    field->type = VALUE_SIGNED;
    field->value.signed_number = number;
    return OK;
}

static u64 total(const uint64_t *counts) { return counts[DRAM] + counts[SRAM]; }

static unsigned retired_by(const Gpu *gpu, unsigned cause) {
    unsigned found = 0;
    for (unsigned i = 0; i < gpu->retired_count; i++) found += gpu->retired[i].cause == cause;
    return found;
}

static nvmlReturn_t read_retired(const Gpu *gpu, FieldValue *field) {
    if (!gpu->retires_pages) return NOT_SUPPORTED;
    switch (field->id) {
        case FIELD_RETIRED_CORRECTED: return put(field, retired_by(gpu, 0));
        case FIELD_RETIRED_UNCORRECTED: return put(field, retired_by(gpu, 1));
        default: return put(field, gpu->retired_pending);
    }
}

static nvmlReturn_t read_power(const Gpu *gpu, FieldValue *field) {
    switch (field->id) {
        case FIELD_POWER_AVERAGE: return put(field, gpu->power_mw);
        case FIELD_POWER_INSTANT: return put(field, gpu->power_instant_mw);
        case FIELD_POWER_MIN: return put(field, gpu->power_limit_min_mw);
        case FIELD_POWER_MAX: return put(field, gpu->power_limit_max_mw);
        case FIELD_POWER_DEFAULT: return put(field, gpu->power_limit_default_mw);
        case FIELD_ENERGY_SCOPED: return put_large(field, gpu->energy_mj);
        default: return put(field, gpu->power_limit_mw);
    }
}

static nvmlReturn_t read_errors(const Gpu *gpu, FieldValue *field) {
    switch (field->id) {
        case FIELD_CORRECTED_VOLATILE: return put_large(field, total(gpu->corrected.volatile_count));
        case FIELD_UNCORRECTED_VOLATILE:
            return put_large(field, total(gpu->uncorrected.volatile_count));
        case FIELD_CORRECTED_AGGREGATE: return put_large(field, total(gpu->corrected.aggregate_count));
        default: return put_large(field, total(gpu->uncorrected.aggregate_count));
    }
}

static nvmlReturn_t read_field(const Gpu *gpu, FieldValue *field) {
    unsigned id = field->id;
    if (id >= FIELD_PCIE_FIRST && id <= FIELD_PCIE_LAST)
        return put(field, gpu->pcie_errors[id - FIELD_PCIE_FIRST]);
    if (id >= FIELD_POWER_AVERAGE && id <= FIELD_POWER_REQUESTED) return read_power(gpu, field);
    if (id >= FIELD_CORRECTED_VOLATILE && id <= FIELD_UNCORRECTED_AGGREGATE)
        return read_errors(gpu, field);
    switch (id) {
        case FIELD_ECC_CURRENT: return put(field, gpu->ecc_current);
        case FIELD_ECC_PENDING: return put(field, gpu->ecc_pending);
        case FIELD_RETIRED_CORRECTED: case FIELD_RETIRED_UNCORRECTED: case FIELD_RETIRED_PENDING:
            return read_retired(gpu, field);
        case FIELD_MEMORY_TEMPERATURE: return put(field, (unsigned)gpu->temperature_memory_c);
        case FIELD_ENERGY: return put_large(field, gpu->energy_mj);
        case FIELD_PCIE_REPLAYS: return put(field, gpu->pcie_replays);
        case FIELD_REMAPPED_CORRECTED: return put(field, gpu->remapped_correctable);
        case FIELD_REMAPPED_UNCORRECTED: return put(field, gpu->remapped_uncorrectable);
        case FIELD_REMAP_PENDING: return put(field, gpu->remap_pending);
        case FIELD_REMAP_FAILED: return put(field, gpu->remap_failed);
        case FIELD_MARGIN_SHUTDOWN:
            return put_signed(field, gpu->temperature_max_c - gpu->temperature_shutdown_c);
        case FIELD_MARGIN_SLOWDOWN:
            return put_signed(field, gpu->temperature_max_c - gpu->temperature_slowdown_c);
        case FIELD_MARGIN_MEMORY: case FIELD_MARGIN_MAX: return put_signed(field, 0);
        case FIELD_RECOVERY: return put(field, gpu->recovery_action);
        case FIELD_REMAPPED_CORRECTED_INACTIVE: return put(field, gpu->remapped_correctable_inactive);
        case FIELD_REMAPPED_UNCORRECTED_INACTIVE:
            return put(field, gpu->remapped_uncorrectable_inactive);
        default: return NOT_SUPPORTED;
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

CALL(nvmlDeviceClearFieldValues, nvmlDevice_t device, int count, FieldValue *fields) {
    ENTER_GPU(nvmlDeviceClearFieldValues, device);
    NEED(fields && count > 0);
    for (int i = 0; i < count; i++) {
        unsigned id = fields[i].id;
        fields[i].result = NOT_SUPPORTED;
        if (id < FIELD_PCIE_FIRST || id > FIELD_PCIE_LAST) continue;
        __atomic_store_n(&gpu->pcie_errors[id - FIELD_PCIE_FIRST], 0, __ATOMIC_RELAXED);
        fields[i].result = OK;
    }
    return OK;
}
