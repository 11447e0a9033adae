// 3x3 convolution of one input of 64 (or 80) channels on the tensor cores of sm_90a.
//
// Idea: implicit GEMM turned on its side, M = 64 output channels, N = 128 pixels of a row, K = taps x input channels:
// wgmma reads both operands from shared memory, and with 128 pixels on the wide side it asks for 96 of the 128 bytes a
// clock that shared memory gives (64 pixels by 64 channels would ask for all 128). A block holds the weights of 64
// output channels in shared memory for good and walks down a strip of 128 columns: one new row of 130 pixels for every
// row of results, kept in a ring until the three rows of results that need it are done. So each input row is loaded
// once, and the weights once per block. One warpgroup loads, the others take the rows of results in turn: while one
// stores, another multiplies.
//
// The ring holds planes of 8 channels (tensor.cuh), so an 8x8 matrix is 128 contiguous bytes from any pixel on (the
// layout without swizzle), and a tap is only another start address.
//
// All (block of output channels, strip, row) triples are dealt out evenly to the multiprocessors.
//
// Measured on an H200, where a large matrix product reaches 721 TFLOP/s: 64 to 64 channels at 1024x432 497 (69 %), 64 to 432
// 514 (71 %), 64 to 256 at 2048x864 597 (83 %). What is missing: some 7 us a launch, until the weights are there and while
// the last rows are stored; and the residual, which costs 64 to 64 another 14 us.
//
// Weights: [cout / 64][tap][planes][64][8].
#include "mma.cuh"

const int STRIP = 128, ROW = STRIP + 2, LOADERS = 128;

// Both operands are K-major without swizzle. `k` is the distance of two planes, `mn` that of two groups of 8 rows.
__device__ __forceinline__ u64 operand(u32 address, u32 k, u32 mn) {
    return (u64)(address >> 4) | (u64)(k >> 4) << 16 | (u64)(mn >> 4) << 32;
}

// d[64 x 128] (+)= a[64 x 16] b[16 x 128]
__device__ __forceinline__ void multiply(float (&d)[64], u64 a, u64 b, int add) {
    asm volatile(
        "{.reg .pred add; setp.ne.b32 add, %66, 0;"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, "
        "%8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, "
        "%24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, "
        "%40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, "
        "%56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, add, 1, 1, 0, 0;}"
        :
          "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]),
          "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]),
          "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),
          "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
          "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]),
          "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]),
          "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]),
          "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]),
          "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(a), "l"(b), "r"(add));
}

__device__ __forceinline__ void barrier_init(u32 barrier, int count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
__device__ __forceinline__ void barrier_arrive(u32 barrier, int count) {
    asm volatile("mbarrier.arrive.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
__device__ __forceinline__ void barrier_wait(u32 barrier, int parity) {
    asm volatile("{.reg .pred done; wait: mbarrier.try_wait.parity.shared.b64 done, [%0], %1; @!done bra wait;}" ::"r"(
                     barrier),
                 "r"(parity)
                 : "memory");
}
// Shared memory that this thread wrote may be read by wgmma.
__device__ __forceinline__ void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

template <int PLANES, int RING, int GROUPS>
__device__ __forceinline__ void conv_wgmma(const Convolution<f16>& a) {
    const int WEIGHTS = 9 * PLANES * 64, ROW_UNITS = PLANES * ROW;  // of 16 bytes
    extern __shared__ __align__(128) uint4 shared[];
    const u32 weights = shared_address(shared), ring = weights + WEIGHTS * 16;
    const u32 full = ring + RING * ROW_UNITS * 16, empty = full + RING * 8;

    const int thread = threadIdx.x, lane = thread % 32;
    const int height = a.y1 - a.y0, strips = (a.w + STRIP - 1) / STRIP, columns = strips * (a.couts / 64);
    const int jobs = columns * height;
    int job = (int)((long long)jobs * blockIdx.x / gridDim.x);
    const int last = (int)((long long)jobs * (blockIdx.x + 1) / gridDim.x);
    int loaded = -1, started = 0;

    // A piece of one strip at a time: rows y .. y + n.
    while (job < last) {
        const int column = job / height, block = column / strips, x0 = column % strips * STRIP;
        const int y = a.y0 + job % height, n = min(last - job, a.y1 - y);
        job += n;

        __syncthreads();
        if (thread == 0) {
            for (int slot = 0; slot < RING; slot++) {
                barrier_init(full + slot * 8, LOADERS);
                barrier_init(empty + slot * 8, 3 * 4);  // three rows of results, four warps each
            }
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        }
        if (loaded != block) {
            const f16* from = static_cast<const f16*>(a.weight) + (long long)block * WEIGHTS * 8;
            for (int i = thread; i < WEIGHTS; i += blockDim.x) copy16(weights + i * 16, from + i * 8, true);
            copies_commit();
            copies_wait<0>();
            publish();
            loaded = block;
        }
        if (!started) after_previous(), started = 1;
        __syncthreads();

        if (thread < LOADERS) {
            // Rows y - 1 .. y + n of the input, published two behind the one being fetched.
            const int BEHIND = 2;
            for (int r = 0; r < n + 2 + BEHIND; r++) {
                if (r < n + 2) {
                    const int slot = r % RING, row = y - 1 + r;
                    if (r >= RING) barrier_wait(empty + slot * 8, (r / RING - 1) & 1);
                    const bool inside = (unsigned)row < (unsigned)a.h;
                    const f16* from = a.in[0] + (inside ? (long long)(row - a.in_row) * a.w * 8 : 0);
                    const u32 to = ring + slot * ROW_UNITS * 16;
                    for (int i = thread; i < ROW_UNITS; i += LOADERS) {
                        const int plane = i / ROW, x = x0 - 1 + i % ROW;
                        const bool there = inside && (unsigned)x < (unsigned)a.w;
                        copy16(to + i * 16, from + (there ? plane * a.in_plane + x * 8 : 0), there);
                    }
                }
                copies_commit();
                if (r >= BEHIND) {
                    copies_wait<BEHIND>();
                    publish();
                    barrier_arrive(full + (r - BEHIND) % RING * 8, 1);
                }
            }
            continue;
        }

        const int group = thread / 128 - 1, warp = thread / 32 % 4;
        for (int i = group; i < n; i += GROUPS) {
            // This warp has channels 16 warp .. 16 warp + 15: two planes. In the sums thread t holds channels t/4 and
            // t/4 + 8 of pixels 8j + 2(t%4), + 1; transposed, channels 2(t%4), + 1 of pixel 8j + t/4.
            const int plane = block * 8 + warp * 2, row = y + i;
            const bool shuffle = a.store == SHUFFLE;
            const int planes = a.couts / 32;
            const long long at =
                shuffle ? plane / 2 % planes * a.out_plane +
                              ((long long)(2 * row + plane / (2 * planes) - a.out_row) * (2 * a.w) + 2 * x0) * 8
                        : plane * a.out_plane + ((long long)(row - a.out_row) * a.w + x0) * 8;
            const int other = (int)(a.out_plane / 2), pixels = a.w - x0 - lane / 4;
            const float bias[2] = {a.bias[plane * 8 + lane / 4], a.bias[plane * 8 + 8 + lane / 4]};

            float sum[64];
#pragma unroll
            for (int j = 0; j < 64; j++) sum[j] = bias[j / 2 % 2];
#pragma unroll
            for (int r = 0; r < 2; r++) {
                if (!a.residual[r]) break;
                const u32* in = reinterpret_cast<const u32*>(a.residual[r] + at) + lane;
                u32 more[32];
#pragma unroll
                for (int j = 0; j < 32; j++) more[j] = j / 2 * 8 < pixels ? in[j % 2 * other + j / 2 * 32] : 0;
#pragma unroll
                for (int j = 0; j < 32; j++) {
                    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(more[j]));
                    const float2 v = unpack(more[j]);
                    sum[2 * j] += v.x, sum[2 * j + 1] += v.y;
                }
            }
#pragma unroll
            for (int r = i; r < i + 3; r++) barrier_wait(full + r % RING * 8, (r / RING) & 1);
#pragma unroll
            for (int j = 0; j < 64; j++) asm volatile("" : "+f"(sum[j])::"memory");
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
            for (int down = 0; down < 3; down++) {
                const u64 b = operand(ring + (i + down) % RING * ROW_UNITS * 16, ROW * 16, 128);
                const u64 w = operand(weights + down * 3 * PLANES * 1024, 1024, 128);
#pragma unroll
                for (int across = 0; across < 3; across++)
#pragma unroll
                    for (int k = 0; k < PLANES / 2; k++)
                        multiply(sum, w + (across * PLANES + 2 * k) * 64, b + across + 2 * k * ROW, 1);
            }
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
            for (int j = 0; j < 64; j++) asm volatile("" : "+f"(sum[j])::"memory");

            // The rows above the first row of results have fewer users than three.
            if (lane == 0) {
                barrier_arrive(empty + i % RING * 8, i == 0 ? 3 : 1);
                barrier_arrive(empty + (i + 1) % RING * 8, i == 0 ? 2 : 1);
                barrier_arrive(empty + (i + 2) % RING * 8, 1);
            }

            // The two planes of a warp are both offsets or both masks.
            activate(a.activation, sum, plane);
            u32 packed[32];
#pragma unroll
            for (int j = 0; j < 32; j++) {
                packed[j] = pack(sum[2 * j], sum[2 * j + 1]);
                asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(packed[j]));
            }
            u32* out = reinterpret_cast<u32*>(a.out + at);
            if (shuffle) {
                const int at = shuffled(lane), pixels = a.w - x0 - at / 8;
                out += at;
#pragma unroll
                for (int j = 0; j < 16; j++) {
                    interleave(packed[2 * j], packed[2 * j + 1], lane);
                    if (j * 8 < pixels) out[j * 64] = packed[2 * j];
                    if (j * 8 + 4 < pixels) out[j * 64 + 32] = packed[2 * j + 1];
                }
            } else {
                out += lane;
#pragma unroll
                for (int j = 0; j < 32; j++)
                    if (j / 2 * 8 < pixels) out[j % 2 * other + j / 2 * 32] = packed[j];
            }
        }
    }
}

#define KERNEL(NAME, PLANES, RING, GROUPS)                                                           \
    extern "C" __global__ void __launch_bounds__((GROUPS + 1) * 128, 1)                              \
        NAME(const __grid_constant__ Convolution<f16> a) {                                           \
        conv_wgmma<PLANES, RING, GROUPS>(a);                                                         \
    }
KERNEL(conv_wgmma_64, 8, 9, 3)
KERNEL(conv_wgmma_80, 10, 6, 2)
