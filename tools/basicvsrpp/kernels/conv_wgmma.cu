// 3x3 convolution of one input of 64 (or 80) channels on the tensor cores of sm_90a.
//
// Idea: implicit GEMM turned on its side, M = 64 output channels, N = 128 pixels of a row, K = taps x input channels:
// wgmma reads both operands from shared memory, and with 128 pixels on the wide side it asks for 96 of the 128 bytes a
// clock that shared memory gives (64 pixels by 64 channels would ask for all 128). A block holds the weights of 64
// output channels in shared memory and walks down a strip of 128 columns: one new row of 130 pixels for every
// row of results, kept in a ring until the three rows of results that need it are done. So each input row is loaded
// once, and the weights once per block of channels. One warp loads, by the bulk copy engine; three warpgroups take the
// rows of results in turn: while one stores, another multiplies.
//
// The ring holds planes of 8 channels (tensor.cuh), so an 8x8 matrix is 128 contiguous bytes from any pixel on (the
// layout without swizzle), a tap is only another start address, and a row of a plane is one copy.
//
// All (block of output channels, strip, row) triples are dealt out evenly to the multiprocessors. Where a block's run of
// them passes from one strip to the next, the ring goes on: nothing waits.
//
// Measured on an H100 that a large matrix product brings to 690 to 770 TFLOP/s, as its power allows: 64 to 64 channels at
// 1024x432 503 (0.065 ms), 64 to 432 490, 64 to 256 at 2048x864 605. What is missing: some 9 us a launch, until the first
// rows are there and while the last ones are stored (64 to 64 at 2048x864 has 543); and memory: 64 to 64 with a residual
// reads and writes 170 MB in 0.078 ms, 72 % of the rate of a copy. Both would take a kernel that goes through several
// layers while the rows lie in the cache.
//
// Weights: [cout / 64][tap][planes][64][8].
#include "mma.cuh"

const int STRIP = 128, ROW = STRIP + 2, GROUPS = 3, WORKERS = GROUPS * 128;

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
// And so many bytes are still to come.
__device__ __forceinline__ void barrier_expect(u32 barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(u32 barrier, int parity) {
    asm volatile("{.reg .pred done; wait: mbarrier.try_wait.parity.shared.b64 done, [%0], %1; @!done bra wait;}" ::"r"(
                     barrier),
                 "r"(parity)
                 : "memory");
}
// From global to shared memory, in multiples of 16 bytes; the barrier hears of every byte.
__device__ __forceinline__ void copy_bulk(u32 to, const void* from, int bytes, u32 barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}
__device__ __forceinline__ void store_zero(u32 to) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(to), "r"(0) : "memory");
}
// Shared memory that this thread wrote may be read by wgmma.
__device__ __forceinline__ void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

template <int PLANES, int RING> struct Block {
    static const int WEIGHTS = 9 * PLANES * 64, ROW_UNITS = PLANES * ROW;  // of 16 bytes

    const Convolution<f16>& a;
    const int height, strips, first, last;  // jobs of this block: rows of results, strip by strip
    const u32 weights, ring, full, empty, weights_full, weights_empty;

    __device__ __forceinline__ Block(const Convolution<f16>& a, u32 shared)
        : a(a), height(a.y1 - a.y0), strips((a.w + STRIP - 1) / STRIP), first(share(blockIdx.x)),
          last(share(blockIdx.x + 1)), weights(shared), ring(weights + WEIGHTS * 16), full(ring + RING * ROW_UNITS * 16),
          empty(full + RING * 8), weights_full(empty + RING * 8), weights_empty(weights_full + 8) {}

    __device__ __forceinline__ int share(int block) const {
        return (int)((long long)strips * (a.couts / 64) * height * block / gridDim.x);
    }

    // The warp that loads. A piece is the part of a strip that falls to this block: n rows of results from n + 2 rows.
    __device__ __forceinline__ void load(int lane) const {
        int row = 0, block = first / height / strips - 1;  // rows loaded so far, weights loaded last
        for (int job = first, changes = 0; job < last;) {
            const int column = job / height, x0 = column % strips * STRIP;
            const int y = a.y0 + job % height, n = min(last - job, a.y1 - y);
            if (block != column / strips) {
                block = column / strips;
                if (changes) barrier_wait(weights_empty, (changes - 1) & 1);
                if (lane == 0) {
                    barrier_expect(weights_full, WEIGHTS * 16);
                    const f16* from = static_cast<const f16*>(a.weight) + (long long)block * WEIGHTS * 8;
                    copy_bulk(weights, from, WEIGHTS * 16, weights_full);
                }
                changes++;
            }
            if (job == first) after_previous();
            job += n;
            // Pixels of a row that the picture has.
            const int left = x0 == 0 ? 1 : 0, right = min(ROW, a.w + 1 - x0);
            for (int r = y - 1; r <= y + n; r++, row++) {
                const int slot = row % RING;
                const u32 to = ring + slot * ROW_UNITS * 16;
                if (row >= RING) barrier_wait(empty + slot * 8, (row / RING - 1) & 1);
                const bool inside = (unsigned)r < (unsigned)a.h;
                const int begin = inside ? left : ROW, end = inside ? right : ROW;
                if (begin > 0 || end < ROW) {
                    for (int plane = 0; plane < PLANES; plane++) {
                        for (int x = lane; x < begin; x += 32) store_zero(to + (plane * ROW + x) * 16);
                        for (int x = end + lane; x < ROW; x += 32) store_zero(to + (plane * ROW + x) * 16);
                    }
                    publish();
                    __syncwarp();
                }
                const int bytes = (end - begin) * 16;
                if (lane == 0) barrier_expect(full + slot * 8, PLANES * bytes);
                __syncwarp();
                if (inside && lane < PLANES) {
                    const f16* from = a.in[0] + lane * a.in_plane + ((long long)(r - a.in_row) * a.w + x0 - 1 + begin) * 8;
                    copy_bulk(to + (lane * ROW + begin) * 16, from, bytes, full + slot * 8);
                }
            }
        }
    }

    // One job, and where a warp's results of it go: it has channels 16 warp .. 16 warp + 15 of the block, two planes.
    struct Job {
        int index, row, strip, block;  // row: below the first one that is computed
        int ring;                      // the ring's row that comes above: strips have two rows more than rows of results
        int plane;                     // the first of both
        long long planes_at;           // where the planes begin: elements
        int down;                      // in which row of a pixel's 2 x 2 they are
    };
    __device__ __forceinline__ void enter(Job& job, int block, int warp) const {
        job.block = block, job.plane = block * 8 + warp * 2, job.planes_at = job.plane * a.out_plane, job.down = 0;
        if (a.store == SHUFFLE) {
            const int planes = a.couts / 32;
            job.planes_at = job.plane / 2 % planes * a.out_plane, job.down = job.plane / (2 * planes);
        }
    }
    __device__ __forceinline__ Job begin(int index, int warp) const {
        Job job;
        const int column = index / height;
        job.index = index, job.row = index % height, job.strip = column % strips;
        job.ring = index - first + 2 * (column - first / height);
        enter(job, column / strips, warp);
        return job;
    }
    __device__ __forceinline__ void advance(Job& job, int warp) const {
        job.index += GROUPS, job.row += GROUPS, job.ring += GROUPS;
        while (job.row >= height) {
            job.row -= height, job.ring += 2;
            if (++job.strip == strips) job.strip = 0, enter(job, job.block + 1, warp);
        }
    }
    __device__ __forceinline__ int pixels(const Job& job) const { return a.w - job.strip * STRIP; }
    __device__ __forceinline__ long long place(const Job& job) const {
        const int row = a.y0 + job.row, x0 = job.strip * STRIP;
        return job.planes_at + (a.store == SHUFFLE
                                    ? ((long long)(2 * row + job.down - a.out_row) * (2 * a.w) + 2 * x0) * 8
                                    : ((long long)(row - a.out_row) * a.w + x0) * 8);
    }

    // What is to be added to a job's sums, as it is stored.
    __device__ __forceinline__ void fetch(u32 (&more)[32], const f16* from, const Job& job, int lane) const {
        const u32* in = reinterpret_cast<const u32*>(from + place(job)) + lane;
        const int other = (int)(a.out_plane / 2), there = pixels(job) - lane / 4;
#pragma unroll
        for (int j = 0; j < 32; j++) more[j] = j / 2 * 8 < there ? in[j % 2 * other + j / 2 * 32] : 0;
    }

    // The warpgroups that multiply. In the sums thread t of a warp holds channels t/4 and t/4 + 8 of pixels 8j + 2(t%4), + 1;
    // transposed, channels 2(t%4), + 1 of pixel 8j + t/4.
    __device__ __forceinline__ void work(int group, int warp, int lane) const {
        const int first_block = first / height / strips;
        int have = first_block - 1;  // the block of channels whose weights are there
        // Every warp says of all weights in turn that it is done with them, also of those that it had no use for.
        const auto turn_to = [&](int block) {
            for (; have < block; have++) {
                if (have >= first_block && lane == 0) barrier_arrive(weights_empty, 1);
                barrier_wait(weights_full, (have + 1 - first_block) & 1);
            }
        };
        Job job = begin(first + group, warp);
        u32 more[32];
        if (a.residual[0] && job.index < last) fetch(more, a.residual[0], job, lane);
        while (job.index < last) {
            turn_to(job.block);
            const float* bias_at = a.bias + job.plane * 8 + lane / 4;
            const float bias[2] = {bias_at[0], bias_at[8]};
            float sum[64];
#pragma unroll
            for (int j = 0; j < 64; j++) sum[j] = bias[j / 2 % 2];
#pragma unroll
            for (int r = 0; r < 2; r++) {
                if (!a.residual[r]) break;
                if (r) fetch(more, a.residual[r], job, lane);
#pragma unroll
                for (int j = 0; j < 32; j++) {
                    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(more[j]));
                    const float2 v = unpack(more[j]);
                    sum[2 * j] += v.x, sum[2 * j + 1] += v.y;
                }
            }
            const int row = job.ring;
#pragma unroll
            for (int r = row; r < row + 3; r++) barrier_wait(full + r % RING * 8, r / RING & 1);
#pragma unroll
            for (int j = 0; j < 64; j++) asm volatile("" : "+f"(sum[j])::"memory");
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
            for (int down = 0; down < 3; down++) {
                const u64 b = operand(ring + (row + down) % RING * ROW_UNITS * 16, ROW * 16, 128);
                const u64 w = operand(weights + down * 3 * PLANES * 1024, 1024, 128);
#pragma unroll
                for (int across = 0; across < 3; across++)
#pragma unroll
                    for (int k = 0; k < PLANES / 2; k++)
                        multiply(sum, w + (across * PLANES + 2 * k) * 64, b + across + 2 * k * ROW, 1);
            }
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            // While that goes on, what the next sums begin with is on its way.
            Job next = job;
            advance(next, warp);
            if (a.residual[0] && next.index < last) fetch(more, a.residual[0], next, lane);
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
            for (int j = 0; j < 64; j++) asm volatile("" : "+f"(sum[j])::"memory");

            // Three rows of results need a row, but for the outermost ones of a strip, or of what falls to this block.
            if (lane == 0) {
                const int top = job.index == first || job.row == 0;
                const int bottom = job.index == last - 1 || job.row == height - 1;
                barrier_arrive(empty + row % RING * 8, 1 + 2 * top);
                barrier_arrive(empty + (row + 1) % RING * 8, 1 + top + bottom);
                barrier_arrive(empty + (row + 2) % RING * 8, 1 + 2 * bottom);
            }

            // The two planes of a warp are both offsets or both masks.
            activate(a.activation, sum, job.plane);
            u32 packed[32];
#pragma unroll
            for (int j = 0; j < 32; j++) {
                packed[j] = pack(sum[2 * j], sum[2 * j + 1]);
                asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(packed[j]));
            }
            u32* out = reinterpret_cast<u32*>(a.out + place(job));
            const int other = (int)(a.out_plane / 2);
            if (a.store == SHUFFLE) {
                const int at = shuffled(lane), there = pixels(job) - at / 8;
                out += at;
#pragma unroll
                for (int j = 0; j < 16; j++) {
                    interleave(packed[2 * j], packed[2 * j + 1], lane);
                    if (j * 8 < there) out[j * 64] = packed[2 * j];
                    if (j * 8 + 4 < there) out[j * 64 + 32] = packed[2 * j + 1];
                }
            } else {
                const int there = pixels(job) - lane / 4;
                out += lane;
#pragma unroll
                for (int j = 0; j < 32; j++)
                    if (j / 2 * 8 < there) out[j % 2 * other + j / 2 * 32] = packed[j];
            }
            job = next;
        }
        turn_to((last - 1) / height / strips);
    }
};

template <int PLANES, int RING> __device__ __forceinline__ void conv_wgmma(const Convolution<f16>& a) {
    extern __shared__ __align__(128) uint4 shared[];
    const Block<PLANES, RING> block(a, shared_address(shared));
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    if (thread == 0) {
        for (int slot = 0; slot < RING; slot++) {
            barrier_init(block.full + slot * 8, 1);
            barrier_init(block.empty + slot * 8, 3 * 4);  // three rows of results, four warps each
        }
        barrier_init(block.weights_full, 1);
        barrier_init(block.weights_empty, WORKERS / 32);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    // The registers of 512 threads are those of all: what loading does not need, multiplying gets.
    if (thread >= WORKERS) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
        if (warp == WORKERS / 32) block.load(lane);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
        after_previous();
        block.work(thread / 128, warp % 4, lane);
    }
}

#define KERNEL(NAME, PLANES, RING)                                                                   \
    extern "C" __global__ void __launch_bounds__(WORKERS + 128, 1)                                   \
        NAME(const __grid_constant__ Convolution<f16> a) {                                           \
        conv_wgmma<PLANES, RING>(a);                                                                 \
    }
KERNEL(conv_wgmma_64, 8, 9)
KERNEL(conv_wgmma_80, 10, 6)
