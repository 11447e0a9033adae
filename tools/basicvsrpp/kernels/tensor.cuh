// What all kernels share: the layout of features, float16, and the arguments of a convolution.
//
// A feature of C channels is stored as C/8 planes of h x w pixels of 8 channels (nChw8c): element
// (c, y, x) is at ((c / 8) * h * w + y * w + x) * 8 + c % 8. In float16 the 8 channels of a pixel are 16 bytes,
// the width of every load. Channels that do not fill the last plane are zero. Three things make this the layout:
// eight neighbouring pixels of a plane are one 8x8 matrix for the tensor cores (128 contiguous bytes, no bank
// conflict, from any pixel on, so the nine taps of a convolution need neither copies nor swizzles); one deformable
// group of the published network is one plane; and whatever a warp loads or stores is contiguous.
//
// Flows are float2 (x, y) per pixel, row by row.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct f16 {
    u16 bits;
};

__device__ __forceinline__ float to_float(f16 a) {
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(a.bits));
    return r;
}
__device__ __forceinline__ float to_float(float a) { return a; }

template <typename T> __device__ __forceinline__ T from_float(float a);
template <> __device__ __forceinline__ f16 from_float<f16>(float a) {
    f16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(a));
    return r;
}
template <> __device__ __forceinline__ float from_float<float>(float a) { return a; }

// A kernel may be started while the one before it in the stream still runs (programmatic dependent launch, sm_90 and
// later): it prepares what does not depend on that one, then waits here. Every kernel calls this before it touches
// anything but weights, and lets the next one start as early as there is room.
__device__ __forceinline__ void after_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Two float16 in 32 bits, the first one low.
__device__ __forceinline__ u32 pack(float low, float high) {
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
__device__ __forceinline__ float2 unpack(u32 a) {
    float2 r;
    asm("{.reg .f16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}"
        : "=f"(r.x), "=f"(r.y)
        : "r"(a));
    return r;
}

// The 8 channels of a pixel of a plane.
__device__ __forceinline__ void load8(float (&v)[8], const f16* p) {
    uint4 a = *reinterpret_cast<const uint4*>(p);
    float2 b;
    b = unpack(a.x), v[0] = b.x, v[1] = b.y;
    b = unpack(a.y), v[2] = b.x, v[3] = b.y;
    b = unpack(a.z), v[4] = b.x, v[5] = b.y;
    b = unpack(a.w), v[6] = b.x, v[7] = b.y;
}
__device__ __forceinline__ void load8(float (&v)[8], const float* p) {
    float4 a = reinterpret_cast<const float4*>(p)[0], b = reinterpret_cast<const float4*>(p)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}
__device__ __forceinline__ void store8(f16* p, const float (&v)[8]) {
    *reinterpret_cast<uint4*>(p) =
        make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
}
__device__ __forceinline__ void store8(float* p, const float (&v)[8]) {
    reinterpret_cast<float4*>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

// exp and reciprocal by the special function unit: 2 units in the last place of float32.
__device__ __forceinline__ float reciprocal(float a) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
    return r;
}
__device__ __forceinline__ float exponential(float a) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a * 1.4426950408889634f));
    return r;
}
__device__ __forceinline__ float sigmoid(float a) { return reciprocal(1.f + exponential(-a)); }
__device__ __forceinline__ float tanh_fast(float a) { return 1.f - 2.f * reciprocal(1.f + exponential(2.f * a)); }

// What becomes of the sums of a convolution.
enum Activation : int { NONE = 0, RELU = 1, LEAKY = 2, OFFSETS = 3 };

// Offsets and masks come in runs of six planes for one tap: four planes of (dy, dx) of four groups each, then two of
// the masks of eight groups each. The residue of an offset is limited to 10 pixels.
__device__ __forceinline__ bool is_offset(int plane) { return plane % 6 < 4; }

// All of `sums`, which belong to one plane (to one kind of plane). One branch for all of them: branching for each would
// cost more than the arithmetic.
template <int N> __device__ __forceinline__ void activate(int activation, float (&sums)[N], int plane) {
    if (activation == RELU) {
#pragma unroll
        for (int i = 0; i < N; i++) sums[i] = fmaxf(sums[i], 0.f);
    } else if (activation == LEAKY) {
#pragma unroll
        for (int i = 0; i < N; i++) sums[i] = fmaxf(sums[i], 0.1f * sums[i]);
    } else if (activation == OFFSETS) {
        if (is_offset(plane)) {
#pragma unroll
            for (int i = 0; i < N; i++) sums[i] = 10.f * tanh_fast(sums[i]);
        } else {
#pragma unroll
            for (int i = 0; i < N; i++) sums[i] = sigmoid(sums[i]);
        }
    }
}

// A frame in wire order: component c (R, G, B) of pixel i is `bytes` wide and at first[c] + i * step. Little-endian
// integers up to `max`, or float32 as they are where `bytes` is 4. `level` is 1 / max.
struct PixelFormat {
    int bytes, step;
    long long first[3];
    float max, level;
};
__device__ __forceinline__ float sample(const PixelFormat& f, const u8* frame, int pixel, int c) {
    const u8* p = frame + f.first[c] + (long long)pixel * f.step;
    const float v = f.bytes == 1 ? *p : *reinterpret_cast<const u16*>(p);
    return fminf(v, f.max) * f.level;
}

// Where the two samples of a linear interpolation are and the weight of the second: half-pixel centres, edges clamped.
struct Between {
    int a, b;
    float t;
};
__device__ __forceinline__ Between between(int i, float scale, int size) {
    const float at = fmaxf((i + 0.5f) * scale - 0.5f, 0.f);
    Between r;
    r.a = min((int)at, size - 1), r.b = min(r.a + 1, size - 1), r.t = at - r.a;
    return r;
}
__device__ __forceinline__ float mix(float a, float b, float t) { return a + (b - a) * t; }

// Four samples around (x, y) and their weights; those outside of the picture have weight zero (and a valid place).
struct Corners {
    int at[4];
    float weight[4];
};
__device__ __forceinline__ Corners corners(float x, float y, int w, int h) {
    // Further out every weight is zero anyway.
    x = fminf(fmaxf(x, -1.f), (float)w), y = fminf(fmaxf(y, -1.f), (float)h);
    const float fx = floorf(x), fy = floorf(y), tx = x - fx, ty = y - fy;
    const int ix = (int)fx, iy = (int)fy;
    const float left = (unsigned)ix < (unsigned)w ? 1.f - tx : 0.f;
    const float right = ix + 1 < w ? tx : 0.f;
    const float top = (unsigned)iy < (unsigned)h ? 1.f - ty : 0.f;
    const float bottom = iy + 1 < h ? ty : 0.f;
    const int xa = min(max(ix, 0), w - 1), xb = min(ix + 1, w - 1);
    const int ya = min(max(iy, 0), h - 1) * w, yb = min(iy + 1, h - 1) * w;
    Corners c;
    c.at[0] = ya + xa, c.at[1] = ya + xb, c.at[2] = yb + xa, c.at[3] = yb + xb;
    c.weight[0] = top * left, c.weight[1] = top * right, c.weight[2] = bottom * left, c.weight[3] = bottom * right;
    return c;
}

// The finished frame: the convolution's channels 0 to 2 are added to the input frame, enlarged to its size (bilinear).
struct Picture {
    const u8* frame;  // the input frame, w x h
    u8* out;          // the output frame, out_w pixels wide
    PixelFormat in_format, out_format;
    int* invalid;     // set where a sum is not a finite number
    int w, h, out_w;
    float step;       // input pixels for an output pixel: 1/4, or 1 where the network keeps the size
};
__device__ __forceinline__ void store_picture(const Picture& p, int x, int y, const float (&residue)[3]) {
    const Between u = between(x, p.step, p.w), v = between(y, p.step, p.h);
    const int top = v.a * p.w, bottom = v.b * p.w;
    bool finite = true;
#pragma unroll
    for (int c = 0; c < 3; c++) {
        const float a = sample(p.in_format, p.frame, top + u.a, c), b = sample(p.in_format, p.frame, top + u.b, c);
        const float d = sample(p.in_format, p.frame, bottom + u.a, c), e = sample(p.in_format, p.frame, bottom + u.b, c);
        const float value = mix(mix(a, b, u.t), mix(d, e, u.t), v.t) + residue[c];
        finite = finite && fabsf(value) < 3e38f;
        u8* to = p.out + p.out_format.first[c] + ((long long)y * p.out_w + x) * p.out_format.step;
        const float level = rintf(fminf(fmaxf(value, 0.f), 1.f) * p.out_format.max);
        if (p.out_format.bytes == 1) *to = (u8)level;
        else if (p.out_format.bytes == 2) *reinterpret_cast<u16*>(to) = (u16)level;
        else *reinterpret_cast<float*>(to) = value;
    }
    if (!finite) *p.invalid = 1;
}

// Where the sums of a convolution go.
enum Store : int {
    PLANES = 0,   // a feature
    SHUFFLE = 1,  // a feature of twice the size: pixel shuffle
    FLOW = 2,     // channels 0 and 1, float32, added to `flow`
    PICTURE = 3,  // channels 0 to 2 to the enlarged frame
};

const int MAX_INPUTS = 24;

// A convolution with square kernel and zero padding over rows [y0, y1) of a picture of w pixels in a row. Rows from h on are
// zero: the picture ends there, or no result needs them.
// The inputs are read one after another as if they were one feature with all their channels. What the residuals hold is
// added to the sums before the activation. Images of a batch lie
// `in_image` and `out_image` elements apart. A buffer need not hold the whole picture: its first row is `in_row`,
// `out_row` (in pixels of the stored feature). With SHUFFLE the channels come as
// [row of the 2 x 2][plane][column of the 2 x 2][8].
template <typename T> struct Convolution {
    const T* in[MAX_INPUTS];
    const void* weight;
    const float* bias;
    const T* residual[2];  // laid out like the output, or null
    T* out;
    const float2* flow;
    float2* out_flow;
    long long in_plane, in_image, out_plane, out_image;  // elements
    int inputs, planes;                                  // planes of each input
    int couts;                                           // padded to what the kernel computes at once
    int h, w, y0, y1, in_row, out_row;
    int activation, store;
    int tiles;  // that fit into shared memory: 1 or 2
    Picture picture;
};

// Flow-guided deformable convolution: `first` and `second` (null: zeros) of `channels` channels each, sampled where
// the offsets and the flows point, times the mask, then an ordinary convolution.
template <typename T> struct Deformable {
    const T* first;
    const T* second;
    const float2* first_flow;
    const float2* second_flow;
    const T* offsets;    // as activate() leaves them
    const void* weight;
    const float* bias;
    T* out;
    long long plane;     // elements of a plane, of all features
    int channels, groups, couts, h, w;
};

// Where the host puts a field, in bytes: the same numbers stand in `arguments.rs`, which lays these structs out.
#define AT(STRUCT, FIELD, OFFSET) static_assert(__INTADDR__(&(((STRUCT*)0)->FIELD)) == OFFSET, #STRUCT "." #FIELD)
static_assert(sizeof(PixelFormat) == 40, "PixelFormat");
AT(PixelFormat, step, 4);
AT(PixelFormat, first, 8);
AT(PixelFormat, max, 32);
AT(PixelFormat, level, 36);
static_assert(sizeof(Picture) == 120, "Picture");
AT(Picture, out, 8);
AT(Picture, in_format, 16);
AT(Picture, out_format, 56);
AT(Picture, invalid, 96);
AT(Picture, w, 104);
AT(Picture, h, 108);
AT(Picture, out_w, 112);
AT(Picture, step, 116);
static_assert(sizeof(Convolution<f16>) == 448, "Convolution");
AT(Convolution<f16>, weight, 192);
AT(Convolution<f16>, bias, 200);
AT(Convolution<f16>, residual, 208);
AT(Convolution<f16>, out, 224);
AT(Convolution<f16>, flow, 232);
AT(Convolution<f16>, out_flow, 240);
AT(Convolution<f16>, in_plane, 248);
AT(Convolution<f16>, in_image, 256);
AT(Convolution<f16>, out_plane, 264);
AT(Convolution<f16>, out_image, 272);
AT(Convolution<f16>, inputs, 280);
AT(Convolution<f16>, planes, 284);
AT(Convolution<f16>, couts, 288);
AT(Convolution<f16>, h, 292);
AT(Convolution<f16>, w, 296);
AT(Convolution<f16>, y0, 300);
AT(Convolution<f16>, y1, 304);
AT(Convolution<f16>, in_row, 308);
AT(Convolution<f16>, out_row, 312);
AT(Convolution<f16>, activation, 316);
AT(Convolution<f16>, store, 320);
AT(Convolution<f16>, tiles, 324);
AT(Convolution<f16>, picture, 328);
static_assert(sizeof(Deformable<f16>) == 96, "Deformable");
AT(Deformable<f16>, second, 8);
AT(Deformable<f16>, first_flow, 16);
AT(Deformable<f16>, second_flow, 24);
AT(Deformable<f16>, offsets, 32);
AT(Deformable<f16>, weight, 40);
AT(Deformable<f16>, bias, 48);
AT(Deformable<f16>, out, 56);
AT(Deformable<f16>, plane, 64);
AT(Deformable<f16>, channels, 72);
AT(Deformable<f16>, groups, 76);
AT(Deformable<f16>, couts, 80);
AT(Deformable<f16>, h, 84);
AT(Deformable<f16>, w, 88);
