// Flow-guided deformable convolution of two features of 64 channels in 16 groups, sm_80 and later.
//
// Idea: sample, times mask, multiply, in one kernel; the 9 x 128 sampled columns of a pixel never reach memory. A thread
// samples for one pixel, four groups (32 channels) of one tap at a time, into its warp's corner of shared memory, and
// the warp multiplies that by the weights: 32 pixels x 32 channels by 32 x 64. Warps never wait for each other, so one
// samples while another multiplies. A group is a plane of the feature, so neighbouring pixels with similar offsets load
// neighbouring 16 bytes. Taps are the inner loop: they sample the same four planes around the same place (L1).
//
// Measured on an H200 at 1024x432: 0.55 ms, 24 % of the rate of memory for what is read and written once, against 3.8 ms of
// torchvision's. What is missing: 430 instructions a tap and four groups, two thirds of them coordinates and blending.
//
// Weights, in the order in which the threads of a warp need them:
// [group / 4][tap][group % 4 / 2][cout / 16][thread][8]: channels 2(t%4), +1, +8, +9 of the 16 for cout t/4, then the
// same for cout t/4 + 8.
#include "mma.cuh"

const int WARPS = 4;

// Two float16 products, two float16 products added to others.
__device__ __forceinline__ u32 product(u32 a, u32 b) {
    u32 r;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
__device__ __forceinline__ u32 product(u32 a, u32 b, u32 more) {
    u32 r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(more));
    return r;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 4) deform_mma(const __grid_constant__ Deformable<f16> a) {
    __shared__ uint4 shared[WARPS][4][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int first_x = blockIdx.x * 32, x = first_x + lane, y = blockIdx.y * WARPS + warp;
    after_previous();
    if (y >= a.h) return;
    const long long here = (long long)y * a.w + min(x, a.w - 1);
    const uint4* weight = static_cast<const uint4*>(a.weight) + lane;
    const u32 tile = shared_address(&shared[warp][0][0]);
    const u32 pixel = tile + ((lane & 15) + (lane >> 4) * 32) * 16;

    float sum[2][8][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) sum[m][n][i] = 0.f;

    const int quads = a.second ? 4 : 2;
#pragma unroll 1
    for (int quad = 0; quad < quads; quad++) {
        const f16* feature = (quad < 2 ? a.first : a.second) + (quad % 2) * 4 * a.plane;
        const float2 flow = (quad < 2 ? a.first_flow : a.second_flow)[here];
#pragma unroll 1
        for (int tap = 0; tap < 9; tap++) {
            const f16* run = a.offsets + (long long)tap * 6 * a.plane + here * 8;
            const uint4 offsets = *reinterpret_cast<const uint4*>(run + quad * a.plane);
            const uint2 masks = *reinterpret_cast<const uint2*>(run + (4 + quad / 2) * a.plane + quad % 2 * 4);
            const float u = x - 1 + tap % 3 + flow.x, v = y - 1 + tap / 3 + flow.y;
            __syncwarp();
#pragma unroll
            for (int g = 0; g < 4; g++) {
                const float2 offset = unpack(g == 0 ? offsets.x : g == 1 ? offsets.y : g == 2 ? offsets.z : offsets.w);
                const float2 two = unpack(g < 2 ? masks.x : masks.y);
                const float mask = g % 2 ? two.y : two.x;
                const Corners c = corners(u + offset.y, v + offset.x, a.w, a.h);
                const uint4* in = reinterpret_cast<const uint4*>(feature + g * a.plane);
                // Blended in float16: the sum is rounded to that anyway.
                u32 value[4];
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    const uint4 corner = in[c.at[k]];
                    const float scale = c.weight[k] * mask;
                    const u32 both = pack(scale, scale);
                    if (k == 0) {
                        value[0] = product(both, corner.x), value[1] = product(both, corner.y);
                        value[2] = product(both, corner.z), value[3] = product(both, corner.w);
                    } else {
                        value[0] = product(both, corner.x, value[0]), value[1] = product(both, corner.y, value[1]);
                        value[2] = product(both, corner.z, value[2]), value[3] = product(both, corner.w, value[3]);
                    }
                }
                shared[warp][g][lane] = make_uint4(value[0], value[1], value[2], value[3]);
            }
            __syncwarp();
#pragma unroll
            for (int k = 0; k < 2; k++) {
                u32 r[2][4];
#pragma unroll
                for (int m = 0; m < 2; m++) load_matrices(r[m], pixel + (k * 64 + m * 16) * 16);
#pragma unroll
                for (int n = 0; n < 8; n += 2) {
                    const uint4 b = weight[(((quad * 9 + tap) * 2 + k) * 4 + n / 2) * 32];
#pragma unroll
                    for (int m = 0; m < 2; m++) {
                        multiply(sum[m][n], r[m], b.x, b.y);
                        multiply(sum[m][n + 1], r[m], b.z, b.w);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int to = first_x + m * 16 + half * 8 + lane / 4;
            if (to >= a.w) continue;
#pragma unroll
            for (int n = 0; n < 8; n++) {
                const float2 bias = *reinterpret_cast<const float2*>(a.bias + n * 8 + (lane & 3) * 2);
                *reinterpret_cast<u32*>(a.out + n * a.plane + ((long long)y * a.w + to) * 8 + (lane & 3) * 2) =
                    pack(sum[m][n][2 * half] + bias.x, sum[m][n][2 * half + 1] + bias.y);
            }
        }
}
