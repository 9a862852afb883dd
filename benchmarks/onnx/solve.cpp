// The solve of one patient, written by hand: what a processor needs at least for the network of the benchmark.
// Kutta's 3/8 rule; 8 states, 64 units, two hidden layers of SiLU units; WIDTH floats go into one register.

#include <cstdint>
#include <cstring>

#ifndef WIDTH
#define WIDTH 8
#endif

namespace {

constexpr int STATE = 8, UNITS = 64, CONTROLS = 2, PARTS = UNITS / WIDTH;
typedef float Wide __attribute__((vector_size(4 * WIDTH)));
typedef int32_t Whole __attribute__((vector_size(4 * WIDTH)));
typedef float Eight __attribute__((vector_size(32)));

template <class V>
inline V load(const float *from) {
    V out;
    std::memcpy(&out, from, sizeof(V));
    return out;
}

template <class V>
inline void store(float *to, V value) {
    std::memcpy(to, &value, sizeof(V));
}

// e^x: a power of two times a polynomial of degree 6 (minimax on half an octave either side).
inline Wide exponential(Wide x) {
    const Wide high = Wide{} + 88.0f, low = Wide{} - 87.0f;
    x = x > high ? high : x;
    x = x < low ? low : x;
    const Wide magic = Wide{} + 12582912.0f;
    const Wide shifted = x * 1.44269504f + magic;
    const Wide whole = shifted - magic;
    const Wide r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    // In two halves that do not wait for each other.
    const Wide r2 = r * r;
    const Wide upper = (r * 1.3981999507e-3f + 8.3334519073e-3f) + r2 * 1.9875691500e-4f;
    const Wide lower = (r * 4.1665795894e-2f + 1.6666665459e-1f);
    const Wide p = ((upper * r2 + lower) * r + 5.0000001201e-1f) * r2 + (r + 1.0f);
    Whole bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127 << 23);
    Wide power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

inline Wide silu(Wide x) { return x / (1.0f + exponential(-x)); }

// out += in * weights [INPUTS][UNITS], in registers; two sums each, so that no product waits for the last one.
template <int INPUTS>
inline void layer(const float *in, const float *weights, Wide *out) {
    Wide other[PARTS] = {};
#pragma GCC unroll 2
    for (int i = 0; i < INPUTS; i += 2)
#pragma GCC unroll 16
        for (int part = 0; part < PARTS; part++) {
            out[part] += in[i] * load<Wide>(weights + i * UNITS + part * WIDTH);
            other[part] += in[i + 1] * load<Wide>(weights + (i + 1) * UNITS + part * WIDTH);
        }
    for (int part = 0; part < PARTS; part++) out[part] += other[part];
}

inline void activate(Wide *units, float *to) {
#pragma GCC unroll 16
    for (int part = 0; part < PARTS; part++) store(to + part * WIDTH, silu(units[part]));
}

}  // namespace

struct Weights {
    const float *of_state, *of_control, *known, *middle, *bias_middle, *out, *bias_out;
};

static inline Eight slope(const Weights &w, Eight state, const float *first) {
    alignas(64) float in[STATE], units[UNITS];
    Wide sums[PARTS];
    store(in, state);
    for (int part = 0; part < PARTS; part++) sums[part] = load<Wide>(first + part * WIDTH);
    layer<STATE>(in, w.of_state, sums);
    activate(sums, units);
    for (int part = 0; part < PARTS; part++) sums[part] = load<Wide>(w.bias_middle + part * WIDTH);
    layer<UNITS>(units, w.middle, sums);
    activate(sums, units);
    Eight out[8] = {load<Eight>(w.bias_out)};
#pragma GCC unroll 64
    for (int i = 0; i < UNITS; i++) out[i % 8] += units[i] * load<Eight>(w.out + i * STATE);
    return ((out[0] + out[1]) + (out[2] + out[3])) + ((out[4] + out[5]) + (out[6] + out[7]));
}

// dt [rows], control [rows][CONTROLS] -> course [rows][STATE]
extern "C" void solve(const Weights *weights, const float *begin, const float *dt, const float *control, int rows,
                      float *course) {
    const Weights w = *weights;
    Eight y = load<Eight>(begin);
    for (int row = 0; row < rows; row++) {
        alignas(64) float first[UNITS];
        for (int part = 0; part < PARTS; part++) {
            Wide sum = load<Wide>(w.known + part * WIDTH);
            for (int i = 0; i < CONTROLS; i++)
                sum += control[row * CONTROLS + i] * load<Wide>(w.of_control + i * UNITS + part * WIDTH);
            store(first + part * WIDTH, sum);
        }
        const float h = dt[row];
        const Eight k1 = slope(w, y, first);
        const Eight k2 = slope(w, y + h * (k1 * (1.0f / 3)), first);
        const Eight k3 = slope(w, y + h * (k2 - k1 * (1.0f / 3)), first);
        const Eight k4 = slope(w, y + h * (k1 - k2 + k3), first);
        y += h * (0.125f * (k1 + k4) + 0.375f * (k2 + k3));
        store(course + row * STATE, y);
    }
}
