/* Which GPUs there are: counting, handles, names, the place on the bus. */
#include "library.h"

#include <strings.h>

static nvmlReturn_t count_gpus(unsigned call, unsigned *count) {
    nvmlReturn_t result = enter(call);
    if (result != OK) return result;
    NEED(count);
    *count = state_of_board()->gpu_count;
    return OK;
}

static nvmlReturn_t handle_by_index(unsigned call, unsigned index, nvmlDevice_t *device) {
    Gpu *gpu;
    nvmlReturn_t result = enter_gpu(call, handle_of(index), &gpu);
    if (result != OK) return result;
    NEED(device);
    *device = handle_of(index);
    return OK;
}

/* The GPU whose text at `offset` ends like `wanted` from `skip` characters on. */
static nvmlReturn_t find(unsigned call, size_t offset, const char *wanted, nvmlDevice_t *device) {
    nvmlReturn_t result = enter(call);
    if (result != OK) return result;
    NEED(wanted && device);
    State *state = state_of_board();
    for (unsigned i = 0; i < state->gpu_count; i++) {
        const char *text = (const char *)&state->gpus[i] + offset;
        size_t have = strlen(text), want = strlen(wanted);
        if (offset == offsetof(Gpu, bus_id) && want < have) text += have - want;
        if (want > 0 && strcasecmp(text, wanted) == 0) return handle_by_index(call, i, device);
    }
    return NOT_FOUND;
}

CALL(nvmlDeviceGetCount_v2, unsigned *count) {
    return count_gpus(CALL_nvmlDeviceGetCount_v2, count);
}

CALL(nvmlDeviceGetCount, unsigned *count) { return count_gpus(CALL_nvmlDeviceGetCount, count); }

CALL(nvmlDeviceGetHandleByIndex_v2, unsigned index, nvmlDevice_t *device) {
    return handle_by_index(CALL_nvmlDeviceGetHandleByIndex_v2, index, device);
}

CALL(nvmlDeviceGetHandleByIndex, unsigned index, nvmlDevice_t *device) {
    return handle_by_index(CALL_nvmlDeviceGetHandleByIndex, index, device);
}

CALL(nvmlDeviceGetHandleByUUID, const char *uuid, nvmlDevice_t *device) {
    return find(CALL_nvmlDeviceGetHandleByUUID, offsetof(Gpu, uuid), uuid, device);
}

CALL(nvmlDeviceGetHandleBySerial, const char *serial, nvmlDevice_t *device) {
    return find(CALL_nvmlDeviceGetHandleBySerial, offsetof(Gpu, serial), serial, device);
}

CALL(nvmlDeviceGetHandleByPciBusId_v2, const char *bus_id, nvmlDevice_t *device) {
    return find(CALL_nvmlDeviceGetHandleByPciBusId_v2, offsetof(Gpu, bus_id), bus_id, device);
}

CALL(nvmlDeviceGetHandleByPciBusId, const char *bus_id, nvmlDevice_t *device) {
    return find(CALL_nvmlDeviceGetHandleByPciBusId, offsetof(Gpu, bus_id), bus_id, device);
}

CALL(nvmlDeviceGetPciInfo_v3, nvmlDevice_t device, PciInfo *info) {
    ENTER_GPU(nvmlDeviceGetPciInfo_v3, device);
    NEED(info);
    memset(info, 0, sizeof *info);
    info->domain = gpu->pci_domain;
    info->bus = gpu->pci_bus;
    info->device = gpu->pci_device;
    info->pci_device_id = gpu->pci_device_id;
    info->pci_subsystem_id = gpu->pci_subsystem_id;
    copy_text(info->bus_id_legacy, sizeof info->bus_id_legacy, gpu->bus_id + 4);
    return copy_text(info->bus_id, sizeof info->bus_id, gpu->bus_id);
}

CALL(nvmlDeviceGetPciInfo_v2, nvmlDevice_t device, PciInfoV2 *info) {
    ENTER_GPU(nvmlDeviceGetPciInfo_v2, device);
    NEED(info);
    memset(info, 0, sizeof *info);
    info->domain = gpu->pci_domain;
    info->bus = gpu->pci_bus;
    info->device = gpu->pci_device;
    info->pci_device_id = gpu->pci_device_id;
    info->pci_subsystem_id = gpu->pci_subsystem_id;
    return copy_text(info->bus_id, sizeof info->bus_id, gpu->bus_id + 4);
}

CALL(nvmlDeviceGetPciInfoExt, nvmlDevice_t device, PciInfoExt *info) {
    ENTER_GPU(nvmlDeviceGetPciInfoExt, device);
    NEED(info);
    if (info->version != VERSION_PCI_EXT) return ARGUMENT_VERSION_MISMATCH;
    info->domain = gpu->pci_domain;
    info->bus = gpu->pci_bus;
    info->device = gpu->pci_device;
    info->pci_device_id = gpu->pci_device_id;
    info->pci_subsystem_id = gpu->pci_subsystem_id;
    info->base_class = 3; /* display controller */
    info->sub_class = 2;  /* 3D */
    return copy_text(info->bus_id, sizeof info->bus_id, gpu->bus_id);
}

TEXT(nvmlDeviceGetName, gpu->name)
TEXT(nvmlDeviceGetUUID, gpu->uuid)
TEXT(nvmlDeviceGetSerial, gpu->serial)
TEXT(nvmlDeviceGetBoardPartNumber, gpu->part_number)
TEXT(nvmlDeviceGetVbiosVersion, gpu->vbios_version)

GETTER(nvmlDeviceGetIndex, unsigned, index_of(device))
GETTER(nvmlDeviceGetMinorNumber, unsigned, index_of(device))
GETTER(nvmlDeviceGetBrand, unsigned, 14)
GETTER(nvmlDeviceGetArchitecture, unsigned, gpu->architecture)
GETTER(nvmlDeviceGetNumGpuCores, unsigned, gpu->core_count)
GETTER(nvmlDeviceGetPersistenceMode, unsigned, 1)
GETTER(nvmlDeviceGetComputeMode, unsigned, 0)
GETTER(nvmlDeviceGetDisplayMode, unsigned, 0)
GETTER(nvmlDeviceGetDisplayActive, unsigned, 0)
GETTER(nvmlDeviceGetMultiGpuBoard, unsigned, 0)
GETTER2(nvmlDeviceGetCudaComputeCapability, int, gpu->compute_major, gpu->compute_minor)

GETTER(nvmlDeviceGetModuleId, unsigned, index_of(device))
GETTER(nvmlDeviceGetBoardId, unsigned, gpu->pci_bus << 8)
