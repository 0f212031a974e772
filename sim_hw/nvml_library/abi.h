/* What the interface fixes: layouts, version words and numbers, in words of our own. A test
   compares every one of them with NVIDIA's nvml.h, which is not part of this repository. */
#ifndef ABI_H
#define ABI_H

typedef unsigned long long u64;

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    LIB_RM_VERSION_MISMATCH = 18,
    OUT_OF_MEMORY = 20,
    ARGUMENT_VERSION_MISMATCH = 25,
};

enum { CORRECTED = 0, UNCORRECTED = 1, VOLATILE = 0, AGGREGATE = 1, DRAM = 2, SRAM = 7 };

enum {
    EVENT_SINGLE_BIT = 0x1,
    EVENT_DOUBLE_BIT = 0x2,
    EVENT_PERFORMANCE_STATE = 0x4,
    EVENT_XID = 0x8,
    EVENT_CLOCK = 0x10,
    EVENT_POWER_SOURCE = 0x80,
    EVENT_MIG = 0x100,
    EVENT_SINGLE_BIT_STORM = 0x200,
    EVENT_DRAM_RETIREMENT = 0x400,
    EVENT_DRAM_RETIREMENT_FAILURE = 0x800,
    EVENT_POISON = 0x1000,
    EVENT_FATAL_POISON = 0x2000,
    EVENT_UNAVAILABLE = 0x4000,
    EVENT_RECOVERY = 0x8000,
};

enum {
    FIELD_ECC_CURRENT = 1,
    FIELD_ECC_PENDING = 2,
    FIELD_CORRECTED_VOLATILE = 3,
    FIELD_UNCORRECTED_VOLATILE = 4,
    FIELD_CORRECTED_AGGREGATE = 5,
    FIELD_UNCORRECTED_AGGREGATE = 6,
    FIELD_RETIRED_CORRECTED = 29,
    FIELD_RETIRED_UNCORRECTED = 30,
    FIELD_RETIRED_PENDING = 31,
    FIELD_MEMORY_TEMPERATURE = 82,
    FIELD_ENERGY = 83,
    FIELD_PCIE_REPLAYS = 94,
    FIELD_REMAPPED_CORRECTED = 142,
    FIELD_REMAPPED_UNCORRECTED = 143,
    FIELD_REMAP_PENDING = 144,
    FIELD_REMAP_FAILED = 145,
    FIELD_PCIE_FIRST = 173,
    FIELD_PCIE_LAST = 183,
    FIELD_POWER_AVERAGE = 185,
    FIELD_POWER_INSTANT = 186,
    FIELD_POWER_MIN = 187,
    FIELD_POWER_MAX = 188,
    FIELD_POWER_DEFAULT = 189,
    FIELD_POWER_CURRENT = 190,
    FIELD_ENERGY_SCOPED = 191,
    FIELD_POWER_REQUESTED = 192,
    FIELD_MARGIN_SHUTDOWN = 193,
    FIELD_MARGIN_SLOWDOWN = 194,
    FIELD_MARGIN_MEMORY = 195,
    FIELD_MARGIN_MAX = 196,
    FIELD_RECOVERY = 230,
    FIELD_REMAPPED_CORRECTED_INACTIVE = 301,
    FIELD_REMAPPED_UNCORRECTED_INACTIVE = 302,
};

enum { VALUE_UNSIGNED = 1, VALUE_UNSIGNED_LARGE = 3, VALUE_SIGNED = 5 };

/* The low 24 bits are the size, the high 8 the version of the layout. */
enum {
    VERSION_MEMORY_V2 = 0x02000028,
    VERSION_TEMPERATURE = 0x0100000C,
    VERSION_MARGIN = 0x01000008,
    VERSION_SRAM_STATUS = 0x01000068,
    VERSION_SRAM_UNIQUE = 0x01000010,
    VERSION_PROCESSES_UTILIZATION = 0x01000018,
    VERSION_PCI_EXT = 0x01000040,
    VERSION_REPAIR = 0x0100000C,
};

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} PciInfo;

typedef struct {
    char bus_id[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id, reserved[4];
} PciInfoV2;

typedef struct {
    unsigned version, domain, bus, device, pci_device_id, pci_subsystem_id, base_class, sub_class;
    char bus_id[32];
} PciInfoExt;

typedef struct {
    u64 total, free, used;
} Memory;

typedef struct {
    unsigned version;
    u64 total, reserved, free, used;
} MemoryV2;

typedef struct {
    unsigned version, sensor;
    int temperature;
} Temperature;

typedef struct {
    unsigned version;
    int margin;
} MarginTemperature;

typedef struct {
    unsigned gpu, memory;
} Utilization;

typedef struct {
    unsigned pid;
    u64 used_bytes;
} ProcessV1;

typedef struct {
    unsigned pid;
    u64 used_bytes;
    unsigned gpu_instance, compute_instance;
} ProcessV2;

typedef struct {
    unsigned pid;
    u64 time_us;
    unsigned sm, memory, encoder, decoder;
} ProcessSample;

typedef struct {
    u64 time_us;
    unsigned pid, sm, memory, encoder, decoder, jpeg, optical_flow;
} ProcessUse;

typedef struct {
    unsigned version, count;
    u64 since_us;
    ProcessUse *list;
} ProcessesUse;

typedef struct {
    unsigned version;
    u64 aggregate_parity, aggregate_secded, aggregate_corrected;
    u64 volatile_parity, volatile_secded, volatile_corrected;
    u64 bucket_l2, bucket_sm, bucket_pcie, bucket_mcu, bucket_other;
    unsigned threshold_exceeded;
} SramStatus;

typedef struct {
    unsigned unit, location, sublocation, extlocation, address, is_parity, count;
} SramUniqueEntry;

typedef struct {
    unsigned version, count;
    SramUniqueEntry *entries;
} SramUnique;

typedef struct {
    unsigned correctable, correctable_inactive, uncorrectable, uncorrectable_inactive, pending, failed;
} RemappedRows;

typedef struct {
    unsigned max, high, partial, low, none;
} RemapperHistogram;

typedef struct {
    unsigned version, channel_pending, tpc_pending;
} RepairStatus;

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

typedef struct {
    void *device;
    u64 kind, data;
    unsigned gpu_instance, compute_instance;
} EventData;

#endif
