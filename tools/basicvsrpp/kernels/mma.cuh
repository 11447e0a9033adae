// Warp-level matrix multiplication and asynchronous copies, sm_80 and later.
#pragma once
#include "tensor.cuh"

__device__ __forceinline__ u32 shared_address(const void* p) {
    return static_cast<u32>(__cvta_generic_to_shared(p));
}

// 16 bytes from global to shared memory, or zeros where there is nothing to load.
__device__ __forceinline__ void copy16(u32 to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Four (two) 8x8 matrices: thread t of the warp gets elements 2(t%4), 2(t%4)+1 of row t/4 of each.
__device__ __forceinline__ void load_matrices(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
__device__ __forceinline__ void load_matrices(u32 (&r)[2], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
}

// d[16 x 8] += a[16 x 16] b[16 x 8]
__device__ __forceinline__ void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Pixel shuffle: of eight neighbouring pixels a warp holds the left halves in `left` and the right halves in `right`
// (thread t: pixel t/4, channels 2(t%4), 2(t%4)+1). Afterwards `left` is to be stored to the first 128 contiguous
// bytes of the enlarged row and `right` to the next 128, thread t at 4 * shuffled(t).
__device__ __forceinline__ void interleave(u32& left, u32& right, int lane) {
    bool upper = lane & 16;
    u32 other = __shfl_xor_sync(0xffffffff, upper ? left : right, 16);
    if (upper) left = other;
    else right = other;
}
// In the first store threads 0-15 hold pixels 0-3 left, 16-31 pixels 0-3 right.
__device__ __forceinline__ int shuffled(int lane) { return ((lane >> 2 & 3) * 2 + (lane >> 4)) * 4 + (lane & 3); }
