/* What a GPU measures: power, heat, clocks, use, memory, processes, the bus. */
#include "library.h"

GETTER(nvmlDeviceGetPowerUsage, unsigned, gpu->power_mw)
GETTER(nvmlDeviceGetTotalEnergyConsumption, u64, gpu->energy_mj)
GETTER(nvmlDeviceGetPowerManagementMode, unsigned, 1)
GETTER(nvmlDeviceGetPowerState, unsigned, gpu->performance_state)
GETTER(nvmlDeviceGetPerformanceState, unsigned, gpu->performance_state)

CALL(nvmlDeviceGetTemperature, nvmlDevice_t device, unsigned sensor, unsigned *value) {
    ENTER_GPU(nvmlDeviceGetTemperature, device);
    NEED(value && sensor == 0);
    *value = (unsigned)gpu->temperature_c;
    return OK;
}

CALL(nvmlDeviceGetTemperatureV, nvmlDevice_t device, Temperature *value) {
    ENTER_GPU(nvmlDeviceGetTemperatureV, device);
    NEED(value);
    if (value->version != VERSION_TEMPERATURE) return ARGUMENT_VERSION_MISMATCH;
    NEED(value->sensor == 0);
    value->temperature = gpu->temperature_c;
    return OK;
}

CALL(nvmlDeviceGetMarginTemperature, nvmlDevice_t device, MarginTemperature *value) {
    ENTER_GPU(nvmlDeviceGetMarginTemperature, device);
    NEED(value);
    if (value->version != VERSION_MARGIN) return ARGUMENT_VERSION_MISMATCH;
    value->margin = gpu->temperature_max_c - gpu->temperature_c;
    return OK;
}

CALL(nvmlDeviceGetTemperatureThreshold, nvmlDevice_t device, unsigned kind, unsigned *value) {
    ENTER_GPU(nvmlDeviceGetTemperatureThreshold, device);
    NEED(value);
    switch (kind) {
        case 0: *value = (unsigned)gpu->temperature_shutdown_c; return OK;
        case 1: *value = (unsigned)gpu->temperature_slowdown_c; return OK;
        case 2: *value = (unsigned)gpu->temperature_memory_max_c; return OK;
        case 3: *value = (unsigned)gpu->temperature_max_c; return OK;
        default: return NOT_SUPPORTED;
    }
}

/* Clock domains: 0 graphics, 1 SM, 2 memory, 3 video. */
static nvmlReturn_t clock_of(unsigned domain, unsigned sm, unsigned memory, unsigned *value) {
    NEED(value && domain <= 3);
    *value = domain == 2 ? memory : sm;
    return OK;
}

CALL(nvmlDeviceGetClockInfo, nvmlDevice_t device, unsigned domain, unsigned *value) {
    ENTER_GPU(nvmlDeviceGetClockInfo, device);
    return clock_of(domain, gpu->clock_mhz, gpu->memory_clock_mhz, value);
}

CALL(nvmlDeviceGetMaxClockInfo, nvmlDevice_t device, unsigned domain, unsigned *value) {
    ENTER_GPU(nvmlDeviceGetMaxClockInfo, device);
    return clock_of(domain, gpu->clock_max_mhz, gpu->memory_clock_max_mhz, value);
}

CALL(nvmlDeviceGetMaxCustomerBoostClock, nvmlDevice_t device, unsigned domain, unsigned *value) {
    ENTER_GPU(nvmlDeviceGetMaxCustomerBoostClock, device);
    return clock_of(domain, gpu->clock_max_mhz, gpu->memory_clock_max_mhz, value);
}

GETTER(nvmlDeviceGetCurrentClocksEventReasons, u64, gpu->clock_reasons)
GETTER(nvmlDeviceGetCurrentClocksThrottleReasons, u64, gpu->clock_reasons)
GETTER(nvmlDeviceGetSupportedClocksEventReasons, u64, 0x6D)
GETTER(nvmlDeviceGetSupportedClocksThrottleReasons, u64, 0x6D)

CALL(nvmlDeviceGetUtilizationRates, nvmlDevice_t device, Utilization *value) {
    ENTER_GPU(nvmlDeviceGetUtilizationRates, device);
    NEED(value);
    value->gpu = gpu->utilization_percent;
    value->memory = gpu->memory_utilization_percent;
    return OK;
}

GETTER2(nvmlDeviceGetEncoderUtilization, unsigned, 0, 167000)
GETTER2(nvmlDeviceGetDecoderUtilization, unsigned, 0, 167000)

CALL(nvmlDeviceGetMemoryInfo, nvmlDevice_t device, Memory *value) {
    ENTER_GPU(nvmlDeviceGetMemoryInfo, device);
    NEED(value);
    value->total = gpu->memory_bytes;
    value->used = gpu->used_bytes + gpu->reserved_bytes;
    value->free = value->total - value->used;
    return OK;
}

CALL(nvmlDeviceGetMemoryInfo_v2, nvmlDevice_t device, MemoryV2 *value) {
    ENTER_GPU(nvmlDeviceGetMemoryInfo_v2, device);
    NEED(value);
    if (value->version != VERSION_MEMORY_V2) return ARGUMENT_VERSION_MISMATCH;
    value->total = gpu->memory_bytes;
    value->reserved = gpu->reserved_bytes;
    value->used = gpu->used_bytes;
    value->free = value->total - value->reserved - value->used;
    return OK;
}

CALL(nvmlDeviceGetBAR1MemoryInfo, nvmlDevice_t device, Memory *value) {
    ENTER_GPU(nvmlDeviceGetBAR1MemoryInfo, device);
    NEED(value);
    value->total = 128ull << 30;
    value->used = 1ull << 20;
    value->free = value->total - value->used;
    return OK;
}

/* The room a caller offers for a list of `have` entries; tells how much is needed. */
static nvmlReturn_t offer(unsigned *count, const void *list, unsigned have) {
    NEED(count);
    unsigned room = list ? *count : 0;
    *count = have;
    return have > room ? INSUFFICIENT_SIZE : OK;
}

static nvmlReturn_t list_processes(const Gpu *gpu, unsigned *count, ProcessV2 *list) {
    unsigned have = gpu->process_count;
    nvmlReturn_t result = offer(count, list, have);
    if (result != OK) return result;
    for (unsigned i = 0; i < have; i++) {
        ProcessV2 entry = {gpu->processes[i].pid, gpu->processes[i].memory_bytes, ~0u, ~0u};
        list[i] = entry;
    }
    return OK;
}

CALL(nvmlDeviceGetComputeRunningProcesses_v3, nvmlDevice_t device, unsigned *count,
     ProcessV2 *list) {
    ENTER_GPU(nvmlDeviceGetComputeRunningProcesses_v3, device);
    return list_processes(gpu, count, list);
}

CALL(nvmlDeviceGetComputeRunningProcesses_v2, nvmlDevice_t device, unsigned *count,
     ProcessV2 *list) {
    ENTER_GPU(nvmlDeviceGetComputeRunningProcesses_v2, device);
    return list_processes(gpu, count, list);
}

CALL(nvmlDeviceGetComputeRunningProcesses, nvmlDevice_t device, unsigned *count,
     ProcessV1 *list) {
    ENTER_GPU(nvmlDeviceGetComputeRunningProcesses, device);
    unsigned have = gpu->process_count;
    nvmlReturn_t result = offer(count, list, have);
    if (result != OK) return result;
    for (unsigned i = 0; i < have; i++) {
        list[i].pid = gpu->processes[i].pid;
        list[i].used_bytes = gpu->processes[i].memory_bytes;
    }
    return OK;
}

#define NO_PROCESSES(name)                                            \
    CALL(name, nvmlDevice_t device, unsigned *count, void *list) { \
        ENTER_GPU(name, device);                                      \
        (void)gpu;                                                    \
        return offer(count, list, 0);                                 \
    }

NO_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses)
NO_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2)
NO_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3)
NO_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses)
NO_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2)
NO_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3)

CALL(nvmlDeviceGetProcessUtilization, nvmlDevice_t device, ProcessSample *list, unsigned *count,
     u64 since_us) {
    ENTER_GPU(nvmlDeviceGetProcessUtilization, device);
    unsigned have = gpu->time_us > since_us ? gpu->process_count : 0;
    if (have == 0) return NOT_FOUND;
    nvmlReturn_t result = offer(count, list, have);
    if (result != OK) return result;
    for (unsigned i = 0; i < have; i++) {
        ProcessSample sample = {gpu->processes[i].pid, gpu->time_us, 0, 0, 0, 0};
        sample.sm = gpu->processes[i].utilization_percent;
        list[i] = sample;
    }
    return OK;
}

CALL(nvmlDeviceGetProcessesUtilizationInfo, nvmlDevice_t device, ProcessesUse *use) {
    ENTER_GPU(nvmlDeviceGetProcessesUtilizationInfo, device);
    NEED(use);
    if (use->version != VERSION_PROCESSES_UTILIZATION) return ARGUMENT_VERSION_MISMATCH;
    unsigned have = gpu->time_us > use->since_us ? gpu->process_count : 0;
    if (have == 0) return NOT_FOUND;
    nvmlReturn_t result = offer(&use->count, use->list, have);
    if (result != OK) return result;
    for (unsigned i = 0; i < have; i++) {
        ProcessUse entry = {gpu->time_us, gpu->processes[i].pid, 0, 0, 0, 0, 0, 0};
        entry.sm = gpu->processes[i].utilization_percent;
        use->list[i] = entry;
    }
    return OK;
}

GETTER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, gpu->pcie_generation)
GETTER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, gpu->pcie_generation)
GETTER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, gpu->pcie_width)
GETTER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, gpu->pcie_width)

CALL(nvmlDeviceGetPcieThroughput, nvmlDevice_t device, unsigned direction, unsigned *value) {
    ENTER_GPU(nvmlDeviceGetPcieThroughput, device);
    NEED(value && direction <= 1);
    *value = direction == 0 ? gpu->pcie_tx_kbps : gpu->pcie_rx_kbps;
    return OK;
}
