// A libnvidia-ml.so.1 that lies. What it does is read at each call from the file that $HOSTILE_MODE
// names, so that it can change its mind while a client runs. It stands for two GPUs, "GPU-aaaa" at
// bus 01 and "GPU-bbbb" at bus 02, of which a mode may show fewer, others, or nonsense.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;

static char mode_text[64];

static int is(const char *name)
{
    FILE *file = fopen(getenv("HOSTILE_MODE"), "r");
    if (file) {
        if (!fgets(mode_text, sizeof mode_text, file))
            mode_text[0] = 0;
        mode_text[strcspn(mode_text, "\n")] = 0;
        fclose(file);
    }
    return !strcmp(mode_text, name);
}

// A handle is the place of a GPU in the driver's order; "only b" closes ranks.
static char who(void *handle)
{
    if (is("only b"))
        return 'b';
    return handle == (void *)1 ? 'a' : 'b';
}

static u32 lie32(u32 truth)
{
    return is("all ones") ? 0xFFFFFFFFu : truth;
}

static u64 lie64(u64 truth)
{
    return is("all ones") ? ~0ull : truth;
}

int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(u32 flags) { (void)flags; return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "\xff\xfe"; }
int nvmlSystemGetDriverVersion(char *text, u32 size) { snprintf(text, size, "%s", is("garbage") ? "\xc3\xc3" : "580.1"); return 0; }
int nvmlSystemGetNVMLVersion(char *text, u32 size) { snprintf(text, size, "13.580.1"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = is("all ones") ? -1 : 13000; return 0; }

int nvmlDeviceGetCount_v2(u32 *count)
{
    *count = is("none") ? 0 : is("only b") ? 1 : is("huge count") ? 100000 : 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(u32 index, void **handle)
{
    if (is("only b") && index > 0)
        return 2;
    *handle = is("null handles") ? 0 : (void *)(uintptr_t)(index + 1);
    return 0;
}

int nvmlDeviceGetName(void *handle, char *text, u32 size)
{
    (void)handle;
    snprintf(text, size, "%s", is("garbage") ? "\x9f\x9f" : "NVIDIA H100");
    return 0;
}

int nvmlDeviceGetUUID(void *handle, char *text, u32 size)
{
    if (is("no uuid"))
        return 3;
    snprintf(text, size, is("garbage") ? "\xee\xee" : who(handle) == 'a' ? "GPU-aaaa" : "GPU-bbbb");
    return 0;
}

int nvmlDeviceGetSerial(void *handle, char *text, u32 size) { (void)handle; snprintf(text, size, "1"); return 0; }

struct pci { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(void *handle, struct pci *info)
{
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "%s",
             is("garbage") ? "\xee\xee\xee" : who(handle) == 'a' ? "00000000:01:00.0" : "00000000:02:00.0");
    return 0;
}

// A has 100 W, B has 200 W: whose reading it is can be seen.
int nvmlDeviceGetPowerUsage(void *handle, u32 *mw) { *mw = lie32(who(handle) == 'a' ? 100000 : 200000); return 0; }
static u64 energy = 1ull << 40;
int nvmlDeviceGetTotalEnergyConsumption(void *handle, u64 *mj) { (void)handle; if (is("back")) energy -= 1 << 20; *mj = lie64(energy); return 0; }
int nvmlDeviceGetTemperature(void *handle, u32 sensor, u32 *c) { (void)handle; (void)sensor; *c = lie32(40); return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, u32 *mw) { (void)handle; *mw = lie32(350000); return 0; }
int nvmlDeviceGetPowerManagementLimitConstraints(void *handle, u32 *low, u32 *high) { (void)handle; *low = 200000; *high = lie32(350000); return 0; }
static u32 limit_mw[2] = {350000, 350000};
int nvmlDeviceSetPowerManagementLimit(void *handle, u32 mw) { limit_mw[who(handle) - 'a'] = mw; return 0; }
int nvmlDeviceGetPowerManagementLimit(void *handle, u32 *mw) { *mw = limit_mw[who(handle) - 'a']; return 0; }
int nvmlDeviceGetClockInfo(void *handle, u32 kind, u32 *mhz) { (void)handle; (void)kind; *mhz = lie32(1000); return 0; }
int nvmlDeviceGetMaxClockInfo(void *handle, u32 kind, u32 *mhz) { (void)handle; (void)kind; *mhz = lie32(1755); return 0; }
struct rates { u32 gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *handle, struct rates *rates) { (void)handle; rates->gpu = rates->memory = lie32(50); return 0; }
struct memory { u64 total, free, used; };
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *info) { (void)handle; info->total = lie64(80ull << 30); info->free = 0; info->used = info->total; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, u64 *bits) { (void)handle; *bits = lie64(0x8000000000000004ull); return 0; }
int nvmlDeviceGetPerformanceState(void *handle, u32 *state) { (void)handle; *state = is("all ones") ? 32 : 0; return 0; }
int nvmlDeviceGetEccMode(void *handle, u32 *now, u32 *then) { (void)handle; *now = *then = is("garbage") ? 77 : 1; return 0; }
int nvmlDeviceGetTotalEccErrors(void *handle, u32 kind, u32 counter, u64 *count) { (void)handle; (void)kind; (void)counter; *count = lie64(0); return 0; }
int nvmlDeviceGetRemappedRows(void *handle, u32 *a, u32 *b, u32 *c, u32 *d) { (void)handle; *a = *b = *c = *d = lie32(0); return 0; }
int nvmlDeviceGetPcieReplayCounter(void *handle, u32 *count) { (void)handle; *count = lie32(0); return 0; }
int nvmlDeviceGetCurrPcieLinkGeneration(void *handle, u32 *value) { (void)handle; *value = lie32(5); return 0; }
int nvmlDeviceGetCurrPcieLinkWidth(void *handle, u32 *value) { (void)handle; *value = lie32(16); return 0; }

struct process { u32 pid; u64 memory; u32 instance, compute; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, u32 *count, struct process *rows)
{
    (void)handle;
    if (is("huge processes") && !rows) {
        *count = 0x18000000;
        return 7;
    }
    if (!rows || *count < 1) {
        *count = 1;
        return 7;
    }
    *count = 1;
    rows[0] = (struct process){4242, lie64(1 << 20), 0, 0};
    return 0;
}

struct value { u32 field, scope; long long time, latency; u32 kind; int code; union { double d; u32 ui; u64 ull; } v; };
int nvmlDeviceGetFieldValues(void *handle, int count, struct value *values)
{
    (void)handle;
    for (int i = 0; i < count; i++) {
        values[i].code = 0;
        values[i].kind = is("garbage") ? 99 : is("not a number") ? 0 : 1;
        if (is("not a number"))
            values[i].v.d = 0.0 / 0.0;
        else
            values[i].v.ull = is("all ones") ? ~0ull : 0;
    }
    return 0;
}

static int set;
int nvmlEventSetCreate(void **made) { *made = &set; return 0; }
int nvmlEventSetFree(void *made) { (void)made; return 0; }
int nvmlDeviceGetSupportedEventTypes(void *handle, u64 *kinds) { (void)handle; *kinds = ~0ull; return 0; }
int nvmlDeviceRegisterEvents(void *handle, u64 kinds, void *made) { (void)handle; (void)kinds; (void)made; return 0; }

struct event { void *handle; u64 kind, data; u32 instance, compute; };
static int told;
int nvmlEventSetWait_v2(void *made, struct event *event, u32 ms)
{
    (void)made;
    if (is("wait unknown"))
        return 999;
    if (is("wait lost"))
        return 15;
    if (is("wait returns at once"))
        return 10;
    if ((is("xid of nobody") || is("xid of b")) && !told++) {
        *event = (struct event){is("xid of b") ? (void *)2 : 0, 8, 79, 0, 0};
        return 0;
    }
    usleep(ms * 1000);
    return 10;
}
