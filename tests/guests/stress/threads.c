/* Threads and processes at once: atomic counters, locks, and floating point in all of them. */
#include "stress.h"
#include <math.h>
#include <pthread.h>

enum { THREADS = 6, ROUNDS = 20000 };

static int counter, plain;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static int whose;
static __thread int own;

static void *counts(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
        own++;
        if (i % 16 == 0) {
            pthread_mutex_lock(&lock);
            plain++;
            pthread_mutex_unlock(&lock);
        }
    }
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&lock);
        while (whose != (intptr_t)argument)
            pthread_cond_wait(&turn, &lock);
        whose = (whose + 1) % THREADS;
        pthread_cond_broadcast(&turn);
        pthread_mutex_unlock(&lock);
    }
    return (void *)(intptr_t)own;
}

/* Doubles in all registers, in many processes that take turns: what they come to, folded. */
static int floats(int seed)
{
    double x[24];
    for (int i = 0; i < 24; i++)
        x[i] = 1.0 / (seed + i + 1);
    for (int round = 0; round < 8000; round++)
        for (int i = 0; i < 24; i++)
            x[i] = sqrt(fabs(x[i] * x[(i + 7) % 24] + x[(i + 3) % 24] * (seed + 0.25))) - (float)x[(i + 5) % 24] / (3 + seed);
    u32 sum = 0;
    for (int i = 0; i < 24; i++) {
        uint64_t bits;
        memcpy(&bits, &x[i], 8);
        sum = sum * 31 + (u32)(bits ^ bits >> 32);
    }
    return (sum ^ sum >> 8 ^ sum >> 16 ^ sum >> 24) & 0xff;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        MUST(!pthread_create(&threads[i], 0, counts, (void *)i));
    int sum = 0;
    for (int i = 0; i < THREADS; i++) {
        void *value;
        MUST(!pthread_join(threads[i], &value));
        sum += (intptr_t)value;
    }
    printf("counted %d %d %d\n", counter, plain, sum);
    pid_t pids[10];
    for (int i = 0; i < 10; i++)
        pids[i] = child(floats, i);
    for (int i = 0; i < 10; i++)
        printf("floats %d %d\n", i, result(pids[i]));
    return 0;
}
