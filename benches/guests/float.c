/* Double precision: the Mandelbrot set, 128 by 128 points. */
#include "guest.h"

void main(void)
{
    u32 result = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int y = 0; y < 128; y++)
            for (int x = 0; x < 128; x++) {
                double re = (x - 96) / 48.0, im = (y - 64) / 48.0, a = 0, b = 0;
                int i = 0;
                for (; i < 100 && a * a + b * b < 4; i++) {
                    double next = a * a - b * b + re;
                    b = 2 * a * b + im;
                    a = next;
                }
                result = result * 31 + i;
            }
    done(result);
}
