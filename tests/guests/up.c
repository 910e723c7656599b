/* The first process of a guest that is only to come up: says so, and switches the power off. */
#include <stdio.h>
#include <sys/reboot.h>

int main(void)
{
    printf("up\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 1;
}
