// What reading the GPU's memory costs at best: the XOR of a buffer, 16 octets a load.
extern "C" __global__ void xor_reduce(const ulonglong2* data, unsigned long long count,
                                      unsigned long long* result)
{
    const unsigned long long threads = (unsigned long long)gridDim.x * blockDim.x;
    unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    unsigned long long total = 0;
    for (; at + 7 * threads < count; at += 8 * threads) {
        ulonglong2 pair[8];
#pragma unroll
        for (int j = 0; j < 8; j++)
            pair[j] = data[at + j * threads];
#pragma unroll
        for (int j = 0; j < 8; j++)
            total ^= pair[j].x ^ pair[j].y;
    }
    for (; at < count; at += threads)
        total ^= data[at].x ^ data[at].y;
    for (int width = 16; width > 0; width /= 2)
        total ^= __shfl_xor_sync(0xffffffff, total, width);
    if (threadIdx.x % 32 == 0)
        atomicXor(result, total);
}
