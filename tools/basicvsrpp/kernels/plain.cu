// Every operation in its simplest form, for float16 and float32 features: the specification that the fast kernels are
// tested against, the float32 mode, and the path of networks whose sizes the fast kernels do not take.
#include "tensor.cuh"

// Weights: float32, [cout / 8][input plane][tap][8 in][8 out]. A thread computes one plane of one pixel.
template <typename T> __device__ __forceinline__ void conv_plain(const Convolution<T>& a, int k) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = a.y0 + blockIdx.y;
    const int planes_out = a.couts / 8, plane = blockIdx.z % planes_out, image = blockIdx.z / planes_out;
    after_previous();
    if (x >= a.w) return;
    float sum[8];
#pragma unroll
    for (int o = 0; o < 8; o++) sum[o] = a.bias[plane * 8 + o];
    const float* weight = static_cast<const float*>(a.weight) + (long long)plane * a.inputs * a.planes * k * k * 64;
    for (int input = 0; input < a.inputs; input++)
        for (int p = 0; p < a.planes; p++) {
            const T* in = a.in[input] + image * a.in_image + p * a.in_plane;
            for (int tap = 0; tap < k * k; tap++, weight += 64) {
                const int v = y + tap / k - k / 2, u = x + tap % k - k / 2;
                if ((unsigned)v >= (unsigned)a.h || (unsigned)u >= (unsigned)a.w) continue;
                float pixel[8];
                load8(pixel, in + ((long long)(v - a.in_row) * a.w + u) * 8);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    const float4 low = reinterpret_cast<const float4*>(weight)[i * 2];
                    const float4 high = reinterpret_cast<const float4*>(weight)[i * 2 + 1];
                    sum[0] += pixel[i] * low.x, sum[1] += pixel[i] * low.y;
                    sum[2] += pixel[i] * low.z, sum[3] += pixel[i] * low.w;
                    sum[4] += pixel[i] * high.x, sum[5] += pixel[i] * high.y;
                    sum[6] += pixel[i] * high.z, sum[7] += pixel[i] * high.w;
                }
            }
        }
    if (a.store == FLOW) {
        const long long at = ((long long)image * a.h + y) * a.w + x;
        const float2 flow = a.flow[at];
        if (plane == 0) a.out_flow[at] = make_float2(flow.x + sum[0], flow.y + sum[1]);
        return;
    }
    if (a.store == PICTURE) {
        store_picture(a.picture, x, y, {sum[0], sum[1], sum[2]});
        return;
    }
    long long at;
    if (a.store == SHUFFLE) {
        const int planes = a.couts / 32, row = plane / (2 * planes), column = plane % 2;
        at = plane / 2 % planes * a.out_plane + image * a.out_image +
             ((long long)(2 * y + row - a.out_row) * (2 * a.w) + 2 * x + column) * 8;
    } else {
        at = plane * a.out_plane + image * a.out_image + ((long long)(y - a.out_row) * a.w + x) * 8;
    }
    for (int r = 0; r < 2; r++)
        if (a.residual[r]) {
            float more[8];
            load8(more, a.residual[r] + at);
#pragma unroll
            for (int o = 0; o < 8; o++) sum[o] += more[o];
        }
    activate(a.activation, sum, plane);
    store8(a.out + at, sum);
}

// Weights: float32, [cout / 8][tap][2 * channels][8 out]. The offsets of tap t and group g are channels
// 48 t + 2 g and the one after it, its mask channel 48 t + 32 + g, for 16 groups.
template <typename T> __device__ __forceinline__ void deform_plain(const Deformable<T>& a) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, plane = blockIdx.z;
    after_previous();
    if (x >= a.w) return;
    const long long here = (long long)y * a.w + x;
    float sum[8];
    for (int o = 0; o < 8; o++) sum[o] = a.bias[plane * 8 + o];
    const int group_channels = 2 * a.channels / a.groups, run = 3 * a.groups;
    auto offset = [&](int channel) {
        return to_float(a.offsets[channel / 8 * a.plane + here * 8 + channel % 8]);
    };
    for (int tap = 0; tap < 9; tap++)
        for (int g = 0; g < a.groups; g++) {
            const bool one = g < a.groups / 2;
            const T* feature = one ? a.first : a.second;
            if (!feature) continue;
            const float2 flow = (one ? a.first_flow : a.second_flow)[here];
            const Corners c = corners(x - 1 + tap % 3 + offset(tap * run + 2 * g + 1) + flow.x,
                                      y - 1 + tap / 3 + offset(tap * run + 2 * g) + flow.y, a.w, a.h);
            const float mask = offset(tap * run + 2 * a.groups + g);
            for (int i = 0; i < group_channels; i++) {
                const int channel = g * group_channels + i, inner = one ? channel : channel - a.channels;
                const T* in = feature + inner / 8 * a.plane + inner % 8;
                float value = 0.f;
                for (int k = 0; k < 4; k++) value += c.weight[k] * to_float(in[(long long)c.at[k] * 8]);
                const float* weight = static_cast<const float*>(a.weight) +
                                      (((long long)plane * 9 + tap) * 2 * a.channels + channel) * 8;
                for (int o = 0; o < 8; o++) sum[o] += value * mask * weight[o];
            }
        }
    store8(a.out + plane * a.plane + here * 8, sum);
}

#define KERNELS(T, NAME)                                                                                     \
    extern "C" __global__ void conv3_##NAME(const __grid_constant__ Convolution<T> a) { conv_plain(a, 3); }  \
    extern "C" __global__ void conv7_##NAME(const __grid_constant__ Convolution<T> a) { conv_plain(a, 7); }  \
    extern "C" __global__ void deform_##NAME(const __grid_constant__ Deformable<T> a) { deform_plain(a); }
KERNELS(f16, f16)
KERNELS(float, f32)
