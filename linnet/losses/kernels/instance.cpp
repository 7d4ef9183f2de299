// One training step of the instance head on a CPU, in two passes over the blocks that a batch touches.
//
// The first pass reads each touched block once: logits of the few batch rows that belong to it, an online softmax, and
// the gradient to the embedding. The second reads and writes it once: softmax minus one-hot, the weights' gradient, and
// the update, which is linear in (w, v) and therefore one 2 x 2 map a block, what was pending included. A block is
// walked in chunks that stay in the second-level cache.
//
// Vectors are the compiler's own (GCC, Clang), as wide as the target has them. There is no state, and no result depends
// on which thread did what: work is cut by sizes and by the number of threads, and summed in a fixed order.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef void (*Body)(void*);
typedef void (*Runner)(Body, void*, unsigned, unsigned);

// What both passes are given; linnet/losses/instance_compiled.py fills it in. All lie with the caller.
struct LinnetBatch {
    int64_t dim, blocks, threads, batch;
    const int64_t *starts, *stops;  // weight rows of each touched block
    const int64_t *rows;            // blocks + 1: batch rows rows[i]..rows[i + 1] belong to block i
    const int64_t* place;           // of each batch row, its own weight row counted from the block's start
    const double* lag;              // 2 x 2 a block: what is pending
    const float* embedding;         // batch x dim
    float *weight, *velocity;       // rows of dim
    float *logits, *norms;          // kept from pass to pass: rows x size and size of each block; null: done again
    float* stats;                   // 2 a batch row: its largest logit, and 1 / its sum of exponentials
    float* workspace;               // as many floats as linnet_instance_workspace says
    float inverse;                  // of the temperature; 0 for plain inner products
    Runner runner;                  // GOMP_parallel of the OpenMP that is loaded, or null
};

namespace {

// ---- Vectors --------------------------------------------------------------------------------------------------------

// Sums of products are kept in registers: of up to FEW batch rows and four vectors, or up to MANY and two weight rows.
#if defined(__AVX512F__)
constexpr int LANES = 16, FEW = 6, MANY = 13;  // of 32 registers
#elif defined(__AVX__)
constexpr int LANES = 8, FEW = 2, MANY = 5;  // of 16 registers
#elif defined(__aarch64__)
constexpr int LANES = 4, FEW = 6, MANY = 13;
#else
constexpr int LANES = 4, FEW = 2, MANY = 5;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef float Loose __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
constexpr auto EACH = std::make_integer_sequence<int, LANES>{};

inline Vec load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }
inline Vec all(float value) { return Vec{} + value; }

// The first `count` lanes from memory, all if they are as many; the others zero.
inline Vec load_upto(const float* from, int64_t count) {
    if (count >= LANES) return load(from);
#if defined(__AVX512F__)
    return reinterpret_cast<Vec>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from));
#else
    Vec value{};
    for (int64_t i = 0; i < count; ++i) value[i] = from[i];
    return value;
#endif
}

#if defined(__clang__)
#define LINNET_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define LINNET_PICK(a, b, ...) __builtin_shuffle(a, b, Ints{__VA_ARGS__})
#endif

// Of two vectors, within each four lanes: the lower (from 0) or upper (from 2) two of both, by turns in runs of `run`.
constexpr int zip_index(int lane, int run, int from) {
    const int four = lane / 4 * 4, k = lane % 4;
    return four + from + k / (2 * run) * run + k % run + (k / run % 2 ? LANES : 0);
}

template <int RUN, int... I>
inline Vec zip_add(Vec a, Vec b, std::integer_sequence<int, I...>) {
    return LINNET_PICK(a, b, zip_index(I, RUN, 0)...) + LINNET_PICK(a, b, zip_index(I, RUN, 2)...);
}

template <int BY, int... I>
inline Vec turned(Vec a, std::integer_sequence<int, I...>) {
    return LINNET_PICK(a, a, ((I + BY) % LANES)...);
}

// The totals of four vectors, to to[0..3].
inline void store_totals(float* to, Vec a, Vec b, Vec c, Vec d) {
    Vec sums = zip_add<2>(zip_add<1>(a, b, EACH), zip_add<1>(c, d, EACH), EACH);
    if constexpr (LANES >= 16) sums += turned<8>(sums, EACH);
    if constexpr (LANES >= 8) sums += turned<4>(sums, EACH);
    std::memcpy(to, &sums, 16);
}

inline float total(Vec a) {
    if constexpr (LANES >= 16) a += turned<8>(a, EACH);
    if constexpr (LANES >= 8) a += turned<4>(a, EACH);
    a += turned<2>(a, EACH);
    return a[0] + a[1];
}

inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

inline float largest(Vec a) {
    if constexpr (LANES >= 16) a = larger(a, turned<8>(a, EACH));
    if constexpr (LANES >= 8) a = larger(a, turned<4>(a, EACH));
    a = larger(a, turned<2>(a, EACH));
    return a[0] > a[1] ? a[0] : a[1];
}

// exp of x <= 0 to about one unit in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]; NaN stays NaN.
inline Vec exp_down(Vec x) {
    const Vec magic = all(12582912.0f);  // 1.5 x 2^23: adding it rounds to an integer, which its low bits then hold
    const Vec low = all(-87.0f);
    const Vec y = x < low ? low : x;
    const Vec shifted = y * 1.44269504088896341f + magic;
    const Vec n = shifted - magic;
    const Vec r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const Ints power = (reinterpret_cast<Ints>(shifted) - 0x4B400000 + 127) << 23;
    const Vec result = p * reinterpret_cast<Vec>(power);
    return x < low ? Vec{} : result;
}

// ---- The work and its parts -----------------------------------------------------------------------------------------

constexpr int STRIP = 4;                    // vectors of a row that a tile walks at a time
constexpr int64_t CHUNK_BYTES = 1 << 17;    // of weights: with the batch rows they fit the second-level cache
constexpr int64_t CHUNK_ROWS = 64;          // at most; a multiple of LANES
constexpr int64_t SEGMENT_ROWS = 512;       // at least, where a block is cut; a multiple of CHUNK_ROWS
constexpr int64_t PARTIAL_BYTES = 1 << 23;  // of one block's gradients to the embedding, one a segment
constexpr int64_t AHEAD = 8;                // rows that are fetched before their logits are due
constexpr float SMALLEST_NORM = 1e-12f;

constexpr int64_t up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

struct Block {
    int64_t start, size;        // weight rows
    int64_t row, rows;          // batch rows
    int64_t logit, norm;        // where its kept logits and norms begin
    int64_t segment, segments;  // the first, and how many
    float a, b;                 // what the first pass sees is w + a w + b v
    bool lags;
};

struct Segment {
    int64_t block, begin, end;  // weight rows, counted from the block's start
    int64_t pair;               // where its (segment, batch row) pairs begin
};

// A batch, cut into segments of blocks: what one thread does at a time.
struct Problem : LinnetBatch {
    std::vector<Block> block;
    std::vector<Segment> segment;
    int64_t chunk, pitch, most_rows = 0, pairs = 0;  // weight rows a chunk; the same in whole cache lines of floats
    bool cosine;

    explicit Problem(const LinnetBatch& batch) : LinnetBatch(batch), cosine(batch.inverse != 0) {
        chunk = std::max<int64_t>(LANES, std::min(CHUNK_ROWS, CHUNK_BYTES / 4 / dim / LANES * LANES));
        pitch = up(chunk, 16);
        int64_t touched = 0, logit = 0, norm = 0;
        for (int64_t i = 0; i < blocks; ++i) touched += stops[i] - starts[i];
        for (int64_t i = 0; i < blocks; ++i) {
            const int64_t size = stops[i] - starts[i], count = rows[i + 1] - rows[i];
            const int64_t first = static_cast<int64_t>(segment.size());
            const int64_t most = std::max<int64_t>(1, PARTIAL_BYTES / (4 * count * dim));
            const int64_t even = touched / (16 * threads), bounded = (size + most - 1) / most;
            const int64_t cut = up(std::max({SEGMENT_ROWS, even, bounded}), CHUNK_ROWS);
            for (int64_t at = 0; at < size; at += cut, pairs += count)
                segment.push_back({i, at, std::min(size, at + cut), pairs});
            const int64_t segments = static_cast<int64_t>(segment.size()) - first;
            const float a = static_cast<float>(lag[4 * i] - 1), b = static_cast<float>(lag[4 * i + 1]);
            block.push_back({starts[i], size, rows[i], count, logit, norm, first, segments, a, b, a != 0 || b != 0});
            most_rows = std::max(most_rows, count);
            logit += count * size, norm += size;
        }
        threads = std::min(threads, std::max<int64_t>(1, static_cast<int64_t>(segment.size())));
    }

    // The workspace: the packed batch, each thread's own part, and what Forward says.
    float* packed() const { return workspace; }
    float* own(int64_t thread) const { return workspace + up(batch * up(dim, LANES), 16) + thread * own_floats(); }
    int64_t own_floats() const { return up(chunk * dim, 16) + (most_rows + 5) * pitch; }
    int64_t all_floats() const { return own(threads) - workspace + (pairs - batch) * dim + 2 * pairs + batch; }
};

// A thread's own part of the workspace; every piece begins on a cache line.
struct Own {
    float *weights, *scores, *norms, *maps;

    Own(const Problem& p, int64_t thread) {
        weights = p.own(thread);
        scores = weights + up(p.chunk * p.dim, 16);
        norms = scores + p.most_rows * p.pitch;
        maps = norms + p.pitch;
    }
};

// Every thread fetches numbers of segments until there are none, and does work(number, its memory).
template <class Work>
void in_parallel(const Problem& p, const Work& work) {
    struct Team {
        const Problem& p;
        const Work& work;
        std::atomic<int64_t> arrived, next;
    } team{p, work, {0}, {0}};
    const Body body = [](void* data) {
        Team& all = *static_cast<Team*>(data);
        const Own own(all.p, all.arrived++);
        const int64_t count = static_cast<int64_t>(all.p.segment.size());
        for (int64_t i = all.next++; i < count; i = all.next++) all.work(i, own);
    };
    if (p.threads <= 1) return body(&team);
    if (p.runner) return p.runner(body, &team, static_cast<unsigned>(p.threads), 0);
    std::vector<std::thread> others;
    try {
        while (static_cast<int64_t>(others.size()) + 1 < p.threads) others.emplace_back(body, &team);
    } catch (...) {  // no more threads to be had: those there are do all
    }
    body(&team);
    for (auto& other : others) other.join();
}

// ---- Logits ---------------------------------------------------------------------------------------------------------

// Calls call(first row, count as a constant) for 0..rows-1 in nearly equal tiles of at most sizeof...(R) rows.
template <class Call, int... R>
inline void tiled(int64_t rows, const Call& call, std::integer_sequence<int, R...>) {
    const int64_t most = sizeof...(R), tiles = (rows + most - 1) / most;
    for (int64_t i = 0, row = 0; i < tiles; ++i) {
        const int64_t next = rows * (i + 1) / tiles;
        (void)((next - row == R + 1 ? (call(row, std::integral_constant<int, R + 1>{}), true) : false) || ...);
        row = next;
    }
}
constexpr auto BY_FEW = std::make_integer_sequence<int, FEW>{};
constexpr auto BY_MANY = std::make_integer_sequence<int, MANY>{};

// Batch rows as dot_tile reads them, in one stream: tile by tile, and in a tile column by column of vectors.
void pack(const Problem& p, float* to) {
    const int64_t wide = up(p.dim, LANES);
    for (const Block& k : p.block) {
        const auto tile = [&](int64_t row, auto R) {
            const float* x = p.embedding + (k.row + row) * p.dim;
            float* at = to + (k.row + row) * wide;
            for (int64_t d = 0; d < p.dim; d += LANES)
                for (int r = 0; r < R; ++r, at += LANES) store(at, load_upto(x + r * p.dim + d, p.dim - d));
        };
        tiled(k.rows, tile, BY_MANY);
    }
}

// to[0..1] and so on for R batch rows, `pitch` apart: inner products of R packed batch rows with two weight rows.
template <int R>
inline void dot_tile(float* to, int64_t pitch, const float* w0, const float* w1, const float* x, int64_t dim) {
    Vec sum[R + R % 2][2] = {};
    const auto add = [&](Vec a, Vec b) {
        for (int r = 0; r < R; ++r, x += LANES) sum[r][0] += load(x) * a, sum[r][1] += load(x) * b;
    };
    int64_t d = 0;
    for (; d + LANES <= dim; d += LANES) {
        __builtin_prefetch(w0 + d + AHEAD * dim), __builtin_prefetch(w1 + d + AHEAD * dim);
        add(load(w0 + d), load(w1 + d));
    }
    if (d < dim) add(load_upto(w0 + d, dim - d), load_upto(w1 + d, dim - d));
    for (int r = 0; r < R; r += 2) {
        float four[4];
        store_totals(four, sum[r][0], sum[r][1], sum[r + 1][0], sum[r + 1][1]);
        std::memcpy(to + r * pitch, four, 8);
        if (r + 1 < R) std::memcpy(to + (r + 1) * pitch, four + 2, 8);
    }
}

inline float inverse_norm(const float* row, int64_t dim) {
    Vec sum{};
    for (int64_t d = 0; d < dim; d += LANES) {
        const Vec each = load_upto(row + d, dim - d);
        sum += each * each;
    }
    return 1 / std::max(std::sqrt(total(sum)), SMALLEST_NORM);
}

// n weight rows of a block as the first pass sees them: in place, or brought up to date in `to`.
inline const float* seen(const Problem& p, const Block& k, int64_t begin, int64_t n, float* to) {
    const float *w = p.weight + (k.start + begin) * p.dim, *v = p.velocity + (k.start + begin) * p.dim;
    if (!k.lags) return w;
    int64_t i = 0;
    for (; i + LANES <= n * p.dim; i += LANES) store(to + i, load(w + i) + (load(w + i) * k.a + load(v + i) * k.b));
    for (; i < n * p.dim; ++i) to[i] = w[i] + (w[i] * k.a + v[i] * k.b);
    return to;
}

// Logits (rows x n) of a block's batch rows with n weight rows w, to own.scores; for a cosine 1 / norms of w too.
void logits_of(const Problem& p, const Block& k, const float* w, int64_t n, const Own& own) {
    const auto tile = [&](int64_t row, auto R) {
        const float* x = p.packed() + (k.row + row) * up(p.dim, LANES);
        for (int64_t j = 0; j < n; j += 2) {
            const float *w0 = w + j * p.dim, *w1 = w + std::min(j + 1, n - 1) * p.dim;
            dot_tile<R>(own.scores + row * p.pitch + j, p.pitch, w0, w1, x, p.dim);
        }
    };
    tiled(k.rows, tile, BY_MANY);
    if (!p.cosine) return;
    for (int64_t j = 0; j < n; ++j) own.norms[j] = inverse_norm(w + j * p.dim, p.dim);
    for (int64_t r = 0; r < k.rows; ++r)
        for (int64_t j = 0; j < n; ++j) own.scores[r * p.pitch + j] *= own.norms[j] * p.inverse;
}

// ---- First pass: loss, and the gradient to the embedding ------------------------------------------------------------

struct Forward {
    float *loss, *gradient;  // results
    float* partials;         // gradients of all segments but each block's first, which has its place in `gradient`
    float *peaks, *sums;     // a (segment, batch row) pair: largest logit, sum of exp(logit - largest)
    float* targets;          // a batch row: the logit of its own instance

    Forward(const Problem& p, float* loss, float* gradient) : loss(loss), gradient(gradient) {
        partials = p.own(p.threads);
        peaks = partials + (p.pairs - p.batch) * p.dim;
        sums = peaks + p.pairs;
        targets = sums + p.pairs;
    }

    // Where segment `number` of a block sums up its batch rows' gradients.
    float* partial(const Problem& p, const Block& k, int64_t number) const {
        if (number == 0) return gradient + k.row * p.dim;
        return partials + (p.segment[k.segment].pair - k.row + (number - 1) * k.rows) * p.dim;
    }
};

// to[r][0..] += sum over j of q[r][j] w[j][0..], for R batch rows and K vectors. The same piece of the rows at `next`
// is fetched into the second-level cache meanwhile: without it memory would rest until their logits are due.
template <int R, int K>
inline void gather_tile(float* to, const float* q, int64_t pitch, const float* w, int64_t n, int64_t dim,
                        const float* next) {
    Vec sum[R][K];
    for (int r = 0; r < R; ++r)
        for (int k = 0; k < K; ++k) sum[r][k] = load(to + r * dim + k * LANES);
    for (int64_t j = 0; j < n; ++j) {
        Vec each[K];
        for (int k = 0; k < K; ++k) each[k] = load(w + j * dim + k * LANES);
        for (int k = 0; k < K && next; ++k) __builtin_prefetch(next + j * dim + k * LANES, 0, 2);
        for (int r = 0; r < R; ++r)
            for (int k = 0; k < K; ++k) sum[r][k] += each[k] * q[r * pitch + j];
    }
    for (int r = 0; r < R; ++r)
        for (int k = 0; k < K; ++k) store(to + r * dim + k * LANES, sum[r][k]);
}

void gather(const Problem& p, float* to, const float* q, const float* w, int64_t n, const Block& block) {
    const float* next = block.lags ? nullptr : w + n * p.dim;
    int64_t d = 0;
    const auto wide = [&](int64_t r, auto R) {
        const float* then = r == 0 && next ? next + d : nullptr;
        gather_tile<R, STRIP>(to + r * p.dim + d, q + r * p.pitch, p.pitch, w + d, n, p.dim, then);
    };
    const auto narrow = [&](int64_t r, auto R) {
        gather_tile<R, 1>(to + r * p.dim + d, q + r * p.pitch, p.pitch, w + d, n, p.dim, nullptr);
    };
    for (; d + STRIP * LANES <= p.dim; d += STRIP * LANES) tiled(block.rows, wide, BY_FEW);
    for (; d + LANES <= p.dim; d += LANES) tiled(block.rows, narrow, BY_FEW);
    for (; d < p.dim; ++d)
        for (int64_t r = 0; r < block.rows; ++r)
            for (int64_t j = 0; j < n; ++j) to[r * p.dim + d] += q[r * p.pitch + j] * w[j * p.dim + d];
}

// One batch row's n logits: the running maximum and sum take them in, and exp(logit - maximum) takes their place.
// Returns what the row's earlier sums are to be multiplied with.
inline float take_in(float* z, int64_t n, float& peak, float& sum) {
    const int64_t full = up(n, LANES);
    for (int64_t j = n; j < full; ++j) z[j] = -std::numeric_limits<float>::infinity();
    Vec most = load(z);
    for (int64_t j = LANES; j < full; j += LANES) most = larger(load(z + j), most);
    const float high = largest(most);
    float factor = 1;
    if (high > peak) factor = std::exp(peak - high), peak = high;
    Vec add{};
    for (int64_t j = 0; j < full; j += LANES) {
        const Vec each = exp_down(load(z + j) - peak);
        add += each;
        store(z + j, each);
    }
    sum = sum * factor + total(add);
    return factor;
}

void forward_segment(const Problem& p, const Forward& out, const Segment& s, float* to, const Own& own) {
    const Block& k = p.block[s.block];
    std::fill_n(to, k.rows * p.dim, 0.0f);
    std::fill_n(out.peaks + s.pair, k.rows, -std::numeric_limits<float>::infinity());
    std::fill_n(out.sums + s.pair, k.rows, 0.0f);
    for (int64_t begin = s.begin; begin < s.end; begin += p.chunk) {
        const int64_t n = std::min(p.chunk, s.end - begin);
        const float* w = seen(p, k, begin, n, own.weights);
        logits_of(p, k, w, n, own);
        if (p.cosine && p.norms) std::copy_n(own.norms, n, p.norms + k.norm + begin);
        for (int64_t r = 0; r < k.rows; ++r) {
            float* z = own.scores + r * p.pitch;
            if (p.logits) std::copy_n(z, n, p.logits + k.logit + r * k.size + begin);
            const int64_t at = p.place[k.row + r] - begin;
            if (at >= 0 && at < n) out.targets[k.row + r] = z[at];
            const float factor = take_in(z, n, out.peaks[s.pair + r], out.sums[s.pair + r]);
            for (int64_t d = 0; factor != 1 && d < p.dim; ++d) to[r * p.dim + d] *= factor;
            for (int64_t j = 0; p.cosine && j < n; ++j) z[j] *= own.norms[j];
        }
        gather(p, to, own.scores, w, n, k);
    }
}

// A block's segments together: the softmax-weighted mean of its rows, less each batch row's own instance.
void finish_block(const Problem& p, const Forward& out, const Block& k, const Own& own) {
    for (int64_t r = 0; r < k.rows; ++r) {
        const int64_t row = k.row + r, first = p.segment[k.segment].pair + r;
        float peak = out.peaks[first], *to = out.gradient + row * p.dim;
        double sum = 0;
        for (int64_t i = 0; i < k.segments; ++i) peak = std::max(peak, out.peaks[first + i * k.rows]);
        for (int64_t i = 0; i < k.segments; ++i) {
            const float factor = std::exp(out.peaks[first + i * k.rows] - peak);
            const float* from = out.partial(p, k, i) + r * p.dim;
            sum += static_cast<double>(factor) * out.sums[first + i * k.rows];
            for (int64_t d = 0; d < p.dim; ++d) to[d] = factor * from[d] + (i ? to[d] : 0);
        }
        const float* instance = seen(p, k, p.place[row], 1, own.weights);
        const float norm = p.cosine ? inverse_norm(instance, p.dim) : 1, outer = p.cosine ? p.inverse : 1;
        const float share = static_cast<float>(1 / sum);
        for (int64_t d = 0; d < p.dim; ++d) to[d] = (to[d] * share - instance[d] * norm) * outer;
        out.loss[row] = static_cast<float>(std::log(sum) + (static_cast<double>(peak) - out.targets[row]));
        p.stats[2 * row] = peak, p.stats[2 * row + 1] = share;
    }
}

// ---- Second pass: the weights' gradient, and the update -------------------------------------------------------------

struct Step {
    const double* map;  // 2 x 2: a step without gradient
    double gain;        // what a gradient of 1 adds to w; to v it adds 1
    float scale;        // of all gradients
};

// J weight rows and what they are updated with: their gradient is the sum over r of q[r][j] x[r].
struct Rows {
    float *w, *v;
    const float *x, *q, *maps;
    int64_t rows, dim, pitch;
    float gain;
};

// Columns d.. of J rows, K vectors wide: w += m0 w + m1 v + gain g and v = m2 w + m3 v + g. The next J rows are fetched
// ahead: the hardware does not see so many short streams coming.
template <int J, int K>
inline void update_tile(const Rows& t, int64_t d) {
    Vec sum[J][K] = {};
    for (int64_t r = 0; r < t.rows; ++r) {
        Vec each[K];
        for (int k = 0; k < K; ++k) each[k] = load(t.x + r * t.dim + d + k * LANES);
        for (int j = 0; j < J; ++j)
            for (int k = 0; k < K; ++k) sum[j][k] += each[k] * t.q[r * t.pitch + j];
    }
    for (int j = 0; j < J; ++j)
        for (int k = 0; k < K; ++k) {
            float *w = t.w + j * t.dim + d + k * LANES, *v = t.v + j * t.dim + d + k * LANES;
            const float* m = t.maps + 4 * j;
            __builtin_prefetch(w + J * t.dim, 1), __builtin_prefetch(v + J * t.dim, 1);
            const Vec old = load(w), speed = load(v);
            store(w, old + (old * m[0] + speed * m[1] + sum[j][k] * t.gain));
            store(v, old * m[2] + speed * m[3] + sum[j][k]);
        }
}

template <int J>
inline void update_rows(const Rows& t) {
    int64_t d = 0;
    for (; d + STRIP * LANES <= t.dim; d += STRIP * LANES) update_tile<J, STRIP>(t, d);
    for (; d + LANES <= t.dim; d += LANES) update_tile<J, 1>(t, d);
    for (; d < t.dim; ++d)
        for (int j = 0; j < J; ++j) {
            float sum = 0;
            for (int64_t r = 0; r < t.rows; ++r) sum += t.q[r * t.pitch + j] * t.x[r * t.dim + d];
            float &w = t.w[j * t.dim + d], &v = t.v[j * t.dim + d];
            const float *m = t.maps + 4 * j, old = w;
            w = old + (old * m[0] + v * m[1] + sum * t.gain);
            v = old * m[2] + v * m[3] + sum;
        }
}

// What the gradient of n weight rows multiplies the batch rows with, (rows x n), from logits to own.scores; and each
// weight row's own map to own.maps: for a cosine the gradient loses its part along the row.
void coefficients(const Problem& p, const Step& step, const Segment& s, int64_t begin, int64_t n, const Own& own) {
    const Block& k = p.block[s.block];
    const float outer = p.cosine ? step.scale * p.inverse : step.scale;
    float along[CHUNK_ROWS] = {};  // gradient times unit row, over the scale
    for (int64_t r = 0; r < k.rows; ++r) {
        const int64_t row = k.row + r, at = p.place[row] - begin;
        const float peak = p.stats[2 * row], share = p.stats[2 * row + 1];
        const bool here = at >= 0 && at < n;
        float* z = own.scores + r * p.pitch;
        if (p.logits) std::copy_n(p.logits + k.logit + r * k.size + begin, n, z);
        if (here) along[at] -= z[at];
        for (int64_t j = 0; j < n; j += LANES) {
            const Vec logit = load(z + j), softmax = exp_down(logit - peak) * share;
            store(z + j, softmax * outer);
            if (p.cosine) store(along + j, load(along + j) + softmax * logit);
        }
        if (here) z[at] -= outer;
        for (int64_t j = 0; p.cosine && j < n; ++j) z[j] *= own.norms[j];
    }
    const double *lag = p.lag + 4 * s.block, *map = step.map;
    for (int64_t j = 0; j < n; ++j) {
        const double less = p.cosine ? static_cast<double>(along[j]) * step.scale * own.norms[j] * own.norms[j] : 0;
        float* to = own.maps + 4 * j;
        to[0] = static_cast<float>(map[0] * lag[0] + map[1] * lag[2] - 1 - less * step.gain * lag[0]);
        to[1] = static_cast<float>(map[0] * lag[1] + map[1] * lag[3] - less * step.gain * lag[1]);
        to[2] = static_cast<float>(map[2] * lag[0] + map[3] * lag[2] - less * lag[0]);
        to[3] = static_cast<float>(map[2] * lag[1] + map[3] * lag[3] - less * lag[1]);
    }
}

void step_segment(const Problem& p, const Step& step, const Segment& s, const Own& own) {
    const Block& k = p.block[s.block];
    for (int64_t begin = s.begin; begin < s.end; begin += p.chunk) {
        const int64_t n = std::min(p.chunk, s.end - begin), at = (k.start + begin) * p.dim;
        if (!p.logits) logits_of(p, k, seen(p, k, begin, n, own.weights), n, own);
        if (p.logits && p.cosine) std::copy_n(p.norms + k.norm + begin, n, own.norms);
        coefficients(p, step, s, begin, n, own);
        const float *x = p.embedding + k.row * p.dim, gain = static_cast<float>(step.gain);
        Rows t{p.weight + at, p.velocity + at, x, own.scores, own.maps, k.rows, p.dim, p.pitch, gain};
        const auto advance = [&t](int64_t by) { t.w += by * t.dim, t.v += by * t.dim, t.q += by, t.maps += 4 * by; };
        int64_t j = 0;
        for (; j + 4 <= n; j += 4, advance(4)) update_rows<4>(t);
        for (; j < n; ++j, advance(1)) update_rows<1>(t);
    }
}

}  // namespace

// ---- From outside ---------------------------------------------------------------------------------------------------

extern "C" {

// How many floats the workspace of a batch needs; all three answer less than 0 where there is no memory.
int64_t linnet_instance_workspace(const LinnetBatch* batch) try {
    return Problem(*batch).all_floats();
} catch (...) {
    return -1;
}

// The loss of each batch row, and the gradient of their sum to the embedding (batch x dim). Weights stay as they are.
int64_t linnet_instance_forward(const LinnetBatch* batch, float* loss, float* gradient) try {
    const Problem p(*batch);
    const Forward out(p, loss, gradient);
    pack(p, p.packed());
    std::vector<std::atomic<int64_t>> left(p.block.size());
    for (size_t i = 0; i < left.size(); ++i) left[i] = p.block[i].segments;
    in_parallel(p, [&](int64_t number, const Own& own) {
        const Segment& s = p.segment[number];
        const Block& k = p.block[s.block];
        forward_segment(p, out, s, out.partial(p, k, number - k.segment), own);
        if (--left[s.block] == 0) finish_block(p, out, k, own);
    });
    return 0;
} catch (...) {
    return -1;
}

// The update, in place, after a forward pass with the same batch, logits, norms and stats.
int64_t linnet_instance_step(const LinnetBatch* batch, const double* map, double gain, float scale) try {
    const Problem p(*batch);
    const Step step{map, gain, scale};
    if (!p.logits) pack(p, p.packed());
    in_parallel(p, [&](int64_t number, const Own& own) { step_segment(p, step, p.segment[number], own); });
    return 0;
} catch (...) {
    return -1;
}
}
