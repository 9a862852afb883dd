// Fused solves of small networks as vector fields: the same code for each instruction set, chosen when it runs.
//
// A tile of subjects goes through all of its rows while its numbers stay in the cache: products with registers full of
// columns (the micro-kernel of Goto and van de Geijn, ACM TOMS 2008;34(3):12), activations between them, no temporary
// of the whole batch. Backward is the discrete adjoint of the method (Hager, Numer. Math. 2000;87:247-282) with each
// row's stages computed again, so that of a solve its states alone are kept.

#include <cstdlib>
#include <cstring>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "problem.h"

static const int LANE_UNIT = 16;  // columns are padded to this, which is a multiple of every LANES
static const int MOST_STAGES = 8;
static const int FEW_ROWS = 8;     // rows whose gradients are summed before they are added to the total
static const int TILE = 48;       // subjects: a multiple of the rows that a product takes at once

static inline int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// Zeros, aligned to a cache line; null where there is no memory.
struct Room {
  float* at;
  explicit Room(long count) : at(nullptr) {
    void* found = nullptr;
    const unsigned long bytes = (sizeof(float) * count + 63) / 64 * 64;
    if (posix_memalign(&found, 64, bytes) == 0) at = (float*)memset(found, 0, bytes);
  }
  ~Room() { free(at); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAS_CHOICE 1
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define LANES 16
namespace avx512 {
#include "vectors.inc"
#include "gemm.inc"
#include "solve.inc"
#include "adjoint.inc"
#include "entry.inc"
}  // namespace avx512
#undef LANES
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
namespace avx2 {
#include "vectors.inc"
#include "gemm.inc"
#include "solve.inc"
#include "adjoint.inc"
#include "entry.inc"
}  // namespace avx2
#undef LANES
#pragma GCC pop_options
#endif

#define LANES 4
namespace plain {
#include "vectors.inc"
#include "gemm.inc"
#include "solve.inc"
#include "adjoint.inc"
#include "entry.inc"
}  // namespace plain
#undef LANES

// 2: AVX-512, 1: AVX2, 0: what every processor of this kind has.
extern "C" int instruction_set() {
#ifdef HAS_CHOICE
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}

// Returns 1 where there was memory for it, else 0. `set` is at most `instruction_set()`.
extern "C" int solve_forward(const Problem* problem, const Course* course, int set) {
#ifdef HAS_CHOICE
  if (set == 2) return avx512::forward(*problem, *course);
  if (set == 1) return avx2::forward(*problem, *course);
#endif
  return plain::forward(*problem, *course);
}

extern "C" int solve_backward(const Problem* problem, const Gradients* gradients, int set) {
#ifdef HAS_CHOICE
  if (set == 2) return avx512::backward(*problem, *gradients);
  if (set == 1) return avx2::backward(*problem, *gradients);
#endif
  return plain::backward(*problem, *gradients);
}
