/* What a client may change: the power limit and the SM clock. The model reads the requests. */
#include "library.h"

GETTER(nvmlDeviceGetPowerManagementLimit, unsigned, gpu->power_limit_mw)
GETTER(nvmlDeviceGetEnforcedPowerLimit, unsigned, gpu->power_limit_mw)
GETTER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, gpu->power_limit_default_mw)
GETTER2(nvmlDeviceGetPowerManagementLimitConstraints, unsigned, gpu->power_limit_min_mw,
        gpu->power_limit_max_mw)

CALL(nvmlDeviceSetPowerManagementLimit, nvmlDevice_t device, unsigned limit_mw) {
    ENTER_GPU(nvmlDeviceSetPowerManagementLimit, device);
    NEED(limit_mw >= gpu->power_limit_min_mw && limit_mw <= gpu->power_limit_max_mw);
    __atomic_store_n(&gpu->power_limit_mw, limit_mw, __ATOMIC_RELAXED);
    return OK;
}

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high) {
    return value < low ? low : value > high ? high : value;
}

CALL(nvmlDeviceSetGpuLockedClocks, nvmlDevice_t device, unsigned min_mhz, unsigned max_mhz) {
    ENTER_GPU(nvmlDeviceSetGpuLockedClocks, device);
    NEED(min_mhz > 0 && min_mhz <= max_mhz);
    uint32_t low = gpu->clock_min_mhz, high = gpu->clock_max_mhz;
    __atomic_store_n(&gpu->clock_lock_min_mhz, clamp(min_mhz, low, high), __ATOMIC_RELAXED);
    __atomic_store_n(&gpu->clock_lock_max_mhz, clamp(max_mhz, low, high), __ATOMIC_RELAXED);
    return OK;
}

CALL(nvmlDeviceResetGpuLockedClocks, nvmlDevice_t device) {
    ENTER_GPU(nvmlDeviceResetGpuLockedClocks, device);
    __atomic_store_n(&gpu->clock_lock_min_mhz, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&gpu->clock_lock_max_mhz, 0, __ATOMIC_RELAXED);
    return OK;
}
