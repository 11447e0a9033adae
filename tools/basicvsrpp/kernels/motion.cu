// What moves pictures: warps, flows and the flow network's pyramid. All memory-bound, one thread a pixel, float32
// coordinates and weights. Measured on an H200 at 1024x432: two features warped in 0.073 ms, 78 % of the rate of memory.
#include "tensor.cuh"

__device__ __forceinline__ float2 load_flow(const float2* flow, const Corners& c) {
    float2 sum = make_float2(0.f, 0.f);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const float2 v = flow[c.at[k]];
        sum.x += c.weight[k] * v.x, sum.y += c.weight[k] * v.y;
    }
    return sum;
}

// The flow over two steps: flow + warp(previous, by flow).
extern "C" __global__ void compose(const float2* flow, const float2* previous, float2* out, int w, int h) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    after_previous();
    if (x >= w) return;
    const long long here = (long long)y * w + x;
    const float2 f = flow[here], more = load_flow(previous, corners(x + f.x, y + f.y, w, h));
    out[here] = make_float2(f.x + more.x, f.y + more.y);
}

// What the offsets are predicted from, besides the spatial feature: `first` and `second` (null: zeros), each warped by its
// flow, and in the plane after the second's the flows themselves.
template <typename T> struct Condition {
    const T* first;
    const T* second;
    const float2* first_flow;
    const float2* second_flow;
    T* out_first;   // planes
    T* out_second;  // planes + 1, the last one (x1, y1, x2, y2, 0, 0, 0, 0)
    long long plane;
    int planes, w, h;
};
template <typename T> __device__ __forceinline__ void condition(const Condition<T>& a) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, order = blockIdx.z;
    after_previous();
    if (x >= a.w) return;
    const long long here = (long long)y * a.w + x;
    const T* in = order ? a.second : a.first;
    T* out = (order ? a.out_second : a.out_first) + here * 8;
    const float2 none = make_float2(0.f, 0.f);
    const float2 first = a.first_flow[here], second = a.second ? a.second_flow[here] : none;
    if (order) {
        const float flows[8] = {first.x, first.y, second.x, second.y, 0.f, 0.f, 0.f, 0.f};
        store8(out + a.planes * a.plane, flows);
    }
    const float2 flow = order ? second : first;
    const Corners c = corners(x + flow.x, y + flow.y, a.w, a.h);
#pragma unroll 4
    for (int p = 0; p < a.planes; p++) {
        float sum[8];
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] = 0.f;
        if (in) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float v[8];
                load8(v, in + p * a.plane + (long long)c.at[k] * 8);
#pragma unroll
                for (int i = 0; i < 8; i++) sum[i] += c.weight[k] * v[i];
            }
        }
        store8(out + p * a.plane, sum);
    }
}

// RGB of a frame as one plane: 3 channels and 5 zeros.
template <typename T>
__device__ __forceinline__ void rgb(const u8* frame, const PixelFormat& format, T* out, int pixels) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    after_previous();
    if (i >= pixels) return;
    const float v[8] = {sample(format, frame, i, 0), sample(format, frame, i, 1), sample(format, frame, i, 2)};
    store8(out + (long long)i * 8, v);
}

// Every second pixel of every second row, of `planes` planes of from_w x from_h: what a convolution of stride 2 keeps of
// one of stride 1. The result is w x h.
template <typename T>
__device__ __forceinline__ void every_second(const T* in, T* out, int from_w, int from_h, int w, int h) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, plane = blockIdx.z;
    after_previous();
    if (x >= w) return;
    float v[8];
    load8(v, in + (((long long)plane * from_h + 2 * y) * from_w + 2 * x) * 8);
    store8(out + (((long long)plane * h + y) * w + x) * 8, v);
}

// A frame of w pixels in a row as the flow network sees it, at (x, y): the frame itself where `stride` is 1, a quarter of
// its width and height where it is 4. Bicubic (a = -0.75) half-way between the second and the third of four.
__device__ __forceinline__ float reduced(const PixelFormat& f, const u8* frame, int w, int stride, int x, int y, int c) {
    if (stride == 1) return sample(f, frame, y * w + x, c);
    const float weight[4] = {-0.09375f, 0.59375f, 0.59375f, -0.09375f};
    float sum = 0.f;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float row = 0.f;
#pragma unroll
        for (int j = 0; j < 4; j++) row += weight[j] * sample(f, frame, (4 * y + i) * w + 4 * x + j, c);
        sum += weight[i] * row;
    }
    return sum;
}

// The finest level of the pyramid: the frame, from_w x from_h as the flow network sees it, resized to w x h (bilinear,
// half-pixel), normalised. R, G, B, 0.
extern "C" __global__ void pyramid_base(const u8* frame, const __grid_constant__ PixelFormat format, int stride, int from_w,
                                        int from_h, float4 mean, float4 std, float4* out, int w, int h) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    after_previous();
    if (x >= w) return;
    const Between u = between(x, (float)from_w / w, from_w), v = between(y, (float)from_h / h, from_h);
    const auto at = [&](int x, int y, int c) { return reduced(format, frame, stride * from_w, stride, x, y, c); };
    float rgb[3];
#pragma unroll
    for (int c = 0; c < 3; c++)
        rgb[c] = mix(mix(at(u.a, v.a, c), at(u.b, v.a, c), u.t), mix(at(u.a, v.b, c), at(u.b, v.b, c), u.t), v.t);
    out[(long long)y * w + x] = make_float4((rgb[0] - mean.x) / std.x, (rgb[1] - mean.y) / std.y,
                                            (rgb[2] - mean.z) / std.z, 0.f);
}

// The next coarser level, w x h: means of 2 x 2.
extern "C" __global__ void pyramid_next(const float4* in, float4* out, int w, int h) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    after_previous();
    if (x >= w) return;
    const float4* p = in + (long long)(2 * y) * (2 * w) + 2 * x;
    const float4 a = p[0], b = p[1], c = p[2 * w], d = p[2 * w + 1];
    out[(long long)y * w + x] =
        make_float4((a.x + b.x + c.x + d.x) * 0.25f, (a.y + b.y + c.y + d.y) * 0.25f, (a.z + b.z + c.z + d.z) * 0.25f, 0.f);
}

// The input of the flow network at one level, for a batch of pairs of frames: reference, support warped by the flow so
// far (edges repeated), that flow. The flow so far is that of the level before, enlarged twice with corners
// coinciding, times two; zero at the coarsest level. The pairs travel with the launch: to put them into memory the stream
// would have to be waited for.
const int MAX_PAIRS = 64;
template <typename T> struct FlowInput {
    const float4* pyramid;  // this level of all frames
    const float2* coarse;   // w/2 x h/2, or null
    float2* flow;           // the flow so far
    T* out;                 // one plane: R, G, B, R', G', B', x, y
    int w, h;
    int2 pairs[MAX_PAIRS];  // (reference, support), frames
};
template <typename T> __device__ __forceinline__ void flow_input(const FlowInput<T>& a) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, pair = blockIdx.z;
    after_previous();
    if (x >= a.w) return;
    const long long pixels = (long long)a.w * a.h, here = (long long)y * a.w + x;
    float2 flow = make_float2(0.f, 0.f);
    if (a.coarse) {
        const int w = a.w / 2, h = a.h / 2;
        const float u = w > 1 ? x * ((float)(w - 1) / (a.w - 1)) : 0.f, v = h > 1 ? y * ((float)(h - 1) / (a.h - 1)) : 0.f;
        const int ua = min((int)u, w - 1), ub = min(ua + 1, w - 1), va = min((int)v, h - 1), vb = min(va + 1, h - 1);
        const float2* in = a.coarse + pair * (pixels / 4);
        const float2 p = in[va * w + ua], q = in[va * w + ub], r = in[vb * w + ua], s = in[vb * w + ub];
        const float tu = u - ua, tv = v - va;
        flow = make_float2(2.f * mix(mix(p.x, q.x, tu), mix(r.x, s.x, tu), tv),
                           2.f * mix(mix(p.y, q.y, tu), mix(r.y, s.y, tu), tv));
    }
    a.flow[pair * pixels + here] = flow;
    const int2 frames = a.pairs[pair];
    const float4 reference = a.pyramid[frames.x * pixels + here];
    const float4* support = a.pyramid + frames.y * pixels;
    const float u = fminf(fmaxf(x + flow.x, 0.f), a.w - 1.f), v = fminf(fmaxf(y + flow.y, 0.f), a.h - 1.f);
    const int ua = (int)u, ub = min(ua + 1, a.w - 1), va = (int)v, vb = min(va + 1, a.h - 1);
    const float tu = u - ua, tv = v - va;
    const float4 p = support[va * a.w + ua], q = support[va * a.w + ub];
    const float4 r = support[vb * a.w + ua], s = support[vb * a.w + ub];
    const float out[8] = {reference.x,
                          reference.y,
                          reference.z,
                          mix(mix(p.x, q.x, tu), mix(r.x, s.x, tu), tv),
                          mix(mix(p.y, q.y, tu), mix(r.y, s.y, tu), tv),
                          mix(mix(p.z, q.z, tu), mix(r.z, s.z, tu), tv),
                          flow.x,
                          flow.y};
    store8(a.out + (pair * pixels + here) * 8, out);
}

// The finished flow, from_w x from_h, at the frame's size, w x h: resized (bilinear, half-pixel) and rescaled.
extern "C" __global__ void flow_resize(const float2* in, int from_w, int from_h, float2* out, int w, int h) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    after_previous();
    if (x >= w) return;
    const Between u = between(x, (float)from_w / w, from_w), v = between(y, (float)from_h / h, from_h);
    const float2 p = in[v.a * from_w + u.a], q = in[v.a * from_w + u.b];
    const float2 r = in[v.b * from_w + u.a], s = in[v.b * from_w + u.b];
    out[(long long)y * w + x] =
        make_float2(mix(mix(p.x, q.x, u.t), mix(r.x, s.x, u.t), v.t) * ((float)w / from_w),
                    mix(mix(p.y, q.y, u.t), mix(r.y, s.y, u.t), v.t) * ((float)h / from_h));
}

// As in `arguments.rs`.
static_assert(sizeof(Condition<f16>) == 72, "Condition");
AT(Condition<f16>, second, 8);
AT(Condition<f16>, first_flow, 16);
AT(Condition<f16>, second_flow, 24);
AT(Condition<f16>, out_first, 32);
AT(Condition<f16>, out_second, 40);
AT(Condition<f16>, plane, 48);
AT(Condition<f16>, planes, 56);
AT(Condition<f16>, w, 60);
AT(Condition<f16>, h, 64);
static_assert(sizeof(FlowInput<f16>) == 552, "FlowInput");
AT(FlowInput<f16>, coarse, 8);
AT(FlowInput<f16>, flow, 16);
AT(FlowInput<f16>, out, 24);
AT(FlowInput<f16>, w, 32);
AT(FlowInput<f16>, h, 36);
AT(FlowInput<f16>, pairs, 40);

#define KERNELS(T, NAME)                                                                                               \
    extern "C" __global__ void condition_##NAME(const __grid_constant__ Condition<T> a) { condition(a); }              \
    extern "C" __global__ void flow_input_##NAME(const __grid_constant__ FlowInput<T> a) { flow_input(a); }            \
    extern "C" __global__ void rgb_##NAME(const u8* frame, const __grid_constant__ PixelFormat format, T* out, int n) { \
        rgb(frame, format, out, n);                                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void every_second_##NAME(const T* in, T* out, int from_w, int from_h, int w, int h) {        \
        every_second(in, out, from_w, from_h, w, h);                                                                   \
    }
KERNELS(f16, f16)
KERNELS(float, f32)
