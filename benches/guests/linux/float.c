/* Double precision: planets, a spectral norm, a system of equations, a Fourier transform, the Mandelbrot set. */
#include <math.h>

#include "program.h"

static double random_double(void)
{
    return random_u32() / 4294967296.0 - 0.5;
}

/* The bits of a number, folded. */
static u32 bits(double x)
{
    u64 b;
    memcpy(&b, &x, sizeof b);
    return b ^ b >> 32;
}

/* Five bodies under gravity, 1000 steps a round. */

static u32 nbody(int rounds)
{
    enum { N = 5 };
    static double p[N][3], v[N][3], m[N];
    for (int i = 0; i < N; i++) {
        m[i] = 1.0 / (1 + i * i);
        for (int k = 0; k < 3; k++)
            p[i][k] = 8 * random_double(), v[i][k] = random_double();
    }
    for (int step = 0; step < rounds * 1000; step++) {
        for (int i = 0; i < N; i++)
            for (int j = i + 1; j < N; j++) {
                double d[3], square = 0.01;
                for (int k = 0; k < 3; k++)
                    d[k] = p[i][k] - p[j][k], square += d[k] * d[k];
                double scale = 0.001 / (square * sqrt(square));
                for (int k = 0; k < 3; k++)
                    v[i][k] -= d[k] * m[j] * scale, v[j][k] += d[k] * m[i] * scale;
            }
        for (int i = 0; i < N; i++)
            for (int k = 0; k < 3; k++)
                p[i][k] += 0.001 * v[i][k];
    }
    u32 result = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++)
            result = result * 31 + bits(p[i][k]);
    return result;
}

/* The largest singular value of a matrix that is computed, not stored. */

enum { SPECTRAL = 100 };

static double element(int i, int j)
{
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}

static void times(const double *x, double *y, int transposed)
{
    for (int i = 0; i < SPECTRAL; i++) {
        double sum = 0;
        for (int j = 0; j < SPECTRAL; j++)
            sum += (transposed ? element(j, i) : element(i, j)) * x[j];
        y[i] = sum;
    }
}

static u32 spectral(int rounds)
{
    double u[SPECTRAL], v[SPECTRAL], w[SPECTRAL], uv = 0, vv = 0;
    for (int i = 0; i < SPECTRAL; i++)
        u[i] = 1;
    while (rounds--) {
        times(u, w, 0), times(w, v, 1);
        times(v, w, 0), times(w, u, 1);
    }
    for (int i = 0; i < SPECTRAL; i++)
        uv += u[i] * v[i], vv += v[i] * v[i];
    return bits(sqrt(uv / vv));
}

/* 64 equations with 64 unknowns, by elimination with pivots. */

static u32 linear(int rounds)
{
    enum { N = 64 };
    static double a[N][N + 1];
    u32 result = 0;
    while (rounds--) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j <= N; j++)
                a[i][j] = random_double();
        for (int k = 0; k < N; k++) {
            int pivot = k;
            for (int i = k + 1; i < N; i++)
                if (fabs(a[i][k]) > fabs(a[pivot][k]))
                    pivot = i;
            for (int j = k; j <= N; j++) {
                double t = a[k][j];
                a[k][j] = a[pivot][j], a[pivot][j] = t;
            }
            for (int i = k + 1; i < N; i++) {
                double factor = a[i][k] / a[k][k];
                for (int j = k; j <= N; j++)
                    a[i][j] -= factor * a[k][j];
            }
        }
        for (int i = N - 1; i >= 0; i--) {
            for (int j = i + 1; j < N; j++)
                a[i][N] -= a[i][j] * a[j][N];
            a[i][N] /= a[i][i];
        }
        result = result * 31 + bits(a[0][N]);
    }
    return result;
}

/* A Fourier transform of 4096 complex numbers. The roots of unity come from a recurrence, so that no library's sine
   matters. */

static u32 fourier(int rounds)
{
    enum { BITS = 12, N = 1 << BITS };
    static double re[N], im[N];
    static const double cosines[BITS] = {
        -1, 0, 0.7071067811865476, 0.9238795325112867, 0.9807852804032304, 0.9951847266721969, 0.9987954562051724,
        0.9996988186962042, 0.9999247018391445, 0.9999811752826011, 0.9999952938095761, 0.9999988234517019,
    };
    for (int i = 0; i < N; i++)
        re[i] = random_double(), im[i] = 0;
    while (rounds--) {
        for (u32 i = 0, j = 0; i < N; i++) {
            if (i < j) {
                double t = re[i];
                re[i] = re[j], re[j] = t;
                t = im[i], im[i] = im[j], im[j] = t;
            }
            u32 bit = N >> 1;
            for (; j & bit; bit >>= 1)
                j ^= bit;
            j |= bit;
        }
        for (int stage = 0; stage < BITS; stage++) {
            int half = 1 << stage;
            double c = cosines[stage], s = -sqrt(1 - c * c), wr = 1, wi = 0;
            for (int k = 0; k < half; k++) {
                for (int i = k; i < N; i += 2 * half) {
                    double tr = wr * re[i + half] - wi * im[i + half], ti = wr * im[i + half] + wi * re[i + half];
                    re[i + half] = re[i] - tr, im[i + half] = im[i] - ti;
                    re[i] += tr, im[i] += ti;
                }
                double t = wr * c - wi * s;
                wi = wr * s + wi * c, wr = t;
            }
        }
        for (int i = 0; i < N; i++)
            re[i] /= 64, im[i] /= 64;
    }
    return bits(re[1]) * 31 + bits(im[1]);
}

static u32 mandelbrot(int rounds)
{
    u32 result = 0;
    while (rounds--)
        for (int y = 0; y < 64; y++)
            for (int x = 0; x < 64; x++) {
                double re = (x - 48) / 24.0, im = (y - 32) / 24.0, a = 0, b = 0;
                int i = 0;
                for (; i < 100 && a * a + b * b < 4; i++) {
                    double next = a * a - b * b + re;
                    b = 2 * a * b + im;
                    a = next;
                }
                result = result * 31 + i;
            }
    return result;
}

int main(int argc, char **argv)
{
    static const struct work works[] = {
        {"nbody", nbody}, {"spectral", spectral}, {"linear", linear}, {"fourier", fourier}, {"mandelbrot", mandelbrot}, {0},
    };
    return run(works, argc, argv);
}
