// A CUDA driver that computes nothing, and a compiler for it: memory is real, kernels are only counted. With it a whole run
// of the network goes through every check of the host's on a machine without a GPU. CAPABILITY is that of its one device,
// LAUNCHES the file that takes the names of the kernels.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long address;

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { return *version = 12040, 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGet(int *device, int index) { return *device = index, 0; }
int cuDeviceGetName(char *name, int bytes, int device) { return snprintf(name, bytes, "no GPU"), 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = 8000000000, 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int capability = atoi(getenv("CAPABILITY"));
    switch (attribute) {
    case 16: *value = 132; break;              // multiprocessors
    case 75: *value = capability / 10; break;  // compute capability
    case 76: *value = capability % 10; break;
    case 81: *value = 102400; break;           // shared memory of a multiprocessor, and of a block
    case 97: *value = 101376; break;
    default: return 1;
    }
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = "context", 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
int cuModuleLoadData(void **module, const void *image) { return *module = "module", 0; }
int cuModuleUnload(void *module) { return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) { return *function = strdup(name), 0; }
int cuFuncSetAttribute(void *function, int attribute, int value) { return 0; }
int cuStreamCreate(void **stream, unsigned flags) { return *stream = "stream", 0; }
int cuStreamDestroy_v2(void *stream) { return 0; }
int cuStreamSynchronize(void *stream) { return 0; }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return 0; }
int cuEventCreate(void **event, unsigned flags) { return *event = "event", 0; }
int cuEventRecord(void *event, void *stream) { return 0; }
int cuEventSynchronize(void *event) { return 0; }
int cuEventDestroy_v2(void *event) { return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *all) { return *available = *all = 8000000000, 0; }
int cuMemAlloc_v2(address *at, size_t bytes) {
    void *memory = NULL;
    int failed = posix_memalign(&memory, 256, bytes);
    return *at = (address)memory, failed ? 2 : 0;
}
int cuMemFree_v2(address at) { return free((void *)at), 0; }
int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) { return *at = malloc(bytes), *at ? 0 : 2; }
int cuMemFreeHost(void *at) { return free(at), 0; }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t bytes, void *stream) {
    return memcpy((void *)to, from, bytes), 0;
}
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t bytes, void *stream) {
    return memcpy(to, (void *)from, bytes), 0;
}
int cuMemsetD8Async(address at, unsigned char value, size_t bytes, void *stream) {
    return memset((void *)at, value, bytes), 0;
}
int cuLaunchKernelEx(const void *config, void *function, void **arguments, void **extra) {
    static FILE *launches;
    if (!launches) launches = fopen(getenv("LAUNCHES"), "w");
    return fprintf(launches, "%s\n", (char *)function), 0;
}
int cuGetErrorString(int error, const char **text) { return *text = "an error", 0; }
int cuGetErrorName(int error, const char **name) { return *name = "ERROR", 0; }

// Builds that carry no compiled kernels ask for this; what they look for in the machine code is the kernels' names.
#define K(NAME) ".text." NAME "\0"
static const char image[] = K("conv3_8_64") K("conv3_32_64") K("conv7_8_32") K("conv7_32_64") K("conv7_32_32")
    K("conv7_32_16") K("conv7_16_8") K("picture_mma") K("conv_wgmma_64") K("conv_wgmma_80") K("deform_mma")
    K("conv3_f16") K("conv3_f32") K("conv7_f16") K("conv7_f32") K("deform_f16") K("deform_f32") K("condition_f16")
    K("condition_f32") K("flow_input_f16") K("flow_input_f32") K("rgb_f16") K("rgb_f32") K("every_second_f16")
    K("every_second_f32") K("compose") K("pyramid_base") K("pyramid_next") K("flow_resize");
int nvrtcVersion(int *major, int *minor) { return *major = 12, *minor = 0, 0; }
int nvrtcCreateProgram(void **program, const char *text, const char *name, int headers, char **texts, char **names) {
    return 0;
}
int nvrtcCompileProgram(void *program, int options, char **text) { return 0; }
int nvrtcGetCUBINSize(void *program, size_t *bytes) { return *bytes = sizeof image, 0; }
int nvrtcGetCUBIN(void *program, char *bytes) { return memcpy(bytes, image, sizeof image), 0; }
int nvrtcDestroyProgram(void **program) { return 0; }
