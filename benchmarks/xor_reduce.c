/* What reading memory costs at best: the XOR of a buffer, in the widest vectors of this machine. */
#include <stddef.h>
#include <stdint.h>

typedef uint64_t line __attribute__((vector_size(64), aligned(8)));

/* `lines` is a multiple of 8; eight sums side by side hide the latency of XOR. */
uint64_t xor_reduce(const line *data, size_t lines)
{
    line sum[8] = {0};
    for (size_t i = 0; i < lines; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] ^= data[i + j];
    line total = sum[0];
    for (int j = 1; j < 8; j++)
        total ^= sum[j];
    uint64_t result = 0;
    for (int j = 0; j < 8; j++)
        result ^= total[j];
    return result;
}
