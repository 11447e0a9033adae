// The last convolution, 64 to 3 channels at full size, and the finished frame, sm_80 and later.
//
// Idea: three output channels would leave most of a matrix multiplication empty and still read every pixel nine times.
// So the pixels are multiplied once by all 9 x 3 weight vectors (a 1x1 convolution to 27 sums), and a result is the sum of
// nine of those, one from each neighbour. A block computes the sums of 10 x 34 pixels and from them 8 x 32 results,
// to which it adds the enlarged input before it rounds and packs them in wire order.
//
// Measured on an H200 at 4096x1728: 0.53 ms, 43 % of the rate of memory.
//
// Weights, in the order in which the threads of a warp need them: [channel / 16][8 sums][thread][4]: channels 2(t%4),
// +1, +8, +9 of the 16 for sum t/4 of the 8. Sum 3 * tap + c.
#include "mma.cuh"

const int ROWS = 8, COLUMNS = 32, THREADS = 128, HALO_W = COLUMNS + 2, HALO = HALO_W * (ROWS + 2);
const int PIXELS = (HALO + 15) / 16 * 16, PITCH = 29;  // odd: no bank conflicts

extern "C" __global__ void __launch_bounds__(THREADS) picture_mma(const __grid_constant__ Convolution<f16> a) {
    extern __shared__ uint4 shared[];  // 8 planes of PIXELS
    float* sums = reinterpret_cast<float*>(shared);
    const u32 tile = shared_address(shared);
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int x0 = blockIdx.x * COLUMNS, y0 = a.y0 + blockIdx.y * ROWS;
    uint2 weights[4][4];
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
        for (int n = 0; n < 4; n++) weights[k][n] = static_cast<const uint2*>(a.weight)[(k * 4 + n) * 32 + lane];
    after_previous();

    for (int i = thread; i < PIXELS; i += THREADS) {
        const int y = y0 - 1 + i / HALO_W, x = x0 - 1 + i % HALO_W;
        const bool there = i < HALO && (unsigned)y < (unsigned)a.h && (unsigned)x < (unsigned)a.w;
        const f16* pixel = a.in[0] + (there ? ((long long)(y - a.in_row) * a.w + x) * 8 : 0);
#pragma unroll
        for (int p = 0; p < 8; p++) copy16(tile + (p * PIXELS + i) * 16, pixel + (there ? p * a.in_plane : 0), there);
    }
    copies_commit();
    copies_wait<0>();
    __syncthreads();

    // 22 matrices of 16 pixels for four warps: six each, of which two are done twice.
    const int EACH = (PIXELS / 16 + 3) / 4;
    float sum[EACH][4][4];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int m = min(warp * EACH + i, PIXELS / 16 - 1);
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][n][j] = 0.f;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            u32 r[4];
            load_matrices(r, tile + ((2 * k + (lane >> 4)) * PIXELS + m * 16 + (lane & 15)) * 16);
#pragma unroll
            for (int n = 0; n < 4; n++) multiply(sum[i][n], r, weights[k][n].x, weights[k][n].y);
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int m = min(warp * EACH + i, PIXELS / 16 - 1);
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int s = n * 8 + (lane & 3) * 2 + j % 2;
                if (s < 27) sums[(m * 16 + lane / 4 + j / 2 * 8) * PITCH + s] = sum[i][n][j];
            }
    }
    __syncthreads();

    const float bias[3] = {a.bias[0], a.bias[1], a.bias[2]};
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = warp + 4 * half, y = y0 + row, x = x0 + lane;
        if (y >= a.y1 || x >= a.w) continue;
        float residue[3] = {bias[0], bias[1], bias[2]};
#pragma unroll
        for (int tap = 0; tap < 9; tap++) {
            const float* from = sums + ((row + tap / 3) * HALO_W + lane + tap % 3) * PITCH + 3 * tap;
#pragma unroll
            for (int c = 0; c < 3; c++) residue[c] += from[c];
        }
        store_picture(a.picture, x, y, residue);
    }
}
