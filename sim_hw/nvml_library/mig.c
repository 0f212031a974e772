/* Multi-instance GPU: the mode can be asked for and waits for a reset; there are no instances. */
#include "library.h"

enum { MOST_INSTANCES = 7 };

GETTER2(nvmlDeviceGetMigMode, unsigned, gpu->mig_current, gpu->mig_pending)
GETTER(nvmlDeviceGetMaxMigDeviceCount, unsigned, MOST_INSTANCES)
GETTER(nvmlDeviceIsMigDeviceHandle, unsigned, 0)

CALL(nvmlDeviceSetMigMode, nvmlDevice_t device, unsigned mode, nvmlReturn_t *activation) {
    ENTER_GPU(nvmlDeviceSetMigMode, device);
    NEED(activation && mode <= 1);
    __atomic_store_n(&gpu->mig_pending, mode, __ATOMIC_RELAXED);
    *activation = OK;
    return OK;
}

CALL(nvmlDeviceGetMigDeviceHandleByIndex, nvmlDevice_t device, unsigned index,
     nvmlDevice_t *instance) {
    ENTER_GPU(nvmlDeviceGetMigDeviceHandleByIndex, device);
    (void)gpu;
    NEED(instance && index < MOST_INSTANCES);
    return NOT_FOUND;
}

CALL(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, nvmlDevice_t device, nvmlDevice_t *parent) {
    ENTER_GPU(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, device);
    (void)gpu;
    NEED(parent);
    return INVALID_ARGUMENT; /* no handle of this library is an instance's */
}
