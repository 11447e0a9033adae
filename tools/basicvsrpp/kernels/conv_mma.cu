// Convolution on tensor cores through mma.sync, for sm_80 and later.
//
// Idea: implicit GEMM, M = pixels, N = output channels, K = taps x input channels. A block of four warps computes
// 8 x 32 pixels and NOUT channels; each warp two rows of 32 pixels. For every KC input channels the tile with its
// rim is copied to shared memory once and serves all taps: a tap is the same matrices from another first pixel.
// The weights of one tap at a time pass through a ring of four buffers, fetched ahead. Two blocks share a
// multiprocessor, so that one computes while the other waits for its tile.
//
// With KC = 8 (RGB, and the flow network's input) a matrix of K = 16 is the 8 channels of two neighbouring taps.
//
// Measured on an H100, whose tensor cores do 680 TFLOP/s this way: at 1024x432 64 to 64 channels 289 (43 %), 320 to 64 395
// (58 %), 7x7 32 to 64 378 and 64 to 32 399 (59 %). What is missing: warps. The sums of 64 pixels by 64 channels leave room for
// two a scheduler, and both wait for the first matrices after each barrier.
//
// Each input has KC channels. Weights: [cout / NOUT][input][tap][KC / 8][NOUT][8], with taps padded to pairs for KC = 8:
// [KS][(KS + 1) / 2][2][NOUT][8].
#include "mma.cuh"

const int ROWS = 8, COLUMNS = 32, THREADS = 128, RING = 4;

template <int KS, int KC, int NOUT>
__device__ __forceinline__ void conv_mma(const Convolution<f16>& a) {
    const bool PAIRS = KC == 8;
    const int PLANES_IN = PAIRS ? 1 : KC / 8;
    const int TAPS = PAIRS ? KS * ((KS + 1) / 2) : KS * KS;
    const int K16 = PAIRS ? 1 : KC / 16;
    const int HALO_W = COLUMNS + KS - 1 + (PAIRS ? 1 : 0), HALO_H = ROWS + KS - 1, HALO = HALO_W * HALO_H;
    const int STAGE = K16 * 2 * NOUT;  // 16-byte units of weights for one tap
    const int N8 = NOUT / 8;

    extern __shared__ uint4 shared[];
    const int TILE = PLANES_IN * HALO + (PAIRS ? 1 : 0), tiles = a.tiles;
    const u32 tile = shared_address(shared), ring = tile + tiles * TILE * 16;

    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int x0 = blockIdx.x * COLUMNS, y0 = a.y0 + blockIdx.y * ROWS;
    const int blocks_n = a.couts / NOUT, image = blockIdx.z / blocks_n, block_n = blockIdx.z % blocks_n;

    const int chunks = a.inputs, stages = chunks * TAPS;
    const f16* weight = static_cast<const f16*>(a.weight) + ((long long)block_n * stages * STAGE + thread) * 8;
    int fetched = 0;
    auto fetch_weights = [&] {
        if (fetched < stages) {
            const u32 to = ring + (fetched % RING * STAGE + thread) * 16;
#pragma unroll
            for (int i = 0; i < STAGE; i += THREADS)
                if (STAGE - i >= THREADS || thread < STAGE - i) copy16(to + i * 16, weight + i * 8, true);
            weight += STAGE * 8, fetched++;
        }
        copies_commit();
    };
    // Into one of two tiles, or into the only one.
    auto fetch_tile = [&](int chunk) {
        const u32 to = tile + (chunk & (tiles - 1)) * TILE * 16;
        const f16* from = a.in[chunk] + image * a.in_image;
        for (int i = thread; i < HALO; i += THREADS) {
            const int y = y0 - KS / 2 + i / HALO_W, x = x0 - KS / 2 + i % HALO_W;
            const bool there = (unsigned)y < (unsigned)a.h && (unsigned)x < (unsigned)a.w;
            const f16* pixel = there ? from + ((long long)(y - a.in_row) * a.w + x) * 8 : from;
#pragma unroll
            for (int p = 0; p < PLANES_IN; p++)
                copy16(to + (p * HALO + i) * 16, pixel + (there ? p * a.in_plane : 0), there);
        }
    };

    float sum[4][N8][4];
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int n = 0; n < N8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) sum[m][n][i] = 0.f;

    // First pixel of this thread's row of the matrices of a step, without the tap.
    const u32 pixel = tile + ((2 * warp * HALO_W + (lane & 15)) + (lane >> 4) * (PAIRS ? 1 : HALO)) * 16;
    const u32 channel = ring + ((lane & 7) + (lane >> 4) * 8 + (lane >> 3 & 1) * NOUT) * 16;
    const u32 channel8 = ring + ((lane & 7) + (lane >> 3 & 1) * NOUT) * 16;

#pragma unroll 1
    for (int s = 0; s < RING - 1; s++) fetch_weights();
    after_previous();
    if (tiles == 2) fetch_tile(0);
    int stage = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; chunk++) {
        if (tiles == 1) {
            __syncthreads();
            fetch_tile(chunk);
        }
        if (tiles == 1 || chunk == 0) {
            copies_commit();
            copies_wait<0>();
        }
        const u32 here = (chunk & (tiles - 1)) * TILE * 16;
        int across = 0, offset = 0;
#pragma unroll 1
        for (int tap = 0; tap < TAPS; tap++, stage++) {
            copies_wait<RING - 2>();
            __syncthreads();
            const u32 weights = (stage % RING) * STAGE * 16;
#pragma unroll
            for (int k = 0; k < K16; k++) {
                u32 b[N8][2];
                if (NOUT == 8) {
                    load_matrices(b[0], channel8 + weights + k * 2 * NOUT * 16);
                } else {
#pragma unroll
                    for (int n = 0; n < N8; n += 2) {
                        u32 r[4];
                        load_matrices(r, channel + weights + (k * 2 * NOUT + n * 8) * 16);
                        b[n][0] = r[0], b[n][1] = r[1], b[(n + 1) % N8][0] = r[2], b[(n + 1) % N8][1] = r[3];
                    }
                }
#pragma unroll
                for (int m = 0; m < 4; m++) {
                    u32 r[4];
                    load_matrices(r, pixel + here + (k * 2 * HALO + (m / 2) * HALO_W + (m % 2) * 16 + offset) * 16);
#pragma unroll
                    for (int n = 0; n < N8; n++) multiply(sum[m][n], r, b[n][0], b[n][1]);
                }
                if (k == 0) fetch_weights();
            }
            // The next tile travels with the next tap's weights: it is there before the next input's turn.
            if (tiles == 2 && tap == 0 && chunk + 1 < chunks) fetch_tile(chunk + 1);
            across += PAIRS ? 2 : 1;
            offset += PAIRS ? 2 : 1;
            if (across >= KS) offset += HALO_W - across, across = 0;
        }
    }

    // Thread t holds channels 2(t%4), 2(t%4)+1 of pixels t/4 and t/4 + 8 of each 16 x 8 matrix.
#pragma unroll
    for (int n = 0; n < N8; n++) {
        const float2 bias = *reinterpret_cast<const float2*>(a.bias + (block_n * N8 + n) * 8 + (lane & 3) * 2);
#pragma unroll
        for (int m = 0; m < 4; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) sum[m][n][i] += i % 2 ? bias.y : bias.x;
    }
    if (a.store == FLOW) {
#pragma unroll
        for (int m = 0; m < 4; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int y = y0 + 2 * warp + m / 2, x = x0 + (m % 2) * 16 + half * 8 + lane / 4;
                if (y >= a.y1 || x >= a.w || lane % 4 || block_n) continue;
                const long long at = ((long long)image * a.h + y) * a.w + x;
                const float2 flow = a.flow[at];
                a.out_flow[at] = make_float2(flow.x + sum[m][0][2 * half], flow.y + sum[m][0][2 * half + 1]);
            }
        return;
    }
    // A row of the picture as it is stored, without the pixel.
    const long long out_image = image * a.out_image, first_plane = block_n * N8 * a.out_plane;
    auto row = [&](int m) { return out_image + (long long)(y0 + 2 * warp + m / 2 - a.out_row) * a.w * 8; };
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (!a.residual[r]) break;
#pragma unroll
        for (int m = 0; m < 4; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int y = y0 + 2 * warp + m / 2, x = x0 + (m % 2) * 16 + half * 8 + lane / 4;
                if (y >= a.y1 || x >= a.w) continue;
                const f16* from = a.residual[r] + first_plane + row(m) + x * 8 + (lane & 3) * 2;
#pragma unroll
                for (int n = 0; n < N8; n++, from += a.out_plane) {
                    const float2 more = unpack(*reinterpret_cast<const u32*>(from));
                    sum[m][n][2 * half] += more.x, sum[m][n][2 * half + 1] += more.y;
                }
            }
    }
#pragma unroll
    for (int n = 0; n < N8; n++) {
        float all[16];
#pragma unroll
        for (int i = 0; i < 16; i++) all[i] = sum[i / 4][n][i % 4];
        activate(a.activation, all, block_n * N8 + n);
#pragma unroll
        for (int i = 0; i < 16; i++) sum[i / 4][n][i % 4] = all[i];
    }
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int y = y0 + 2 * warp + m / 2, first = x0 + (m % 2) * 16 + half * 8;
            if (y >= a.y1) continue;
            if (a.store == SHUFFLE && NOUT > 8) {
#pragma unroll
                for (int n = 0; n < N8; n += 2) {
                    u32 left = pack(sum[m][n][2 * half], sum[m][n][2 * half + 1]);
                    u32 right = pack(sum[m][(n + 1) % N8][2 * half], sum[m][(n + 1) % N8][2 * half + 1]);
                    interleave(left, right, lane);
                    const int group = block_n * N8 + n, planes = a.couts / 32;
                    const int row = group / (2 * planes), plane = group / 2 % planes;
                    f16* to = a.out + out_image + plane * a.out_plane +
                              ((long long)(2 * y + row - a.out_row) * (2 * a.w) + 2 * first) * 8;
                    const int at = shuffled(lane), pixel = at / 8;
                    if (first + pixel < a.w) *reinterpret_cast<u32*>(to + at * 2) = left;
                    if (first + 4 + pixel < a.w) *reinterpret_cast<u32*>(to + 64 + at * 2) = right;
                }
                continue;
            }
            if (first + lane / 4 >= a.w) continue;
            f16* to = a.out + first_plane + row(m) + (first + lane / 4) * 8 + (lane & 3) * 2;
#pragma unroll
            for (int n = 0; n < N8; n++, to += a.out_plane)
                *reinterpret_cast<u32*>(to) = pack(sum[m][n][2 * half], sum[m][n][2 * half + 1]);
        }
}

#define KERNEL(KS, KC, NOUT)                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                                       \
        conv##KS##_##KC##_##NOUT(const __grid_constant__ Convolution<f16> a) {                     \
        conv_mma<KS, KC, NOUT>(a);                                                                 \
    }
KERNEL(3, 8, 64)
KERNEL(3, 32, 64)
KERNEL(7, 8, 32)
KERNEL(7, 32, 64)
KERNEL(7, 32, 32)
KERNEL(7, 32, 16)
KERNEL(7, 16, 8)
