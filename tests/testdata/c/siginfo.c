/* siginfo: blocks all signals, prints "ready", and then for each signal its number, how it
 * was sent (si_code), and its value. It exits at SIGTERM. It makes the system calls itself,
 * since glibc reserves two signals. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	unsigned long all = ~0UL;
	siginfo_t info;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = syscall(SYS_rt_sigtimedwait, &all, &info, NULL, sizeof all);
		if (n < 0)
			continue;
		printf("%d %d %d\n", n, info.si_code, info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
		fflush(stdout);
		if (n == SIGTERM)
			return 0;
	}
}
